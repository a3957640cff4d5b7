//! Where something lies inside a head.

use std::ops::Range;

/// A range of bytes inside a head: two 32-bit offsets from its first byte.
///
/// A span stays right when the bytes move as a whole, which is why parsers hand out spans and not
/// slices: the head may still be growing in a buffer that is reallocated.
///
/// ```
/// use ngx_core::http::parse::Span;
///
/// let span = Span::new(4, 9);
/// assert_eq!(span.of(b"GET /path HTTP/1.1"), b"/path");
/// assert_eq!(span.len(), 5);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte; never less than `start`.
    pub end: u32,
}

impl Span {
    /// The span from `start` up to, not including, `end`. An end before the start gives an empty
    /// span.
    #[must_use]
    pub const fn new(start: u32, end: u32) -> Self {
        Self {
            start,
            end: if end < start { start } else { end },
        }
    }

    /// The bytes of the span inside `head`; empty if `head` is shorter than the span says.
    #[must_use]
    pub fn of(self, head: &[u8]) -> &[u8] {
        head.get(self.range()).unwrap_or_default()
    }

    /// The offsets as a range, to slice a [`bytes::Bytes`] with.
    #[must_use]
    pub const fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Length in bytes.
    #[must_use]
    pub const fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether nothing lies between the two offsets.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// From offsets inside a head, the first not behind the second; parsers look at no more than 4
    /// GiB.
    pub(super) fn at(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && u32::try_from(end).is_ok());
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    /// The part of a head that spans can describe: limits are far below that.
    pub(super) fn describable(head: &[u8]) -> &[u8] {
        head.get(..u32::MAX as usize).unwrap_or(head)
    }
}
