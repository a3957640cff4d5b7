//! The chain: bufs in order.

mod storage;

use std::fmt;

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use crate::{Buf, Flags};

/// Bufs in order: memory, file ranges and specials, mixed as they come.
///
/// ```text
///   front                                                 push
///     |                                                     |
///   +----------------+----------------+----------------+---------+
///   | memory "HTTP/" | file 0..65536  | memory "0\r\n" | LAST    |
///   +----------------+----------------+----------------+---------+
///     advance(n) eats from here; a special goes when all before it has gone
/// ```
///
/// A few links lie inside the chain itself, more on the heap, in storage that the thread keeps and
/// uses again: in the steady state chains of any length make no allocation. Taking the first is
/// cheap: the place stays behind until the chain is empty or half of it has been taken.
///
/// ```
/// use ngx_buf::{Buf, Chain};
///
/// let mut chain = Chain::new();
/// chain.push("head ");
/// chain.push("body");
/// chain.push(Buf::last());
/// assert_eq!((chain.len(), chain.size()), (3, 9));
///
/// chain.advance(7); // so many bytes were written
/// assert_eq!(chain.to_vec(), b"dy");
/// chain.advance(2);
/// assert!(chain.is_empty()); // the end went with the last byte
/// ```
#[derive(Default)]
pub struct Chain {
    /// An empty chain has no storage on the heap: it was given back.
    links: SmallVec<[Buf; INLINE]>,
    /// Links before this one were taken and are empty. `head < links.len()`, or both are 0.
    head: usize,
}

impl Chain {
    /// A chain without links.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a buf.
    pub fn push(&mut self, buf: impl Into<Buf>) {
        if self.links.len() == self.links.capacity() {
            self.make_room();
        }
        self.links.push(buf.into());
    }

    /// Appends a buf; a file range that goes on where the last one ends becomes one with it.
    pub fn push_coalesced(&mut self, buf: impl Into<Buf>) {
        let buf = buf.into();
        match self.links.last_mut() {
            Some(last) => {
                if let Err(buf) = last.join_file(buf) {
                    self.push(buf);
                }
            }
            None => self.push(buf),
        }
    }

    /// Puts a buf before all others.
    pub fn push_front(&mut self, buf: impl Into<Buf>) {
        if let Some(place) = self.head.checked_sub(1).and_then(|i| self.links.get_mut(i)) {
            *place = buf.into();
            self.head -= 1;
        } else {
            if self.links.len() == self.links.capacity() {
                self.make_room();
            }
            self.links.insert(0, buf.into());
        }
    }

    /// Takes the first buf.
    pub fn pop_front(&mut self) -> Option<Buf> {
        let buf = std::mem::take(self.links.get_mut(self.head)?);
        self.head += 1;
        if self.head == self.links.len() {
            self.clear();
        }
        Some(buf)
    }

    /// The first buf.
    #[must_use]
    pub fn front(&self) -> Option<&Buf> {
        self.links.get(self.head)
    }

    /// The first buf, to change it.
    pub fn front_mut(&mut self) -> Option<&mut Buf> {
        self.links.get_mut(self.head)
    }

    /// The last buf.
    #[must_use]
    pub fn back(&self) -> Option<&Buf> {
        self.links.last()
    }

    /// The last buf, to change it.
    pub fn back_mut(&mut self) -> Option<&mut Buf> {
        self.links.last_mut()
    }

    /// Appends all of `other`, in order.
    pub fn append(&mut self, mut other: Self) {
        if self.is_empty() {
            *self = other;
        } else {
            self.extend(other.links.drain(other.head..));
            // The links before were taken, and nothing is behind them any more.
            other.clear();
        }
    }

    /// Appends the links of `other`, which keeps them: the bytes are shared, not copied.
    #[doc(alias = "ngx_chain_add_copy")]
    pub fn add_copy(&mut self, other: &Self) {
        self.extend(other.iter().cloned());
    }

    /// How many links there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.links.len() - self.head
    }

    /// Whether there is no link. A chain of specials is not empty, though its size is 0.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// How many bytes there are, in memory and in files. Goes through all links.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.iter().map(Buf::len).sum()
    }

    /// Drops all links.
    pub fn clear(&mut self) {
        self.head = 0;
        if self.links.spilled() {
            storage::give(std::mem::take(&mut self.links).into_vec());
        } else {
            self.links.clear();
        }
    }

    /// All bufs in order.
    pub fn iter(&self) -> Iter<'_> {
        self.links.get(self.head..).unwrap_or_default().iter()
    }

    /// All bufs in order, to change them.
    pub fn iter_mut(&mut self) -> IterMut<'_> {
        self.links
            .get_mut(self.head..)
            .unwrap_or_default()
            .iter_mut()
    }

    /// Takes the first `n` bytes off as a chain of their own, or everything if there are fewer.
    ///
    /// A special goes with the bytes before it if more bytes of the cut follow; right at the cut
    /// it stays behind. So `split_to(chain.size())` leaves trailing specials, and only them.
    #[must_use = "the bytes are taken off"]
    pub fn split_to(&mut self, n: u64) -> Self {
        let mut taken = Self::new();
        let mut left = n;
        while left > 0 {
            let Some(front) = self.front_mut() else { break };
            let len = front.len();
            if len > left {
                taken.push(front.split_to(left));
                break;
            }
            left -= len;
            taken.extend(self.pop_front());
        }
        taken
    }

    /// Drops the first `n` bytes, because they were sent (nginx: `ngx_chain_update_sent`).
    ///
    /// Specials and empty bufs go too when everything before them has gone, so `advance(0)` drops
    /// those at the front. Returns by how much `n` exceeded the chain.
    #[doc(alias = "update_sent")]
    #[doc(alias = "ngx_chain_update_sent")]
    pub fn advance(&mut self, n: u64) -> u64 {
        let mut left = n;
        while let Some(front) = self.front_mut() {
            let len = front.len();
            if len > left {
                front.advance(left);
                return 0;
            }
            left -= len;
            self.pop_front();
        }
        left
    }

    /// Whether a buf marks the end of the output.
    #[must_use]
    pub fn has_last_buf(&self) -> bool {
        self.flags().contains(Flags::LAST_BUF)
    }

    /// The marks of all bufs together.
    #[must_use]
    pub fn flags(&self) -> Flags {
        self.iter()
            .fold(Flags::empty(), |all, buf| all | buf.flags())
    }

    /// All memory as one: shared if it is one link, else copied. File ranges are left out.
    #[must_use]
    pub fn copy_to_bytes(&self) -> Bytes {
        let mut memory = self
            .iter()
            .filter_map(Buf::as_bytes)
            .filter(|b| !b.is_empty());
        match (memory.next(), memory.next()) {
            (None, _) => Bytes::new(),
            (Some(only), None) => only.clone(),
            (Some(first), Some(second)) => {
                let rest: usize = memory.clone().map(Bytes::len).sum();
                let mut all = BytesMut::with_capacity(first.len() + second.len() + rest);
                all.extend_from_slice(first);
                all.extend_from_slice(second);
                memory.for_each(|bytes| all.extend_from_slice(bytes));
                all.freeze()
            }
        }
    }

    /// All memory in one vector. File ranges are left out.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = Vec::new();
        self.iter()
            .filter_map(Buf::as_slice)
            .for_each(|bytes| all.extend_from_slice(bytes));
        all
    }

    /// Drops the places of links that were taken, if they are many; else moves the links out of the
    /// chain itself, into storage with room for more.
    #[cold]
    fn make_room(&mut self) {
        if self.head > INLINE && self.head * 2 >= self.links.len() {
            self.links.drain(..self.head);
            self.head = 0;
        } else if !self.links.spilled() {
            let mut storage = storage::take();
            storage.extend(self.links.drain(..));
            self.links = SmallVec::from_vec(storage);
        }
    }
}

impl Clone for Chain {
    fn clone(&self) -> Self {
        let mut copy = Self::new();
        copy.add_copy(self);
        copy
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        if self.links.spilled() {
            self.clear();
        }
    }
}

// === conversions and iterators ===

/// Goes through the bufs of a chain.
pub type Iter<'a> = std::slice::Iter<'a, Buf>;

/// Goes through the bufs of a chain, to change them.
pub type IterMut<'a> = std::slice::IterMut<'a, Buf>;

/// Takes the bufs of a chain, in order.
#[derive(Debug)]
pub struct IntoIter(Chain);

impl Iterator for IntoIter {
    type Item = Buf;

    fn next(&mut self) -> Option<Buf> {
        self.0.pop_front()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl ExactSizeIterator for IntoIter {}

impl IntoIterator for Chain {
    type Item = Buf;
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        IntoIter(self)
    }
}

impl<'a> IntoIterator for &'a Chain {
    type Item = &'a Buf;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut Chain {
    type Item = &'a mut Buf;
    type IntoIter = IterMut<'a>;

    fn into_iter(self) -> IterMut<'a> {
        self.iter_mut()
    }
}

impl Extend<Buf> for Chain {
    fn extend<I: IntoIterator<Item = Buf>>(&mut self, bufs: I) {
        bufs.into_iter().for_each(|buf| self.push(buf));
    }
}

impl FromIterator<Buf> for Chain {
    fn from_iter<I: IntoIterator<Item = Buf>>(bufs: I) -> Self {
        let mut chain = Self::new();
        chain.extend(bufs);
        chain
    }
}

impl From<Buf> for Chain {
    fn from(buf: Buf) -> Self {
        let mut chain = Self::new();
        chain.push(buf);
        chain
    }
}

impl From<Bytes> for Chain {
    fn from(bytes: Bytes) -> Self {
        Buf::from(bytes).into()
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

/// Head, body and end of a response, and one more.
const INLINE: usize = 4;

#[cfg(test)]
mod tests;
