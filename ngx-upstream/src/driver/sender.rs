//! The request on its way to the peer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use ngx_buf::{
    Buf, Chain, ChainWriter, Flow, OutputChain, OutputContext, OutputError, Sink, Tag, WriteError,
};
use smallvec::SmallVec;
use tokio::io::AsyncWrite;

use crate::error::ErrorKind;

/// Queues the request and writes it on one connection.
///
/// A request that is memory alone, as most are, goes out as it is. From the first file on it goes
/// through an output chain, which reads it, and a chain writer.
#[derive(Debug)]
pub(super) struct Sender {
    /// What waits to be written or, if there are `files`, what came since these were last called.
    queued: Chain,
    files: Option<Box<Files>>,
    /// Bytes written without `files`.
    sent: u64,
    /// Bytes were written since the connection was last flushed.
    unflushed: bool,
}

#[derive(Debug)]
struct Files {
    output: OutputChain,
    writer: ChainWriter,
}

impl Sender {
    pub(super) fn new() -> Self {
        Self {
            queued: Chain::new(),
            files: None,
            sent: 0,
            unflushed: false,
        }
    }

    pub(super) fn push(&mut self, chain: Chain) {
        self.queued.append(chain);
    }

    /// Drops what is queued after an error: nobody will read it.
    pub(super) fn clear(&mut self) {
        self.queued.clear();
        self.unflushed = false;
        if let Some(files) = &mut self.files
            && !files.output.is_empty()
        {
            files.output = OutputChain::new(OutputContext::new(TAG));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        let files = self.files.as_ref();
        self.queued.is_empty()
            && !self.unflushed
            && files.is_none_or(|files| files.output.is_empty() && files.writer.is_empty())
    }

    /// Bytes that the connection has taken.
    pub(super) fn sent(&self) -> u64 {
        self.sent + self.files.as_ref().map_or(0, |files| files.writer.sent())
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
        if self.files.is_none() && self.queued.iter().any(Buf::is_file) {
            self.files = Some(Box::new(Files {
                output: OutputChain::new(OutputContext::new(TAG)),
                writer: ChainWriter::new(),
            }));
        }
        match &mut self.files {
            Some(files) => files.poll_write(cx, stream, std::mem::take(&mut self.queued)),
            None => self.poll_memory(cx, stream).map_err(ErrorKind::Send),
        }
    }

    fn poll_memory<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        let mut stream = Pin::new(stream);
        loop {
            // Marks have their turn when everything before them has gone.
            self.queued.advance(0);
            let mut pieces = self.queued.iter().filter_map(Buf::as_slice);
            let written = match (pieces.next(), pieces.next()) {
                (None, _) => break,
                (Some(only), None) => stream.as_mut().poll_write(cx, only),
                (Some(_), Some(_)) => {
                    let pieces = self.queued.iter().filter_map(Buf::as_slice);
                    let pieces: SmallVec<[IoSlice<'_>; PIECES]> =
                        pieces.take(PIECES).map(IoSlice::new).collect();
                    stream.as_mut().poll_write_vectored(cx, &pieces)
                }
            };
            match ready!(written) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => {
                    self.queued.advance(n as u64);
                    self.sent += n as u64;
                    self.unflushed = true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if self.unflushed {
            ready!(stream.poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
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
