//! Cuts parts out of a body that comes in any number of bufs.

use std::ops::Range;

use bytes::Bytes;
use ngx_buf::{Buf, Chain, Flags};

/// One part of the answer.
pub(super) struct Part {
    /// What goes out before it; may be empty.
    pub(super) head: Bytes,
    /// `start < end`
    pub(super) range: Range<u64>,
}

/// Cuts the parts in their order.
///
/// ```text
///   content   0        base            received
///             |--------|-----kept------|--- to come ---|
///                  no part needs it any more
/// ```
///
/// Parts in rising order go out as their bytes come, and nothing is kept. Bytes that come before
/// a part that precedes theirs in the answer are kept: shared, not copied.
pub(super) struct Cutter {
    parts: std::vec::IntoIter<Part>,
    current: Option<Part>,
    /// Whether the head of the current part went out.
    begun: bool,
    tail: Bytes,
    kept: Chain,
    /// `base <= received`, and `kept` has the bytes between.
    base: u64,
    received: u64,
}

impl Cutter {
    /// Cuts `parts`, and ends with `tail`, which may be empty.
    pub(super) fn new(parts: Vec<Part>, tail: Bytes) -> Self {
        let mut parts = parts.into_iter();
        let current = parts.next();
        Self {
            parts,
            current,
            begun: false,
            tail,
            kept: Chain::new(),
            base: 0,
            received: 0,
        }
    }

    /// Bytes of the whole answer, before any of it was cut; none if that cannot be counted.
    pub(super) fn length(&self) -> Option<u64> {
        let parts = self.current.iter().chain(self.parts.as_slice());
        parts
            .map(Part::length)
            .try_fold(self.tail.len() as u64, |sum, length| {
                sum.checked_add(length?)
            })
    }

    /// Whether the last byte of the answer was given out.
    pub(super) fn is_done(&self) -> bool {
        self.current.is_none()
    }

    /// Takes a piece of the body; gives out what can go to the client now.
    pub(super) fn cut(&mut self, input: Chain) -> Chain {
        let mut out = Chain::new();
        if self.is_done() {
            return out;
        }
        let flush = input.flags() & (Flags::FLUSH | Flags::SYNC);
        for mut buf in input {
            if !buf.is_empty() {
                buf.remove_flags(Flags::CONTROL);
                self.received = self.received.saturating_add(buf.len());
                self.kept.push(buf);
            }
        }
        while self.cut_current(&mut out) {}
        if self.is_done() {
            if !self.tail.is_empty() {
                out.push(std::mem::take(&mut self.tail));
            }
            if let Some(back) = out.back_mut() {
                back.insert_flags(Flags::LAST_BUF | Flags::LAST_IN_CHAIN);
            }
        } else if !flush.is_empty() {
            out.push(Buf::special(flush));
        }
        self.forget();
        out
    }

    /// Gives out what there is of the current part; whether that was its end.
    fn cut_current(&mut self, out: &mut Chain) -> bool {
        let Some(part) = &mut self.current else {
            return false;
        };
        if part.range.start >= self.received {
            return false;
        }
        if !std::mem::replace(&mut self.begun, true) && !part.head.is_empty() {
            out.push(std::mem::take(&mut part.head));
        }
        let end = part.range.end.min(self.received);
        slice(&self.kept, self.base, part.range.start..end, out);
        part.range.start = end;
        if !part.range.is_empty() {
            return false;
        }
        self.current = self.parts.next();
        self.begun = false;
        true
    }

    /// Lets go of what no part needs any more.
    fn forget(&mut self) {
        let parts = self.current.iter().chain(self.parts.as_slice());
        let needed = parts
            .map(|part| part.range.start)
            .min()
            .unwrap_or(self.received);
        let needed = needed.min(self.received);
        let _ = self.kept.advance(needed.saturating_sub(self.base));
        self.base = needed;
    }
}

impl Part {
    fn length(&self) -> Option<u64> {
        self.range
            .end
            .checked_sub(self.range.start)?
            .checked_add(self.head.len() as u64)
    }
}

/// Appends the bytes `range` of a content of which `chain` holds what begins at `base`.
fn slice(chain: &Chain, base: u64, range: Range<u64>, out: &mut Chain) {
    let mut at = base;
    for buf in chain {
        let end = at.saturating_add(buf.len());
        let (from, to) = (range.start.max(at), range.end.min(end));
        if from < to {
            let mut piece = buf.clone();
            piece.advance(from - at);
            piece.truncate(to - from);
            out.push(piece);
        }
        if end >= range.end {
            break;
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use ngx_buf::FileBuf;
    use proptest::prelude::*;

    use super::*;

    const TEXT: &[u8] = b"0123456789abcdefghij";

    fn cutter(ranges: &[Range<u64>]) -> Cutter {
        let part = |range: &Range<u64>| Part {
            head: Bytes::from(format!("<{}-{}>", range.start, range.end)),
            range: range.clone(),
        };
        Cutter::new(
            ranges.iter().map(part).collect(),
            Bytes::from_static(b"</>"),
        )
    }

    fn answer(ranges: &[Range<u64>]) -> Vec<u8> {
        let mut want = Vec::new();
        for range in ranges {
            want.extend(format!("<{}-{}>", range.start, range.end).bytes());
            want.extend(&TEXT[range.start as usize..range.end as usize]);
        }
        want.extend(b"</>");
        want
    }

    #[test]
    fn the_last_byte_bears_the_end() {
        let part = Part {
            head: Bytes::new(),
            range: 2..5,
        };
        let mut cutter = Cutter::new(vec![part], Bytes::new());
        assert_eq!(cutter.length(), Some(3));
        let mut input = Chain::from(Buf::from_static(TEXT));
        input.push(Buf::last());
        let out = cutter.cut(input);
        assert_eq!((out.len(), out.to_vec()), (1, b"234".to_vec()));
        assert!(out.back().unwrap().flags().contains(Flags::LAST_BUF));
        assert!(cutter.is_done());
        assert!(cutter.cut(Chain::from(Buf::last())).is_empty());
    }

    #[test]
    fn rising_parts_keep_nothing() {
        let mut cutter = cutter(&[1..3, 3..12, 15..18]);
        let mut out = Vec::new();
        for piece in TEXT.chunks(4) {
            out.extend(cutter.cut(Chain::from(Buf::from_static(piece))).to_vec());
            assert_eq!(cutter.kept.size(), 0);
        }
        assert_eq!(out, answer(&[1..3, 3..12, 15..18]));
    }

    #[test]
    fn a_flush_goes_through() {
        let mut cutter = cutter(std::slice::from_ref(&(2..20)));
        let input = Chain::from(Buf::from_static(b"0").with_flags(Flags::FLUSH));
        let out = cutter.cut(input);
        assert_eq!((out.size(), out.flags()), (0, Flags::FLUSH));
        assert!(!cutter.is_done());
    }

    #[test]
    fn files_stay_files() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(TEXT).unwrap();
        let file = Arc::new(FileBuf::open(file.path()).unwrap());
        let mut cutter = cutter(&[10..12, 0..2]);
        let out = cutter.cut(Chain::from(Buf::file(file, 0..20)));
        let ranges: Vec<_> = out.iter().filter_map(Buf::file_range).collect();
        assert_eq!(ranges, [10..12, 0..2]);
        assert!(out.has_last_buf());
    }

    proptest! {
        #[test]
        fn any_parts_of_any_pieces(
            ranges in proptest::collection::vec((0_u64..20, 1_u64..20), 1..6),
            cuts in proptest::collection::vec(0_usize..20, 0..6),
        ) {
            let ranges: Vec<_> =
                ranges.into_iter().map(|(start, len)| start..(start + len).min(20)).collect();
            let mut cuts = cuts;
            cuts.sort_unstable();
            cuts.push(TEXT.len());
            let mut cutter = cutter(&ranges);
            let length = cutter.length();
            let (mut out, mut from) = (Chain::new(), 0);
            for to in cuts {
                out.append(cutter.cut(Chain::from(Buf::from_static(&TEXT[from..to]))));
                from = to;
            }
            prop_assert!(cutter.is_done() && out.has_last_buf());
            prop_assert_eq!(out.to_vec(), answer(&ranges));
            prop_assert_eq!(Some(out.size()), length);
        }
    }
}
