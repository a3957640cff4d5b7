//! Where the links of long chains lie, and lie again.
//!
//! A chain of more than a few links needs memory for them. When it is empty, or dropped, that
//! memory goes to a list of its thread and serves the next long chain (nginx keeps single links in
//! `pool->chain`). So a response of any number of bufs makes no allocation for its chain once the
//! thread has sent one like it.

use std::cell::RefCell;

use crate::Buf;

/// Storage for links, empty, from the list if there is one.
pub(super) fn take() -> Vec<Buf> {
    let spare = SPARE.try_with(|spare| spare.try_borrow_mut().ok()?.take());
    spare
        .ok()
        .flatten()
        .unwrap_or_else(|| Vec::with_capacity(FIRST_LINKS))
}

/// Gives storage to the list, or to the allocator if the list has enough.
pub(super) fn give(mut storage: Vec<Buf>) {
    // Bufs may hold whatever their owner's memory holds, and so end up here again when they are
    // dropped: the list must not be borrowed yet.
    storage.clear();
    // While a thread ends its list is gone, and the storage with it.
    let _ = SPARE.try_with(|spare| {
        if let Ok(mut spare) = spare.try_borrow_mut() {
            spare.give(storage);
        }
    });
}

/// The storage that a thread keeps: the last given is the first taken, for it is in the cache.
#[derive(Default)]
struct Spare {
    list: Vec<Vec<Buf>>,
    /// `links == list.iter().map(Vec::capacity).sum()`, `links <= MAX_LINKS`
    links: usize,
}

impl Spare {
    fn take(&mut self) -> Option<Vec<Buf>> {
        let storage = self.list.pop()?;
        self.links -= storage.capacity();
        Some(storage)
    }

    fn give(&mut self, storage: Vec<Buf>) {
        let links = self.links + storage.capacity();
        if links <= MAX_LINKS {
            self.links = links;
            self.list.push(storage);
        }
    }
}

thread_local! {
    static SPARE: RefCell<Spare> = RefCell::default();
}

/// How long a chain may get before its storage grows, once it does not fit inside the chain.
const FIRST_LINKS: usize = 16;
/// How many links a thread keeps storage for: 256 KiB.
const MAX_LINKS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_storage_comes_back() {
        let mut storage = take();
        storage.push(Buf::last());
        let (address, capacity) = (storage.as_ptr(), storage.capacity());
        give(storage);
        let storage = take();
        assert_eq!((storage.as_ptr(), storage.capacity()), (address, capacity));
        assert!(storage.is_empty());
    }

    #[test]
    fn a_thread_keeps_only_so_much() {
        let mut spare = Spare::default();
        for _ in 0..5 {
            spare.give(Vec::with_capacity(1000));
        }
        assert_eq!((spare.list.len(), spare.links), (4, 4000));
        spare.give(Vec::with_capacity(97));
        assert_eq!(spare.list.len(), 4);
        spare.give(Vec::with_capacity(96));
        assert_eq!(spare.links, MAX_LINKS);
        while spare.take().is_some() {}
        assert_eq!(spare.links, 0);
    }
}
