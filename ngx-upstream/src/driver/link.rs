//! The connection of one try.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;

use super::report::Try;
use super::sender::Sender;
use super::settings::Settings;
use crate::connect::{Connection, Stream};
use crate::error::ErrorKind;
use crate::exchange::Outgoing;
use crate::now::{now_ms, since};
use crate::peer::Peer;

/// A peer, the connection to it if there is one yet, and what has happened on it. Between tries
/// there is no peer.
#[derive(Debug)]
pub(super) struct Link<S> {
    pub(super) peer: Option<Peer>,
    pub(super) connection: Option<Connection<S>>,
    pub(super) sender: Sender,
    /// The head has come.
    pub(super) answered: bool,
    begun: u64,
    received: u64,
    /// Bytes to ask for. Invariant: `read_min <= size <= read_max`.
    size: usize,
    read_min: usize,
    read_max: usize,
    /// The peer was given a moment to answer.
    awaited: bool,
    eof: bool,
    /// Why nothing can be sent any more. The peer may have answered before.
    broken: Option<io::Error>,
}

impl<S> Default for Link<S> {
    fn default() -> Self {
        Self {
            peer: None,
            connection: None,
            sender: Sender::default(),
            answered: false,
            begun: 0,
            received: 0,
            size: 0,
            read_min: 0,
            read_max: 0,
            awaited: false,
            eof: false,
            broken: None,
        }
    }
}

impl<S: Stream> Link<S> {
    /// A try with this peer begins.
    pub(super) fn begin(&mut self, peer: Peer, settings: &Settings) -> Try {
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
        self.peer = Some(peer);
        self.connection = None;
        self.sender = Sender::default();
        self.answered = false;
        self.begun = now_ms();
        self.received = 0;
        self.size = settings.read_min;
        self.read_min = settings.read_min;
        self.read_max = settings.read_max.max(settings.read_min);
        self.awaited = false;
        self.eof = false;
        self.broken = None;
        attempt
    }

    /// Whether a try is running.
    pub(super) fn is_on(&self) -> bool {
        self.peer.is_some()
    }

    pub(super) fn connected(&mut self, connection: Connection<S>, attempt: &mut Try) {
        attempt.reused = connection.is_reused();
        attempt.connect_time = Some(since(self.begun));
        self.connection = Some(connection);
    }

    pub(super) fn head_came(&mut self, attempt: &mut Try) {
        self.answered = true;
        attempt.header_time = Some(since(self.begun));
        attempt.sent = self.sender.sent();
        attempt.received = self.received;
    }

    /// Whether the running try uses a connection that has served before.
    pub(super) fn is_reused(&self) -> bool {
        self.connection.as_ref().is_some_and(Connection::is_reused)
    }

    /// Whether nothing is on its way in either direction.
    pub(super) fn is_quiet(&self) -> bool {
        self.sender.is_empty() && !self.eof && self.broken.is_none()
    }

    /// Whether the peer has closed its side.
    pub(super) fn is_eof(&self) -> bool {
        self.eof
    }

    /// The try is over; a connection that is still here is closed.
    pub(super) fn end(&mut self, attempt: &mut Try) {
        attempt.response_time = Some(since(self.begun));
        attempt.sent = self.sender.sent();
        attempt.received = self.received;
        self.peer = None;
        self.connection = None;
    }

    /// Writes what is `queued`. Ready when all of it is out, or never will be: then it is dropped,
    /// and the error comes with the end of what the peer says, who may have answered before.
    ///
    /// # Errors
    /// A part of the request could not be read.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        queued: &mut Outgoing<'_>,
    ) -> Poll<Result<(), ErrorKind>> {
        let Some(connection) = &mut self.connection else {
            return Poll::Ready(Ok(()));
        };
        if self.broken.is_some() {
            self.sender.clear();
            queued.clear();
            return Poll::Ready(Ok(()));
        }
        match ready!(self.sender.poll_write(cx, &mut connection.stream, queued)) {
            Err(ErrorKind::Send(error)) => {
                self.sender.clear();
                queued.clear();
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
        if !std::mem::replace(&mut self.awaited, true) {
            // Nearly never there is an answer as soon as the request is out.
            ready!(connection.stream.poll_readable(cx));
        }
        let wanted = self.size.min(room).max(1);
        let read = ready!(if input.is_empty() {
            poll_read_block(cx, &mut connection.stream, input, wanted)
        } else {
            input.reserve(wanted);
            connection.stream.poll_read_some(cx, input, wanted)
        });
        let n = match read {
            Ok(n) => n,
            Err(e) => return Poll::Ready(Err(ErrorKind::Recv(e))),
        };
        self.received += n as u64;
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
        // Nearly always it is the last one.
        if let Some(mut last) = blocks.pop() {
            if last.capacity() >= wanted || last.try_reclaim(wanted) {
                return last;
            }
            blocks.push(last);
        }
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
fn poll_read_block<S: Stream>(
    cx: &mut Context<'_>,
    stream: &mut S,
    input: &mut BytesMut,
    wanted: usize,
) -> Poll<io::Result<usize>> {
    // Nothing is borrowed meanwhile: a stream may be anything.
    let mut block = take_block(wanted);
    let read = stream.poll_read_some(cx, &mut block, wanted);
    if !block.is_empty() {
        *input = block.split();
    }
    BLOCKS.with_borrow_mut(|blocks| blocks.push(block));
    read
}
