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

/// Parses one line, which is not empty and has no control characters but tabs (responses: but NUL and CR).
///
/// # Errors
///
/// The offset of the byte that cannot stand there; the end of the line if there is no colon.
pub(super) fn parse_field(buf: &[u8], line: Range<usize>) -> Result<Parsed, usize> {
    let bytes = buf.get(line.clone()).unwrap_or_default();
    let mut underscore = false;
    let mut odd = false;
    let mut colon = bytes.len();

    for (at, &byte) in bytes.iter().enumerate() {
        match NAME[usize::from(byte)] {
            NameByte::Good => {}
            NameByte::Underscore => underscore = true,
            NameByte::Odd => odd = true,
            NameByte::Bad => return Err(line.start + at),
            NameByte::Colon => {
                colon = at;
                break;
            }
        }
    }

    if colon == 0 || colon == bytes.len() {
        return Err(line.start + colon);
    }

    let (name, rest) = bytes.split_at(colon);
    let value = rest.get(1..).unwrap_or_default();
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let leading = value.iter().take_while(|byte| blank(byte)).count();
    let trailing = value
        .iter()
        .skip(leading)
        .rev()
        .take_while(|byte| blank(byte))
        .count();

    let start = line.start + colon + 1 + leading;
    let field = FieldRange {
        name: Span::at(line.start, line.start + colon),
        value: Span::at(start, line.end - trailing),
        known: Known::from_name(name),
    };
    Ok(Parsed {
        field,
        underscore,
        odd,
    })
}
