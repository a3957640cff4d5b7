//! Stands in for `file.rs` without the feature `file`: there are no files, and the type says so.

use std::fs::File;
use std::io;

use crate::error::FileError;
use crate::output::align::Plan;

/// Has no value, so that every place that deals with a file compiles to nothing.
#[derive(Debug)]
pub(crate) enum FileBuf {}

impl FileBuf {
    pub(crate) fn file(&self) -> &File {
        match *self {}
    }

    pub(crate) fn alignment(&self) -> usize {
        match *self {}
    }

    pub(crate) fn is_direct(&self) -> bool {
        match *self {}
    }

    pub(crate) fn read(
        &self,
        _plan: &Plan,
        _done: usize,
        _memory: &mut [u8],
    ) -> Result<(), FileError> {
        match *self {}
    }

    pub(crate) fn truncated(&self, _offset: u64, _missing: u64) -> FileError {
        match *self {}
    }
}

pub(crate) fn read_some_at(_file: &File, _into: &mut [u8], _offset: u64) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}
