//! A bounded pool of buffers of one size.

use bytes::{Buf, BytesMut};

/// A bounded number of buffers of one size, that come back to be used again (nginx:
/// `ngx_create_chain_of_bufs` for the set, `ctx->free` for those that came back).
///
/// ```text
///            take()                                 freeze(), clone()
///   free ---------------> BytesMut, to be filled ---------------------> on its way
///     ^   (or made, while                                                   |
///     |    there are < num)            try_into_mut(): nobody else          |
///     '------- give() <-----------------------------------------------------'
/// ```
///
/// What is taken has the length of the pool, filled with whatever the last user left in it. To
/// know when a buffer that was handed on is free again its producer keeps a clone of the frozen
/// memory ([`update_chains`](crate::update_chains)). A buffer that comes and goes in this way
/// costs no allocation.
///
/// One of 16 KiB or more begins at a place within a page to which files are copied quickest, for
/// which up to a page of addresses is spent beside its size.
///
/// ```
/// use ngx_buf::BufPool;
///
/// let mut pool = BufPool::new(2, 4096);
/// let first = pool.take().ok_or("empty")?;
/// let second = pool.take().ok_or("empty")?;
/// assert!(pool.take().is_none()); // bounded
///
/// pool.give(first);
/// assert!(pool.take().is_some());
/// assert_eq!(pool.stats().reused, 1);
/// # drop(second);
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug)]
pub struct BufPool {
    num: usize,
    size: usize,
    /// A power of two that the addresses of the buffers, and `size`, are multiples of.
    alignment: usize,
    /// `free.len() <= allocated`
    free: Vec<BytesMut>,
    /// `allocated <= num`, but for those from before an alignment.
    allocated: usize,
    peak: usize,
    reused: u64,
    /// A buffer of another size was made once.
    made_odd: bool,
}

/// What a [`BufPool`] has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolStats {
    /// Buffers that exist now, free or in use.
    pub allocated: usize,
    /// Buffers that are in use now.
    pub in_use: usize,
    /// The most buffers that ever existed at once.
    pub peak: usize,
    /// How often a buffer was used again instead of being made.
    pub reused: u64,
}

impl BufPool {
    /// A pool of up to `num` buffers (at least one) of `size` bytes each (at least one, and 1 GiB at
    /// most). None is made before it is needed.
    #[must_use]
    pub fn new(num: usize, size: usize) -> Self {
        Self::aligned(num, size, 1)
    }

    /// A pool whose buffers begin at an address that is a multiple of `alignment`, and whose size
    /// is one too, as direct I/O wants them; `alignment` is rounded up to a power of two, and 1 GiB at
    /// most.
    ///
    /// What is skipped at the front of a buffer to get there, up to `alignment` bytes, is taken
    /// from its size, so that aligned buffers take no more memory than `num` times `size`; if one is
    /// too small for that there are fewer, and if there is but one it takes up to `alignment` more.
    #[must_use]
    pub fn aligned(num: usize, size: usize, alignment: usize) -> Self {
        let mut pool = Self {
            num: num.max(1),
            size: size.clamp(1, MOST_SIZE),
            alignment: 1,
            free: Vec::new(),
            allocated: 0,
            peak: 0,
            reused: 0,
            made_odd: false,
        };
        pool.align(alignment);
        pool
    }

    /// A buffer of the pool's size, or `None` if all are in use.
    pub fn take(&mut self) -> Option<BytesMut> {
        self.take_free().or_else(|| self.take_new(self.size))
    }

    /// Gives a buffer back. One that is not of the pool's size, also if it is whole again, is not
    /// kept.
    pub fn give(&mut self, buffer: BytesMut) {
        let buffer = if buffer.len() < self.size {
            self.whole(buffer)
        } else {
            buffer
        };
        if buffer.len() == self.size
            && is_aligned(&buffer, self.alignment)
            && self.free.len() < self.allocated
        {
            self.free.push(buffer);
        } else {
            self.forget(1);
        }
    }

    /// A buffer of which a part came back, as it was.
    #[cold]
    fn whole(&self, part: BytesMut) -> BytesMut {
        let mut buffer = part;
        let place = Place::of(self.size, self.alignment);
        let cost = self.size + place.slack();
        // What is larger was never the pool's.
        if buffer.capacity() > cost {
            return buffer;
        }
        let is_front = place.skipped(&buffer) == 0 && buffer.try_reclaim(self.size - buffer.len());
        // It may have been moved to the front of all there is.
        if is_front && place.skipped(&buffer) == 0 {
            buffer.resize(self.size, 0);
            return buffer;
        }
        // It does not know how much is missing before it, but all there is begins there.
        buffer.clear();
        if buffer.try_reclaim(cost) {
            let skipped = place.skipped(&buffer);
            buffer.resize(skipped + self.size, 0);
            buffer.advance(skipped);
        }
        buffer
    }

    /// Counts a buffer that was forgotten again, if there is room for one; says whether there was.
    pub(crate) fn remember(&mut self) -> bool {
        let room = self.allocated < self.num;
        self.allocated += usize::from(room);
        self.peak = self.peak.max(self.allocated);
        room
    }

    /// The size of the buffers, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// What the addresses of the buffers are multiples of, in bytes; 1 is any address.
    #[must_use]
    pub fn alignment(&self) -> usize {
        self.alignment
    }

    /// How many buffers there may be.
    #[must_use]
    pub fn num(&self) -> usize {
        self.num
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        PoolStats {
            allocated: self.allocated,
            in_use: self.allocated - self.free.len(),
            peak: self.peak,
            reused: self.reused,
        }
    }

    /// How many bytes the free buffers have.
    pub(crate) fn free_bytes(&self) -> usize {
        self.free.iter().map(BytesMut::len).sum()
    }

    pub(crate) fn take_free(&mut self) -> Option<BytesMut> {
        let buffer = self.free.pop()?;
        self.reused += 1;
        Some(buffer)
    }

    /// A buffer of another size, that counts as one of the pool's while it is in use.
    pub(crate) fn take_new(&mut self, size: usize) -> Option<BytesMut> {
        if self.allocated >= self.num {
            return None;
        }
        self.allocated += 1;
        self.made_odd |= size != self.size;
        self.peak = self.peak.max(self.allocated);
        Some(block(size, self.alignment))
    }

    /// From now on all buffers are aligned to `alignment` at least. Those that are not, or have
    /// another size than they would have now, are not used again.
    pub(crate) fn align(&mut self, alignment: usize) {
        let alignment = alignment.min(MOST_SIZE).next_power_of_two();
        if alignment <= self.alignment {
            return;
        }
        // Without alignment a buffer costs its size, with it as much less as may be skipped.
        let cost = self.size + (self.alignment - 1);
        self.alignment = alignment;
        self.size = (cost.saturating_sub(alignment - 1) & !(alignment - 1)).max(alignment);
        let aligned = self.size + (alignment - 1);
        if aligned > cost {
            self.num = (self.num.saturating_mul(cost) / aligned).max(1);
        }
        let before = self.free.len();
        self.free
            .retain(|buffer| buffer.len() == self.size && is_aligned(buffer, alignment));
        self.forget(before - self.free.len());
    }

    /// Whether a buffer of another size was made before. Such a one does not come back.
    pub(crate) fn made_odd(&self) -> bool {
        self.made_odd
    }

    /// Whether none is free and none may be made.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.free.is_empty() && self.allocated >= self.num
    }

    /// None of the buffers that are in use will come back.
    pub(crate) fn forget_used(&mut self) {
        self.allocated = self.free.len();
    }

    /// `n` buffers that are in use will not come back.
    pub(crate) fn forget(&mut self, n: usize) {
        self.allocated = self.allocated.saturating_sub(n).max(self.free.len());
    }
}

/// The largest buffer there is, in bytes: sums of a few of them do not overflow.
pub(crate) const MOST_SIZE: usize = 1 << 30;

/// Memory that can be frozen, shared and taken back without an allocation, at an address that is a
/// multiple of `alignment`, a power of two.
pub(crate) fn block(size: usize, alignment: usize) -> BytesMut {
    let place = Place::of(size, alignment);
    let mut block = BytesMut::zeroed(size + place.slack());
    let skipped = place.skipped(&block);
    // Splitting makes the memory refcounted once and for all; otherwise every round of freezing
    // and sharing would allocate a counter.
    drop(block.split_to(skipped));
    block.truncate(size);
    block
}

/// Where a buffer had better begin: `at` bytes behind a multiple of `of`, a power of two.
///
/// Files lie in the page cache at the beginning of a page. To copy a large one, a part at a time,
/// the processor is quickest if what it reads is well ahead of what it writes within a page (it
/// takes addresses that are alike in their lowest 12 bits for the same at first), and if it does not
/// begin to write at a line of its cache: then it writes around the cache, although what was written
/// is wanted at once. 10 MiB by 64 KiB take 485 us at 3104, 500 to 515 at any line, 520 to 530 close
/// behind the beginning of a page, where an allocator puts them. What is small, and therefore in the
/// cache, is copied quickest to a line (`Tail::align`).
struct Place {
    of: usize,
    at: usize,
}

impl Place {
    fn of(size: usize, alignment: usize) -> Self {
        let (of, at) = match alignment {
            0 | 1 if size >= LARGE => (PAGE, AHEAD),
            _ => (alignment.max(1), 0),
        };
        Self { of, at }
    }

    /// The most bytes that may have to be skipped to get there.
    fn slack(&self) -> usize {
        self.of - 1
    }

    /// How many bytes of `memory` are to be skipped to get there.
    fn skipped(&self, memory: &BytesMut) -> usize {
        self.at.wrapping_sub(memory.as_ptr().addr()) & (self.of - 1)
    }
}

/// The size of a page of the page cache, in bytes: nothing goes wrong where it is another one.
const PAGE: usize = 4096;
/// Where in a page a large buffer begins.
const AHEAD: usize = 3 * PAGE / 4 + 32;
/// A buffer of so many bytes is worth a page to have it begin at the best place.
const LARGE: usize = 16 * 1024;

pub(crate) fn is_aligned(memory: &[u8], alignment: usize) -> bool {
    memory.as_ptr().addr() & (alignment - 1) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_and_counted() {
        let mut pool = BufPool::new(2, 8);
        assert_eq!(pool.stats(), PoolStats::default());
        let (a, b) = (pool.take().unwrap(), pool.take().unwrap());
        assert_eq!((a.len(), b.len()), (8, 8));
        assert!(pool.take().is_none());
        pool.give(a);
        assert_eq!(
            pool.stats(),
            PoolStats {
                allocated: 2,
                in_use: 1,
                peak: 2,
                reused: 0
            }
        );
        assert!(pool.take().is_some());
        assert_eq!(
            pool.stats(),
            PoolStats {
                allocated: 2,
                in_use: 2,
                peak: 2,
                reused: 1
            }
        );
    }

    #[test]
    fn limits_may_be_absurd() {
        for (num, size, alignment) in [
            (0, 0, 0),
            (usize::MAX, 1, 1),
            (1, usize::MAX, 1),
            (usize::MAX, usize::MAX, usize::MAX),
            (3, 1, usize::MAX),
        ] {
            let pool = BufPool::aligned(num, size, alignment);
            assert!(pool.num() >= 1 && (1..=MOST_SIZE).contains(&pool.size()));
            assert_eq!(pool.size() % pool.alignment(), 0);
        }
        assert!(BufPool::new(usize::MAX, 7).take().is_some());
    }

    #[test]
    fn a_part_is_made_whole_again() {
        for (size, alignment) in [(2000, 1), (2000, 512), (LARGE, 1), (LARGE + 5, 512)] {
            let mut pool = BufPool::aligned(1, size, alignment);
            let size = pool.size();
            for (from, to) in [
                (0, 5),
                (0, size),
                (5, 6),
                (size / 2, size),
                (size / 2 + 1, size),
            ] {
                let mut buffer = pool.take().unwrap();
                let address = buffer.as_ptr();
                buffer.truncate(to);
                let part = buffer.split_off(from).freeze();
                drop(buffer);
                pool.give(part.try_into_mut().unwrap());
                assert_eq!(pool.stats().allocated, 1, "{from}..{to}");
                let whole = pool.take().unwrap();
                assert_eq!((whole.len(), whole.as_ptr()), (size, address));
                pool.give(whole);
            }
            pool.take().unwrap();
            pool.give(BytesMut::with_capacity(10 * size));
            assert_eq!(pool.stats().allocated, 0, "it was never the pool's");
        }
    }

    #[test]
    fn another_size_is_not_kept() {
        let mut pool = BufPool::new(1, 8);
        let odd = pool.take_new(3).unwrap();
        assert!(pool.take().is_none());
        pool.give(odd);
        assert_eq!(
            pool.stats(),
            PoolStats {
                allocated: 0,
                in_use: 0,
                peak: 1,
                reused: 0
            }
        );
        assert_eq!(pool.take().unwrap().len(), 8);
    }

    #[test]
    fn more_given_than_taken_is_not_kept() {
        let mut pool = BufPool::new(1, 8);
        pool.give(block(8, 1));
        assert_eq!(pool.stats().allocated, 0);
    }

    #[test]
    fn aligned_buffers_come_back_aligned() {
        for alignment in [1, 2, 512, 4096] {
            let mut pool = BufPool::aligned(2, 10_000, alignment);
            assert_eq!(pool.size() % alignment, 0);
            assert!(pool.size() + alignment <= 10_000 + 1, "{}", pool.size());
            assert!(pool.size() + 2 * alignment > 10_000);
            for _ in 0..3 {
                let (a, b) = (pool.take().unwrap(), pool.take().unwrap());
                for buffer in [a, b] {
                    assert!(is_aligned(&buffer, alignment));
                    assert_eq!(buffer.len(), pool.size());
                    let address = buffer.as_ptr();
                    let back = buffer.freeze().try_into_mut().unwrap();
                    assert_eq!((back.as_ptr(), back.len()), (address, pool.size()));
                    pool.give(back);
                }
            }
            assert_eq!(pool.stats().reused, 4);
        }
        assert_eq!(BufPool::aligned(1, 100, 512).size(), 512);
        for (num, size) in [(2, 512), (4, 600), (3, 1024), (8, 1023), (1, 1)] {
            let pool = BufPool::aligned(num, size, 512);
            let cost = pool.num() * (pool.size() + 511);
            assert!(cost <= (num * size).max(1023), "{num} x {size}: {cost}");
        }
        assert_eq!(BufPool::aligned(1, 3000, 1000).alignment(), 1024);
    }

    #[test]
    fn a_large_buffer_begins_where_files_are_copied_to_quickest() {
        for size in [LARGE, LARGE + 1, 10 * LARGE] {
            let block = block(size, 1);
            assert_eq!(block.as_ptr().addr() % PAGE, AHEAD);
            assert_eq!(block.len(), size);
        }
    }

    #[test]
    fn what_is_not_aligned_is_not_used_again() {
        let mut pool = BufPool::new(3, 1000);
        let (a, b) = (pool.take().unwrap(), pool.take().unwrap());
        pool.give(a);
        pool.align(512);
        assert_eq!((pool.stats().allocated, pool.size()), (1, 512));
        pool.give(b);
        assert_eq!(pool.stats().allocated, 0);
        assert!(is_aligned(&pool.take().unwrap(), 512));
        pool.align(16);
        assert_eq!(pool.alignment(), 512, "never less");
    }

    #[test]
    fn the_same_memory_comes_back() {
        let block = block(16, 1);
        let address = block.as_ptr();
        let bytes = block.freeze();
        let window = bytes.slice(4..9);
        assert!(!bytes.is_unique());
        drop(window);
        let block = bytes.try_into_mut().unwrap();
        assert_eq!((block.as_ptr(), block.len()), (address, 16));
    }
}
