//! What is better copied together, or read, before it is handed to a sink.

use std::sync::Arc;

use super::ChainWriter;
use super::tail::{MOST_FILE, MOST_PIECE, Tail};
use crate::output::align::Plan;
use crate::{Buf, Chain, Sink};

impl ChainWriter {
    /// Has what is better copied, or read, for this sink copied together.
    #[inline]
    pub(super) fn settle<S: Sink + ?Sized>(&mut self, sink: &S) {
        if !std::mem::take(&mut self.fresh)
            || self.out.len() + usize::from(!self.tail.is_empty()) < 2
        {
            return;
        }
        let copies = sink.copies_up_to().min(MOST_PIECE);
        let reads = sink.reads_up_to().min(MOST_FILE);
        if !self.wants_copies(copies, reads) {
            return;
        }
        self.seal();
        let placed = self.place_front(copies, reads);
        if placed == self.out.len() {
            self.out.clear();
        } else {
            let mut rest = std::mem::take(&mut self.out);
            (0..placed).for_each(|_| drop(rest.pop_front()));
            self.place(rest, copies, reads);
        }
    }

    /// Whether there are small pieces, and enough of them, or a small file and something else.
    fn wants_copies(&self, copies: usize, reads: usize) -> bool {
        let (mut pieces, mut small, mut file) = (0, 0, false);
        for buf in self.out.iter().filter(|buf| !buf.is_empty()) {
            pieces += 1;
            small += u32::from(is_small(buf, copies));
            file |= is_small_file(buf, reads);
        }
        small > FEW_SMALL || file && pieces + u32::from(!self.tail.is_empty()) > 1
    }

    /// Copies, or reads, the first links of `out`, up to one for which that is not to be; says how
    /// many.
    fn place_front(&mut self, copies: usize, reads: usize) -> usize {
        let mut links = self.out.iter();
        if let [head, file, ..] = links.as_slice()
            && is_small(head, copies)
            && is_small_file(file, reads)
        {
            self.tail.align(head.as_slice().map_or(0, <[u8]>::len));
        }
        let mut placed = 0;
        while let Some(buf) = links.next() {
            let taken = match buf.as_slice() {
                _ if buf.is_empty() => true,
                Some(bytes) => bytes.len() <= copies && self.tail.push(bytes),
                None => {
                    is_small_file(buf, reads)
                        && !meet(Some(buf), links.as_slice().first())
                        && read_small(&mut self.tail, buf)
                }
            };
            if !taken {
                break;
            }
            placed += 1;
        }
        placed
    }

    /// Appends bufs that were counted: memory of up to `copies` bytes is copied together, with
    /// files of up to `reads` bytes, as long as one block has room for them.
    pub(super) fn place(&mut self, chain: Chain, copies: usize, reads: usize) {
        let (mut chain, mut full) = (chain, false);
        while let Some(buf) = chain.pop_front() {
            if buf.is_empty() && (buf.is_memory() || !self.tail.is_empty()) {
                // Its marks were counted too.
                continue;
            }
            let small = is_small(&buf, copies);
            if let Some(bytes) = buf.as_slice().filter(|_| small && !full) {
                if self.tail.push(bytes) {
                    continue;
                }
                full = true;
            } else if !full && is_small_file(&buf, reads) && !self.goes_on(&buf, chain.front()) {
                if read_small(&mut self.tail, &buf) {
                    continue;
                }
                full = true;
            }
            self.seal();
            self.out.push(buf);
        }
    }

    /// Whether a file range is a part of a longer one that can be sent by one call.
    fn goes_on(&self, buf: &Buf, next: Option<&Buf>) -> bool {
        meet(Some(buf), next) || self.tail.is_empty() && meet(self.out.back(), Some(buf))
    }
}

/// Whether this is memory, and not more than `most` bytes.
#[inline]
fn is_small(buf: &Buf, most: usize) -> bool {
    buf.len() <= most as u64 && buf.is_memory() && !buf.is_empty()
}

/// Whether this is a range of a file that can be read anywhere, and not more than `most` bytes.
#[inline]
pub(super) fn is_small_file(buf: &Buf, most: usize) -> bool {
    buf.len() <= most as u64
        && !buf.is_empty()
        && buf.file_parts().is_some_and(|(file, _)| !file.is_direct())
}

/// Whether both are ranges of one file, and the second goes on where the first ends.
fn meet(front: Option<&Buf>, back: Option<&Buf>) -> bool {
    let (front, back) = (
        front.and_then(Buf::file_parts),
        back.and_then(Buf::file_parts),
    );
    front
        .zip(back)
        .is_some_and(|((file, range), (next, rest))| {
            Arc::ptr_eq(file, next) && range.end == rest.start
        })
}

/// Reads a small file range behind what was copied. If it cannot be read, that is found again when
/// it has its turn.
pub(super) fn read_small(tail: &mut Tail, buf: &Buf) -> bool {
    let Some((file, range)) = buf.file_parts() else {
        return false;
    };
    let len = usize::try_from(buf.len()).unwrap_or(usize::MAX);
    tail.push_with(len, |room| {
        let plan = Plan::new(1, &range, 0..room.len(), 0);
        file.read(&plan, 0, room).is_ok()
    })
}

/// With more bufs that are small these are copied together.
pub(super) const FEW_SMALL: u32 = 4;
