//! Where a chain goes in the end.

#[cfg(feature = "tokio")]
pub(crate) mod net;

use std::fs::File;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

/// Something that bytes can be written to without blocking: a socket, a TLS session, a test.
///
/// A [`ChainWriter`](crate::ChainWriter) writes to it. A sink that can do nothing at the moment
/// says [`WouldBlock`](io::ErrorKind::WouldBlock); after that [`poll_ready`](Self::poll_ready)
/// tells when it is worth trying again.
///
/// On a tokio socket, whose own method of the same name hides the trait's, call
/// `Sink::try_write_vectored(&mut sink, bufs, more)`.
pub trait Sink {
    /// Writes some of `bufs`, and says how much. `more` is a hint that a file follows at once, so
    /// that these bytes should not leave in a packet of their own (`MSG_MORE`).
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing can be taken now; anything else is the end of the sink.
    fn try_write_vectored(&mut self, bufs: &[IoSlice<'_>], more: bool) -> io::Result<usize>;

    /// Whether [`try_send_file`](Self::try_send_file) is of use. If not, files are read into
    /// memory and written.
    fn sends_files(&self) -> bool {
        false
    }

    /// Sends some of the `len` bytes at `offset` of `file`, and says how much. 0 means that the
    /// file has ended.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing can be taken now; `Unsupported` or `InvalidInput` when this file
    /// cannot be sent so, then it is read and written; anything else is the end of the sink.
    fn try_send_file(&mut self, file: &File, offset: u64, len: usize) -> io::Result<usize> {
        let _ = (file, offset, len);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Lets go what the sink itself has kept back (a TLS session does).
    ///
    /// # Errors
    ///
    /// `WouldBlock` when something is still kept; anything else is the end of the sink.
    fn try_flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Waits until the sink takes something again. It may be ready too early.
    ///
    /// # Errors
    ///
    /// The sink has failed.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn try_write_vectored(&mut self, bufs: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        (**self).try_write_vectored(bufs, more)
    }

    fn sends_files(&self) -> bool {
        (**self).sends_files()
    }

    fn try_send_file(&mut self, file: &File, offset: u64, len: usize) -> io::Result<usize> {
        (**self).try_send_file(file, offset, len)
    }

    fn try_flush(&mut self) -> io::Result<()> {
        (**self).try_flush()
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_ready(cx)
    }
}
