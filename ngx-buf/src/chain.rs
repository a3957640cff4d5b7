//! The chain: bufs in order.

mod storage;

use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::{Buf, Flags};
use storage::Links;

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
/// One link lies inside the chain itself, more on the heap, in storage that the thread keeps and
/// uses again: in the steady state chains of any length make no allocation. So a chain is no larger
/// than a buf, and an empty one costs nothing to make, to move and to drop. Taking the first is
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
pub struct Chain(Repr);

#[derive(Default)]
enum Repr {
    #[default]
    Empty,
    One(Buf),
    /// At least one link; the storage goes back to the thread with the last.
    Many(Box<Links>),
}

impl Chain {
    /// A chain without links.
    #[must_use]
    #[inline]
    pub const fn new() -> Self {
        Self(Repr::Empty)
    }

    /// Appends a buf.
    #[inline]
    pub fn push(&mut self, buf: impl Into<Buf>) {
        let buf = buf.into();
        match &mut self.0 {
            Repr::Empty => self.set_empty(Repr::One(buf)),
            Repr::One(_) => self.push_second(buf),
            Repr::Many(links) => links.push(buf),
        }
    }

    /// Appends a buf; if its bytes go on in the same file, or in the same memory, where those of
    /// the last one end, it becomes one with that.
    pub fn push_coalesced(&mut self, buf: impl Into<Buf>) {
        let buf = buf.into();
        match self.back_mut() {
            Some(last) => {
                if let Err(buf) = last.join(buf) {
                    self.push(buf);
                }
            }
            None => self.push(buf),
        }
    }

    /// Puts a buf before all others.
    pub fn push_front(&mut self, buf: impl Into<Buf>) {
        let buf = buf.into();
        match &mut self.0 {
            Repr::Empty => self.0 = Repr::One(buf),
            Repr::One(_) => self.many(|links| links.push_front(buf)),
            Repr::Many(links) => links.push_front(buf),
        }
    }

    /// Takes the first buf.
    pub fn pop_front(&mut self) -> Option<Buf> {
        if let Repr::Many(links) = &mut self.0 {
            let buf = links.pop_front();
            if links.is_empty() {
                self.clear();
            }
            return buf;
        }
        match std::mem::take(&mut self.0) {
            Repr::One(buf) => Some(buf),
            Repr::Empty | Repr::Many(_) => None,
        }
    }

    /// The first buf.
    #[must_use]
    #[inline]
    pub fn front(&self) -> Option<&Buf> {
        self.as_slice().first()
    }

    /// The first buf, to change it.
    #[inline]
    pub fn front_mut(&mut self) -> Option<&mut Buf> {
        self.as_mut_slice().first_mut()
    }

    /// The last buf.
    #[must_use]
    #[inline]
    pub fn back(&self) -> Option<&Buf> {
        self.as_slice().last()
    }

    /// The last buf, to change it.
    #[inline]
    pub fn back_mut(&mut self) -> Option<&mut Buf> {
        self.as_mut_slice().last_mut()
    }

    /// Appends all of `other`, in order.
    pub fn append(&mut self, mut other: Self) {
        if self.is_empty() {
            self.set_empty(std::mem::take(&mut other.0));
            return;
        }
        match &mut other.0 {
            Repr::Empty => {}
            Repr::One(buf) => self.push(std::mem::take(buf)),
            Repr::Many(links) => self.many(|all| all.append(links)),
        }
    }

    /// Appends the links of `other`, which keeps them: the bytes are shared, not copied.
    #[doc(alias = "ngx_chain_add_copy")]
    pub fn add_copy(&mut self, other: &Self) {
        self.extend(other.iter().cloned());
    }

    /// How many links there are.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there is no link. A chain of specials is not empty, though its size is 0.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Repr::Empty)
    }

    /// How many bytes there are, in memory and in files. Goes through all links.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.iter()
            .fold(0, |all, buf| buf.len().saturating_add(all))
    }

    /// Drops all links.
    #[inline]
    pub fn clear(&mut self) {
        match &mut self.0 {
            Repr::Empty => {}
            Repr::One(_) => self.0 = Repr::Empty,
            Repr::Many(_) => self.give_back(),
        }
    }

    /// All bufs in order.
    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        self.as_slice().iter()
    }

    /// All bufs in order, to change them.
    #[inline]
    pub fn iter_mut(&mut self) -> IterMut<'_> {
        self.as_mut_slice().iter_mut()
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
        let left = match &mut self.0 {
            Repr::Empty => return n,
            Repr::One(buf) => storage::advance(buf, n),
            Repr::Many(links) => links.advance(n),
        };
        match left {
            Some(left) => {
                self.clear();
                left
            }
            None => 0,
        }
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
        let mut memory = self.iter().filter(|buf| buf.is_memory() && !buf.is_empty());
        match (memory.next(), memory.next()) {
            (None, _) => Bytes::new(),
            (Some(only), None) => only.to_bytes().unwrap_or_default(),
            (Some(first), Some(second)) => {
                let size = first.len() + second.len() + memory.clone().map(Buf::len).sum::<u64>();
                let mut all = BytesMut::with_capacity(usize::try_from(size).unwrap_or(0));
                let bytes = [first, second].into_iter().chain(memory);
                bytes
                    .filter_map(Buf::as_slice)
                    .for_each(|bytes| all.extend_from_slice(bytes));
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

    /// Puts `links` into an empty chain, in which there is nothing to drop.
    #[inline]
    fn set_empty(&mut self, links: Repr) {
        debug_assert!(self.is_empty());
        std::mem::forget(std::mem::replace(&mut self.0, links));
    }

    #[inline(never)]
    fn push_second(&mut self, buf: Buf) {
        self.many(|links| links.push(buf));
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[Buf] {
        match &self.0 {
            Repr::Empty => &[],
            Repr::One(buf) => std::slice::from_ref(buf),
            Repr::Many(links) => links.as_slice(),
        }
    }

    #[inline]
    fn as_mut_slice(&mut self) -> &mut [Buf] {
        match &mut self.0 {
            Repr::Empty => &mut [],
            Repr::One(buf) => std::slice::from_mut(buf),
            Repr::Many(links) => links.as_mut_slice(),
        }
    }

    /// Does something with the links in storage of their own, which they go to if they are not
    /// there yet. There is one at least afterwards.
    #[inline]
    fn many(&mut self, change: impl FnOnce(&mut Links)) {
        if let Repr::Many(links) = &mut self.0 {
            return change(links);
        }
        let mut links = storage::take();
        if let Repr::One(buf) = &mut self.0 {
            links.push(std::mem::take(buf));
        }
        change(&mut links);
        // What is left there is a buf without anything.
        std::mem::forget(std::mem::replace(&mut self.0, Repr::Many(links)));
    }

    fn give_back(&mut self) {
        if let Repr::Many(links) = std::mem::take(&mut self.0) {
            storage::give(links);
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
    #[inline]
    fn drop(&mut self) {
        if matches!(self.0, Repr::Many(_)) {
            self.give_back();
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
    #[inline]
    fn from(buf: Buf) -> Self {
        Self(Repr::One(buf))
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

#[cfg(test)]
mod tests;
