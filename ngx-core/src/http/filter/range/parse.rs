//! The value of `Range` (RFC 9110 §14.1.2).

use std::ops::Range;

/// What a `Range` field asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Asked {
    /// The field does not count: the whole content.
    Whole,
    /// These, in the order asked for: at least one; none is empty or goes beyond the end.
    Ranges(Vec<Range<u64>>),
    /// Nothing that the content has.
    Nothing,
}

/// nginx counts in signed numbers; what does not fit is refused.
const LARGEST: u64 = i64::MAX as u64;
/// What a boundary between parts is taken for when no `max_ranges` is set.
const PART_COST: u64 = 256;
/// How much longer than the content an answer in parts may be then.
const COST_MAX: u64 = 4096;

/// The list of a field in the unit `bytes`.
pub(super) fn ranges_of(field: &[u8]) -> Option<&[u8]> {
    let (unit, ranges) = field.split_at_checked(6)?;
    (unit.eq_ignore_ascii_case(b"bytes=") && !ranges.is_empty()).then_some(ranges)
}

/// Reads what follows `bytes=` for a content of `length` bytes.
pub(super) fn parse(text: &[u8], length: u64, max: u64) -> Asked {
    let mut ranges = Vec::new();
    let mut total = 0_u64;
    for spec in text.split(|&byte| byte == b',') {
        let Some(range) = parse_one(spec, length) else {
            return Asked::Nothing;
        };
        if range.is_empty() {
            if range.start == 0 {
                return Asked::Whole;
            }
            continue;
        }
        let sum = total
            .checked_add(range.end - range.start)
            .filter(|sum| *sum <= LARGEST);
        let Some(sum) = sum else {
            return Asked::Nothing;
        };
        total = sum;
        ranges.push(range);
        if ranges.len() as u64 > max {
            return Asked::Whole;
        }
    }
    let unlimited = max == u64::MAX;
    let cost = (ranges.len() as u64).saturating_mul(PART_COST);
    match ranges.len() {
        0 => Asked::Nothing,
        1 => Asked::Ranges(ranges),
        _ if total > length => Asked::Whole,
        _ if unlimited && total.saturating_add(cost) > length.saturating_add(COST_MAX) => {
            Asked::Whole
        }
        _ => Asked::Ranges(ranges),
    }
}

/// `first-last`, `first-` or `-suffix`; none if it is malformed. Ends at the end of the content.
fn parse_one(spec: &[u8], length: u64) -> Option<Range<u64>> {
    let spec = skip_spaces(spec);
    if let Some(suffix) = spec.strip_prefix(b"-") {
        let (suffix, rest) = number(suffix)?;
        return skip_spaces(rest)
            .is_empty()
            .then(|| length.saturating_sub(suffix)..length);
    }
    let (first, rest) = number(spec)?;
    let rest = skip_spaces(skip_spaces(rest).strip_prefix(b"-")?);
    if rest.is_empty() {
        return Some(first..length);
    }
    let (last, rest) = number(rest)?;
    if !skip_spaces(rest).is_empty() {
        return None;
    }
    Some(first..last.checked_add(1)?.min(length))
}

fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(len);
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0_u64, |value, digit| {
        value
            .checked_mul(10)?
            .checked_add(u64::from(digit - b'0'))
            .filter(|v| *v <= LARGEST)
    })?;
    Some((value, rest))
}

fn skip_spaces(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take_while(|byte| **byte == b' ').count();
    text.get(spaces..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranges(list: &[(u64, u64)]) -> Asked {
        Asked::Ranges(list.iter().map(|&(start, end)| start..end).collect())
    }

    #[test]
    fn the_unit_is_bytes() {
        assert_eq!(ranges_of(b"bytes=0-"), Some(&b"0-"[..]));
        assert_eq!(ranges_of(b"BYTES=0-"), Some(&b"0-"[..]));
        assert_eq!(ranges_of(b"bytes="), None);
        assert_eq!(ranges_of(b"lines=0-"), None);
        assert_eq!(ranges_of(b"byt"), None);
    }

    #[test]
    fn ranges_of_ten_bytes() {
        let cases: &[(&str, Asked)] = &[
            ("0-", ranges(&[(0, 10)])),
            ("0-0", ranges(&[(0, 1)])),
            ("2-4", ranges(&[(2, 5)])),
            (" 2 - 4 ", ranges(&[(2, 5)])),
            ("9-", ranges(&[(9, 10)])),
            ("5-100", ranges(&[(5, 10)])),
            ("-3", ranges(&[(7, 10)])),
            ("-100", ranges(&[(0, 10)])),
            ("0-1,4-5", ranges(&[(0, 2), (4, 6)])),
            ("4-5, 0-1", ranges(&[(4, 6), (0, 2)])),
            ("0-1,20-30", ranges(&[(0, 2)])),
            ("0-4,2-6", ranges(&[(0, 5), (2, 7)])),
            // What cannot be had.
            ("10-", Asked::Nothing),
            ("10-20", Asked::Nothing),
            ("-0", Asked::Nothing),
            ("5-4", Asked::Nothing),
            ("", Asked::Nothing),
            ("-", Asked::Nothing),
            ("a-b", Asked::Nothing),
            ("1-2x", Asked::Nothing),
            ("1-2-3", Asked::Nothing),
            ("1-2,", Asked::Nothing),
            ("--1", Asked::Nothing),
            ("9223372036854775807-", Asked::Nothing),
            ("0-9223372036854775808", Asked::Nothing),
            ("-18446744073709551616", Asked::Nothing),
            // More than there is.
            ("0-,0-", Asked::Whole),
            ("0-9,-1", Asked::Whole),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text.as_bytes(), 10, u64::MAX), *want, "{text:?}");
        }
        assert_eq!(
            parse(b"0-9223372036854775807", 10, u64::MAX),
            ranges(&[(0, 10)])
        );
    }

    #[test]
    fn nothing_has_no_ranges() {
        assert_eq!(parse(b"0-", 0, u64::MAX), Asked::Whole);
        assert_eq!(parse(b"-5", 0, u64::MAX), Asked::Whole);
        assert_eq!(parse(b"1-", 0, u64::MAX), Asked::Nothing);
    }

    #[test]
    fn there_may_be_so_many_ranges() {
        assert_eq!(parse(b"0-0,2-2", 10, 2), ranges(&[(0, 1), (2, 3)]));
        assert_eq!(parse(b"0-0,2-2,4-4", 10, 2), Asked::Whole);
        assert_eq!(parse(b"0-0", 10, 1), ranges(&[(0, 1)]));
    }

    #[test]
    fn parts_must_not_cost_more_than_the_whole() {
        let text = vec!["0-0"; 20].join(",");
        assert_eq!(parse(text.as_bytes(), 100, u64::MAX), Asked::Whole);
        assert!(matches!(parse(text.as_bytes(), 100, 20), Asked::Ranges(_)));
        assert!(matches!(
            parse(text.as_bytes(), 100_000, u64::MAX),
            Asked::Ranges(_)
        ));
    }

    proptest! {
        #[test]
        fn ranges_lie_within_the_content(text in "[0-9, -]{0,40}", length in 0_u64..3000, max in 1_u64..9) {
            if let Asked::Ranges(ranges) = parse(text.as_bytes(), length, max) {
                prop_assert!(!ranges.is_empty() && ranges.len() as u64 <= max);
                for range in &ranges {
                    prop_assert!(range.start < range.end && range.end <= length);
                }
                let total: u64 = ranges.iter().map(|range| range.end - range.start).sum();
                prop_assert!(ranges.len() == 1 || total <= length);
            }
        }

        #[test]
        fn large_numbers_do_no_harm(a: u64, b: u64, length: u64) {
            for text in [format!("{a}-{b}"), format!("-{a},{b}-"), format!("{a}-,-{b},{a}-{b}")] {
                if let Asked::Ranges(ranges) = parse(text.as_bytes(), length, u64::MAX) {
                    prop_assert!(ranges.iter().all(|r| r.start < r.end && r.end <= length));
                }
            }
        }
    }
}
