//! Small pieces that were copied together, and small files that were read behind them, because that
//! costs less than to send each from where it lies.

use std::cell::RefCell;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// Copied bytes at the end of the output, in a block of memory that the thread keeps and uses
/// again: a writer with nothing to write has none.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// All of it has been written to before: its length is the room that there is.
    block: Option<BytesMut>,
    /// Where the bytes are. With a block, one byte at least.
    window: Range<usize>,
}

impl Tail {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.block.is_none()
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        let block = self.block.as_deref().unwrap_or_default();
        block.get(self.window.clone()).unwrap_or_default()
    }

    /// Appends a copy of `bytes`, of [`MOST_PIECE`] at most and one at least, if there is room.
    #[inline]
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        debug_assert!(!bytes.is_empty() && bytes.len() <= MOST_PIECE);
        let block = self.block.get_or_insert_with(take);
        let end = self.window.end + bytes.len();
        let to = block.get_mut(self.window.end..end);
        let fits = to.is_some();
        if let Some(to) = to {
            copy(to, bytes);
            self.window.end = end;
        }
        fits
    }

    /// Appends copies of the first of `parts`, up to one of more than `most` bytes, or for which
    /// there is no room. Says how many bytes these were.
    #[inline]
    pub(super) fn fill<'a, I>(&mut self, parts: &mut I, most: usize) -> usize
    where
        I: Iterator<Item = &'a Bytes> + Clone,
    {
        let block = self.block.get_or_insert_with(take);
        let mut room = block.get_mut(self.window.end..).unwrap_or_default();
        let mut filled = 0;
        let mut next = parts.clone();
        while let Some(part) = next.next()
            && part.len() <= most
            && let Some((to, rest)) = std::mem::take(&mut room).split_at_mut_checked(part.len())
        {
            copy(to, part);
            room = rest;
            filled += part.len();
            parts.clone_from(&next);
        }
        self.window.end += filled;
        if self.window.is_empty() {
            self.clear();
        }
        filled
    }

    /// Of what is appended to an empty one, which `before` bytes at least have to follow at once, has
    /// what lies behind these begin where the system copies quickest to: with a line of the cache.
    pub(super) fn align(&mut self, before: usize) {
        if self.block.is_none() {
            let block = self.block.insert(take());
            let from = block.as_ptr().addr().wrapping_add(before).wrapping_neg() % LINE;
            self.window = from..from;
        }
    }

    /// Appends `len` bytes, one at least, that `write` puts there, if there is room for them and it
    /// says that it did.
    pub(super) fn push_with(&mut self, len: usize, write: impl FnOnce(&mut [u8]) -> bool) -> bool {
        let block = self.block.get_or_insert_with(take);
        let end = self.window.end.saturating_add(len);
        let written = block.get_mut(self.window.end..end).is_some_and(write);
        if written {
            self.window.end = end;
        } else if self.window.is_empty() {
            self.clear();
        }
        written
    }

    /// Drops the first `n` bytes.
    pub(super) fn advance(&mut self, n: u64) {
        match usize::try_from(n) {
            Ok(n) if n < self.window.len() => self.window.start += n,
            _ => self.clear(),
        }
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        if let Some(block) = self.block.take() {
            self.window = 0..0;
            give(block);
        }
    }

    /// Takes all bytes, to be refcounted.
    pub(super) fn seal(&mut self) -> Option<Bytes> {
        let mut block = self.block.take()?;
        let window = std::mem::take(&mut self.window);
        let mut sealed = block.split_to(window.end);
        give(block);
        Some(sealed.split_off(window.start).freeze())
    }
}

/// Copies `from` into `to`, which is as long.
///
/// A call to copy a few bytes takes longer than to copy them: up to 64 go by two moves of a fixed
/// size, which overlap as far as they have to.
#[inline]
fn copy(to: &mut [u8], from: &[u8]) {
    match from.len() {
        33..=64 => copy_ends::<32>(to, from),
        17..=32 => copy_ends::<16>(to, from),
        9..=16 => copy_ends::<8>(to, from),
        _ => to.copy_from_slice(from),
    }
}

/// Copies the first `N` bytes and the last, of at most twice as many in all.
#[inline]
fn copy_ends<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) {
        let (first, last) = (*first, *last);
        if let Some(to) = to.first_chunk_mut::<N>() {
            *to = first;
        }
        if let Some(to) = to.last_chunk_mut::<N>() {
            *to = last;
        }
    }
}

/// The most that a piece may have to be copied, in bytes.
pub(super) const MOST_PIECE: usize = 2 * 1024;
/// The most that a file range may have to be read, in bytes.
pub(super) const MOST_FILE: usize = 16 * 1024;
/// The size of a block in bytes.
const BLOCK: usize = 32 * 1024;
/// A block with less room than this is begun anew, once nobody holds a part of it any more: a file
/// and what comes before it are to fit.
const LEAST_ROOM: usize = MOST_FILE + 2 * MOST_PIECE;
/// The size of a line of the cache, in bytes.
const LINE: usize = 64;
/// How many blocks a thread keeps: 128 KiB.
const MOST_BLOCKS: usize = 4;

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// A block with room for [`LEAST_ROOM`] bytes at least.
#[inline]
fn take() -> BytesMut {
    let spare = SPARE.try_with(|spare| {
        let mut spare = spare.try_borrow_mut().ok()?;
        spare
            .pop_if(|block| block.len() >= LEAST_ROOM)
            .or_else(|| reclaim(&mut spare))
    });
    spare.ok().flatten().unwrap_or_else(make)
}

/// A block that has no room left, but whose parts have all gone.
#[cold]
fn reclaim(spare: &mut Vec<BytesMut>) -> Option<BytesMut> {
    let at = spare.iter_mut().position(|block| {
        block.len() >= LEAST_ROOM || {
            // What is in there is of no interest, and would be moved.
            block.clear();
            block.try_reclaim(BLOCK)
        }
    })?;
    let mut block = spare.swap_remove(at);
    if block.len() < LEAST_ROOM {
        block.resize(BLOCK, 0);
    }
    Some(block)
}

#[cold]
fn make() -> BytesMut {
    let mut block = BytesMut::zeroed(BLOCK);
    // Splitting makes the memory refcounted once and for all.
    drop(block.split_to(0));
    block
}

#[inline]
fn give(block: BytesMut) {
    // While a thread ends its blocks are gone, and this one with them.
    let _ = SPARE.try_with(|spare| {
        if let Ok(mut spare) = spare.try_borrow_mut()
            && spare.len() < MOST_BLOCKS
        {
            spare.push(block);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_block_comes_back() {
        let mut tail = Tail::default();
        assert!(tail.push(b"abc"));
        let address = tail.as_slice().as_ptr();
        tail.advance(1);
        assert_eq!(tail.as_slice(), b"bc");
        tail.advance(2);
        assert!(tail.is_empty());
        let mut other = Tail::default();
        // More than a block has room for, if it takes no minutes.
        for _ in 0..if cfg!(miri) { 200 } else { BLOCK } {
            assert!(other.push(b"de"));
            other.advance(1);
            other.advance(1);
        }
        assert!(other.push(b"f"));
        let distance = other.as_slice().as_ptr().addr().abs_diff(address.addr());
        assert!(distance < BLOCK, "{distance}");
    }

    #[test]
    fn what_follows_a_head_is_aligned() {
        for before in [1, 63, 64, 65, 200] {
            let mut tail = Tail::default();
            tail.align(before);
            assert!(tail.push(&vec![b'h'; before]) && tail.push(b"body"));
            assert_eq!(tail.as_slice()[before..].as_ptr().addr() % LINE, 0);
            assert_eq!(tail.seal().unwrap().len(), before + 4);
        }
    }

    #[test]
    fn copies_of_any_length_are_whole() {
        let from: Vec<u8> = (1..=200).collect();
        for len in 0..=from.len() {
            let mut to = vec![0; len];
            copy(&mut to, &from[..len]);
            assert_eq!(to, from[..len]);
        }
    }

    #[test]
    fn fills_up_to_what_is_too_large() {
        let parts = [3, 0, 40, 513, 4].map(|len| Bytes::from(vec![b'x'; len]));
        let mut rest = parts.iter();
        let mut tail = Tail::default();
        assert_eq!(tail.fill(&mut rest, 512), 43);
        assert_eq!((rest.len(), tail.as_slice().len()), (2, 43));
        assert_eq!(tail.fill(&mut rest, 512), 0);
        rest.next();
        assert_eq!((tail.fill(&mut rest, 512), rest.len()), (4, 0));
        assert_eq!(tail.seal().unwrap(), "x".repeat(47));
        assert_eq!(tail.fill(&mut parts[1..2].iter(), 512), 0);
        assert!(tail.is_empty(), "nothing needs no block");
    }

    #[test]
    fn fills_a_block_and_no_more() {
        let parts = vec![Bytes::from(vec![b'x'; 500]); 100];
        let mut rest = parts.iter();
        let mut tail = Tail::default();
        let filled = tail.fill(&mut rest, 512);
        assert!((LEAST_ROOM - 500..=BLOCK).contains(&filled), "{filled}");
        assert_eq!(filled, (100 - rest.len()) * 500);
    }

    #[test]
    fn what_was_not_written_is_not_there() {
        let mut tail = Tail::default();
        assert!(!tail.push_with(5, |_| false) && tail.is_empty());
        assert!(!tail.push_with(BLOCK + 1, |_| true) && tail.is_empty());
        assert!(tail.push(b"ab"));
        assert!(!tail.push_with(5, |_| false));
        assert!(tail.push_with(2, |room| {
            room.copy_from_slice(b"cd");
            true
        }));
        assert_eq!(tail.as_slice(), b"abcd");
    }

    #[test]
    fn a_block_has_an_end() {
        let mut tail = Tail::default();
        let piece = [b'x'; MOST_PIECE];
        let fit = (0..).take_while(|_| tail.push(&piece)).count();
        let sizes = LEAST_ROOM / MOST_PIECE..=BLOCK / MOST_PIECE + 1;
        assert!(sizes.contains(&fit), "{fit}");
        assert_eq!(tail.seal().unwrap().len(), fit * MOST_PIECE);
        assert!(tail.is_empty() && tail.seal().is_none());
        assert!(tail.push(&piece), "a new one");
    }

    #[test]
    fn blocks_are_used_again_when_nobody_holds_them() {
        let piece = [b'x'; MOST_PIECE];
        let fill = || {
            let mut tail = Tail::default();
            while tail.push(&piece) {}
            tail.seal().unwrap()
        };
        let held = [fill(), fill(), fill()];
        let mut addresses = held.each_ref().map(|bytes| bytes.as_ptr());
        drop(held);
        let mut again = [(); 3].map(|()| fill()).map(|bytes| bytes.as_ptr());
        addresses.sort();
        again.sort();
        assert!(again.iter().all(|address| addresses.contains(address)));
    }
}
