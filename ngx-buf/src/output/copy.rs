//! Copying into buffers of the output chain.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::OutputContext;
use super::align::Plan;
use super::decide::{Decision, decide};
use crate::reads::{Outcome, Reads};
use crate::{Buf, BufPool, Chain, FileError, Flags};

/// A buffer that is being filled.
#[derive(Debug)]
pub(super) struct Filling {
    /// Empty while somebody else reads into it.
    memory: BytesMut,
    size: usize,
    /// Whether it belongs to those that come back.
    recycled: bool,
    /// What has been filled. It begins behind the front of the memory if a direct read had to.
    window: Range<usize>,
    /// What is being read.
    plan: Option<Plan>,
}

/// A filled buffer.
pub(super) struct Copied {
    /// The whole memory.
    pub(super) whole: BytesMut,
    /// The part of it that was filled.
    pub(super) window: Range<usize>,
    /// What it says about the stream behind it, and whether it is wanted back.
    pub(super) flags: Flags,
}

impl Copied {
    /// The filled part alone, for somebody who keeps it.
    pub(super) fn into_window(mut self) -> BytesMut {
        self.whole.truncate(self.window.end);
        drop(self.whole.split_to(self.window.start));
        self.whole
    }

    /// The filled part, and the whole to know by when it is free again.
    pub(super) fn into_shared(self) -> (Bytes, Bytes) {
        let whole = self.whole.freeze();
        (whole.slice(self.window), whole)
    }
}

/// How far [`fill`] has come.
pub(super) enum Filled {
    /// There is something to hand on.
    Ready(Copied),
    /// Somebody reads.
    Reading(Filling),
}

/// A buffer for what is at the front of `input`, or `None` if it has to wait.
///
/// When all that remains is the end of the chain, and it fits, a new buffer is of its exact size and
/// need not come back, unless it was the last one there was; with a single buffer this one may be a
/// quarter larger, which saves another round. That is for a chain that is used once: the second
/// time a buffer is made that comes back, and is the last one to be made.
pub(super) fn target(cx: &OutputContext, pool: &mut BufPool, input: &Chain) -> Option<Filling> {
    let direct = input.front().and_then(direct_range);
    if let Some((alignment, _)) = direct {
        pool.align(alignment);
    }
    if let Some(memory) = pool.take_free() {
        return Some(Filling::new(memory, true));
    }
    let most = if cx.bufs.num <= 1 {
        // What alignment has added to the size counts for nothing here.
        pool.size() + pool.size().min(cx.bufs.size) / 4
    } else {
        pool.size()
    };
    let end = exact_end(input, most).filter(|_| !pool.made_odd());
    let exact = end.and_then(|size| match direct {
        None => Some(size),
        // A direct read has its buffer for itself.
        Some((_, range)) if range.end - range.start != size as u64 => None,
        Some((alignment, range)) => {
            Some(Plan::covering(alignment, &range)).filter(|whole| *whole <= most)
        }
    });
    let Some(size) = exact else {
        return pool.take().map(|memory| Filling::new(memory, true));
    };
    let memory = pool.take_new(size)?;
    Some(Filling::new(memory, pool.is_exhausted()))
}

/// Fills the buffer from the front of `input` with all that has to be copied, up to a mark.
pub(super) fn fill(
    cx: &OutputContext,
    mut filling: Filling,
    input: &mut Chain,
    reads: &mut Reads,
) -> Result<Filled, FileError> {
    let mut flags = Flags::empty();
    while let Some(front) = input.front_mut() {
        let n = if filling.plan.is_some() {
            let Some(outcome) = reads.take() else {
                return Ok(Filled::Reading(filling));
            };
            filling.take_outcome(outcome)?
        } else if !filling.has_room_for(cx, front) {
            break;
        } else if let Some((file, range)) = front.file_parts() {
            let room = filling.window.end..filling.memory.len();
            let plan = Plan::new(file.alignment(), &range, room, cx.alignment);
            let memory = std::mem::take(&mut filling.memory);
            let outcome = reads.begin(file, &plan, memory);
            filling.plan = Some(plan);
            let Some(outcome) = outcome else {
                return Ok(Filled::Reading(filling));
            };
            filling.take_outcome(outcome)?
        } else {
            filling.copy(front.as_slice().unwrap_or_default())
        };
        front.advance(n);
        if !front.is_empty() {
            break;
        }
        flags = front.flags() & Flags::CONTROL;
        let alone = front.file_parts().is_some_and(|(file, _)| file.is_direct());
        input.pop_front();
        if alone || !flags.is_empty() {
            break;
        }
    }
    if filling.recycled {
        flags.insert(Flags::RECYCLED);
    }
    Ok(Filled::Ready(Copied {
        whole: filling.memory,
        window: filling.window,
        flags,
    }))
}

impl Filling {
    fn new(memory: BytesMut, recycled: bool) -> Self {
        Self {
            size: memory.len(),
            memory,
            recycled,
            window: 0..0,
            plan: None,
        }
    }

    /// How long the buffer is, wherever it is now.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The buffer, unless somebody else has it.
    pub(super) fn into_memory(self) -> Option<BytesMut> {
        self.plan.is_none().then_some(self.memory)
    }

    /// How much of the input it has.
    pub(super) fn filled(&self) -> usize {
        self.window.len()
    }

    /// Whether `next` is to be copied behind what is there.
    fn has_room_for(&self, cx: &OutputContext, next: &Buf) -> bool {
        // The first was decided already; asking again could change the answer for memory that
        // has become unique in the meantime, and nothing would be copied at all.
        self.window.is_empty()
            || self.window.end < self.memory.len()
                && decide(cx, next) == Decision::Copy
                // A direct read wants the front of a buffer.
                && direct_range(next).is_none()
    }

    /// Copies what fits, and says how much.
    fn copy(&mut self, bytes: &[u8]) -> u64 {
        let room = self.memory.get_mut(self.window.end..).unwrap_or_default();
        let n = bytes.len().min(room.len());
        if let (Some(to), Some(from)) = (room.get_mut(..n), bytes.get(..n)) {
            to.copy_from_slice(from);
        }
        self.window.end += n;
        n as u64
    }

    /// Takes what was read, and says how much of the file that was.
    fn take_outcome(&mut self, outcome: Outcome) -> Result<u64, FileError> {
        self.memory = outcome.memory;
        let plan = self.plan.take();
        outcome.result?;
        let Some(plan) = plan else { return Ok(0) };
        if self.window.is_empty() {
            self.window.start = plan.window.start;
        }
        self.window.end = plan.window.end;
        Ok(plan.len())
    }
}

/// The alignment and the range of a buf that is read directly.
fn direct_range(buf: &Buf) -> Option<(usize, Range<u64>)> {
    let (file, range) = buf.file_parts()?;
    file.is_direct().then(|| (file.alignment(), range))
}

/// The size of `input` if it ends the chain and is not larger than `most`.
fn exact_end(input: &Chain, most: usize) -> Option<usize> {
    let mut size = 0u64;
    for buf in input {
        size = buf.len().saturating_add(size);
        if size > most as u64 {
            return None;
        }
        if buf
            .flags()
            .intersects(Flags::LAST_BUF | Flags::LAST_IN_CHAIN)
        {
            return Some(clamp(size, most)).filter(|size| *size > 0);
        }
    }
    None
}

fn clamp(n: u64, most: usize) -> usize {
    usize::try_from(n).map_or(most, |n| n.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_end() {
        let mut input = Chain::from(Buf::from("abc"));
        assert_eq!(exact_end(&input, 10), None, "no end");
        input.push(Buf::from("de").with_flags(Flags::LAST_IN_CHAIN));
        assert_eq!(exact_end(&input, 10), Some(5));
        assert_eq!(exact_end(&input, 5), Some(5));
        assert_eq!(exact_end(&input, 4), None);
    }
}
