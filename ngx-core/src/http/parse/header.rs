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

    let good = bytes
        .iter()
        .position(|&byte| NAME[usize::from(byte)] != NameByte::Good);
    let Name {
        colon,
        underscore,
        odd,
    } = match good {
        Some(colon) if colon > 0 && bytes.get(colon) == Some(&b':') => Name {
            colon,
            underscore: false,
            odd: false,
        },
        _ => parse_odd_name(bytes).map_err(|bad| line.start + bad)?,
    };

    let (name, mut value) = bytes.split_at_checked(colon).unwrap_or_default();
    value = value.get(1..).unwrap_or_default();
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
        known: Known::from_name(name),
    };
    Ok(Parsed {
        field,
        underscore,
        odd,
    })
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
