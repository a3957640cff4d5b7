//! The request on its way to the peer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use ngx_buf::{
    Chain, ChainWriter, Flow, OutputChain, OutputContext, OutputError, Sink, Tag, WriteError,
};
use tokio::io::AsyncWrite;

use crate::error::ErrorKind;

/// Queues the request, reads what of it is in files, and writes: output chain and chain writer on one
/// connection.
#[derive(Debug)]
pub(super) struct Sender {
    output: OutputChain,
    writer: ChainWriter,
    /// What came since the output chain was last called.
    queued: Chain,
}

impl Sender {
    pub(super) fn new() -> Self {
        Self {
            output: OutputChain::new(OutputContext::new(TAG)),
            writer: ChainWriter::new(),
            queued: Chain::new(),
        }
    }

    pub(super) fn push(&mut self, chain: Chain) {
        self.queued.append(chain);
    }

    /// Drops what is queued after an error: nobody will read it.
    pub(super) fn clear(&mut self) {
        self.queued.clear();
        if !self.output.is_empty() {
            self.output = OutputChain::new(OutputContext::new(TAG));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queued.is_empty() && self.output.is_empty() && self.writer.is_empty()
    }

    /// Bytes that the connection has taken.
    pub(super) fn sent(&self) -> u64 {
        self.writer.sent()
    }

    /// Writes; ready when all of it is out.
    ///
    /// # Errors
    /// `Send` if the connection is broken, `TempFile` if a part of the request cannot be read.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<Result<(), ErrorKind>> {
        if self.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let Self {
            output,
            writer,
            queued,
        } = self;
        let waker = cx.waker().clone();
        let mut sink = StreamSink {
            stream,
            waker: &waker,
            blocked: false,
        };
        let sent = output.send::<Failed>(std::mem::take(queued), &mut |run| {
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
