//! Bytes that came and that no pattern has taken.
//!
//! ```text
//!   | lent | waiting |  room  |
//!          ^ start   ^ end of `bytes`
//! ```
//!
//! What a receive wants and what lies here whole goes into Lua from where it lies: it is *lent*
//! until the next read, which may write over it.

use std::cell::RefCell;
use std::ops::Range;

use bytes::BytesMut;

/// The bytes.
#[derive(Default)]
pub(super) struct Input {
    bytes: BytesMut,
    /// Where what nobody has taken begins. Invariant: no more than there are.
    start: usize,
    /// What the last receive took in place.
    lent: Range<usize>,
}

impl Input {
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    /// What nobody has taken.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Takes `n` bytes, or all there are.
    pub(super) fn advance(&mut self, n: usize) {
        self.start = (self.start + n).min(self.bytes.len());
    }

    /// Takes `n` bytes and `skipped` more; the first lie still until the next [`room`](Self::room).
    pub(super) fn lend(&mut self, n: usize, skipped: usize) {
        let end = (self.start + n).min(self.bytes.len());
        self.lent = self.start..end;
        self.advance(n + skipped);
    }

    /// What was lent last.
    pub(super) fn lent(&self) -> &[u8] {
        self.bytes.get(self.lent.clone()).unwrap_or_default()
    }

    /// The buffer with room for about `wanted` bytes more at its end. Ends what is lent.
    pub(super) fn room(&mut self, wanted: usize) -> &mut BytesMut {
        self.lent = 0..0;
        let wanted = wanted.max(1);
        if self.is_empty() {
            self.bytes.clear();
            self.start = 0;
        }
        let room = self.bytes.capacity() - self.bytes.len();
        if room < wanted.div_ceil(2) {
            self.make_room(wanted);
        }
        &mut self.bytes
    }

    #[cold]
    fn make_room(&mut self, wanted: usize) {
        if self.start > 0 {
            let waiting = self.bytes.len() - self.start;
            self.bytes.copy_within(self.start.., 0);
            self.bytes.truncate(waiting);
            self.start = 0;
        }
        if self.bytes.capacity() == 0 && wanted <= SPARE_SIZE {
            self.bytes = SPARES.with_borrow_mut(Vec::pop).unwrap_or_default();
        }
        self.bytes.reserve(wanted);
    }

    /// Gives a large buffer back: there is nothing in it.
    #[inline]
    pub(super) fn shed(&mut self) {
        if self.bytes.capacity() > SPARE_SIZE {
            self.retire();
        }
    }

    /// Gives the buffer back, empty: nothing is read for now.
    pub(super) fn retire(&mut self) {
        let mut bytes = std::mem::take(self).bytes;
        if (1..=SPARE_SIZE).contains(&bytes.capacity()) {
            bytes.clear();
            SPARES.with_borrow_mut(|spares| {
                if spares.len() < SPARES_MAX {
                    spares.push(bytes);
                }
            });
        }
    }
}

/// Buffers of connections that idle, for those that read. Who idles for long has none: there may be
/// many of them.
const SPARES_MAX: usize = 32;
/// The largest that is kept.
const SPARE_SIZE: usize = 16 * 1024;

thread_local! {
    static SPARES: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_lies_still_until_the_next_read() {
        let mut input = Input::default();
        input.room(16).extend_from_slice(b"one\r\ntwo");
        input.lend(3, 2);
        assert_eq!((input.lent(), input.rest()), (&b"one"[..], &b"two"[..]));
        input.room(4096).extend_from_slice(b" and three");
        assert_eq!(
            (input.lent(), input.rest()),
            (&b""[..], &b"two and three"[..])
        );
        input.lend(13, 0);
        assert!(input.is_empty());
        assert_eq!(input.lent(), b"two and three");
        input.room(1).extend_from_slice(b"!");
        assert_eq!(input.rest(), b"!");
        input.advance(100);
        assert!(input.is_empty());
    }

    #[test]
    fn buffers_are_used_again() {
        let mut input = Input::default();
        input.room(4096).extend_from_slice(b"x");
        let place = input.rest().as_ptr();
        input.retire();
        assert!(input.is_empty() && input.lent().is_empty());
        let mut other = Input::default();
        other.room(4096).extend_from_slice(b"y");
        assert_eq!((other.rest(), other.rest().as_ptr()), (&b"y"[..], place));
    }
}
