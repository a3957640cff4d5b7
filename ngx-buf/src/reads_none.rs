//! Stands in for `reads.rs` without the feature `file`: there is nothing to read.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;

use crate::error::FileError;
use crate::file::FileBuf;
use crate::output::align::Plan;

pub(crate) struct Outcome {
    pub(crate) memory: BytesMut,
    pub(crate) result: Result<(), FileError>,
}

#[derive(Debug, Default)]
pub(crate) struct Reads {}

impl Reads {
    pub(crate) fn reset(&mut self) {}

    pub(crate) fn begin(
        &mut self,
        file: &Arc<FileBuf>,
        _plan: &Plan,
        _memory: BytesMut,
    ) -> Option<Outcome> {
        match **file {}
    }

    pub(crate) fn take(&mut self) -> Option<Outcome> {
        None
    }

    pub(crate) fn is_busy(&self) -> bool {
        false
    }

    pub(crate) fn poll(&self, _cx: &Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
