//! How values are kept from breaking a line (`log_format ... escape=`).

use std::cell::RefCell;

/// The escaping of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    /// `"`, `\`, control characters and everything above 126 as `\xXX`.
    Default,
    /// As strings in JSON need it (RFC 8259 §7).
    Json,
    /// Not at all.
    None,
}

thread_local! {
    /// The value being escaped.
    static VALUE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

impl Escape {
    /// What stands for a value that is missing.
    pub(super) const fn missing(self) -> &'static [u8] {
        match self {
            Self::Default => b"-",
            Self::Json | Self::None => b"",
        }
    }

    /// Escapes what `line` has from `start` on.
    pub(super) fn apply(self, line: &mut Vec<u8>, start: usize) {
        let special: fn(&u8) -> bool = match self {
            Self::Default => |byte| !matches!(byte, b' '..=b'~') || matches!(byte, b'"' | b'\\'),
            Self::Json => |byte| matches!(byte, 0..=0x1f | b'"' | b'\\'),
            Self::None => return,
        };
        let value = line.get(start..).unwrap_or_default();
        // Nearly all values are fine as they are.
        let Some(first) = value.iter().position(special) else {
            return;
        };
        let first = start + first;
        VALUE.with_borrow_mut(|rest| {
            rest.clear();
            rest.extend_from_slice(line.get(first..).unwrap_or_default());
            line.truncate(first);
            for &byte in rest.iter() {
                match self {
                    _ if !special(&byte) => line.push(byte),
                    Self::Json => json(byte, line),
                    Self::Default | Self::None => {
                        line.extend_from_slice(&[b'\\', b'x', high(byte), low(byte)]);
                    }
                }
            }
        });
    }
}

fn json(byte: u8, line: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            line.extend_from_slice(&[b'\\', b'u', b'0', b'0', high(byte), low(byte)]);
            return;
        }
    };
    line.extend_from_slice(&[b'\\', short]);
}

fn high(byte: u8) -> u8 {
    HEX[usize::from(byte >> 4)]
}

fn low(byte: u8) -> u8 {
    HEX[usize::from(byte & 15)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(escape: Escape, value: &[u8]) -> Vec<u8> {
        let mut line = b"\"\n".to_vec();
        line.extend_from_slice(value);
        escape.apply(&mut line, 2);
        assert_eq!(
            line[..2],
            *b"\"\n",
            "what stands before the value is left alone"
        );
        line[2..].to_vec()
    }

    #[test]
    fn every_byte_in_every_escaping() {
        for byte in 0..=u8::MAX {
            let hex = format!("\\x{byte:02X}").into_bytes();
            let plain = vec![byte];
            let default = match byte {
                b'"' | b'\\' | 0..=0x1f | 0x7f.. => hex,
                _ => plain.clone(),
            };
            assert_eq!(escaped(Escape::Default, &[byte]), default);
            let json = match byte {
                b'"' => b"\\\"".to_vec(),
                b'\\' => b"\\\\".to_vec(),
                b'\n' => b"\\n".to_vec(),
                b'\r' => b"\\r".to_vec(),
                b'\t' => b"\\t".to_vec(),
                8 => b"\\b".to_vec(),
                12 => b"\\f".to_vec(),
                0..=0x1f => format!("\\u00{byte:02X}").into_bytes(),
                _ => plain.clone(),
            };
            assert_eq!(escaped(Escape::Json, &[byte]), json);
            assert_eq!(escaped(Escape::None, &[byte]), plain);
        }
    }

    #[test]
    fn the_rest_of_a_value_is_kept() {
        assert_eq!(escaped(Escape::Default, b"a\"b c\"d"), b"a\\x22b c\\x22d");
        assert_eq!(
            escaped(Escape::Json, "ü\"€".as_bytes()),
            "ü\\\"€".as_bytes()
        );
        assert_eq!(escaped(Escape::Default, b""), b"");
    }
}
