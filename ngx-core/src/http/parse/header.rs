//! Header fields (RFC 9112 §5).

use std::ops::Range;

use super::chars::{NAME, NameByte};
use super::known::Known;
use super::span::Span;

/// One header field: where its name and its value lie in the head, and which field it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldRange {
    /// The name as it was sent.
    pub name: Span,
    /// The value without the spaces around it.
    pub value: Span,
    /// Which of the known fields this is.
    pub known: Known,
}

/// The first field that is `known`.
pub(super) fn find(fields: &[FieldRange], known: Known) -> Option<&FieldRange> {
    fields.iter().find(|field| field.known == known)
}

/// A field with what must be known to decide whether it is taken.
pub(super) struct Parsed {
    pub(super) field: FieldRange,
    /// The name has a `_`.
    pub(super) underscore: bool,
    /// The name has visible characters that are not nginx's.
    pub(super) odd: bool,
}

/// Parses one line, which is not empty and has no control characters but tabs (responses: but NUL
/// and CR).
///
/// # Errors
///
/// The offset of the byte that cannot stand there; the end of the line if there is no colon.
pub(super) fn parse_field(buf: &[u8], line: Range<usize>) -> Result<Parsed, usize> {
    let bytes = buf.get(line.clone()).unwrap_or_default();

    // A name that is known is good, and most are: they are not looked at byte by byte.
    let colon = memchr::memchr(b':', bytes).unwrap_or(0);
    let known = Known::from_name(bytes.get(..colon).unwrap_or_default());
    let Name {
        colon,
        underscore,
        odd,
    } = if known != Known::Other || is_good(bytes.get(..colon).unwrap_or_default()) {
        Name {
            colon,
            underscore: false,
            odd: false,
        }
    } else {
        parse_odd_name(bytes).map_err(|bad| line.start + bad)?
    };

    let mut value = bytes.get(colon + 1..).unwrap_or_default();
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    let start = line.end - value.len();
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }

    let field = FieldRange {
        name: Span::at(line.start, line.start + colon),
        value: Span::at(start, start + value.len()),
        known,
    };
    Ok(Parsed {
        field,
        underscore,
        odd,
    })
}

/// Whether it is a name of letters, digits and `-` alone.
fn is_good(name: &[u8]) -> bool {
    !name.is_empty()
        && name
            .iter()
            .all(|&byte| NAME[usize::from(byte)] == NameByte::Good)
}

/// What was found looking for the end of a name.
struct Name {
    colon: usize,
    underscore: bool,
    odd: bool,
}

/// The name of a field if it is not of letters, digits and `-` alone; else the offset of what
/// spoils it.
#[cold]
fn parse_odd_name(bytes: &[u8]) -> Result<Name, usize> {
    let mut underscore = false;
    let mut odd = false;

    for (at, &byte) in bytes.iter().enumerate() {
        match NAME[usize::from(byte)] {
            NameByte::Good => {}
            NameByte::Underscore => underscore = true,
            NameByte::Odd => odd = true,
            NameByte::Colon if at > 0 => {
                return Ok(Name {
                    colon: at,
                    underscore,
                    odd,
                });
            }
            NameByte::Colon | NameByte::Bad => return Err(at),
        }
    }

    Err(bytes.len())
}
