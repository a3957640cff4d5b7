//! A connection, with what has come and what has to go.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use ngx_buf::{
    Bufs, Chain, ChainWriter, Flow, OutputChain, OutputContext, OutputError, Tag, WriteError,
};
use ngx_core::net::Transport;
use ngx_upstream::connect::Connection;

/// A connection.
pub(super) struct Link {
    connection: Connection<Transport>,
    /// Bytes that came and that no pattern has taken.
    pub(super) input: RefCell<BytesMut>,
    sender: RefCell<Sender>,
}

struct Sender {
    output: OutputChain,
    writer: ChainWriter,
}

impl Link {
    pub(super) fn new(connection: Connection<Transport>, send_buffer_size: usize) -> Self {
        let mut context = OutputContext::new(TAG);
        context.bufs = Bufs {
            num: 1,
            size: send_buffer_size.max(1),
        };
        Self {
            connection,
            input: RefCell::default(),
            sender: RefCell::new(Sender {
                output: OutputChain::new(context),
                writer: ChainWriter::new(),
            }),
        }
    }

    pub(super) fn transport(&self) -> &Transport {
        &self.connection.stream
    }

    /// How often it has been taken out of a pool.
    pub(super) fn reused(&self) -> u64 {
        self.connection.requests
    }

    /// The connection alone, for a pool.
    pub(super) fn into_connection(self) -> Connection<Transport> {
        self.connection
    }

    /// Queues `chain`, and writes what the peer takes now.
    pub(super) fn try_send(&self, chain: Chain) -> io::Result<Flow> {
        let sender = &mut *self.sender.borrow_mut();
        let writer = &mut sender.writer;
        let sent = sender.output.send::<Failed>(chain, &mut |run| {
            writer.push(run);
            Ok(writer.try_write(&mut self.transport())?)
        });
        sent.map_err(|Failed(error)| error)
    }

    /// Writes what is queued; ready when all of it is out.
    fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sender = &mut *self.sender.borrow_mut();
        let writer = &mut sender.writer;
        let sent = sender.output.send::<Failed>(Chain::new(), &mut |run| {
            writer.push(run);
            Ok(match writer.poll_write(cx, &mut self.transport()) {
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
        self.sender.borrow().writer.sent()
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
        if input.capacity() - input.len() < wanted.div_ceil(2).max(1) {
            input.reserve(wanted.max(1));
        }
        loop {
            match self.transport().try_read_buf(input) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// Waits until there is something to read.
    pub(super) async fn readable(&self, timeout: Duration) -> io::Result<()> {
        tokio::time::timeout(timeout, self.transport().readable())
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

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
