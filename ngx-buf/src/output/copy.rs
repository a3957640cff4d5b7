//! Copying into buffers of the output chain.

use bytes::BytesMut;

use super::OutputContext;
use super::decide::{Decision, decide};
use crate::{Buf, BufPool, Chain, FileError, Flags};

/// A buffer to copy into, and whether it belongs to those that come back.
pub(super) struct Target {
    memory: BytesMut,
    recycled: bool,
}

/// A filled buffer.
pub(super) struct Copied {
    /// The whole memory.
    pub(super) whole: bytes::Bytes,
    /// How much of it was filled.
    pub(super) len: usize,
    /// What it says about the stream behind it, and whether it is wanted back.
    pub(super) flags: Flags,
}

/// A buffer for what is at the front of `input`, or `None` if it has to wait.
///
/// When all that remains is the end of the chain, and it fits, a new buffer is of its exact size and
/// need not come back, unless it was the last one there was; with a single buffer this one may be a
/// quarter larger, which saves another round.
pub(super) fn target(
    cx: &OutputContext,
    pool: &mut BufPool,
    input: &Chain,
    may_make: bool,
) -> Option<Target> {
    if let Some(memory) = pool.take_free() {
        return Some(Target {
            memory,
            recycled: true,
        });
    }
    if !may_make {
        return None;
    }
    let most = if cx.bufs.num <= 1 {
        pool.size() + pool.size() / 4
    } else {
        pool.size()
    };
    let Some(size) = exact_end(input, most) else {
        return pool.take().map(|memory| Target {
            memory,
            recycled: true,
        });
    };
    let memory = pool.take_new(size)?;
    Some(Target {
        memory,
        recycled: pool.is_exhausted(),
    })
}

/// Fills `target` from the front of `input` with all that has to be copied, up to a mark.
pub(super) fn fill(
    cx: &OutputContext,
    mut target: Target,
    input: &mut Chain,
) -> Result<Copied, FileError> {
    let mut len = 0;
    let mut flags = Flags::empty();
    while let Some(front) = input.front_mut() {
        let room = target.memory.get_mut(len..).unwrap_or_default();
        // The first was decided already; asking again could change the answer for memory that
        // has become unique in the meantime, and nothing would be copied at all.
        if room.is_empty() || (len > 0 && decide(cx, front) != Decision::Copy) {
            break;
        }
        let n = copy(cx, front, room)?;
        len += n;
        front.advance(n as u64);
        if !front.is_empty() {
            break;
        }
        flags = front.flags() & Flags::CONTROL;
        input.pop_front();
        if !flags.is_empty() {
            break;
        }
    }
    if target.recycled {
        flags.insert(Flags::RECYCLED);
    }
    Ok(Copied {
        whole: target.memory.freeze(),
        len,
        flags,
    })
}

/// Copies from the front of `buf` what fits into `room`, and says how much.
fn copy(cx: &OutputContext, buf: &Buf, room: &mut [u8]) -> Result<usize, FileError> {
    if let Some((file, range)) = buf.file_parts() {
        let n = aligned(
            range.start,
            clamp(range.end - range.start, room.len()),
            cx.alignment,
        );
        file.read_exact_at(room.get_mut(..n).unwrap_or_default(), range.start)?;
        return Ok(n);
    }
    let bytes = buf.as_slice().unwrap_or_default();
    let n = bytes.len().min(room.len());
    if let (Some(to), Some(from)) = (room.get_mut(..n), bytes.get(..n)) {
        to.copy_from_slice(from);
    }
    Ok(n)
}

/// Shortens a read so that the next one begins at a multiple of `alignment`, if it gets that far.
fn aligned(from: u64, len: usize, alignment: usize) -> usize {
    let Some(over) = (from + len as u64).checked_rem(alignment as u64) else {
        return len;
    };
    match len.checked_sub(over as usize) {
        Some(shorter) if shorter > 0 => shorter,
        _ => len,
    }
}

/// The size of `input` if it ends the chain and is not larger than `most`.
fn exact_end(input: &Chain, most: usize) -> Option<usize> {
    let mut size = 0u64;
    for buf in input {
        size += buf.len();
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
    fn reads_end_at_a_boundary_if_they_reach_one() {
        assert_eq!(aligned(0, 100, 0), 100);
        assert_eq!(aligned(0, 100, 1), 100);
        assert_eq!(aligned(17, 100, 16), 95);
        assert_eq!(aligned(17, 10, 16), 10);
        assert_eq!(aligned(16, 16, 16), 16);
        assert_eq!(aligned(16, 15, 16), 15);
    }

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
