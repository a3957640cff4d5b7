#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod buf;
mod chain;
mod error;
#[cfg(feature = "file")]
mod file;
#[cfg(not(feature = "file"))]
#[path = "file_none.rs"]
mod file;
mod flags;
mod tag;

pub use buf::Buf;
pub use chain::{Chain, IntoIter, Iter, IterMut};
pub use error::FileError;
#[cfg(feature = "file")]
pub use file::FileBuf;
pub use flags::Flags;
pub use tag::Tag;

/// Whether to go on producing, the answer of everything that takes a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// Everything was taken: produce more.
    Done,
    /// Something is kept: wait before producing more.
    Again,
}
