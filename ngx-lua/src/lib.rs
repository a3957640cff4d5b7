#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod api;
mod cosocket;
mod error;
#[expect(unsafe_code, reason = "the raw Lua stack; no other room needs it")]
mod ffi;
mod host;
#[cfg(feature = "http")]
pub mod http;
mod name;
mod phase;
mod sched;
mod settings;

pub use error::Error;
pub use host::{Chunk, Host};
/// The Lua bindings that arguments and results are converted with.
pub use mlua;
pub use name::ChunkName;
/// The dictionaries of [`Settings::shared_dicts`].
pub use ngx_core::zone::Dict;
pub use settings::{Resolve, Resolving, Settings};
