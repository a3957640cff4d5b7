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
//!    cannot reach; who takes one out asks for its type. Trusted scripts reach it through `debug`:
//!    what they may do to a value of ours, such as to call its finalizer, leaves memory alone, but
//!    those who give its metatable to something else, or take anchors out of the registry, are
//!    beyond help, as those who write to any address with `ffi` are.

mod array;
mod call;
mod current;
mod guard;
mod inside;
#[cfg(feature = "http")]
mod kept;
mod libraries;
#[cfg(feature = "http")]
mod output;
#[cfg(feature = "http")]
mod parcel;
mod pcre;
mod table;
mod text;
mod thread;
mod value;
mod vm;
mod walk;

pub(crate) use call::{Call, Function, Kind, Raise, Reply, function};
pub(crate) use current::with_lane;
pub(crate) use guard::guard_libraries;
pub(crate) use inside::Inside;
#[cfg(feature = "http")]
pub(crate) use kept::Kept;
pub(crate) use libraries::open;
#[cfg(feature = "http")]
pub(crate) use parcel::Parcel;
pub(crate) use pcre::{CompileError, Matcher, Options, Pattern, Spans, Subject, bits};
pub(crate) use table::TableValue;
pub(crate) use thread::{Resumed, Stage, Thread};
pub(crate) use value::{Lender, Meta, Scalar, Value, Values, number_digits, number_text, values};
pub(crate) use vm::{Exhausted, RawVm};
pub(crate) use walk::Walk;
