//! Writing what the caller keeps: only what the sink does not take at once is kept here.

use std::io::{self, IoSlice};

use bytes::Bytes;

use super::offer::{FEW, Pieces, SOME, Taken};
use super::{ChainWriter, FEW_SMALL, LEAST_OFFER, Pause, SMALL};
use crate::{Flow, Sink, WriteError};

impl ChainWriter {
    /// Appends `parts`, which the caller keeps, and writes, as [`push_bytes`](Self::push_bytes) for
    /// each of them and [`try_write`](Self::try_write) would do.
    ///
    /// But if nothing is kept already they are written from where they are: what the sink takes at
    /// once is neither counted nor, unless it is in many small pieces, copied.
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
        let mut rest = Rest::new(parts.into_iter());
        if !self.goes_at_once(&rest) {
            rest.parts.for_each(|part| self.push_bytes(part));
            return self.try_write(sink);
        }
        while rest.left > 0 {
            match rest.offer(sink) {
                Ok(taken) => {
                    self.sent += taken.bytes;
                    self.unflushed = true;
                    rest.advance(taken);
                }
                Err(WriteError::Io(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(WriteError::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => {
                    rest.keep(self);
                    self.hurry = true;
                    self.pause = Some(Pause::Sink);
                    return Ok(Flow::Again);
                }
                Err(error) => return Err(self.end(error)),
            }
        }
        self.try_write(sink)
    }

    /// Whether `rest` may be offered to the sink from where it is, and should: small pieces are
    /// better copied together, unless there is one, or something large beside a few.
    #[inline]
    fn goes_at_once<'a, I: Iterator<Item = &'a Bytes>>(&self, rest: &Rest<I>) -> bool {
        let few = rest.small <= 1 || rest.small < rest.num && rest.small <= FEW_SMALL;
        few && rest.num < SOME as u32
            && self.pending == 0
            && self.out.is_empty()
            && !self.ended
            && self.limit.is_none()
            && rest.left <= self.turn
            && (self.hurry || rest.left >= self.postpone)
    }
}

/// What of some parts was not sent yet.
struct Rest<I> {
    parts: I,
    /// How much of the first of them was sent.
    skip: usize,
    /// How many bytes were not.
    left: u64,
    num: u32,
    small: u32,
    /// The most that is worth offering.
    most: usize,
}

impl<'a, I: Iterator<Item = &'a Bytes> + Clone> Rest<I> {
    #[inline]
    fn new(parts: I) -> Self {
        let (mut left, mut num, mut small) = (0, 0, 0);
        for part in parts.clone() {
            left += part.len() as u64;
            num += 1;
            small += u32::from(part.len() <= SMALL);
        }
        Self {
            parts,
            skip: 0,
            left,
            num,
            small,
            most: usize::MAX,
        }
    }

    #[inline]
    fn offer<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<Taken, WriteError> {
        if self.num < FEW as u32 || self.most <= LEAST_OFFER as usize {
            self.offer_in(&mut [IoSlice::new(&[]); FEW], sink)
        } else {
            self.offer_in(&mut [IoSlice::new(&[]); SOME], sink)
        }
    }

    #[inline]
    fn offer_in<'p, S: Sink + ?Sized>(
        &self,
        places: &'p mut [IoSlice<'a>],
        sink: &mut S,
    ) -> Result<Taken, WriteError> {
        let mut pieces = Pieces::new(places, self.most);
        let mut skip = self.skip;
        for part in self.parts.clone() {
            let rest = part.get(skip..).unwrap_or_default();
            skip = 0;
            if !pieces.push(rest, 0) {
                break;
            }
        }
        pieces.offer(sink, |offered| (offered as u64) < self.left)
    }

    /// Some was taken.
    #[inline]
    fn advance(&mut self, taken: Taken) {
        self.left -= taken.bytes;
        let sent = usize::try_from(taken.bytes).unwrap_or(usize::MAX);
        self.most = if taken.all {
            usize::MAX
        } else {
            sent.saturating_mul(4).max(LEAST_OFFER as usize)
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
            self.parts = next.clone();
        }
    }

    /// Gives what is left to the writer.
    fn keep(mut self, writer: &mut ChainWriter) {
        if self.skip > 0
            && let Some(part) = self.parts.next()
        {
            let rest = part.get(self.skip..).unwrap_or_default();
            writer.push_bytes(&part.slice_ref(rest));
        }
        self.parts.for_each(|part| writer.push_bytes(part));
    }
}
