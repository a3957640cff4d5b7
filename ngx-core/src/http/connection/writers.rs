//! What a connection writes with: an idle one has none of it.

use std::cell::{Cell, RefCell};
use std::io;
use std::mem;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use ngx_buf::{Buf, Chain, ChainWriter, Flags, Flow, Limit, Pause, WriteError};

use crate::http::core::LocationConf;
use crate::http::parse::write_chunk_size;
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
    #[inline(always)]
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

    /// Queues all bufs of `chain`, as a chunk if the body is `chunked`, and says which marks they
    /// bear.
    pub(super) fn push(&mut self, chain: &mut Chain, chunked: bool) -> Flags {
        let Sum { size, flags, files } = Sum::of(chain);
        // A flush in between is no chunk.
        let chunked = chunked && (size > 0 || flags.contains(Flags::LAST_BUF));
        if !files && self.has_room(size) && self.takes_small() {
            self.begin_chunk(chunked, size);
            for buf in chain.iter() {
                self.small
                    .extend_from_slice(buf.as_slice().unwrap_or_default());
            }
            self.end_chunk(chunked, size, flags);
            self.hurry |= flags.intersects(HURRY);
            chain.clear();
        } else if chunked {
            self.push_chunk(chain, size, flags);
        } else {
            self.spill();
            self.used = true;
            self.writer.push(mem::take(chain));
        }
        flags
    }

    /// Queues `bytes` that bear `flags`, if they can be copied.
    #[inline(always)]
    pub(super) fn push_small(&mut self, bytes: &[u8], flags: Flags, chunked: bool) -> bool {
        let size = bytes.len() as u64;
        if !self.has_room(size) || !self.takes_small() {
            return false;
        }
        let chunked = chunked && (size > 0 || flags.contains(Flags::LAST_BUF));
        self.begin_chunk(chunked, size);
        self.small.extend_from_slice(bytes);
        self.end_chunk(chunked, size, flags);
        self.hurry |= flags.intersects(HURRY);
        true
    }

    fn begin_chunk(&mut self, chunked: bool, size: u64) {
        if chunked && size > 0 {
            write_chunk_size(&mut self.small, size);
        }
    }

    fn end_chunk(&mut self, chunked: bool, size: u64, flags: Flags) {
        if chunked {
            self.small.extend_from_slice(chunk_end(size, flags));
        }
    }

    /// Queues a chunk that is not copied.
    #[cold]
    fn push_chunk(&mut self, chain: &mut Chain, size: u64, flags: Flags) {
        self.used = true;
        if size > 0 {
            write_chunk_size(&mut self.small, size);
            self.spill();
            for mut buf in mem::take(chain) {
                if !buf.is_special() {
                    // The marks go behind the end of the chunk.
                    buf.remove_flags(Flags::CONTROL);
                    self.writer.push_buf(buf);
                }
            }
        } else {
            self.spill();
            chain.clear();
        }
        let end = Buf::from_static(chunk_end(size, flags));
        self.writer.push_buf(end.with_flags(flags & Flags::CONTROL));
    }

    /// Whether so many bytes more, and the frame of a chunk, may lie in `small`.
    fn has_room(&self, size: u64) -> bool {
        size.saturating_add((self.small.len() + FRAME) as u64) <= SMALL as u64
    }

    /// Whether there is nothing to be written now.
    pub(super) fn may_wait(&self) -> bool {
        if self.small.is_empty() {
            self.writer.is_empty() && !self.has_ended()
        } else {
            !self.must_go()
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
        if self.may_wait() {
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
        if !self.small.is_empty() {
            self.spill_small();
        }
    }

    #[inline(never)]
    fn spill_small(&mut self) {
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

/// What the bufs of a chain are together.
struct Sum {
    /// Bytes.
    size: u64,
    flags: Flags,
    /// Some of it is a file.
    files: bool,
}

impl Sum {
    fn of(chain: &Chain) -> Self {
        let mut sum = Self {
            size: 0,
            flags: Flags::empty(),
            files: false,
        };
        for buf in chain.iter() {
            sum.size += buf.len();
            sum.flags |= buf.flags();
            sum.files |= buf.is_file();
        }
        sum
    }
}

/// What follows the data of a chunk of this size that bears `flags` (RFC 9112 §7.1).
fn chunk_end(size: u64, flags: Flags) -> &'static [u8] {
    match (size > 0, flags.contains(Flags::LAST_BUF)) {
        (true, true) => b"\r\n0\r\n\r\n",
        (true, false) => b"\r\n",
        (false, _) => b"0\r\n\r\n",
    }
}

/// Something to write with, as the location says ([`Out::set_location`]), in memory that an idle
/// connection has left if there is some.
pub(super) fn take(postpone: u64, turn: u64) -> Box<Out> {
    let mut out = LAST.take().unwrap_or_else(another);
    out.set_location(postpone, turn);
    out
}

#[cold]
fn another() -> Box<Out> {
    SPARE
        .with_borrow_mut(|spare| spare.0.pop())
        .unwrap_or_default()
}

/// Leaves it to others.
#[inline]
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
    if let Some(before) = LAST.replace(Some(out)) {
        keep(before);
    }
}

#[cold]
fn keep(out: Box<Out>) {
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
/// The longest frame of a chunk, in bytes: its size, and the end of the body behind it.
const FRAME: usize = 16 + 2 + 7;
const BLOCK_SIZE: usize = 64 * 1024;
/// What ends the postponing, as in the chain writer.
const HURRY: Flags = Flags::FLUSH.union(Flags::LAST_BUF).union(Flags::RECYCLED);

thread_local! {
    /// What was left last. Mostly the next who needs something to write with finds it here.
    static LAST: Cell<Option<Box<Out>>> = const { Cell::new(None) };
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

impl From<&LocationConf> for Turn {
    fn from(conf: &LocationConf) -> Self {
        let most = match *conf.sendfile_max_chunk {
            0 => u64::MAX,
            most => most,
        };
        Self { written: 0, most }
    }
}

impl Turn {
    pub(super) fn is_over(self) -> bool {
        self.written > 0 && self.written >= self.most
    }

    /// What writing has come to: others are due when the turn is over.
    pub(super) fn flow(self, flow: Flow) -> Flow {
        if self.is_over() { Flow::Again } else { flow }
    }
}

#[cfg(test)]
mod tests;
