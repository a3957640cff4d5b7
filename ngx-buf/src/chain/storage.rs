//! Where the links of chains of more than one lie, and lie again.
//!
//! When such a chain is empty, or dropped, its storage goes to a list of its thread and serves the
//! next one (nginx keeps single links in `pool->chain`). So a response of any number of bufs makes
//! no allocation for its chain once the thread has sent one like it.

use std::cell::Cell;

use crate::Buf;

/// Links in order, with room for more.
#[derive(Default)]
pub(super) struct Links {
    links: Vec<Buf>,
    /// Links before this one were taken and are empty. `head <= links.len()`
    head: usize,
    /// The next storage in the list of the thread.
    next: Option<Box<Self>>,
}

impl Links {
    #[inline]
    pub(super) fn push(&mut self, buf: Buf) {
        if self.links.len() == self.links.capacity() {
            self.make_room();
        }
        self.links.push(buf);
    }

    pub(super) fn push_front(&mut self, buf: Buf) {
        if let Some(place) = self.head.checked_sub(1).and_then(|i| self.links.get_mut(i)) {
            *place = buf;
            self.head -= 1;
        } else {
            self.links.insert(0, buf);
        }
    }

    #[inline]
    pub(super) fn pop_front(&mut self) -> Option<Buf> {
        let buf = std::mem::take(self.links.get_mut(self.head)?);
        self.head += 1;
        Some(buf)
    }

    /// Takes all of `other`.
    pub(super) fn append(&mut self, other: &mut Self) {
        self.links.extend(other.links.drain(other.head..));
        other.clear();
    }

    /// Drops the first `n` bytes, and says what is left of `n` if that was everything.
    pub(super) fn advance(&mut self, n: u64) -> Option<u64> {
        let mut left = n;
        while let Some(buf) = self.links.get_mut(self.head) {
            left = advance(buf, left)?;
            *buf = Buf::default();
            self.head += 1;
        }
        Some(left)
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.head == self.links.len()
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[Buf] {
        self.links.get(self.head..).unwrap_or_default()
    }

    #[inline]
    pub(super) fn as_mut_slice(&mut self) -> &mut [Buf] {
        self.links.get_mut(self.head..).unwrap_or_default()
    }

    /// How many links there may be before the storage grows.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.links.capacity()
    }

    fn clear(&mut self) {
        self.links.clear();
        self.head = 0;
    }

    /// Drops the places of links that were taken, if they are many.
    #[cold]
    fn make_room(&mut self) {
        if self.head * 2 >= self.links.len() {
            self.links.drain(..self.head);
            self.head = 0;
        }
    }
}

/// Drops the first `n` bytes of `buf`, and says what is left of `n` if that was everything.
#[inline]
pub(super) fn advance(buf: &mut Buf, n: u64) -> Option<u64> {
    let left = n.checked_sub(buf.len());
    if left.is_none() {
        buf.advance(n);
    }
    left
}

/// Storage for links, empty, from the list if there is one.
pub(super) fn take() -> Box<Links> {
    let spare = SPARE.try_with(Spare::take).ok().flatten();
    spare.unwrap_or_else(first)
}

/// Gives storage to the list, or to the allocator if the list has enough.
pub(super) fn give(mut links: Box<Links>) {
    // Bufs may hold whatever their owner's memory holds, and so end up here again when they are
    // dropped: the list is taken after that.
    links.clear();
    // While a thread ends its list is gone, and the storage with it.
    let _ = SPARE.try_with(|spare| spare.give(links));
}

#[cold]
fn first() -> Box<Links> {
    Box::new(Links {
        links: Vec::with_capacity(FIRST_LINKS),
        ..Links::default()
    })
}

/// The storage that a thread keeps: the last given is the first taken, for it is in the cache.
struct Spare {
    list: Cell<Option<Box<Links>>>,
    /// How many links there is room for in the list; at most [`MAX_LINKS`].
    links: Cell<usize>,
}

impl Spare {
    const fn new() -> Self {
        Self {
            list: Cell::new(None),
            links: Cell::new(0),
        }
    }

    #[inline]
    fn take(&self) -> Option<Box<Links>> {
        let mut links = self.list.take()?;
        self.set(links.next.take());
        self.links.set(self.links.get() - links.links.capacity());
        Some(links)
    }

    #[inline]
    fn give(&self, mut links: Box<Links>) {
        let room = self.links.get() + links.links.capacity();
        if room <= MAX_LINKS {
            self.links.set(room);
            // It has none: it was taken from the list, or is new.
            std::mem::forget(std::mem::replace(&mut links.next, self.list.take()));
            self.set(Some(links));
        }
    }

    /// Sets the list, which was taken, so that there is nothing to drop.
    #[inline]
    fn set(&self, list: Option<Box<Links>>) {
        std::mem::forget(self.list.replace(list));
    }
}

thread_local! {
    static SPARE: Spare = const { Spare::new() };
}

/// How long a chain may get before its storage grows, once it does not fit inside the chain.
const FIRST_LINKS: usize = 8;
/// How many links a thread keeps storage for: 192 KiB.
const MAX_LINKS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn room(links: usize) -> Box<Links> {
        Box::new(Links {
            links: Vec::with_capacity(links),
            ..Links::default()
        })
    }

    #[test]
    fn the_same_storage_comes_back() {
        let mut storage = take();
        storage.push(Buf::last());
        let (address, capacity) = (storage.links.as_ptr(), storage.links.capacity());
        give(storage);
        let storage = take();
        assert_eq!(
            (storage.links.as_ptr(), storage.links.capacity()),
            (address, capacity)
        );
        assert!(storage.is_empty());
    }

    #[test]
    fn a_thread_keeps_only_so_much() {
        let spare = Spare::new();
        for _ in 0..5 {
            spare.give(room(1000));
        }
        assert_eq!(spare.links.get(), 4000);
        spare.give(room(97));
        assert_eq!(spare.links.get(), 4000);
        spare.give(room(96));
        assert_eq!(spare.links.get(), MAX_LINKS);
        let mut taken = 0;
        while spare.take().is_some() {
            taken += 1;
        }
        assert_eq!((taken, spare.links.get()), (5, 0));
    }

    #[test]
    fn places_of_what_was_taken_are_used_again() {
        let mut links = room(8);
        for _ in 0..10_000 {
            links.push("x".into());
            links.push("y".into());
            links.pop_front();
            links.pop_front();
        }
        assert!(links.is_empty());
        assert!(links.links.capacity() <= 16, "{}", links.links.capacity());
        links.push("b".into());
        links.push("c".into());
        links.pop_front();
        let before = links.links.len();
        links.push_front("B".into());
        assert_eq!((links.links.len(), links.as_slice().len()), (before, 2));
    }
}
