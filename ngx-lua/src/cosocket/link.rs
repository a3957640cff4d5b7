//! A connection, with what has come and what has to go.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use ngx_buf::{
    Bufs, Chain, ChainWriter, Flow, OutputChain, OutputContext, OutputError, Tag, WriteError,
};
use ngx_core::net::Transport;
use ngx_upstream::connect::Connection;

/// A connection.
pub(super) struct Link {
    end: End,
    /// Bytes that came and that no pattern has taken.
    pub(super) input: RefCell<BytesMut>,
    sender: RefCell<Sender>,
}

/// What the bytes go through.
enum End {
    /// A connection of the socket's own.
    Own(Connection<Transport>),
    /// Something that belongs to another.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "requests lend"))]
    Lent(Rc<dyn Stream>),
}

/// A stream of bytes that somebody else keeps: the client's side of a request.
pub(crate) trait Stream {
    /// Appends to `input` what is there, about `wanted` bytes; 0 is the end.
    fn poll_read(
        &self,
        cx: &mut Context<'_>,
        wanted: usize,
        input: &mut BytesMut,
    ) -> Poll<io::Result<usize>>;

    /// Queues `chain`, and writes what the peer takes now.
    fn try_send(&self, chain: Chain) -> io::Result<Flow>;

    /// Writes what is queued; ready when all of it is out.
    fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Bytes written so far.
    fn sent(&self) -> u64;
}

struct Sender {
    output: OutputChain,
    writer: ChainWriter,
}

impl Link {
    pub(super) fn new(connection: Connection<Transport>, send_buffer_size: usize) -> Self {
        Self::over(End::Own(connection), send_buffer_size)
    }

    /// A link through what another keeps.
    #[cfg(feature = "http")]
    pub(super) fn lent(stream: Rc<dyn Stream>, send_buffer_size: usize) -> Self {
        Self::over(End::Lent(stream), send_buffer_size)
    }

    fn over(end: End, send_buffer_size: usize) -> Self {
        let mut context = OutputContext::new(TAG);
        context.bufs = Bufs {
            num: 1,
            size: send_buffer_size.max(1),
        };
        Self {
            end,
            input: RefCell::default(),
            sender: RefCell::new(Sender {
                output: OutputChain::new(context),
                writer: ChainWriter::new(),
            }),
        }
    }

    /// The transport, if it is the socket's own.
    pub(super) fn transport(&self) -> Option<&Transport> {
        match &self.end {
            End::Own(connection) => Some(&connection.stream),
            End::Lent(_) => None,
        }
    }

    /// How often it has been taken out of a pool.
    pub(super) fn reused(&self) -> u64 {
        match &self.end {
            End::Own(connection) => connection.requests,
            End::Lent(_) => 0,
        }
    }

    /// The connection alone, for a pool.
    pub(super) fn into_connection(self) -> Option<Connection<Transport>> {
        match self.end {
            End::Own(connection) => Some(connection),
            End::Lent(_) => None,
        }
    }

    /// Queues `chain`, and writes what the peer takes now.
    pub(super) fn try_send(&self, chain: Chain) -> io::Result<Flow> {
        let mut transport = match &self.end {
            End::Own(connection) => &connection.stream,
            End::Lent(stream) => return stream.try_send(chain),
        };
        let sender = &mut *self.sender.borrow_mut();
        let writer = &mut sender.writer;
        let sent = sender.output.send::<Failed>(chain, &mut |run| {
            writer.push(run);
            Ok(writer.try_write(&mut transport)?)
        });
        sent.map_err(|Failed(error)| error)
    }

    /// Writes what is queued; ready when all of it is out.
    fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut transport = match &self.end {
            End::Own(connection) => &connection.stream,
            End::Lent(stream) => return stream.poll_send(cx),
        };
        let sender = &mut *self.sender.borrow_mut();
        let writer = &mut sender.writer;
        let sent = sender.output.send::<Failed>(Chain::new(), &mut |run| {
            writer.push(run);
            Ok(match writer.poll_write(cx, &mut transport) {
                Poll::Ready(written) => written.map(|()| Flow::Done)?,
                Poll::Pending => Flow::Again,
            })
        });
        match sent {
            Ok(Flow::Done) => Poll::Ready(Ok(())),
            Ok(Flow::Again) => Poll::Pending,
            Err(Failed(error)) => Poll::Ready(Err(error)),
        }
    }

    fn sent(&self) -> u64 {
        match &self.end {
            End::Own(_) => self.sender.borrow().writer.sent(),
            End::Lent(stream) => stream.sent(),
        }
    }

    /// Writes what is queued. The peer has `timeout` for each part of it.
    pub(super) async fn flush(&self, timeout: Duration) -> io::Result<()> {
        loop {
            let before = self.sent();
            let flush = std::future::poll_fn(|cx| self.poll_send(cx));
            match tokio::time::timeout(timeout, flush).await {
                Ok(sent) => return sent,
                // Slow is not silent.
                Err(_) if self.sent() > before => {}
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }

    /// Reads what is there; 0 is the end.
    pub(super) fn try_read(&self, wanted: usize) -> io::Result<usize> {
        let input = &mut *self.input.borrow_mut();
        let transport = match &self.end {
            End::Own(connection) => &connection.stream,
            End::Lent(stream) => {
                let mut cx = Context::from_waker(Waker::noop());
                return match stream.poll_read(&mut cx, wanted, input) {
                    Poll::Ready(read) => read,
                    Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
                };
            }
        };
        if input.capacity() - input.len() < wanted.div_ceil(2).max(1) {
            input.reserve(wanted.max(1));
        }
        loop {
            match transport.try_read_buf(input) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// Waits until there is something to read.
    pub(super) async fn readable(&self, timeout: Duration) -> io::Result<()> {
        let readable = async {
            match &self.end {
                End::Own(connection) => connection.stream.readable().await,
                End::Lent(stream) => std::future::poll_fn(|cx| {
                    let input = &mut *self.input.borrow_mut();
                    stream.poll_read(cx, LENT_READ, input)
                })
                .await
                .map(drop),
            }
        };
        tokio::time::timeout(timeout, readable)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Bytes asked for when a stream of another's is waited for: what comes then is read at once.
const LENT_READ: usize = 4096;

const TAG: Tag = Tag::new(&"cosocket");

/// Either half's error, as one of the system.
struct Failed(io::Error);

impl From<OutputError> for Failed {
    fn from(error: OutputError) -> Self {
        Self(io::Error::other(error))
    }
}

impl From<WriteError> for Failed {
    fn from(error: WriteError) -> Self {
        Self(match error {
            WriteError::Closed(error) | WriteError::Io(error) => error,
            error => io::Error::other(error),
        })
    }
}
