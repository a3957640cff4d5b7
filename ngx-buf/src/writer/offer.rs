//! What is offered to the sink at once.

use std::io::{self, IoSlice};

use crate::{Buf, Chain, Sink, WriteError};

/// The memory at the front of the output, and how much of it is to be offered.
pub(super) struct Offer<'a> {
    pub(super) out: &'a Chain,
    /// What comes behind `out`.
    pub(super) tail: &'a [u8],
    /// How many bytes are offered.
    pub(super) limit: u64,
    /// How many bytes may be sent now: what lies behind them is not to be waited for.
    pub(super) most: u64,
}

/// What became of an offer.
pub(super) struct Taken {
    pub(super) bytes: u64,
    pub(super) all: bool,
}

/// Pieces in order.
struct Pieces<'a, 'p> {
    places: &'p mut [IoSlice<'a>],
    num: usize,
    /// How many more bytes are wanted.
    left: usize,
    /// How many are wanted in all.
    limit: usize,
    /// The memory that the last piece is a part of, from its beginning, if there is more behind.
    whole: &'a [u8],
    /// How long the last piece is, if there is.
    used: usize,
}

impl Offer<'_> {
    /// Makes it, with room for as many pieces as there are links, up to what the system takes.
    #[inline]
    pub(super) fn make<S: Sink + ?Sized>(self, sink: &mut S) -> Result<Taken, WriteError> {
        match self.out.as_slice() {
            [] => return self.offer_slice(self.tail, sink),
            [only] if self.tail.is_empty() => {
                if let Some(bytes) = only.as_slice() {
                    return self.offer_slice(bytes, sink);
                }
            }
            _ => {}
        }
        // There is one more place, for the tail.
        let links = self.out.len();
        if links < FEW || self.limit <= LITTLE {
            self.offer::<FEW, S>(sink)
        } else if links < SOME {
            self.offer_some(sink)
        } else {
            self.offer_many(sink)
        }
    }

    /// Offers `bytes`, which are all there is.
    #[inline]
    fn offer_slice<S: Sink + ?Sized>(
        &self,
        bytes: &[u8],
        sink: &mut S,
    ) -> Result<Taken, WriteError> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let piece = bytes.get(..limit).unwrap_or(bytes);
        let more = piece.len() < bytes.len() && self.limit < self.most;
        let taken = sink.try_write_vectored(&[IoSlice::new(piece)], more)?;
        Taken::new(taken, piece.len())
    }

    // Such room is not needed often, and too much for every stack frame.
    #[inline(never)]
    fn offer_some<S: Sink + ?Sized>(self, sink: &mut S) -> Result<Taken, WriteError> {
        self.offer::<SOME, S>(sink)
    }

    #[inline(never)]
    fn offer_many<S: Sink + ?Sized>(self, sink: &mut S) -> Result<Taken, WriteError> {
        self.offer::<MANY, S>(sink)
    }

    fn offer<const N: usize, S: Sink + ?Sized>(self, sink: &mut S) -> Result<Taken, WriteError> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let mut places = [IoSlice::new(&[]); N];
        let mut pieces = Pieces::new(&mut places, limit);
        let rest = pieces.gather(self.out) || !pieces.push(self.tail, 0);
        let waits = self.limit < self.most;
        pieces.offer(sink, |offered| rest && (offered < limit || waits))
    }
}

impl Taken {
    #[inline]
    fn new(taken: usize, offered: usize) -> Result<Self, WriteError> {
        if taken == 0 {
            return Err(WriteError::Closed(io::ErrorKind::WriteZero.into()));
        }
        Ok(Self {
            bytes: taken as u64,
            all: taken == offered,
        })
    }
}

impl<'a, 'p> Pieces<'a, 'p> {
    /// None yet, and room for as many as there are `places` and for `limit` bytes.
    #[inline]
    fn new(places: &'p mut [IoSlice<'a>], limit: usize) -> Self {
        Self {
            places,
            num: 0,
            left: limit,
            limit,
            whole: &[],
            used: 0,
        }
    }

    /// Offers them. `more` says of so many bytes whether the next thing to be sent is there
    /// already, so that what goes now had better wait for it.
    #[inline]
    fn offer<S: Sink + ?Sized>(
        self,
        sink: &mut S,
        more: impl FnOnce(usize) -> bool,
    ) -> Result<Taken, WriteError> {
        let offered = self.limit - self.left;
        let pieces = self.places.get(..self.num).unwrap_or_default();
        let taken = sink.try_write_vectored(pieces, more(offered))?;
        Taken::new(taken, offered)
    }

    /// Takes the memory at the front of `out`; says whether something of it is left.
    #[inline]
    fn gather(&mut self, out: &'a Chain) -> bool {
        for buf in out {
            let Some((memory, spare)) = buf.whole() else {
                // A special is no piece; a file comes next.
                if buf.is_empty() {
                    continue;
                }
                return true;
            };
            if !self.push(memory, spare) {
                return true;
            }
        }
        false
    }

    /// Takes `memory` but for the last `spare` bytes, or as much of it as is wanted; says no if
    /// there is no room or nothing is wanted.
    #[inline]
    fn push(&mut self, memory: &'a [u8], spare: usize) -> bool {
        let len = memory.len() - spare;
        if len == 0 {
            return true;
        }
        if self.left == 0 {
            return false;
        }
        let taken = len.min(self.left);
        if self.whole.len() > self.used && self.join(memory, len, taken) {
            return true;
        }
        let (Some(place), Some(piece)) = (self.places.get_mut(self.num), memory.get(..taken))
        else {
            return false;
        };
        *place = IoSlice::new(piece);
        self.num += 1;
        self.left -= taken;
        self.whole = if spare == 0 { &[] } else { memory };
        self.used = if spare == 0 { 0 } else { taken };
        true
    }

    /// Takes `taken` bytes of the `len` at the front of `next` into the last piece, if they are
    /// what comes behind it in its memory. What is within memory by its address is a part of it,
    /// for both are alive.
    fn join(&mut self, next: &[u8], len: usize, taken: usize) -> bool {
        let behind = self.whole.get(self.used..).unwrap_or_default();
        let goes_on = behind.len() >= len && std::ptr::eq(behind.as_ptr(), next.as_ptr());
        let last = self.num.checked_sub(1);
        let place = last.and_then(|last| self.places.get_mut(last));
        if let (true, Some(place)) = (goes_on, place) {
            self.used += taken;
            self.left -= taken;
            *place = IoSlice::new(self.whole.get(..self.used).unwrap_or_default());
        }
        goes_on
    }
}

/// How much of a file range and of those behind it that go on in the same file, up to `most` bytes,
/// can be sent at once.
pub(super) fn file_run(out: &Chain, most: u64) -> u64 {
    let mut ranges = out.iter().map_while(Buf::file_parts);
    let Some((file, first)) = ranges.next() else {
        return 0;
    };
    let mut end = first.end;
    for (other, range) in ranges {
        let same = std::sync::Arc::ptr_eq(file, other);
        if !same || range.start != end || end - first.start >= most {
            break;
        }
        end = range.end;
    }
    (end - first.start).min(most)
}

/// Pieces in one vectored write of a short chain.
pub(super) const FEW: usize = 8;
/// Pieces in one vectored write of a longer one.
pub(super) const SOME: usize = 64;
/// Pieces in one vectored write of a still longer one: the system takes no more (`IOV_MAX`).
pub(super) const MANY: usize = 1024;
/// So few bytes are offered in few pieces.
const LITTLE: u64 = 8 * 1024;
