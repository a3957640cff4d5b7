//! Small pieces that were copied together, because that costs less than to send each from where it
//! lies.

use std::cell::RefCell;

use bytes::{Buf as _, Bytes, BytesMut};

/// Copied bytes at the end of the output, in a block of memory that the thread keeps and uses
/// again: a writer with nothing to write has none.
#[derive(Debug, Default)]
pub(super) struct Tail(
    /// With a byte at least.
    Option<BytesMut>,
);

impl Tail {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Appends a copy of `bytes`, of [`SMALL`] at most and one at least, if there is room.
    #[inline]
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        debug_assert!(!bytes.is_empty() && bytes.len() <= SMALL);
        let block = self.0.get_or_insert_with(take);
        let fits = bytes.len() <= block.capacity() - block.len();
        if fits {
            block.extend_from_slice(bytes);
        }
        fits
    }

    /// Drops the first `n` bytes.
    pub(super) fn advance(&mut self, n: u64) {
        if let Some(block) = &mut self.0 {
            match usize::try_from(n) {
                Ok(n) if n < block.len() => block.advance(n),
                _ => self.clear(),
            }
        }
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        if let Some(block) = self.0.take() {
            give(block);
        }
    }

    /// Takes all bytes, to be refcounted.
    pub(super) fn seal(&mut self) -> Option<Bytes> {
        let mut block = self.0.take()?;
        let sealed = block.split().freeze();
        give(block);
        Some(sealed)
    }
}

/// Up to how many bytes a piece is small: the system takes longer for it than a copy does.
pub(super) const SMALL: usize = 512;
/// The size of a block in bytes.
const BLOCK: usize = 16 * 1024;
/// A block with less room than this is begun anew, once nobody holds a part of it any more.
const LEAST_ROOM: usize = 2 * 1024;
/// How many blocks a thread keeps: 64 KiB.
const MOST_BLOCKS: usize = 4;

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// A block, empty, with room for [`SMALL`] bytes at least.
#[inline]
fn take() -> BytesMut {
    let spare = SPARE.try_with(|spare| {
        let mut spare = spare.try_borrow_mut().ok()?;
        spare
            .pop_if(|block| block.capacity() >= LEAST_ROOM)
            .or_else(|| reclaim(&mut spare))
    });
    spare.ok().flatten().unwrap_or_else(make)
}

/// A block that has no room left, but whose parts have all gone.
#[cold]
fn reclaim(spare: &mut Vec<BytesMut>) -> Option<BytesMut> {
    let at = spare
        .iter_mut()
        .position(|block| block.try_reclaim(BLOCK))?;
    Some(spare.swap_remove(at))
}

#[cold]
fn make() -> BytesMut {
    let mut block = BytesMut::with_capacity(BLOCK);
    // Splitting makes the memory refcounted once and for all.
    drop(block.split_to(0));
    block
}

#[inline]
fn give(mut block: BytesMut) {
    block.clear();
    if block.capacity() < BLOCK {
        // Unless somebody holds what was sealed: then it comes back later.
        let _whole = block.try_reclaim(BLOCK);
    }
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
        for _ in 0..BLOCK {
            assert!(other.push(b"de"));
            other.advance(1);
            other.advance(1);
        }
        assert!(other.push(b"f"));
        let distance = other.as_slice().as_ptr().addr().abs_diff(address.addr());
        assert!(distance < BLOCK, "{distance}");
    }

    #[test]
    fn a_block_has_an_end() {
        let mut tail = Tail::default();
        let piece = [b'x'; SMALL];
        let fit = (0..).take_while(|_| tail.push(&piece)).count();
        let sizes = LEAST_ROOM / SMALL..=BLOCK / SMALL + 1;
        assert!(sizes.contains(&fit), "{fit}");
        assert_eq!(tail.seal().unwrap().len(), fit * SMALL);
        assert!(tail.is_empty() && tail.seal().is_none());
        assert!(tail.push(&piece), "a new one");
    }

    #[test]
    fn blocks_are_used_again_when_nobody_holds_them() {
        let piece = [b'x'; SMALL];
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
