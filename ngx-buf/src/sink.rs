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
/// ```text
///   ChainWriter                               Sink                        peer
///     [ head | body | file 0..9000 | LAST ]
///       '--- try_write_vectored(.., more) ---> how many bytes were taken ----->
///                     '---- try_send_file ---> how many bytes were taken ----->
///     keeps the rest <---------------------- WouldBlock
///        poll_ready(cx) ------------------->  wakes when it takes something again
/// ```
///
/// One that holds up to so many bytes, and takes more when somebody has taken them out:
///
/// ```
/// use std::io::{self, IoSlice};
/// use std::task::{Context, Poll, Waker};
/// use ngx_buf::{ChainWriter, Flow, Sink};
///
/// struct Window {
///     bytes: Vec<u8>,
///     most: usize,
///     waker: Option<Waker>,
/// }
///
/// impl Window {
///     fn take(&mut self) -> Vec<u8> {
///         self.waker.take().map(Waker::wake);
///         std::mem::take(&mut self.bytes)
///     }
/// }
///
/// impl Sink for Window {
///     fn try_write_vectored(&mut self, bufs: &[IoSlice<'_>], _more: bool) -> io::Result<usize> {
///         let before = self.bytes.len();
///         for buf in bufs {
///             let room = self.most - self.bytes.len();
///             self.bytes.extend(buf.iter().take(room));
///         }
///         match self.bytes.len() - before {
///             0 => Err(io::ErrorKind::WouldBlock.into()),
///             taken => Ok(taken),
///         }
///     }
///
///     // It copies everything itself.
///     fn copies_up_to(&self) -> usize {
///         0
///     }
///
///     fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
///         if self.bytes.len() < self.most {
///             return Poll::Ready(Ok(()));
///         }
///         self.waker = Some(cx.waker().clone());
///         Poll::Pending
///     }
/// }
///
/// # fn main() -> Result<(), ngx_buf::WriteError> {
/// let mut window = Window { bytes: Vec::new(), most: 8, waker: None };
/// let mut writer = ChainWriter::new();
/// writer.push_buf("hello, world");
/// assert_eq!(writer.try_write(&mut window)?, Flow::Again);
/// assert_eq!((window.take(), writer.pending()), (b"hello, w".to_vec(), 4));
/// assert_eq!(writer.try_write(&mut window)?, Flow::Done);
/// assert_eq!(window.take(), b"orld");
/// # Ok(())
/// # }
/// ```
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

    /// Up to how many bytes a piece of memory is small: of many small pieces in a row the writer makes
    /// one, by copying them, before it hands them over. 0 is for a sink that is no quicker with one
    /// piece than with many, because it copies them itself, or looks at each of them anyway.
    ///
    /// The default is what sockets want: TCP over the loopback takes 2.1 µs for 64 pieces of 64
    /// bytes, and 1.1 µs for their copy; from 1 KiB a piece on the copy is what takes longer. The
    /// writer copies no piece of more than 2 KiB.
    fn copies_up_to(&self) -> usize {
        512
    }

    /// Up to how many bytes a file range is small: one that goes together with other bytes is read
    /// behind them, to be handed over with them by one call, though it could be sent. 0 is never.
    ///
    /// The default is what sockets want: a head and 4 KiB take TCP over the loopback 2.5 µs with
    /// `sendfile`, and 2.2 µs when they are read; with 16 KiB it is 2.8 against 3.0 µs. The writer
    /// reads no range of more than 16 KiB in this way.
    fn reads_up_to(&self) -> usize {
        8 * 1024
    }

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

    fn copies_up_to(&self) -> usize {
        (**self).copies_up_to()
    }

    fn reads_up_to(&self) -> usize {
        (**self).reads_up_to()
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
