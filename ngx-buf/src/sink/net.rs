//! Sinks over tokio.
//!
//! The sockets are sinks by shared reference (`&TcpStream`), so that one place may read while
//! another one writes.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use rustix::net::{SendAncillaryBuffer, SendFlags};
use tokio::io::{AsyncWrite, Interest};
use tokio::net::{TcpStream, UnixStream};

use crate::Sink;

/// A sink over anything that tokio can write to: a TLS session, a pipe, one half of a duplex.
///
/// Files are read into memory and written. For a bare socket use it directly, it sends files
/// itself: `&TcpStream` and `&UnixStream` are sinks.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ngx_buf::WriteError> {
/// use ngx_buf::{AsyncSink, Chain, ChainWriter};
///
/// let mut sink = AsyncSink::new(Vec::new());
/// let mut writer = ChainWriter::new();
/// writer.push(Chain::from_iter(["head ".into(), "body".into()]));
/// std::future::poll_fn(|cx| writer.poll_write(cx, &mut sink)).await?;
/// assert_eq!(sink.get_ref(), b"head body");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct AsyncSink<W> {
    inner: W,
    /// Who is woken when `inner` goes on; nobody before the first `poll_ready`.
    waker: Waker,
    /// `inner` has said `Pending` to this waker, and nobody has been told to wait for that yet.
    armed: bool,
}

impl<W: AsyncWrite + Unpin> AsyncSink<W> {
    /// A sink that writes to `inner`.
    #[must_use]
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            waker: Waker::noop().clone(),
            armed: false,
        }
    }

    /// What is written to.
    #[must_use]
    pub fn get_ref(&self) -> &W {
        &self.inner
    }

    /// What is written to.
    #[must_use]
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.inner
    }

    /// What is written to, and no sink any more.
    #[must_use]
    pub fn into_inner(self) -> W {
        self.inner
    }

    fn attempt<T>(
        &mut self,
        poll: impl FnOnce(Pin<&mut W>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        match poll(
            Pin::new(&mut self.inner),
            &mut Context::from_waker(&self.waker),
        ) {
            Poll::Ready(done) => {
                self.armed = false;
                done
            }
            Poll::Pending => {
                self.armed = true;
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }
}

impl<W: AsyncWrite + Unpin> Sink for AsyncSink<W> {
    fn try_write_vectored(&mut self, bufs: &[IoSlice<'_>], _more: bool) -> io::Result<usize> {
        if self.inner.is_write_vectored() {
            return self.attempt(|inner, cx| inner.poll_write_vectored(cx, bufs));
        }
        let first = bufs
            .iter()
            .find(|buf| !buf.is_empty())
            .map_or(&[][..], |buf| &buf[..]);
        self.attempt(|inner, cx| inner.poll_write(cx, first))
    }

    /// What takes one piece a call gets as much in one as there may be.
    fn copies_up_to(&self) -> usize {
        if self.inner.is_write_vectored() {
            512
        } else {
            2048
        }
    }

    /// Files are read in any case: small ones with what goes before them.
    fn reads_up_to(&self) -> usize {
        16 * 1024
    }

    fn try_flush(&mut self) -> io::Result<()> {
        self.attempt(AsyncWrite::poll_flush)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Only an attempt can register a waker with `inner`. So the first call after one that was
        // made with another waker sends the caller back to make it again with this one.
        if self.armed && self.waker.will_wake(cx.waker()) {
            self.armed = false;
            return Poll::Pending;
        }
        self.armed = false;
        self.waker.clone_from(cx.waker());
        Poll::Ready(Ok(()))
    }
}

impl Sink for &TcpStream {
    fn try_write_vectored(&mut self, bufs: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        self.try_io(Interest::WRITABLE, || send_vectored(*self, bufs, more))
    }

    fn sends_files(&self) -> bool {
        true
    }

    fn try_send_file(&mut self, file: &File, offset: u64, len: usize) -> io::Result<usize> {
        self.try_io(Interest::WRITABLE, || send_file(*self, file, offset, len))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_ready(cx)
    }
}

impl Sink for &UnixStream {
    fn try_write_vectored(&mut self, bufs: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        self.try_io(Interest::WRITABLE, || send_vectored(*self, bufs, more))
    }

    fn sends_files(&self) -> bool {
        true
    }

    fn try_send_file(&mut self, file: &File, offset: u64, len: usize) -> io::Result<usize> {
        self.try_io(Interest::WRITABLE, || send_file(*self, file, offset, len))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_ready(cx)
    }
}

fn send_vectored(socket: impl AsFd, bufs: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
    let mut flags = SendFlags::NOSIGNAL;
    flags.set(SendFlags::MORE, more);
    Ok(rustix::net::sendmsg(
        socket,
        bufs,
        &mut SendAncillaryBuffer::default(),
        flags,
    )?)
}

fn send_file(socket: impl AsFd, file: &File, offset: u64, len: usize) -> io::Result<usize> {
    let mut offset = offset;
    Ok(rustix::fs::sendfile(socket, file, Some(&mut offset), len)?)
}
