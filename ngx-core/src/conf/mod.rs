//! The nginx configuration language.
//!
//! A text becomes words, words become directives, included files take the place of their
//! `include`; [`module`](crate::module) then gives the directives a meaning. Everything that a
//! configuration asks of the machine goes through a [`ConfigSource`], and everything that is wrong
//! with it is collected in [`Diagnostics`].
//!
//! Directives whose name ends in `_by_lua_block` have a block of Lua, which is not read but only
//! searched for its end.

mod diagnostics;
mod directive;
mod include;
pub(crate) mod known;
mod lexer;
mod lua;
mod node;
mod parser;
mod record;
mod render;
mod setting;
mod source;
mod span;
pub(crate) mod suggest;
mod traps;
pub mod values;

pub use diagnostics::{Diagnostics, Problem, Severity};
pub use directive::Args;
pub use lexer::Word;
pub use node::Node;
pub use record::{Record, RecordedSource, Recorder};
pub use setting::Setting;
pub use source::{ConfigSource, DiskSource, FileRole, MemorySource, PathKind, User, path_of};
pub use span::{FileId, SourceMap, Span};
pub use traps::{dropped_lines, unsafe_ifs};

pub use crate::error::errno as describe;

pub(crate) use include::Reader;
pub(crate) use node::Body;
