//! `ngx.escape_uri`, `ngx.unescape_uri`.

use super::one;
use crate::ffi::{Call, Kind, Raise, Reply};

/// Which bytes are written as `%XX`: a bit each.
struct Escapes([u128; 2]);

/// What nginx's `type` 2 escapes: all but letters, digits, and `-._~!'()*`.
const COMPONENT: Escapes = Escapes::all_but_unreserved();

/// By nginx's numbers: 0 a URI, 1 arguments, 2 a component, 3 HTML, 4 a refresh, 5 a key of
/// memcached, 6 what is sent to an auth_http server.
static TYPES: [Escapes; 7] = [
    Escapes::controls_and(b" #%?", true),
    Escapes::controls_and(b" #%+?", true),
    COMPONENT,
    Escapes::controls_and(b" #\"%'", true),
    Escapes::controls_and(b" \"'", true),
    Escapes::controls_and(b" %", false),
    Escapes::controls_and(b" %", false),
];

impl Escapes {
    /// Control bytes, the bytes of `more`, and from 0x7f on what `high` says.
    const fn controls_and(more: &[u8], high: bool) -> Self {
        let mut bits = [0xffff_ffff, 0];
        let mut at = 0;
        while at < more.len() {
            bits[0] |= 1 << more[at];
            at += 1;
        }
        if high {
            bits[0] |= 1 << 0x7f;
            bits[1] = u128::MAX;
        }
        Self(bits)
    }

    const fn all_but_unreserved() -> Self {
        let mut bits = [u128::MAX, u128::MAX];
        let mut byte = 0u8;
        while byte < 0x80 {
            if byte.is_ascii_alphanumeric() || is_mark(byte) {
                bits[0] &= !(1 << byte);
            }
            byte += 1;
        }
        Self(bits)
    }

    /// Whether nginx's bit is set.
    fn has(&self, byte: u8) -> bool {
        let half = if byte < 0x80 { self.0[0] } else { self.0[1] };
        half >> (byte & 0x7f) & 1 != 0
    }
}

/// The marks of RFC 2396 §2.3, which RFC 3986 has fewer of.
const fn is_mark(byte: u8) -> bool {
    matches!(
        byte,
        b'-' | b'.' | b'_' | b'~' | b'!' | b'\'' | b'(' | b')' | b'*'
    )
}

/// `ngx.escape_uri(str, type?)`
pub(super) fn escape_uri(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let escapes = match call.kind(2) {
        Kind::None | Kind::Nil => &COMPONENT,
        Kind::Number => {
            let number = call.want_number(2)?;
            type_of(number).ok_or_else(|| {
                let text = String::from_utf8_lossy(&call.tostring(2)).into_owned();
                Raise::from(format!("\"type\" {text} out of range"))
            })?
        }
        _ => return Err("\"type\" is not a number".into()),
    };
    let text = call.subject(1);
    if !text.iter().any(|byte| escapes.has(*byte)) && call.kind(1) == Kind::String {
        drop(text);
        return Ok(call.give_back(1));
    }
    let mut escaped = Vec::with_capacity(text.len() * 2);
    escape(&text, escapes, &mut escaped);
    Ok(one(escaped))
}

fn type_of(number: f64) -> Option<&'static Escapes> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within range"
    )]
    (0.0..=6.0)
        .contains(&number)
        .then(|| &TYPES[number as usize])
}

/// `ngx.unescape_uri(str)`
pub(super) fn unescape_uri(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let text = call.subject(1);
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) && call.kind(1) == Kind::String {
        drop(text);
        return Ok(call.give_back(1));
    }
    let plain = unescape(&text);
    Ok(one(plain))
}

/// Appends `text` with everything escaped that has a meaning in a URI.
pub(super) fn escape_component(text: &[u8], out: &mut Vec<u8>) {
    escape(text, &COMPONENT, out);
}

fn escape(text: &[u8], escapes: &Escapes, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text {
        if escapes.has(*byte) {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            out.extend_from_slice(&[b'%', high, low]);
        } else {
            out.push(*byte);
        }
    }
}

/// Undoes `%XX`, and makes spaces of `+`; what is no escape stays as it is.
pub(super) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match (byte, tail) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    plain.push(high << 4 | low);
                    rest = after;
                }
                _ => plain.push(b'%'),
            },
            (b'+', _) => plain.push(b' '),
            _ => plain.push(*byte),
        }
    }
    plain
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_escapes_what_nginx_escapes() {
        // The printable ones; of what comes before, all are escaped by all.
        let by_type = [
            " #%?",
            " #%+?",
            " \"#$%&+,/:;<=>?@[\\]^`{|}",
            " \"#%'",
            " \"'",
            " %",
            " %",
        ];
        for (escapes, wanted) in TYPES.iter().zip(by_type) {
            let found: String = (b' '..0x7f)
                .filter(|byte| escapes.has(*byte))
                .map(char::from)
                .collect();
            assert_eq!(found, wanted);
            assert!((0..b' ').all(|byte| escapes.has(byte)));
        }
        for (number, escapes) in TYPES.iter().enumerate() {
            assert!((0x7f..=0xff).all(|byte| escapes.has(byte) == (number < 5)));
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_escaped_comes_back(text: Vec<u8>) {
            let mut escaped = Vec::new();
            escape_component(&text, &mut escaped);
            proptest::prop_assert!(escaped.is_ascii());
            proptest::prop_assert_eq!(unescape(&escaped), text);
        }

        #[test]
        fn anything_can_be_unescaped(text: Vec<u8>) {
            proptest::prop_assert!(unescape(&text).len() <= text.len());
        }
    }
}
