//! The chain writer: the unsent rest of a chain on its way into a sink.

mod direct;
mod head;
mod offer;
mod settle;
mod tail;

use std::io;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;

use crate::output::align::Plan;
use crate::pool::{block, is_aligned};
use crate::{Allowance, Buf, Chain, Flags, Flow, Limit, Sink, WriteError};
use offer::{Offer, file_run};
use tail::Tail;

/// Keeps what was not sent yet, and sends it as the sink takes it.
///
/// ```text
///   push(chain) --> out: [ head | body | file 0..9000 | LAST ]
///                         '--one writev--'  '-sendfile-'
///                          (more follows)                --> Sink
/// ```
///
/// Memory goes out in one vectored write of up to 1024 pieces (`IOV_MAX`), files by `sendfile`
/// where the sink can do it, and head and file without a small packet between them. Parts of the
/// same memory that follow each other are one piece. What is so small that the sink takes longer to
/// take it than a copy does is copied together: many small pieces, and a small file with what goes
/// with it; [the sink](Sink::copies_up_to) says what is small. One call writes 2 MiB at most
/// ([`set_turn`](Self::set_turn)), so that a fast peer cannot starve the others on its thread.
///
/// The first error is the end: what is left is dropped, and every later call is
/// [`WriteError::Ended`].
///
/// ```
/// use ngx_buf::testing::{Call, TestSink};
/// use ngx_buf::{Buf, Chain, ChainWriter, Flow};
///
/// # fn main() -> Result<(), ngx_buf::WriteError> {
/// let mut writer = ChainWriter::new();
/// writer.push(Chain::from_iter(["head".into(), "body".into(), Buf::last()]));
/// let mut sink = TestSink::new();
/// assert_eq!(writer.try_write(&mut sink)?, Flow::Done);
/// assert_eq!(sink.calls, [Call::Write { pieces: 2, taken: 8, more: false }]);
/// assert_eq!(writer.sent(), 8);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ChainWriter {
    out: Chain,
    /// What was copied together; it comes behind `out`.
    tail: Tail,
    /// `pending == out.size() + tail.len()`
    pending: u64,
    sent: u64,
    turn: u64,
    postpone: u64,
    limit: Option<Limited>,
    /// Nothing in `out` may be postponed any more.
    hurry: bool,
    /// Nobody has looked yet what of `out` is better copied.
    fresh: bool,
    /// Bytes were given to the sink since it was last flushed.
    unflushed: bool,
    ended: bool,
    /// How much memory is offered to the sink at once.
    offer: u64,
    /// The sink refused a file, so that files are read and written.
    reads_files: bool,
    pause: Option<Pause>,
    /// The memory that files were read into, taken again when the sink has all of it.
    scratch: Option<Bytes>,
}

#[derive(Debug)]
struct Limited {
    limit: Limit,
    now: Instant,
    /// What was sent before the limit began.
    base: u64,
}

/// Why a writer keeps something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// The sink takes nothing now: wait for it ([`Sink::poll_ready`]).
    Sink,
    /// The share of this turn is used up: let others run, then go on.
    Turn,
    /// The limit allows nothing before this time.
    Until(Instant),
    /// Less than [`set_postpone`](ChainWriter::set_postpone) says is worth sending.
    Postponed,
}

impl Default for ChainWriter {
    fn default() -> Self {
        Self {
            out: Chain::new(),
            tail: Tail::default(),
            pending: 0,
            sent: 0,
            turn: TURN,
            postpone: 0,
            limit: None,
            hurry: false,
            fresh: false,
            unflushed: false,
            ended: false,
            offer: u64::MAX,
            reads_files: false,
            pause: None,
            scratch: None,
        }
    }
}

impl ChainWriter {
    /// A writer with nothing to write.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How much one call writes, in bytes (nginx: `sendfile_max_chunk`, 2 MiB).
    pub fn set_turn(&mut self, bytes: u64) {
        self.turn = bytes.max(1);
    }

    /// Below so many bytes nothing is written, unless the chain holds a flush, the last buf or a
    /// recycled one (nginx: `postpone_output`). 0, as at the beginning, postpones nothing.
    pub fn set_postpone(&mut self, bytes: u64) {
        self.postpone = bytes;
    }

    /// Limits the speed of what is sent from now on (nginx: `limit_rate`), or no longer does.
    /// `now` is the time until [`set_now`](Self::set_now) says a later one.
    pub fn set_limit(&mut self, limit: Option<Limit>, now: Instant) {
        self.limit = limit.map(|limit| Limited {
            limit,
            now,
            base: self.sent,
        });
    }

    /// Tells the time to the limit. Without a limit there is no need to.
    pub fn set_now(&mut self, now: Instant) {
        if let Some(limited) = &mut self.limit {
            limited.now = now;
        }
    }

    /// Appends a chain. Nothing is written yet. After an error it is dropped.
    pub fn push(&mut self, chain: Chain) {
        if self.ended {
            return;
        }
        for buf in &chain {
            self.count(buf);
        }
        if self.tail.is_empty() {
            self.out.append(chain);
            self.fresh = true;
        } else {
            self.place(chain, SMALL, 0);
        }
    }

    /// Appends one buf, without a chain around it.
    #[inline]
    pub fn push_buf(&mut self, buf: impl Into<Buf>) {
        if self.ended {
            return;
        }
        let buf = buf.into();
        self.count(&buf);
        if self.tail.is_empty() {
            self.out.push(buf);
            self.fresh = true;
        } else {
            self.place(buf.into(), SMALL, 0);
        }
    }

    /// Appends `bytes`, which the caller keeps: if they are few they are copied, into memory that
    /// is used again and again, else they are shared.
    #[inline]
    pub fn push_bytes(&mut self, bytes: &Bytes) {
        if bytes.len() <= SMALL {
            self.push_slice(bytes);
        } else {
            self.push_buf(bytes.clone());
        }
    }

    /// Appends a copy of `bytes`: if they are few in memory that is used again and again, else in
    /// memory of their own. Many small pieces are best given in this way.
    #[inline]
    pub fn push_slice(&mut self, bytes: &[u8]) {
        if bytes.len() > SMALL {
            self.push_buf(Bytes::copy_from_slice(bytes));
        } else if !self.ended && !bytes.is_empty() {
            self.pending += bytes.len() as u64;
            self.copy(bytes);
        }
    }

    /// Ends the postponing of what is kept now: the next call writes it.
    pub fn flush(&mut self) {
        self.hurry = true;
    }

    /// Writes what the sink takes, for one turn.
    ///
    /// [`Flow::Done`] means that nothing is kept, or that what is kept is postponed until more
    /// comes; with [`Flow::Again`] [`pause`](Self::pause) says what to wait for.
    ///
    /// # Errors
    ///
    /// The sink or a file failed. This is the end of the writer.
    pub fn try_write<S: Sink + ?Sized>(&mut self, sink: &mut S) -> Result<Flow, WriteError> {
        let mut left = self.turn;
        self.run(sink, &mut left)
    }

    /// Writes until nothing is kept, or only what is postponed.
    ///
    /// When the turn is used up the task is woken at once, behind the others. When the limit
    /// allows nothing ([`Pause::Until`]) nobody is woken: the caller has the clock, and calls
    /// again at that time, after [`set_now`](Self::set_now).
    ///
    /// # Cancel safety
    ///
    /// A future around this may be dropped at any time: what was not written is kept, nothing is
    /// written twice, and the next call goes on.
    ///
    /// # Errors
    ///
    /// The sink or a file failed. This is the end of the writer.
    pub fn poll_write<S: Sink + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut S,
    ) -> Poll<Result<(), WriteError>> {
        let mut left = self.turn;
        loop {
            if self.run(sink, &mut left)? == Flow::Done {
                return Poll::Ready(Ok(()));
            }
            match self.pause {
                Some(Pause::Sink) => match sink.poll_ready(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(self.end(error.into()))),
                    Poll::Pending => return Poll::Pending,
                },
                Some(Pause::Turn) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(Pause::Until(_) | Pause::Postponed) | None => return Poll::Pending,
            }
        }
    }

    /// Why the last call kept something; `None` if it did not.
    #[must_use]
    pub fn pause(&self) -> Option<Pause> {
        self.pause
    }

    /// How many bytes are kept.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// Whether nothing is kept, neither here nor, as far as it says, in the sink.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty() && self.tail.is_empty() && !self.unflushed
    }

    /// How many bytes the sink has taken since the beginning.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether an error has ended this writer.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// What is kept as it was given, in order. Behind it there may be bytes that were copied
    /// together: only [`pending`](Self::pending) counts all.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.out
    }

    #[inline]
    fn count(&mut self, buf: &Buf) {
        self.pending = self.pending.saturating_add(buf.len());
        self.hurry |= buf.flags().intersects(HURRY);
    }

    #[inline]
    fn copy(&mut self, bytes: &[u8]) {
        if !self.tail.push(bytes) {
            self.seal();
            self.tail.push(bytes);
        }
    }

    /// Makes a buf of what was copied, for something else comes behind it.
    fn seal(&mut self) {
        if let Some(bytes) = self.tail.seal() {
            self.out.push(bytes);
        }
    }

    fn run<S: Sink + ?Sized>(&mut self, sink: &mut S, left: &mut u64) -> Result<Flow, WriteError> {
        if self.ended {
            return Err(WriteError::Ended);
        }
        let pause = match self.write_turn(sink, left) {
            Ok(pause) => pause,
            Err(error) => return Err(self.end(error)),
        };
        self.pause = pause;
        Ok(match pause {
            None | Some(Pause::Postponed) => Flow::Done,
            Some(Pause::Sink | Pause::Turn | Pause::Until(_)) => {
                // What was begun is not worth postponing.
                self.hurry = true;
                Flow::Again
            }
        })
    }

    fn write_turn<S: Sink + ?Sized>(
        &mut self,
        sink: &mut S,
        left: &mut u64,
    ) -> Result<Option<Pause>, WriteError> {
        if !self.hurry && self.pending < self.postpone {
            let nothing = self.out.is_empty() && self.tail.is_empty();
            return Ok((!nothing).then_some(Pause::Postponed));
        }
        // Specials have their turn when everything before them has gone.
        if self.out.front().is_some_and(Buf::is_empty) {
            self.out.advance(0);
        }
        while self.pending > 0 {
            let most = match self.allowance() {
                Allowance::Wait(at) => return Ok(Some(Pause::Until(at))),
                Allowance::Bytes(_) if *left == 0 => return Ok(Some(Pause::Turn)),
                Allowance::Bytes(bytes) => bytes.min(*left),
            };
            self.settle(sink);
            match self.write_front(sink, most) {
                Ok(n) => {
                    self.consume(n);
                    *left = left.saturating_sub(n);
                }
                Err(WriteError::Io(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(WriteError::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Some(Pause::Sink));
                }
                Err(error) => return Err(error),
            }
        }
        self.flush_sink(sink)
    }

    /// `n` bytes were sent, or none.
    #[inline]
    fn consume(&mut self, n: u64) {
        self.pending = self.pending.saturating_sub(n);
        if self.pending == 0 {
            self.out.clear();
            self.tail.clear();
        } else {
            let over = self.out.advance(n);
            if over > 0 {
                self.tail.advance(over);
            }
        }
        self.sent += n;
        self.unflushed |= n > 0;
    }

    fn flush_sink<S: Sink + ?Sized>(&mut self, sink: &mut S) -> Result<Option<Pause>, WriteError> {
        self.hurry = false;
        if self.unflushed {
            match sink.try_flush() {
                Ok(()) => self.unflushed = false,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Some(Pause::Sink)),
                Err(e) => return Err(e.into()),
            }
        }
        Ok(None)
    }

    fn allowance(&self) -> Allowance {
        match &self.limit {
            Some(Limited { limit, now, base }) => limit.allowance(*now, self.sent - base),
            None => Allowance::Bytes(u64::MAX),
        }
    }

    /// Writes up to `most` bytes of what is at the front, by one call of the sink. 0 bytes is
    /// possible when the front was only made ready.
    fn write_front<S: Sink + ?Sized>(
        &mut self,
        sink: &mut S,
        most: u64,
    ) -> Result<u64, WriteError> {
        if let Some((file, _)) = self.out.front().and_then(Buf::file_parts) {
            if sink.sends_files() && !self.reads_files && !file.is_direct() {
                return self.send_file(sink, most);
            }
            self.read_file(most)?;
        }
        let offer = Offer {
            out: &self.out,
            tail: self.tail.as_slice(),
            limit: most.min(self.offer),
            most,
        };
        let taken = offer.make(sink)?;
        // What took a part takes little again, as a rule: to gather everything for every small
        // portion would cost more than the portion.
        self.offer = if taken.all {
            u64::MAX
        } else {
            taken.bytes.saturating_mul(2).max(LEAST_OFFER)
        };
        Ok(taken.bytes)
    }

    fn send_file<S: Sink + ?Sized>(&mut self, sink: &mut S, most: u64) -> Result<u64, WriteError> {
        let len = file_run(&self.out, most);
        let Some((file, range)) = self.out.front().and_then(Buf::file_parts) else {
            return Ok(0);
        };
        let count = usize::try_from(len).unwrap_or(usize::MAX);
        match sink.try_send_file(file.file(), range.start, count) {
            Ok(0) => Err(file.truncated(range.start, len).into()),
            Ok(n) => Ok(n as u64),
            Err(e) if refuses_file(e.kind()) => {
                self.reads_files = true;
                Ok(0)
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Puts memory in place of the first bytes of the file at the front.
    fn read_file(&mut self, most: u64) -> Result<(), WriteError> {
        let Some(front) = self.out.front_mut() else {
            return Ok(());
        };
        let Some((file, range)) = front.file_parts() else {
            return Ok(());
        };
        let alignment = file.alignment();
        let mut memory = self
            .scratch
            .take()
            .and_then(|bytes| bytes.try_into_mut().ok())
            .filter(|memory| is_aligned(memory, alignment))
            .unwrap_or_else(|| block(SCRATCH.next_multiple_of(alignment), alignment));
        let end = range.end.min(range.start.saturating_add(most));
        let plan = Plan::new(alignment, &(range.start..end), 0..memory.len(), 0);
        file.read(&plan, plan.into.start, &mut memory)?;
        let bytes = memory.freeze();
        let mut read = Buf::from(bytes.slice(plan.window.clone()));
        self.scratch = Some(bytes);
        // The marks of the file go to the memory with its last byte.
        read.set_flags(front.split_to(plan.len()).flags() - Flags::TEMP_FILE);
        if front.is_empty() {
            self.out.pop_front();
        }
        self.out.push_front(read);
        Ok(())
    }

    fn end(&mut self, error: WriteError) -> WriteError {
        self.ended = true;
        self.out.clear();
        self.tail.clear();
        self.pending = 0;
        self.unflushed = false;
        self.pause = None;
        self.scratch = None;
        error
    }
}

fn refuses_file(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput
    )
}

/// What ends the postponing: nginx's `flush`, `last_buf` and `recycled`.
const HURRY: Flags = Flags::FLUSH.union(Flags::LAST_BUF).union(Flags::RECYCLED);
/// How much a turn writes.
const TURN: u64 = 2 * 1024 * 1024;
/// Up to how many bytes are copied where no sink was asked yet.
const SMALL: usize = 512;
/// How much is offered at least to a sink that takes little.
const LEAST_OFFER: u64 = 2 * 1024;
/// How much of a file is read at once when the sink cannot send files.
const SCRATCH: usize = 64 * 1024;

#[cfg(test)]
mod tests;
