//! Which bytes of a file are read where.

use std::ops::Range;

/// One read: from a place in a file into a part of a buffer.
///
/// ```text
///   buffered                          direct: the aligned superset, trimmed
///
///   file      start.......last              |.start.......last....|      multiples of the
///             |               |             |     |        |      |      alignment
///   buffer  --'-----into------'--           '-----|--into--|------'
///             '----window-----'                   '-window-'
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Where in the file the read begins.
    pub(crate) offset: u64,
    /// The part of the buffer that is read into.
    pub(crate) into: Range<usize>,
    /// The part of it that was asked for: up to its end there must be bytes.
    /// `into.start <= window.start < window.end <= into.end`
    pub(crate) window: Range<usize>,
}

impl Plan {
    /// Reads from the front of `range` what fits into the part `room` of a buffer.
    ///
    /// `alignment` is the file's: with more than 1 `room` is a whole buffer, aligned and at least
    /// one alignment long. Otherwise a read that does not end the range ends at a multiple of
    /// `boundary` where it can; 0 is anywhere.
    pub(crate) fn new(
        alignment: usize,
        range: &Range<u64>,
        room: Range<usize>,
        boundary: usize,
    ) -> Self {
        if alignment > 1 {
            return Self::direct(alignment as u64, range, room.len());
        }
        let len = clamp(range.end.saturating_sub(range.start), room.len());
        let len = up_to_boundary(range.start, len, boundary);
        let into = room.start..room.start + len;
        Self {
            offset: range.start,
            window: into.clone(),
            into,
        }
    }

    /// How long a buffer must be to hold all of `range` and what alignment adds to it.
    pub(crate) fn covering(alignment: usize, range: &Range<u64>) -> usize {
        let alignment = alignment as u64;
        let first = range.start - range.start % alignment;
        clamp(
            range.end.saturating_sub(first),
            usize::MAX - alignment as usize,
        )
        .next_multiple_of(alignment as usize)
    }

    /// How many bytes of what was asked for this gives.
    pub(crate) fn len(&self) -> u64 {
        self.window.len() as u64
    }

    fn direct(alignment: u64, range: &Range<u64>, room: usize) -> Self {
        let skipped = range.start % alignment;
        let first = range.start - skipped;
        let room = room as u64 - room as u64 % alignment;
        let wanted = range.end.saturating_sub(first);
        let into = wanted
            .checked_next_multiple_of(alignment)
            .map_or(room, |whole| whole.min(room));
        // Both are no more than the room, which is a length in memory.
        let (into, end) = (into as usize, wanted.min(into) as usize);
        Self {
            offset: first,
            into: 0..into,
            window: (skipped as usize).min(end)..end,
        }
    }
}

/// Shortens a read so that the next one begins at a multiple of `boundary`, if it gets that far.
fn up_to_boundary(from: u64, len: usize, boundary: usize) -> usize {
    let Some(over) = (from + len as u64).checked_rem(boundary as u64) else {
        return len;
    };
    match len.checked_sub(over as usize) {
        Some(shorter) if shorter > 0 => shorter,
        _ => len,
    }
}

fn clamp(n: u64, most: usize) -> usize {
    usize::try_from(n).map_or(most, |n| n.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_end_at_a_boundary_if_they_reach_one() {
        assert_eq!(up_to_boundary(0, 100, 0), 100);
        assert_eq!(up_to_boundary(0, 100, 1), 100);
        assert_eq!(up_to_boundary(17, 100, 16), 95);
        assert_eq!(up_to_boundary(17, 10, 16), 10);
        assert_eq!(up_to_boundary(16, 16, 16), 16);
        assert_eq!(up_to_boundary(16, 15, 16), 15);
    }

    #[test]
    fn buffered_reads_are_what_was_asked_for() {
        assert_eq!(
            Plan::new(1, &(7..100), 10..50, 0),
            Plan {
                offset: 7,
                into: 10..50,
                window: 10..50
            }
        );
    }

    #[test]
    fn direct_reads_begin_and_end_aligned() {
        let plan = |range, room| Plan::new(512, &range, 0..room, 0);
        let whole = Plan {
            offset: 512,
            into: 0..1024,
            window: 88..788,
        };
        assert_eq!(plan(600..1300, 4096), whole);
        let first = Plan {
            offset: 512,
            into: 0..512,
            window: 88..512,
        };
        assert_eq!(plan(600..1300, 1023), first);
        let aligned = Plan {
            offset: 1024,
            into: 0..512,
            window: 0..512,
        };
        assert_eq!(plan(1024..1536, 512), aligned);
        assert_eq!(Plan::covering(512, &(600..1300)), 1024);
        assert_eq!(Plan::covering(512, &(511..513)), 1024);
        assert_eq!(Plan::covering(512, &(1024..1024)), 0);
    }

    proptest! {
        #![proptest_config(crate::cases(256))]

        #[test]
        fn plans_cover_the_range_without_a_gap(
            from in 0..10_000u64,
            len in 1..10_000u64,
            power in 0..13u32,
            blocks in 1..9usize,
            boundary in 0..5000usize,
        ) {
            let alignment = 1 << power;
            let room = blocks * alignment;
            let mut range = from..from + len;
            while range.start < range.end {
                let plan = Plan::new(alignment, &range, 0..room, boundary);
                prop_assert!(plan.into.start <= plan.window.start);
                prop_assert!(plan.window.end <= plan.into.end && plan.into.end <= room);
                prop_assert!(plan.len() > 0);
                prop_assert_eq!(
                    plan.offset + (plan.window.start - plan.into.start) as u64,
                    range.start
                );
                prop_assert_eq!(plan.offset % alignment as u64, 0);
                prop_assert_eq!(plan.into.len() % alignment, 0);
                range.start += plan.len();
                // No more is read than the last block that is needed.
                prop_assert!(plan.into.end - plan.window.end < alignment);
            }
            prop_assert_eq!(range.start, range.end);
        }
    }
}
