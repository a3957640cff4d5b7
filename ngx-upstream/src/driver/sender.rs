//! The request on its way to the peer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use ngx_buf::{
    Buf, Chain, ChainWriter, Flow, OutputChain, OutputContext, OutputError, Sink, Tag, WriteError,
};
use smallvec::SmallVec;
use tokio::io::AsyncWrite;

use crate::connect::Stream;
use crate::error::ErrorKind;
use crate::exchange::Outgoing;

/// Writes the request on one connection, from the chain where it waits.
///
/// A request that is memory alone, as most are, goes out as it is. From the first file on it goes
/// through an output chain, which reads it, and a chain writer.
#[derive(Debug, Default)]
pub(super) struct Sender {
    files: Option<Box<Files>>,
    /// Bytes written without `files`.
    sent: u64,
    /// Bytes were written since the connection was last flushed.
    unflushed: bool,
    /// The connection has not taken all there was.
    blocked: bool,
}

#[derive(Debug)]
struct Files {
    output: OutputChain,
    writer: ChainWriter,
}

impl Sender {
    /// Drops what is on its way after an error: nobody will read it.
    pub(super) fn clear(&mut self) {
        self.unflushed = false;
        self.blocked = false;
        if let Some(files) = &mut self.files
            && !files.output.is_empty()
        {
            files.output = OutputChain::new(OutputContext::new(TAG));
        }
    }

    /// Whether nothing is on its way but what is `queued`.
    pub(super) fn is_empty(&self) -> bool {
        let files = self.files.as_ref();
        !self.unflushed
            && files.is_none_or(|files| files.output.is_empty() && files.writer.is_empty())
    }

    /// Whether the connection has not taken all there was.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Bytes that the connection has taken.
    pub(super) fn sent(&self) -> u64 {
        self.sent + self.files.as_ref().map_or(0, |files| files.writer.sent())
    }

    /// Writes what is `queued`; ready when all of it is out.
    ///
    /// # Errors
    /// `Send` if the connection is broken, `TempFile` if a part of the request cannot be read.
    pub(super) fn poll_write<S: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        queued: &mut Outgoing<'_>,
    ) -> Poll<Result<(), ErrorKind>> {
        if queued.is_empty() && self.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if self.files.is_none() && queued.has_file() {
            self.files = Some(Box::new(Files {
                output: OutputChain::new(OutputContext::new(TAG)),
                writer: ChainWriter::new(),
            }));
        }
        let written = match &mut self.files {
            Some(files) => files.poll_write(cx, stream, queued.take()),
            None => self
                .poll_memory(cx, stream, queued)
                .map_err(ErrorKind::Send),
        };
        self.blocked = written.is_pending();
        written
    }

    fn poll_memory<S: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        queued: &mut Outgoing<'_>,
    ) -> Poll<io::Result<()>> {
        while !queued.is_empty() {
            let Some(written) = poll_write_once(cx, stream, queued) else {
                // Marks have their turn when everything before them has gone.
                queued.clear();
                break;
            };
            match ready!(written) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => {
                    queued.advance(n);
                    self.sent += n as u64;
                    self.unflushed = true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if self.unflushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// One write of what is queued, if that is anything.
#[inline]
fn poll_write_once<S: Stream>(
    cx: &mut Context<'_>,
    stream: &mut S,
    queued: &Outgoing<'_>,
) -> Option<Poll<io::Result<usize>>> {
    if let Some(only) = queued.only_front() {
        return Some(stream.poll_write_some(cx, only));
    }
    let mut several = pieces(queued);
    let first = several.next()?;
    if several.next().is_none() {
        return Some(stream.poll_write_some(cx, first));
    }
    let slices: SmallVec<[IoSlice<'_>; PIECES]> =
        pieces(queued).take(PIECES).map(IoSlice::new).collect();
    Some(Pin::new(stream).poll_write_vectored(cx, &slices))
}

/// The memory that is not empty.
fn pieces<'a>(queued: &'a Outgoing<'_>) -> impl Iterator<Item = &'a [u8]> {
    let chain = queued.chain().iter().filter_map(Buf::as_slice);
    let all = std::iter::once(queued.front()).chain(chain);
    all.filter(|piece| !piece.is_empty())
}

/// Pieces in one vectored write.
const PIECES: usize = 16;

impl Files {
    fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        queued: Chain,
    ) -> Poll<Result<(), ErrorKind>> {
        let Self { output, writer } = self;
        let waker = cx.waker().clone();
        let mut sink = StreamSink {
            stream,
            waker: &waker,
            blocked: false,
        };
        let sent = output.send::<Failed>(queued, &mut |run| {
            writer.push(run);
            Ok(match writer.poll_write(cx, &mut sink) {
                Poll::Ready(written) => written.map(|()| Flow::Done)?,
                Poll::Pending => Flow::Again,
            })
        });
        match sent {
            Ok(Flow::Done) => Poll::Ready(Ok(())),
            Ok(Flow::Again) => Poll::Pending,
            Err(Failed(kind)) => Poll::Ready(Err(kind)),
        }
    }
}

const TAG: Tag = Tag::new(&"upstream request");

/// A sink on a connection, for one poll.
struct StreamSink<'a, S> {
    stream: &'a mut S,
    waker: &'a Waker,
    /// The connection has said `Pending` and will wake the task.
    blocked: bool,
}

impl<S: AsyncWrite + Unpin> StreamSink<'_, S> {
    fn attempt<T>(
        &mut self,
        poll: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        let mut cx = Context::from_waker(self.waker);
        match poll(Pin::new(&mut *self.stream), &mut cx) {
            Poll::Ready(done) => done,
            Poll::Pending => {
                self.blocked = true;
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Sink for StreamSink<'_, S> {
    fn try_write_vectored(&mut self, bufs: &[IoSlice<'_>], _more: bool) -> io::Result<usize> {
        self.attempt(|stream, cx| stream.poll_write_vectored(cx, bufs))
    }

    fn try_flush(&mut self) -> io::Result<()> {
        self.attempt(AsyncWrite::poll_flush)
    }

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.blocked {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    }
}

/// Either half's error, in the words of the exchange.
struct Failed(ErrorKind);

impl From<OutputError> for Failed {
    fn from(error: OutputError) -> Self {
        Self(ErrorKind::TempFile(io::Error::other(error)))
    }
}

impl From<WriteError> for Failed {
    fn from(error: WriteError) -> Self {
        Self(match error {
            WriteError::Closed(e) | WriteError::Io(e) => ErrorKind::Send(e),
            error => ErrorKind::TempFile(io::Error::other(error)),
        })
    }
}
