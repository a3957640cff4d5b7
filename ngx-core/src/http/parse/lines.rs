//! The search for line ends, shared by requests and responses.

use std::ops::Range;

use super::chars::find_control;

/// How much a head may take: `client_header_buffer_size` and `large_client_header_buffers`.
///
/// Heads are parsed out of one contiguous slice; the limits count as if each line had to lie in one
/// buffer, the way nginx lays them out, so that a configuration accepts exactly what it accepts
/// there.
///
/// ```
/// use ngx_core::http::parse::Limits;
///
/// // nginx's defaults: client_header_buffer_size 1k; large_client_header_buffers 4 8k;
/// assert_eq!(Limits::default(), Limits { first: 1024, number: 4, size: 8192 });
/// assert_eq!(Limits::default().total(), 1024 + 4 * 8192);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size in bytes of the first buffer (`client_header_buffer_size`).
    pub first: usize,
    /// How many large buffers may follow (`large_client_header_buffers`).
    pub number: usize,
    /// Size in bytes of each large buffer; a longer line is refused.
    pub size: usize,
}

impl Limits {
    /// One buffer of `size` bytes for the whole head, as `proxy_buffer_size` is.
    #[must_use]
    pub const fn single(size: usize) -> Self {
        Self {
            first: size,
            number: 0,
            size,
        }
    }

    /// The most bytes that any head may take.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.first
            .saturating_add(self.number.saturating_mul(self.size))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            first: 1024,
            number: 4,
            size: 8192,
        }
    }
}

/// Cuts a growing slice into lines; remembers how far it has looked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    /// Where the search goes on; `start <= at`.
    at: usize,
    /// First byte of the line that is not complete yet.
    start: usize,
    /// Bytes left in the buffer that the line would lie in.
    room: usize,
    /// Large buffers left.
    spare: usize,
    /// Size of a large buffer.
    size: usize,
    /// Whether control characters other than NUL and CR pass.
    tolerant: bool,
}

/// Why there is no next line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineError {
    /// A control character at this offset.
    Control(usize),
    /// The line does not fit into a buffer.
    TooLong,
    /// The line would fit, but no buffer is left.
    TooLarge,
}

impl Lines {
    pub(super) const fn new(limits: Limits, tolerant: bool) -> Self {
        Self {
            at: 0,
            start: 0,
            room: limits.first,
            spare: limits.number,
            size: limits.size,
            tolerant,
        }
    }

    /// The next line without its end, or `None` if `buf` ends before the line does.
    pub(super) fn next(&mut self, buf: &[u8]) -> Result<Option<Range<usize>>, LineError> {
        while let Some(found) = find_control(buf, self.at) {
            self.at = found;

            match buf.get(found..) {
                Some([b'\r', b'\n', ..]) => return self.complete(found, found + 2).map(Some),
                Some([b'\n', ..]) => return self.complete(found, found + 1).map(Some),
                Some([b'\r']) => return self.partial(found).map(|()| None),
                Some([b'\t', ..]) => self.at = found + 1,
                Some([byte, ..]) if self.tolerant && *byte != b'\r' && *byte != b'\0' => {
                    self.at = found + 1;
                }
                _ => return Err(LineError::Control(found)),
            }
        }

        self.at = buf.len().max(self.at);
        self.partial(buf.len()).map(|()| None)
    }

    /// Where the line that is not complete yet begins.
    pub(super) const fn start(&self) -> usize {
        self.start
    }

    /// Takes `count` bytes off the front of everything remembered.
    pub(super) const fn rebase(&mut self, count: usize) {
        self.start = self.start.saturating_sub(count);
        self.at = self.at.saturating_sub(count);
    }

    fn complete(&mut self, end: usize, next: usize) -> Result<Range<usize>, LineError> {
        let line = self.start..end;
        let len = next - self.start;

        // A blank line costs nothing: those before a request are dropped, the one behind a head
        // ends it.
        if !line.is_empty() {
            self.count(len)?;
        }

        self.start = next;
        self.at = next;
        Ok(line)
    }

    /// Takes room for a line of `len` bytes, its end included.
    #[inline]
    pub(super) fn count(&mut self, len: usize) -> Result<(), LineError> {
        if len > self.room {
            self.next_buffer(len > self.size)?;
        }
        self.room -= len;
        Ok(())
    }

    /// Whether lines that take `len` bytes together all lie in the buffer that is begun.
    #[inline]
    pub(super) const fn has_room(&self, len: usize) -> bool {
        len <= self.room
    }

    /// Whether nothing was looked at yet.
    pub(super) const fn is_fresh(&self) -> bool {
        self.at == 0
    }

    /// All up to `at` was looked at; the next line begins there.
    pub(super) const fn skip_to(&mut self, at: usize) {
        self.at = at;
        self.start = at;
    }

    /// Whether a line that has come in part up to `end` can still be completed within the limits.
    fn partial(&self, end: usize) -> Result<(), LineError> {
        let len = end - self.start;
        if len < self.room || len == 0 {
            Ok(())
        } else {
            self.clone().next_buffer(len >= self.size)
        }
    }

    /// Moves on to a large buffer, `overflows` telling that the line will not fit into that either.
    fn next_buffer(&mut self, overflows: bool) -> Result<(), LineError> {
        if overflows || self.room >= self.size {
            Err(LineError::TooLong)
        } else if self.spare == 0 {
            Err(LineError::TooLarge)
        } else {
            self.spare -= 1;
            self.room = self.size;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(limits: Limits, input: &[u8]) -> Result<usize, LineError> {
        let mut lines = Lines::new(limits, false);
        let mut count = 0;
        while lines.next(input)?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn a_line_lies_in_one_buffer() {
        let limits = Limits {
            first: 8,
            number: 1,
            size: 16,
        };
        assert_eq!(lines(limits, b"123456\r\n"), Ok(1));
        assert_eq!(lines(limits, b"12345678901234\r\n"), Ok(1));
        assert_eq!(
            lines(limits, b"123456789012345\r\n"),
            Err(LineError::TooLong)
        );
        assert_eq!(lines(limits, b"1234567890123456"), Err(LineError::TooLong));
        assert_eq!(lines(limits, b"123456789012345"), Ok(0));
        // The second line moves to the large buffer; there is none for the fourth.
        assert_eq!(
            lines(limits, b"12345\n12345\n1234\n12345\n12345\n"),
            Err(LineError::TooLarge)
        );
    }

    #[test]
    fn a_first_buffer_larger_than_the_others_counts() {
        let limits = Limits {
            first: 16,
            number: 4,
            size: 8,
        };
        assert_eq!(lines(limits, b"12345678901234\r\n"), Ok(1));
        assert_eq!(
            lines(limits, b"123456789012345\r\n"),
            Err(LineError::TooLong)
        );
    }

    #[test]
    fn controls_are_found_where_they_are() {
        assert_eq!(
            lines(Limits::default(), b"ab\rc\n"),
            Err(LineError::Control(2))
        );
        assert_eq!(
            lines(Limits::default(), b"ab\0c\n"),
            Err(LineError::Control(2))
        );
        assert_eq!(
            lines(Limits::default(), b"ab\x7fc\n"),
            Err(LineError::Control(2))
        );
        assert_eq!(lines(Limits::default(), b"a\tb\n\r\n"), Ok(2));
        let mut tolerant = Lines::new(Limits::default(), true);
        assert_eq!(tolerant.next(b"a\x01b\x7f\n"), Ok(Some(0..4)));
    }
}
