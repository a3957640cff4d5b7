//! Writing what the caller keeps: only what the sink does not take at once is kept here.

use std::array;
use std::io::{self, IoSlice};

use bytes::Bytes;

use super::offer::{FEW, MANY, SOME};
use super::settle::FEW_SMALL;
use super::tail::MOST_PIECE;
use super::{ChainWriter, LEAST_OFFER, Pause};
use crate::{Flow, Sink, WriteError};

impl ChainWriter {
    /// Appends `parts`, which the caller keeps, and writes, as [`push_bytes`](Self::push_bytes) for
    /// each of them and [`try_write`](Self::try_write) would do.
    ///
    /// But if nothing is kept already they are written from where they are: what the sink takes at
    /// once is neither counted nor, unless it is in many [small](Sink::copies_up_to) pieces, copied.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use ngx_buf::testing::TestSink;
    /// use ngx_buf::{ChainWriter, Flow};
    ///
    /// # fn main() -> Result<(), ngx_buf::WriteError> {
    /// let (head, body) = (Bytes::from_static(b"head "), Bytes::from(vec![b'x'; 5000]));
    /// let (mut writer, mut sink) = (ChainWriter::new(), TestSink::new());
    /// assert_eq!(writer.try_write_bytes(&mut sink, [&head, &body])?, Flow::Done);
    /// assert_eq!(writer.sent(), 5005);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The sink or a file failed. This is the end of the writer.
    pub fn try_write_bytes<'a, S, P>(&mut self, sink: &mut S, parts: P) -> Result<Flow, WriteError>
    where
        S: Sink + ?Sized,
        P: IntoIterator<Item = &'a Bytes, IntoIter: Clone>,
    {
        let parts = parts.into_iter();
        if !self.is_idle() {
            parts.for_each(|part| self.push_bytes(part));
            return self.try_write(sink);
        }
        let copies = sink.copies_up_to().min(MOST_PIECE);
        // Room for pieces costs what it is large.
        match parts.size_hint() {
            (_, Some(most)) if most <= FEW => self.write_idle::<FEW, S, _>(sink, parts, copies),
            (least, _) if least <= SOME => self.write_apart::<SOME, S, _>(sink, parts, copies),
            _ => self.write_apart::<MANY, S, _>(sink, parts, copies),
        }
    }

    /// Whether nothing is kept, and nothing is against writing.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.pending == 0 && self.out.is_empty() && !self.ended && self.limit.is_none()
    }

    /// [`write_idle`](Self::write_idle) out of line: such room is not needed often, and too much for
    /// every stack frame.
    #[inline(never)]
    fn write_apart<'a, const N: usize, S, I>(
        &mut self,
        sink: &mut S,
        parts: I,
        copies: usize,
    ) -> Result<Flow, WriteError>
    where
        S: Sink + ?Sized,
        I: Iterator<Item = &'a Bytes> + Clone,
    {
        self.write_idle::<N, S, I>(sink, parts, copies)
    }

    /// Writes `parts`, of which up to `N` can go by one call, before anything else.
    #[inline]
    fn write_idle<'a, const N: usize, S, I>(
        &mut self,
        sink: &mut S,
        parts: I,
        copies: usize,
    ) -> Result<Flow, WriteError>
    where
        S: Sink + ?Sized,
        I: Iterator<Item = &'a Bytes> + Clone,
    {
        if copies > 0 && has_many_small(parts.clone(), copies) {
            return self.write_copies(sink, parts, copies);
        }
        let mut next = parts.clone();
        let (mut num, mut left) = (0, 0u64);
        let places: [IoSlice<'_>; N] = array::from_fn(|_| {
            let Some(part) = next.next() else {
                return IoSlice::new(&[]);
            };
            num += 1;
            left += part.len() as u64;
            IoSlice::new(part)
        });
        let fits = next.next().is_none()
            && left <= self.turn
            && (self.hurry || left >= self.postpone)
            && left > 0;
        if !fits {
            parts.for_each(|part| self.push_bytes(part));
            return self.try_write(sink);
        }
        let pieces = places.get(..num).unwrap_or_default();
        match sink.try_write_vectored(pieces, false) {
            Ok(taken) if taken as u64 == left => {
                self.sent += left;
                self.unflushed = true;
                self.try_write(sink)
            }
            first => {
                let rest = Rest {
                    parts,
                    skip: 0,
                    left,
                    num,
                    most: usize::MAX,
                };
                self.write_rest(sink, rest, first)
            }
        }
    }

    /// Writes what was not taken at once.
    #[inline(never)]
    fn write_rest<'a, S, I>(
        &mut self,
        sink: &mut S,
        rest: Rest<I>,
        first: io::Result<usize>,
    ) -> Result<Flow, WriteError>
    where
        S: Sink + ?Sized,
        I: Iterator<Item = &'a Bytes> + Clone,
    {
        let (mut rest, mut taken, mut offered) = (rest, first, usize::MAX);
        loop {
            match taken {
                Ok(0) => return Err(self.end(WriteError::Closed(io::ErrorKind::WriteZero.into()))),
                Ok(n) => {
                    self.sent += n as u64;
                    self.unflushed = true;
                    rest.advance(n, n == offered);
                    if rest.left == 0 {
                        return self.try_write(sink);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    rest.keep(self);
                    self.hurry = true;
                    self.pause = Some(Pause::Sink);
                    return Ok(Flow::Again);
                }
                Err(error) => return Err(self.end(error.into())),
            }
            (offered, taken) = rest.offer(sink);
        }
    }

    /// Writes `parts`, those of up to `copies` bytes copied together.
    #[inline(never)]
    fn write_copies<'a, S, I>(
        &mut self,
        sink: &mut S,
        parts: I,
        copies: usize,
    ) -> Result<Flow, WriteError>
    where
        S: Sink + ?Sized,
        I: Iterator<Item = &'a Bytes> + Clone,
    {
        let mut parts = parts;
        loop {
            self.pending += self.tail.fill(&mut parts, copies) as u64;
            // What is too large for a copy, or for what is left of a block.
            match parts.next() {
                Some(part) => self.push_bytes(part),
                None => return self.try_write(sink),
            }
        }
    }
}

/// Whether small pieces are many enough, or alone among themselves, to be copied: not if there is
/// only one, or a few beside something large.
#[inline]
fn has_many_small<'a>(parts: impl Iterator<Item = &'a Bytes>, copies: usize) -> bool {
    let (mut num, mut small) = (0, 0);
    for part in parts {
        num += 1;
        small += u32::from(part.len() <= copies);
        if small > FEW_SMALL {
            return true;
        }
    }
    small > 1 && small == num
}

/// What of some parts was not sent yet.
struct Rest<I> {
    parts: I,
    /// How much of the first of them was sent.
    skip: usize,
    /// How many bytes were not.
    left: u64,
    num: usize,
    /// The most that is worth offering.
    most: usize,
}

impl<'a, I: Iterator<Item = &'a Bytes> + Clone> Rest<I> {
    /// How many bytes were offered, and what the sink said.
    #[inline]
    fn offer<S: Sink + ?Sized>(&self, sink: &mut S) -> (usize, io::Result<usize>) {
        if self.num <= FEW || self.most <= LEAST_OFFER as usize {
            self.offer_in(&mut [IoSlice::new(&[]); FEW], sink)
        } else if self.num <= SOME {
            self.offer_in(&mut [IoSlice::new(&[]); SOME], sink)
        } else {
            self.offer_many(sink)
        }
    }

    #[inline(never)]
    fn offer_many<S: Sink + ?Sized>(&self, sink: &mut S) -> (usize, io::Result<usize>) {
        self.offer_in(&mut [IoSlice::new(&[]); MANY], sink)
    }

    #[inline]
    fn offer_in<'p, S: Sink + ?Sized>(
        &self,
        places: &'p mut [IoSlice<'a>],
        sink: &mut S,
    ) -> (usize, io::Result<usize>) {
        let (mut num, mut offered, mut skip) = (0, 0, self.skip);
        for part in self.parts.clone() {
            let rest = part.get(skip..).unwrap_or_default();
            skip = 0;
            let wanted = rest.get(..self.most - offered).unwrap_or(rest);
            if let (Some(place), false) = (places.get_mut(num), wanted.is_empty()) {
                *place = IoSlice::new(wanted);
                num += 1;
                offered += wanted.len();
            }
            if num == places.len() || offered == self.most {
                break;
            }
        }
        let pieces = places.get(..num).unwrap_or_default();
        let more = (offered as u64) < self.left;
        (offered, sink.try_write_vectored(pieces, more))
    }

    /// `sent` bytes were taken, one at least; `all` of those that were offered or not.
    #[inline]
    fn advance(&mut self, sent: usize, all: bool) {
        self.left = self.left.saturating_sub(sent as u64);
        self.most = if all {
            usize::MAX
        } else {
            sent.saturating_mul(2).max(LEAST_OFFER as usize)
        };
        if self.left == 0 {
            return;
        }
        self.skip = self.skip.saturating_add(sent);
        let mut next = self.parts.clone();
        while let Some(part) = next.next()
            && part.len() <= self.skip
        {
            self.skip -= part.len();
            self.parts.clone_from(&next);
        }
    }

    /// Gives what is left to the writer.
    fn keep(&self, writer: &mut ChainWriter) {
        let mut parts = self.parts.clone();
        if self.skip > 0
            && let Some(part) = parts.next()
        {
            let rest = part.get(self.skip..).unwrap_or_default();
            writer.push_bytes(&part.slice_ref(rest));
        }
        parts.for_each(|part| writer.push_bytes(part));
    }
}
