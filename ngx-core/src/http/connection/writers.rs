//! What a connection writes with: an idle one has none of it.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use ngx_buf::{Buf, Chain, ChainWriter, Flags, Flow, Limit, Pause, WriteError};

use crate::net::transport::Transport;

/// The way of a connection's bytes into its socket.
///
/// ```text
///   head, small bodies ──copy──▶ small ──one send──▶ socket
///                                  │ more than SMALL, a file, a limit, a full socket
///   large bodies ──────────────▶ writer ──writev, sendfile──▶ socket
/// ```
///
/// Copying a few hundred bytes costs less than a list of pieces does, here and in the kernel.
pub(super) struct Out {
    /// The first bytes to go. Invariant: nothing unless `writer` is empty.
    small: Vec<u8>,
    /// Nothing in `small` may be postponed any more.
    hurry: bool,
    postpone: u64,
    /// Bytes of `small` that were sent, all in all.
    sent: u64,
    /// Sending from `small` has failed.
    failed: bool,
    writer: ChainWriter,
    /// `writer` is not as it was made.
    used: bool,
    /// The writer has a limit of its speed.
    limited: bool,
}

impl Default for Out {
    fn default() -> Self {
        Self {
            small: Vec::with_capacity(SMALL),
            hurry: false,
            postpone: 0,
            sent: 0,
            failed: false,
            writer: ChainWriter::new(),
            used: false,
            limited: false,
        }
    }
}

impl Out {
    /// What the location says: bytes that are not worth a packet, and those that are enough for one
    /// turn.
    pub(super) fn set_location(&mut self, postpone: u64, turn: u64) {
        self.postpone = postpone;
        self.writer.set_postpone(postpone);
        self.writer.set_turn(turn);
    }

    pub(super) fn is_limited(&self) -> bool {
        self.limited
    }

    pub(super) fn set_limit(&mut self, limit: Option<Limit>, now: Instant) {
        self.used = true;
        self.limited = limit.is_some();
        if self.limited {
            self.spill();
        }
        self.writer.set_limit(limit, now);
    }

    pub(super) fn set_now(&mut self, now: Instant) {
        self.writer.set_now(now);
    }

    /// Whether nothing waits to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.small.is_empty() && self.writer.is_empty()
    }

    /// Whether what waits may go on waiting for more.
    pub(super) fn is_postponed(&self) -> bool {
        self.writer.is_empty() && !self.must_go()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.failed || self.writer.has_ended()
    }

    /// Bytes written since this was taken.
    pub(super) fn sent(&self) -> u64 {
        self.sent + self.writer.sent()
    }

    /// Queues the head of a response, which `write` appends to what it is given, and says how long
    /// it is.
    pub(super) fn push_head(&mut self, last: bool, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let before = self.small.len();
        write(&mut self.small);
        let len = self.small.len() - before;
        self.hurry |= last;
        if !self.takes_small() {
            self.spill();
        }
        len
    }

    /// Queues bufs.
    pub(super) fn push(&mut self, chain: Chain) {
        if self.takes_small() && fits(&chain, SMALL.saturating_sub(self.small.len())) {
            for buf in &chain {
                self.small
                    .extend_from_slice(buf.as_slice().unwrap_or_default());
                self.hurry |= buf.flags().intersects(HURRY);
            }
        } else {
            self.spill();
            self.used = true;
            self.writer.push(chain);
        }
    }

    /// Writes what the socket takes.
    ///
    /// # Errors
    /// As [`ChainWriter::try_write`].
    pub(super) fn try_write(&mut self, transport: &Transport) -> Result<Flow, WriteError> {
        if self.failed {
            return Err(WriteError::Ended);
        }
        if self.small.is_empty() {
            return self.writer.try_write(&mut &*transport);
        }
        if !self.must_go() {
            return Ok(Flow::Done);
        }
        match transport.try_write(&self.small) {
            Ok(sent) => {
                self.sent += sent as u64;
                if sent == self.small.len() {
                    self.small.clear();
                    self.hurry = false;
                    return Ok(Flow::Done);
                }
                self.small.drain(..sent);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                self.small.clear();
                self.failed = true;
                return Err(error.into());
            }
        }
        self.spill();
        self.writer.flush();
        self.writer.try_write(&mut &*transport)
    }

    /// Writes until nothing is left but what is postponed.
    ///
    /// # Errors
    /// As [`ChainWriter::poll_write`].
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        transport: &Transport,
    ) -> Poll<Result<(), WriteError>> {
        if self.must_go() {
            self.spill();
            self.writer.flush();
        }
        self.writer.poll_write(cx, &mut &*transport)
    }

    /// Why the last write has left something.
    pub(super) fn pause(&self) -> Option<Pause> {
        self.writer.pause()
    }

    fn must_go(&self) -> bool {
        !self.small.is_empty() && (self.hurry || self.small.len() as u64 >= self.postpone)
    }

    fn takes_small(&self) -> bool {
        !self.limited && !self.has_ended() && self.writer.pending() == 0
    }

    /// Gives the writer what lies in `small`.
    fn spill(&mut self) {
        if self.small.is_empty() {
            return;
        }
        let bytes = BLOCK.with_borrow_mut(|block| {
            if block.capacity() < self.small.len() {
                block.reserve(self.small.len().max(BLOCK_SIZE));
            }
            block.extend_from_slice(&self.small);
            block.split().freeze()
        });
        self.small.clear();
        self.used = true;
        self.writer.push(Chain::from(mark(bytes, self.hurry)));
        self.hurry = false;
    }
}

fn mark(bytes: Bytes, hurry: bool) -> Buf {
    Buf::from(bytes).with_flags(if hurry { Flags::FLUSH } else { Flags::empty() })
}

/// Whether the chain is memory alone, and not more than `room`.
fn fits(chain: &Chain, room: usize) -> bool {
    let mut left = room as u64;
    chain.iter().all(|buf| {
        let fits = buf.len() <= left && !buf.is_file();
        left = left.saturating_sub(buf.len());
        fits
    })
}

/// Something to write with, in memory that an idle connection has left if there is some.
pub(super) fn take() -> Box<Out> {
    let spare = SPARE.with_borrow_mut(|spare| spare.0.pop());
    spare.unwrap_or_default()
}

/// Leaves it to others.
pub(super) fn give_back(mut out: Box<Out>) {
    if out.used {
        out.writer = ChainWriter::new();
        out.used = false;
        out.limited = false;
    }
    out.sent = 0;
    if out.small.capacity() > SMALL {
        out.small = Vec::with_capacity(SMALL);
    }
    SPARE.with_borrow_mut(|spare| {
        if spare.0.len() < SPARE_MAX {
            spare.0.push(out);
        }
    });
}

#[expect(clippy::vec_box, reason = "it is the boxes that are used again")]
struct Spare(Vec<Box<Out>>);

const SPARE_MAX: usize = 64;
/// What is copied rather than listed, in bytes.
const SMALL: usize = 4096;
const BLOCK_SIZE: usize = 64 * 1024;
/// What ends the postponing, as in the chain writer.
const HURRY: Flags = Flags::FLUSH.union(Flags::LAST_BUF).union(Flags::RECYCLED);

thread_local! {
    static SPARE: RefCell<Spare> = const { RefCell::new(Spare(Vec::new())) };
    /// Heads of large responses lie here, in one growing buffer that comes back when they are sent.
    static BLOCK: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// How much is written before other connections have their turn (`sendfile_max_chunk`). The writer
/// bounds what it is given at once; this bounds what a producer gives it piece by piece.
#[derive(Clone, Copy, Default)]
pub(super) struct Turn {
    /// Bytes written in this turn.
    pub(super) written: u64,
    pub(super) most: u64,
}

impl Turn {
    pub(super) fn is_over(self) -> bool {
        self.written > 0 && self.written >= self.most
    }
}

#[cfg(test)]
mod tests;
