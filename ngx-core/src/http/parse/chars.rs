//! Classes of bytes, as tables made by the compiler, and the search for control characters.

/// What a byte may be inside a field name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NameByte {
    /// A letter, a digit or `-`.
    Good,
    /// `_`, good or odd as `underscores_in_headers` says.
    Underscore,
    /// Visible, but none of nginx's name characters: the field is ignored or taken as
    /// `ignore_invalid_headers` says.
    Odd,
    /// `:`, the end of the name.
    Colon,
    /// Controls, space, DEL: the head is refused.
    Bad,
}

/// Class of each byte inside a field name.
pub(super) static NAME: [NameByte; 256] = {
    let mut table = [NameByte::Odd; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        if b.is_ascii_alphanumeric() || b == b'-' {
            table[byte] = NameByte::Good;
        } else if b <= b' ' || b == 0x7f {
            table[byte] = NameByte::Bad;
        }
        byte += 1;
    }
    table[b'_' as usize] = NameByte::Underscore;
    table[b':' as usize] = NameByte::Colon;
    table
};

/// Whether a byte may stand in a method name, as nginx sees it: upper-case letters, `_` and `-`.
pub(super) const fn is_method_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte == b'_' || byte == b'-'
}

/// Whether a byte may stand in an IP literal between brackets: unreserved, sub-delims and `:` of
/// RFC 3986.
pub(super) const fn is_ip_literal_byte(byte: u8) -> bool {
    is_reg_name_byte(byte) || byte == b':'
}

/// Whether a byte is unreserved or one of the sub-delims of RFC 3986 (dots included).
pub(super) const fn is_reg_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~')
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        )
}

/// What a byte is inside of a host name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HostByte {
    /// As it should be compared.
    Lower,
    Upper,
    Dot,
    /// The end of the name.
    Other,
}

/// Class of each byte inside of a host name that is no IP literal.
pub(super) static HOST: [HostByte; 256] = {
    let mut table = [HostByte::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        if b.is_ascii_uppercase() {
            table[byte] = HostByte::Upper;
        } else if b == b'.' {
            table[byte] = HostByte::Dot;
        } else if is_reg_name_byte(b) || b == b'%' {
            table[byte] = HostByte::Lower;
        }
        byte += 1;
    }
    table
};

/// Value of a hexadecimal digit.
pub(super) const fn hex_value(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Offset of the first control character (below 0x20, or DEL) in `buf`, looking from `from` on.
///
/// Eight bytes at a time: this one pass finds the end of a line and proves that nothing in the line
/// needs a second look.
#[inline]
pub(super) fn find_control(buf: &[u8], from: usize) -> Option<usize> {
    find_marked(buf, from, |word| {
        // DEL and one more is the high bit; what has it already is none.
        let delete = (word & !HIGH) + ONES;
        (delete | word.wrapping_sub(ONES * 0x20)) & !word
    })
}

/// Offset of the first colon in `buf`, if it is where a field name of the usual length ends.
#[inline(never)]
pub(super) fn find_colon(buf: &[u8]) -> Option<usize> {
    let name = buf.get(..USUAL_NAME).unwrap_or(buf);
    find_marked(name, 0, |word| equal(word, b':'))
}

/// Offset of the first colon in the words that a line begins with.
#[inline(always)]
pub(super) fn find_colon_in_words(words: &[[u8; 8]]) -> Option<usize> {
    words.iter().enumerate().find_map(|(i, word)| {
        let marks = equal(u64::from_le_bytes(*word), b':') & HIGH;
        (marks != 0).then(|| i * 8 + marks.trailing_zeros() as usize / 8)
    })
}

/// Offset of the first byte from `from` on that cannot stand inside of a path: a control character,
/// a space, `?` or `#`.
#[inline]
pub(super) fn find_path_end(buf: &[u8], from: usize) -> Option<usize> {
    find_marked(buf, from, |word| {
        below(word, 0x21) | equal(word, 0x7f) | equal(word, b'?') | equal(word, b'#')
    })
}

/// The same for arguments, which may have a `?`.
#[inline]
pub(super) fn find_args_end(buf: &[u8], from: usize) -> Option<usize> {
    find_marked(buf, from, |word| {
        below(word, 0x21) | equal(word, 0x7f) | equal(word, b'#')
    })
}

/// How far a colon is looked for.
const USUAL_NAME: usize = 64;

/// Offset of the first byte from `from` on for which `mark` sets the high bit. Of those that it sets
/// only the lowest is right: see [`below`].
#[inline(always)]
fn find_marked(buf: &[u8], from: usize, mark: impl Fn(u64) -> u64) -> Option<usize> {
    let mut at = from;
    loop {
        let rest = buf.get(at..)?;
        let Some(word) = rest.first_chunk() else {
            return last_marked(buf, at, mark);
        };
        let marks = mark(u64::from_le_bytes(*word)) & HIGH;
        if marks != 0 {
            return Some(at + marks.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
}

/// The same where less than a word is left.
#[inline(always)]
fn last_marked(buf: &[u8], at: usize, mark: impl Fn(u64) -> u64) -> Option<usize> {
    let left = buf.len().checked_sub(at).filter(|&left| left > 0)?;
    let word = match buf.last_chunk() {
        // With what is in front, which does not count.
        Some(word) => u64::from_le_bytes(*word) >> (64 - left * 8),
        None => word_of(buf.get(at..)?),
    };
    // What is behind is nothing that is looked for.
    let behind = (ONES * u64::from(b'a')).checked_shl(left as u32 * 8);
    let marks = mark(word | behind.unwrap_or(0)) & HIGH;
    (marks != 0).then(|| at + marks.trailing_zeros() as usize / 8)
}

/// Less than eight bytes as a word.
#[cold]
fn word_of(bytes: &[u8]) -> u64 {
    let bytes = bytes.iter().rev();
    bytes.fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// The high bit of each byte that is less than `bound`, which is at most 0x80, and is ASCII.
///
/// A borrow may spoil the bytes above such a byte, never those below, and the lowest is the one that
/// is asked for. The other bits mean nothing.
#[inline(always)]
const fn below(word: u64, bound: u8) -> u64 {
    word.wrapping_sub(ONES * bound as u64) & !word
}

/// The same for each byte that is `byte`.
#[inline(always)]
const fn equal(word: u64, byte: u8) -> u64 {
    let other = word ^ (ONES * byte as u64);
    other.wrapping_sub(ONES) & !other
}

/// The high bit of each byte that is `byte`, and nothing else: unlike [`equal`] right for all of them.
#[inline(always)]
pub(super) const fn same(word: u64, byte: u8) -> u64 {
    let other = word ^ (ONES * byte as u64);
    !(((other & !HIGH) + !HIGH) | other) & HIGH
}

/// Whether two texts are equal. For those that mostly have 8 to 16 bytes, such as hosts and media
/// types: two words are compared faster than a function is called that compares any number.
#[cfg(feature = "http")]
#[inline]
pub(crate) fn are_equal(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let ends = |text: &[u8]| Some((*text.first_chunk::<8>()?, *text.last_chunk::<8>()?));
    match (ends(one), ends(other)) {
        (Some(ends), Some(others)) if one.len() <= 16 => ends == others,
        _ => one == other,
    }
}

/// All bits of the first `count` bytes of a word, in the order of memory.
#[inline(always)]
pub(super) const fn first_bytes(count: usize) -> u64 {
    if count < 8 {
        (1 << (count * 8)) - 1
    } else {
        u64::MAX
    }
}

/// A one in each byte of a word.
const ONES: u64 = u64::MAX / 255;
/// The high bit of each byte of a word.
const HIGH: u64 = ONES << 7;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tells_each_byte_apart(bytes in any::<[u8; 8]>(), byte in any::<u8>(), count in 0usize..12) {
            let marks = same(u64::from_le_bytes(bytes), byte);
            let expected = bytes.map(|own| if own == byte { 0x80 } else { 0 });
            prop_assert_eq!(marks.to_le_bytes(), expected);
            let first = first_bytes(count).to_le_bytes();
            for (i, own) in first.into_iter().enumerate() {
                prop_assert_eq!(own, if i < count { 0xff } else { 0 });
            }
        }

        #[test]
        #[cfg(feature = "http")]
        fn texts_are_equal_if_all_their_bytes_are(
            mut text in prop::collection::vec(any::<u8>(), 0..40),
            at in any::<prop::sample::Index>(),
        ) {
            let same = text.clone();
            prop_assert!(are_equal(&text, &same));
            text.push(1);
            prop_assert!(!are_equal(&text, &same));
            text.pop();
            if !text.is_empty() {
                let at = at.index(text.len());
                text[at] ^= 1;
                prop_assert!(!are_equal(&text, &same));
            }
        }

        #[test]
        fn finds_the_first_colon(buf in prop::collection::vec(prop::sample::select(b"a:\x3b\x39\xba\0".to_vec()), 0..80)) {
            let expected = buf.iter().position(|&byte| byte == b':');
            match find_colon(&buf) {
                None => prop_assert!(expected.is_none_or(|at| at >= USUAL_NAME)),
                found => prop_assert_eq!(found, expected),
            }
        }

        #[test]
        fn finds_what_a_plain_loop_finds(buf in prop::collection::vec(any::<u8>(), 0..64), from in 0usize..70) {
            let expected = (from..buf.len()).find(|&i| buf[i] < 0x20 || buf[i] == 0x7f);
            prop_assert_eq!(find_control(&buf, from), expected);
            let is_end = |byte: u8| byte <= b' ' || byte == b'#' || byte == 0x7f;
            let expected = (from..buf.len()).find(|&i| is_end(buf[i]));
            prop_assert_eq!(find_args_end(&buf, from), expected);
            let expected = (from..buf.len()).find(|&i| is_end(buf[i]) || buf[i] == b'?');
            prop_assert_eq!(find_path_end(&buf, from), expected);
        }
    }
}
