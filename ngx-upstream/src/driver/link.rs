//! The connection of one try.

use std::cell::RefCell;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::report::Try;
use super::sender::Sender;
use super::settings::Settings;
use crate::connect::{Connection, Stream};
use crate::error::ErrorKind;
use crate::now::{now_ms, since};
use crate::peer::Peer;

/// A peer, the connection to it if there is one yet, and what has happened on it.
#[derive(Debug)]
pub(super) struct Link<S> {
    pub(super) peer: Peer,
    pub(super) connection: Option<Connection<S>>,
    pub(super) sender: Sender,
    pub(super) attempt: Try,
    /// A copy of `attempt` stands in the list of tries.
    pub(super) noted: bool,
    begun: u64,
    /// Bytes to ask for. Invariant: `read_min <= size <= read_max`.
    size: usize,
    read_min: usize,
    read_max: usize,
    eof: bool,
    /// Why nothing can be sent any more. The peer may have answered before.
    broken: Option<io::Error>,
}

impl<S: Stream> Link<S> {
    pub(super) fn new(peer: Peer, settings: &Settings) -> Self {
        let attempt = Try {
            peer: peer.name.clone(),
            reused: false,
            connect_time: None,
            header_time: None,
            response_time: None,
            sent: 0,
            received: 0,
            body: 0,
            status: 0,
        };
        Self {
            peer,
            connection: None,
            sender: Sender::new(),
            attempt,
            noted: false,
            begun: now_ms(),
            size: settings.read_min,
            read_min: settings.read_min,
            read_max: settings.read_max.max(settings.read_min),
            eof: false,
            broken: None,
        }
    }

    pub(super) fn connected(&mut self, connection: Connection<S>) {
        self.attempt.reused = connection.is_reused();
        self.attempt.connect_time = Some(since(self.begun));
        self.connection = Some(connection);
    }

    pub(super) fn head_came(&mut self) {
        self.attempt.header_time = Some(since(self.begun));
        self.attempt.sent = self.sender.sent();
    }

    pub(super) fn is_reused(&self) -> bool {
        self.attempt.reused
    }

    /// Whether nothing is on its way in either direction.
    pub(super) fn is_quiet(&self) -> bool {
        self.sender.is_empty() && !self.eof && self.broken.is_none()
    }

    /// Whether the peer has closed its side.
    pub(super) fn is_eof(&self) -> bool {
        self.eof
    }

    pub(super) fn into_try(mut self, status: u16) -> Try {
        self.attempt.response_time = Some(since(self.begun));
        self.attempt.sent = self.sender.sent();
        self.attempt.status = status;
        self.attempt
    }

    /// Writes what is queued. Ready when all of it is out, or never will be: then it is dropped, and
    /// the error comes with the end of what the peer says, who may have answered before.
    ///
    /// # Errors
    /// A part of the request could not be read.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorKind>> {
        let Some(connection) = &mut self.connection else {
            return Poll::Ready(Ok(()));
        };
        if self.broken.is_some() {
            self.sender.clear();
            return Poll::Ready(Ok(()));
        }
        match ready!(self.sender.poll_write(cx, &mut connection.stream)) {
            Err(ErrorKind::Send(error)) => {
                self.sender.clear();
                self.broken = Some(error);
                Poll::Ready(Ok(()))
            }
            sent => Poll::Ready(sent),
        }
    }

    /// Closes our side: the peer reads the end.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        use tokio::io::AsyncWrite;
        match &mut self.connection {
            // A peer that is gone already has read the end.
            Some(connection) => {
                AsyncWrite::poll_shutdown(std::pin::Pin::new(&mut connection.stream), cx)
                    .map(|_| ())
            }
            None => Poll::Ready(()),
        }
    }

    /// Reads at most about `room` bytes behind what `input` holds; true at the end.
    pub(super) fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut BytesMut,
        room: usize,
    ) -> Poll<Result<bool, ErrorKind>> {
        let Some(connection) = &mut self.connection else {
            return Poll::Ready(Ok(true));
        };
        let wanted = self.size.min(room).max(1);
        let read = ready!(if input.is_empty() {
            poll_read_block(cx, &mut connection.stream, input, wanted)
        } else {
            input.reserve(wanted);
            pin!(connection.stream.read_buf(&mut input.limit(wanted))).poll(cx)
        });
        let n = match read {
            Ok(n) => n,
            Err(e) => return Poll::Ready(Err(ErrorKind::Recv(e))),
        };
        self.attempt.received += n as u64;
        if n == 0 {
            self.eof = true;
            if let Some(error) = self.broken.take() {
                return Poll::Ready(Err(ErrorKind::Send(error)));
            }
        } else if n == wanted {
            self.size = (self.size * 4).min(self.read_max);
        } else if n < self.size / 4 {
            self.size = (self.size / 2).max(self.read_min);
        }
        Poll::Ready(Ok(n == 0))
    }
}

thread_local! {
    /// What peers say is read into memory of the thread, and handed on without a copy: a block is
    /// used again when nobody looks at it any more. The one used last is the last.
    static BLOCKS: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}
const BLOCK_SIZE: usize = 64 * 1024;
/// Enough for bodies that some slow clients have not taken yet.
const BLOCKS_MAX: usize = 8;

/// A block with room for `wanted` bytes, out of those of the thread if one is free.
fn take_block(wanted: usize) -> BytesMut {
    BLOCKS.with_borrow_mut(|blocks| {
        let free = |block: &mut BytesMut| block.capacity() >= wanted || block.try_reclaim(wanted);
        if let Some(at) = blocks.iter_mut().rposition(free) {
            return blocks.remove(at);
        }
        if blocks.len() >= BLOCKS_MAX {
            blocks.remove(0);
        }
        BytesMut::with_capacity(wanted.max(BLOCK_SIZE))
    })
}

/// Reads at most `wanted` bytes into `input`, which is empty.
fn poll_read_block<S: AsyncRead + Unpin>(
    cx: &mut Context<'_>,
    stream: &mut S,
    input: &mut BytesMut,
    wanted: usize,
) -> Poll<io::Result<usize>> {
    // Nothing is borrowed meanwhile: a stream may be anything.
    let mut block = take_block(wanted);
    let read = pin!(stream.read_buf(&mut (&mut block).limit(wanted))).poll(cx);
    if !block.is_empty() {
        *input = block.split();
    }
    BLOCKS.with_borrow_mut(|blocks| blocks.push(block));
    read
}
