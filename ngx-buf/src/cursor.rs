//! Reading across the links of a chain.

use bytes::{Bytes, BytesMut};

use crate::{Buf, Chain};

/// Reads the memory of a chain as if it were one piece.
///
/// ```text
///   +---------------+   +---------+   +--------------------+
///   | "GET / HT"    |-->| "TP/1.1"|-->| "\r\nHost: a\r\n"  |
///   +---------------+   +---------+   +--------------------+
///     '------------- take_line() ----------'  position
/// ```
///
/// A cursor only looks: to consume what it has read, give its [`position`](Self::position) to
/// [`Chain::advance`]. It ends before the first file range. What lies in one link is taken without
/// copying.
///
/// ```
/// use ngx_buf::{Chain, Cursor};
///
/// let mut chain = Chain::from_iter(["GET / HT".into(), "TP/1.1\r".into(), "\nHost: a".into()]);
/// let mut cursor = Cursor::new(&chain);
/// assert_eq!(cursor.take_line().as_deref(), Some(&b"GET / HTTP/1.1"[..]));
/// assert_eq!(cursor.take_line(), None); // not whole yet
/// let read = cursor.position();
/// chain.advance(read);
/// assert_eq!(chain.to_vec(), b"Host: a");
/// ```
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    /// The link under the cursor and those behind it.
    links: std::slice::Iter<'a, Buf>,
    /// What is left of the link under the cursor; empty only when all is read.
    here: &'a [u8],
    /// The link that `here` is a part of.
    whole: Option<&'a Buf>,
    position: u64,
}

impl<'a> Cursor<'a> {
    /// A cursor at the beginning of `chain`.
    #[must_use]
    pub fn new(chain: &'a Chain) -> Self {
        let mut cursor = Self {
            links: chain.iter(),
            here: &[],
            whole: None,
            position: 0,
        };
        cursor.settle();
        cursor
    }

    /// How many bytes are behind the cursor.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How many bytes are before it.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.pieces().map(|piece| piece.len() as u64).sum()
    }

    /// The bytes before the cursor that lie in one piece, empty only at the end.
    #[must_use]
    pub fn chunk(&self) -> &'a [u8] {
        self.here
    }

    /// The byte before the cursor.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.here.first().copied()
    }

    /// Moves over `n` bytes, or over none if there are fewer; says whether it moved.
    pub fn skip(&mut self, n: u64) -> bool {
        if self.remaining() < n {
            return false;
        }
        let mut left = n;
        while left > 0 {
            let step = usize::try_from(left).map_or(self.here.len(), |n| n.min(self.here.len()));
            self.step(step);
            left -= step as u64;
        }
        true
    }

    /// Takes `n` bytes, or `None` and does not move if there are fewer.
    pub fn take(&mut self, n: usize) -> Option<Bytes> {
        if let (Some(part), Some(whole)) = (self.here.get(..n), self.whole) {
            let taken = whole.share(part);
            self.step(n);
            return Some(taken);
        }
        if self.remaining() < n as u64 {
            return None;
        }
        let mut taken = BytesMut::with_capacity(n);
        while taken.len() < n {
            let part = self.here.get(..n - taken.len()).unwrap_or(self.here);
            taken.extend_from_slice(part);
            self.step(part.len());
        }
        Some(taken.freeze())
    }

    /// Takes a line and moves over its LF; the LF, and a CR before it, are not part of it. `None`,
    /// without moving, if there is no LF.
    pub fn take_line(&mut self) -> Option<Bytes> {
        let end = usize::try_from(self.find(b"\n")?).ok()?;
        let mut line = self.take(end)?;
        self.step(1);
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Some(line)
    }

    /// How far before the cursor `needle` begins, also when it lies across links. An empty needle
    /// is found at once.
    #[must_use]
    pub fn find(&self, needle: &[u8]) -> Option<u64> {
        let Some((first, rest)) = needle.split_first() else {
            return Some(0);
        };
        let mut scan = self.clone();
        loop {
            match scan.here.iter().position(|byte| byte == first) {
                Some(at) => {
                    scan.step(at + 1);
                    if scan.begins_with(rest) {
                        return Some(scan.position - 1 - self.position);
                    }
                }
                None if scan.here.is_empty() => return None,
                None => scan.step(scan.here.len()),
            }
        }
    }

    /// Whether what is before the cursor begins with `prefix`.
    #[must_use]
    pub fn begins_with(&self, prefix: &[u8]) -> bool {
        let mut left = prefix;
        for piece in self.pieces() {
            let n = piece.len().min(left.len());
            let (now, later) = left.split_at(n);
            if !piece.starts_with(now) {
                return false;
            }
            left = later;
            if left.is_empty() {
                return true;
            }
        }
        left.is_empty()
    }

    fn pieces(&self) -> impl Iterator<Item = &'a [u8]> {
        let later = self.links.clone().take_while(|buf| !buf.is_file());
        std::iter::once(self.here).chain(later.filter_map(Buf::as_slice))
    }

    /// Moves over `n` bytes of the link under the cursor.
    fn step(&mut self, n: usize) {
        self.here = self.here.get(n..).unwrap_or_default();
        self.position += n as u64;
        self.settle();
    }

    /// Goes to the next link that has bytes when this one has none.
    fn settle(&mut self) {
        while self.here.is_empty() {
            match self.links.next() {
                Some(buf) if !buf.is_file() => {
                    self.whole = Some(buf);
                    self.here = buf.as_slice().unwrap_or_default();
                }
                _ => {
                    self.links = [].iter();
                    self.whole = None;
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Flags;
    use proptest::prelude::*;

    /// `bytes` in links that end at `cuts`.
    fn split(bytes: &[u8], cuts: &[usize]) -> Chain {
        let mut chain = Chain::new();
        let mut rest = bytes.to_vec();
        for cut in cuts {
            let tail = rest.split_off((*cut).min(rest.len()));
            chain.push(rest);
            chain.push(Buf::special(Flags::FLUSH));
            rest = tail;
        }
        chain.push(rest);
        chain
    }

    #[test]
    fn lines_split_at_every_byte() {
        let text = b"one\r\n\r\ntwo\nthree";
        for first in 0..=text.len() {
            for second in 0..=text.len() - first {
                let chain = split(text, &[first, second]);
                let mut cursor = Cursor::new(&chain);
                for line in ["one", "", "two"] {
                    assert_eq!(cursor.take_line().unwrap(), line);
                }
                assert_eq!((cursor.take_line(), cursor.position()), (None, 11));
                assert_eq!(cursor.take(6), None);
                assert_eq!(cursor.peek(), Some(b't'));
                assert_eq!(cursor.take(5).unwrap(), "three");
                assert_eq!((cursor.peek(), cursor.take(0)), (None, Some(Bytes::new())));
            }
        }
    }

    #[test]
    fn one_link_is_not_copied() {
        let bytes = Bytes::from(b"abcdef".to_vec());
        let chain = Chain::from(bytes.clone());
        let mut cursor = Cursor::new(&chain);
        assert!(cursor.skip(2));
        assert_eq!(cursor.take(2).unwrap().as_ptr(), bytes[2..].as_ptr());
        assert!(!cursor.skip(3));
        assert_eq!(cursor.chunk(), b"ef");
    }

    #[test]
    fn an_empty_chain_has_nothing() {
        let chain = Chain::from(Buf::last());
        let mut cursor = Cursor::new(&chain);
        assert_eq!(
            (cursor.remaining(), cursor.peek(), cursor.take_line()),
            (0, None, None)
        );
        assert_eq!((cursor.find(b"x"), cursor.find(b"")), (None, Some(0)));
        assert!(cursor.begins_with(b"") && !cursor.begins_with(b"x"));
    }

    #[cfg(feature = "file")]
    #[test]
    fn ends_before_a_file() {
        let file = crate::FileBuf::new(tempfile::tempfile().unwrap(), "f");
        let mut chain = split(b"abc", &[1]);
        chain.push(Buf::file(std::sync::Arc::new(file), 0..9));
        chain.push("def\n");
        let mut cursor = Cursor::new(&chain);
        assert_eq!((cursor.remaining(), cursor.find(b"\n")), (3, None));
        assert_eq!(cursor.take(3).unwrap(), "abc");
        assert_eq!((cursor.peek(), cursor.take(1)), (None, None));
    }

    proptest! {
        #![proptest_config(crate::cases(256))]

        #[test]
        fn finds_what_is_there(
            bytes in proptest::collection::vec(0..3u8, 0..40),
            cuts in proptest::collection::vec(0..6usize, 0..10),
            needle in proptest::collection::vec(0..3u8, 1..5),
            from in 0..20u64,
        ) {
            let chain = split(&bytes, &cuts);
            let mut cursor = Cursor::new(&chain);
            let from = from.min(bytes.len() as u64);
            prop_assert!(cursor.skip(from));
            let rest = &bytes[from as usize..];
            prop_assert_eq!(cursor.remaining(), rest.len() as u64);
            prop_assert_eq!(cursor.begins_with(&needle), rest.starts_with(&needle));
            let expected = rest.windows(needle.len()).position(|window| window == needle);
            prop_assert_eq!(cursor.find(&needle), expected.map(|at| at as u64));
            prop_assert_eq!(cursor.position(), from);
        }
    }
}
