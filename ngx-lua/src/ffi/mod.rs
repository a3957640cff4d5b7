//! The raw Lua stack: the only room with unsafe code.
//!
//! Rules that the other rooms rely on:
//!
//! 1. A [`Thread`] keeps its Lua thread alive, by an anchor in the registry, and the VM with it.
//! 2. What may raise runs inside [`RawVm::protect`], or last in a trampoline, when nothing catches
//!    panics any more: a Lua error is an exception that Rust must not catch.
//! 3. Nothing that a [`Call`] does to its stack raises: no metamethod runs and nothing is
//!    allocated, except inside a protected call.
//! 4. Rust values inside Lua are `Rc<dyn Any>` in a userdata with our metatable, which scripts
//!    cannot reach; who takes one out asks for its type.

mod call;
mod guard;
mod kept;
#[cfg(feature = "http")]
mod parcel;
mod table;
mod text;
mod thread;
mod value;
mod vm;

pub(crate) use call::{Call, Function, Kind, Raise, Reply, function};
pub(crate) use guard::guard_libraries;
pub(crate) use kept::Kept;
#[cfg(feature = "http")]
pub(crate) use parcel::Parcel;
pub(crate) use table::TableValue;
pub(crate) use thread::{Resumed, Stage, Thread};
pub(crate) use value::{Meta, Scalar, Value, Values, number_text, values};
pub(crate) use vm::{Exhausted, RawVm};
