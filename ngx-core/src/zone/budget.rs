//! How much fits into a zone, counted as nginx's slab allocator would.
//!
//! A zone is cut into pages of 4096 bytes. An allocation of up to 2048 bytes takes a chunk of the
//! next power of two, in a page of such chunks; a larger one takes whole pages. Sizes that people
//! have found for their zones stay right that way, and so do the numbers that they watch.
//!
//! One thing is better than there: pages are counted as if they were always packed. A page never
//! stays taken because of one chunk in it, and large values need no pages in a row; so a zone does
//! not fragment.

/// The chunks and pages of a zone that are taken.
///
/// Invariant: `free` is `pages` less a page for each `PER_PAGE[class]` chunks begun of each class
/// and less the pages of large allocations.
#[derive(Debug)]
pub(super) struct Budget {
    pages: usize,
    free: usize,
    /// Taken chunks by class: 8 bytes, 16 bytes, up to 2048.
    chunks: [usize; CLASSES],
}

impl Budget {
    /// Of a zone of `size` bytes, in which nginx keeps a table of the pages for itself.
    pub(super) fn new(size: usize) -> Self {
        let pages = size.saturating_sub(POOL) / (PAGE + PAGE_ENTRY);
        let table = (POOL + pages * PAGE_ENTRY).next_multiple_of(PAGE);
        let pages = pages.min(size.saturating_sub(table) / PAGE);
        Self {
            pages,
            free: pages,
            chunks: [0; CLASSES],
        }
    }

    pub(super) fn pages(&self) -> usize {
        self.pages
    }

    /// Bytes in pages of which nothing is taken.
    pub(super) fn free_bytes(&self) -> usize {
        self.free * PAGE
    }

    /// Takes room for `size` bytes, if there is some.
    pub(super) fn take(&mut self, size: usize) -> bool {
        let Some(class) = class(size) else {
            let pages = size.div_ceil(PAGE);
            if pages > self.free {
                return false;
            }
            self.free -= pages;
            return true;
        };
        if self.chunks[class].is_multiple_of(PER_PAGE[class]) {
            if self.free == 0 {
                return false;
            }
            self.free -= 1;
        }
        self.chunks[class] += 1;
        true
    }

    /// Gives back what was taken for `size` bytes.
    pub(super) fn give_back(&mut self, size: usize) {
        let Some(class) = class(size) else {
            self.free += size.div_ceil(PAGE);
            return;
        };
        debug_assert!(self.chunks[class] > 0, "given back more than was taken");
        self.chunks[class] = self.chunks[class].saturating_sub(1);
        if self.chunks[class].is_multiple_of(PER_PAGE[class]) {
            self.free += 1;
        }
        debug_assert!(self.free <= self.pages, "more free pages than there are");
    }
}

/// The class of chunks for `size` bytes; none if it takes whole pages.
fn class(size: usize) -> Option<usize> {
    if size > PAGE / 2 {
        return None;
    }
    let class = size.max(MIN).next_power_of_two().trailing_zeros() - MIN.trailing_zeros();
    usize::try_from(class).ok()
}

const PAGE: usize = 4096;
/// The smallest chunk.
const MIN: usize = 8;
const CLASSES: usize = 9;
/// Chunks in a page; small ones share it with the bits that say which are taken.
const PER_PAGE: [usize; CLASSES] = [504, 254, 127, 64, 32, 16, 8, 4, 2];
/// What nginx keeps about a page.
const PAGE_ENTRY: usize = 24;
/// What nginx keeps about a zone and its classes, on 64-bit systems.
const POOL: usize = 704;

#[cfg(test)]
mod tests {
    use super::*;

    /// What an nginx 1.22 says for free space, with the two pages that a dictionary begins.
    #[test]
    fn a_zone_has_as_many_pages_as_in_nginx() {
        for (size, free) in [
            (12_288, 0),
            (13_000, 0),
            (32_768, 20_480),
            (102_400, 90_112),
            (1_048_576, 1_032_192),
            (10_485_760, 10_412_032),
        ] {
            assert_eq!(Budget::new(size).pages(), free / PAGE + 2, "{size}");
        }
        assert_eq!(Budget::new(0).pages(), 0);
        assert_eq!(Budget::new(8192).pages(), 1);
    }

    #[test]
    fn chunks_share_pages_by_class() {
        let mut budget = Budget::new(32_768);
        assert_eq!(budget.free_bytes(), 7 * PAGE);
        for taken in 0..60 {
            assert!(budget.take(100));
            let pages = 1 + taken / 32;
            assert_eq!(budget.free_bytes(), (7 - pages) * PAGE, "{taken}");
        }
        assert!(budget.take(129), "another class");
        assert_eq!(budget.free_bytes(), 4 * PAGE);
        assert!(budget.take(2049) && budget.take(4097));
        assert_eq!(budget.free_bytes(), PAGE);
        assert!(!budget.take(4097) && budget.take(4096) && !budget.take(1));
        assert!(
            budget.take(65),
            "the first class has room in its second page"
        );
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let mut budget = Budget::new(32_768);
        let sizes = [1, 8, 9, 100, 128, 2048, 2049, 8192];
        assert!(sizes.iter().all(|&size| budget.take(size)));
        assert_eq!(budget.free_bytes(), 0);
        sizes.iter().for_each(|&size| budget.give_back(size));
        assert_eq!(budget.free_bytes(), 7 * PAGE);
    }

    #[test]
    fn chunks_have_the_next_power_of_two() {
        let classes = [1, 8, 9, 16, 17, 2048].map(class);
        assert_eq!(
            classes,
            [Some(0), Some(0), Some(1), Some(1), Some(2), Some(8)]
        );
        assert_eq!(class(2049), None);
    }
}
