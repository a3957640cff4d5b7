#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod error;
mod host;
mod name;

pub use error::Error;
pub use host::{Chunk, Host};
/// The Lua bindings that arguments and results are converted with.
pub use mlua;
pub use name::ChunkName;
