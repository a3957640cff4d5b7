//! Escaping and unescaping of URIs (RFC 3986 §2.1), with nginx's sets of characters.

use bytes::Bytes;

use super::chars::hex_value;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Which characters are escaped. Controls, space, `"`, `<`, `>`, `\`, `^`, `` ` ``, `{`, `|`, `}`,
/// DEL and everything beyond ASCII always are, but for [`Escape::Memcached`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// A path: `#`, `%` and `?` too.
    Uri,
    /// An argument's value: `#`, `%`, `&`, `+`, `;` and `?` too.
    Args,
    /// Everything but letters, digits, `-`, `.`, `_` and `~`, as `ngx.escape_uri` and
    /// `encodeURIComponent` do.
    UriComponent,
    /// A link inside a page: `#`, `%` and `'` too.
    Html,
    /// A target that is a URI already: `'` too.
    Refresh,
    /// A memcached key: controls, space and `%` alone.
    Memcached,
}

/// What unescaping is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unescape {
    /// Everything is unescaped.
    All,
    /// Stops behind the first `?`, escaped or not.
    Uri,
    /// As `Uri`, and what may not stand in a URI stays escaped: the target of a redirect.
    Redirect,
}

/// Appends `src` with the characters of `kind` written as `%XX`.
///
/// ```
/// use ngx_core::http::parse::{Escape, escape_uri};
///
/// let mut out = Vec::new();
/// escape_uri("/a b?ü".as_bytes(), Escape::Uri, &mut out);
/// assert_eq!(out, b"/a%20b%3F%C3%BC");
/// ```
pub fn escape_uri(src: &[u8], kind: Escape, out: &mut Vec<u8>) {
    let bit = 1u8 << kind as u8;
    let mut rest = src;

    while let Some(at) = rest
        .iter()
        .position(|&byte| ESCAPED[usize::from(byte)] & bit != 0)
    {
        let (plain, escaped) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((&byte, tail)) = escaped.split_first() else {
            break;
        };
        out.extend([
            b'%',
            HEX[usize::from(byte >> 4)],
            HEX[usize::from(byte & 0xf)],
        ]);
        rest = tail;
    }

    out.extend_from_slice(rest);
}

/// `target` with control characters escaped, and nothing else: variables may hold what a client
/// has sent, and a line break would end the header line that they are put into.
#[must_use]
pub fn escape_controls(target: Bytes) -> Bytes {
    if !target.iter().any(u8::is_ascii_control) {
        return target;
    }
    let mut out = Vec::with_capacity(target.len() + 8);
    for &byte in &target {
        if byte.is_ascii_control() {
            let digit = |value: u8| HEX[usize::from(value & 0xf)];
            out.extend([b'%', digit(byte >> 4), digit(byte)]);
        } else {
            out.push(byte);
        }
    }
    Bytes::from(out)
}

/// Appends `src` with `%XX` replaced by the bytes they stand for; gives how many bytes of `src`
/// were used (all, unless `kind` stops at a `?`). As nginx does, a `%` without two digits behind it
/// is dropped, the first byte that is no digit with the digit before it.
///
/// ```
/// use ngx_core::http::parse::{Unescape, unescape_uri};
///
/// let mut out = Vec::new();
/// assert_eq!(unescape_uri(b"a%20b%3Fc?d", Unescape::Uri, &mut out), 8);
/// assert_eq!(out, b"a b?");
/// ```
pub fn unescape_uri(src: &[u8], kind: Unescape, out: &mut Vec<u8>) -> usize {
    let mut at = 0;

    while let Some(&byte) = src.get(at) {
        at += 1;

        if byte == b'?' && kind != Unescape::All {
            out.push(byte);
            return at;
        }
        if byte != b'%' {
            out.push(byte);
            continue;
        }

        let Some(&first) = src.get(at) else { break };
        at += 1;
        let Some(high) = hex_value(first) else {
            out.push(first);
            continue;
        };
        let Some(&second) = src.get(at) else { break };
        at += 1;
        let Some(low) = hex_value(second) else {
            continue;
        };
        let decoded = high << 4 | low;

        match kind {
            Unescape::All => out.push(decoded),
            Unescape::Uri | Unescape::Redirect if decoded == b'?' => {
                out.push(decoded);
                return at;
            }
            Unescape::Redirect if decoded <= b'%' || decoded >= 0x7f => {
                out.extend([b'%', first, second]);
            }
            Unescape::Uri | Unescape::Redirect => out.push(decoded),
        }
    }

    at
}

/// One bit per [`Escape`], set if the byte is escaped.
static ESCAPED: [u8; 256] = {
    const NEVER_ALLOWED: &[u8] = b" \"<>\\^`{|}";
    const ALL: u8 = bits(&[
        Escape::Uri,
        Escape::Args,
        Escape::UriComponent,
        Escape::Html,
        Escape::Refresh,
    ]);

    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        if b < b' ' || b >= 0x7f {
            table[byte] |= ALL;
        }
        if b <= b' ' || b == b'%' {
            table[byte] |= bits(&[Escape::Memcached]);
        }
        if !(b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')) {
            table[byte] |= bits(&[Escape::UriComponent]);
        }
        byte += 1;
    }

    table = add(table, NEVER_ALLOWED, ALL);
    table = add(table, b"#%?", bits(&[Escape::Uri]));
    table = add(table, b"#%&+;?", bits(&[Escape::Args]));
    table = add(table, b"#%'", bits(&[Escape::Html]));
    add(table, b"'", bits(&[Escape::Refresh]))
};

const fn bits(kinds: &[Escape]) -> u8 {
    let mut bits = 0;
    let mut at = 0;
    while at < kinds.len() {
        bits |= 1 << kinds[at] as u8;
        at += 1;
    }
    bits
}

const fn add(mut table: [u8; 256], bytes: &[u8], bits: u8) -> [u8; 256] {
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] |= bits;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(kind: Escape) -> String {
        let mut out = Vec::new();
        escape_uri(
            b" !\"#$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~\x7f\xff\x01",
            kind,
            &mut out,
        );
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_kind_escapes_its_set() {
        let table = [
            (
                Escape::Uri,
                "%20!%22%23$%25&'()*+,-./09:;%3C=%3E%3F@AZ[%5C]%5E_%60az%7B%7C%7D~%7F%FF%01",
            ),
            (
                Escape::Args,
                "%20!%22%23$%25%26'()*%2B,-./09:%3B%3C=%3E%3F@AZ[%5C]%5E_%60az%7B%7C%7D~%7F%FF%01",
            ),
            (
                Escape::UriComponent,
                "%20%21%22%23%24%25%26%27%28%29%2A%2B%2C-.%2F09%3A%3B%3C%3D%3E%3F%40AZ%5B%5C%5D%5E_%60az%7B%7C%7D~%7F%FF%01",
            ),
            (
                Escape::Html,
                "%20!%22%23$%25&%27()*+,-./09:;%3C=%3E?@AZ[%5C]%5E_%60az%7B%7C%7D~%7F%FF%01",
            ),
            (
                Escape::Refresh,
                "%20!%22#$%&%27()*+,-./09:;%3C=%3E?@AZ[%5C]%5E_%60az%7B%7C%7D~%7F%FF%01",
            ),
        ];
        for (kind, expected) in table {
            assert_eq!(escaped(kind), expected, "{kind:?}");
        }
    }

    #[test]
    fn memcached_keys_keep_what_is_visible() {
        let mut out = Vec::new();
        escape_uri(b"/a b%c\r\n\xff\x7f", Escape::Memcached, &mut out);
        assert_eq!(out, b"/a%20b%25c%0D%0A\xff\x7f");
    }

    #[test]
    fn unescaping_stops_and_keeps_as_asked() {
        let table: &[(&[u8], Unescape, &[u8], usize)] = &[
            (b"a%41%zz%4", Unescape::All, b"aAzz", 9),
            (b"%4zb", Unescape::All, b"b", 4),
            (b"a?b", Unescape::All, b"a?b", 3),
            (b"a?b", Unescape::Uri, b"a?", 2),
            (b"%3fb", Unescape::Uri, b"?", 3),
            (b"%20%41%25%ff?b", Unescape::Redirect, b"%20A%25%ff?", 13),
            (b"%3Fb", Unescape::Redirect, b"?", 3),
        ];
        for &(src, kind, expected, used) in table {
            let mut out = Vec::new();
            assert_eq!(
                unescape_uri(src, kind, &mut out),
                used,
                "{}",
                src.escape_ascii()
            );
            assert_eq!(out, expected, "{}", src.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn what_was_escaped_is_unescaped(src in prop::collection::vec(any::<u8>(), 0..80)) {
            for kind in [Escape::Uri, Escape::Args, Escape::UriComponent, Escape::Html, Escape::Memcached] {
                let (mut escaped, mut back) = (Vec::new(), Vec::new());
                escape_uri(&src, kind, &mut escaped);
                unescape_uri(&escaped, Unescape::All, &mut back);
                prop_assert_eq!(&back, &src);
            }
        }
    }
}
