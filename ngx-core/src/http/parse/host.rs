//! Hosts: the `Host` field and the authority of a request target.

use std::borrow::Cow;

use thiserror::Error;

use super::chars::{HOST, HostByte, is_ip_literal_byte};

/// A host that was checked and made comparable: what `server_name` is matched against.
///
/// ```
/// use ngx_core::http::parse::Host;
///
/// let host = Host::parse(b"WWW.Example.Com.:8080")?;
/// assert_eq!((host.name.as_ref(), host.port), ("www.example.com", Some(8080)));
/// let host = Host::parse(b"[2001:DB8::1]")?;
/// assert_eq!((host.name.as_ref(), host.port), ("[2001:db8::1]", None));
/// assert!(Host::parse(b"a/b").is_err());
/// # Ok::<(), ngx_core::http::parse::InvalidHost>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    /// In lower case, without port and without the dot at the end; borrowed if it came so. An IP
    /// literal keeps its brackets.
    pub name: Cow<'a, str>,
    /// The port, if there is one that is not empty.
    pub port: Option<u16>,
}

/// The host has a character that no host has, two dots in a row, nothing in it, or a port that is
/// none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("invalid host")]
pub struct InvalidHost;

impl<'a> Host<'a> {
    /// Checks and normalises a host with an optional port, as nginx does.
    ///
    /// # Errors
    ///
    /// [`InvalidHost`]; the request gets 400.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, InvalidHost> {
        let HostParts { name, port, upper } = HostParts::of(bytes)?;
        // Nothing but ASCII has passed.
        let name = str::from_utf8(name).map_err(|_| InvalidHost)?;
        let name = if upper {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        };
        Ok(Self { name, port })
    }
}

/// A host that was checked, as it came.
pub(crate) struct HostParts<'a> {
    /// The front of it, without the dot at the end.
    pub(crate) name: &'a [u8],
    port: Option<u16>,
    /// The name may hold upper-case letters.
    pub(crate) upper: bool,
}

impl<'a> HostParts<'a> {
    /// Checks a host with an optional port.
    ///
    /// # Errors
    ///
    /// As [`Host::parse`].
    pub(crate) fn of(bytes: &'a [u8]) -> Result<Self, InvalidHost> {
        let (end, upper) = match bytes.split_first() {
            Some((b'[', literal)) => (end_of_literal(literal)?, true),
            _ => end_of_name(bytes)?,
        };
        let (name, port) = bytes.split_at_checked(end).ok_or(InvalidHost)?;
        let port = parse_port(port)?;
        let name = name.strip_suffix(b".").unwrap_or(name);
        if name.is_empty() {
            return Err(InvalidHost);
        }
        Ok(Self { name, port, upper })
    }
}

/// Length of an IP literal, from behind its first bracket: both brackets included.
fn end_of_literal(literal: &[u8]) -> Result<usize, InvalidHost> {
    let len = literal
        .iter()
        .take_while(|&&byte| is_ip_literal_byte(byte))
        .count();
    let inside = literal.get(..len).unwrap_or_default();
    if literal.get(len) != Some(&b']') || inside.windows(2).any(|pair| pair == b"..") {
        return Err(InvalidHost);
    }
    Ok(len + 2)
}

/// Length of a name, and whether it has upper-case letters.
fn end_of_name(bytes: &[u8]) -> Result<(usize, bool), InvalidHost> {
    let mut upper = false;
    let mut dot = false;
    for (at, &byte) in bytes.iter().enumerate() {
        match HOST[usize::from(byte)] {
            HostByte::Lower => dot = false,
            HostByte::Upper => (upper, dot) = (true, false),
            HostByte::Dot if dot => return Err(InvalidHost),
            HostByte::Dot => dot = true,
            HostByte::Other => return Ok((at, upper)),
        }
    }
    Ok((bytes.len(), upper))
}

/// Nothing, or a colon and a number up to 65535, which may be missing.
fn parse_port(bytes: &[u8]) -> Result<Option<u16>, InvalidHost> {
    let digits = match bytes.split_first() {
        None => return Ok(None),
        Some((b':', digits)) => digits,
        Some(_) => return Err(InvalidHost),
    };

    digits.iter().try_fold(None, |port: Option<u16>, &byte| {
        let digit = byte
            .is_ascii_digit()
            .then(|| u16::from(byte - b'0'))
            .ok_or(InvalidHost)?;
        let port = port
            .unwrap_or(0)
            .checked_mul(10)
            .and_then(|port| port.checked_add(digit));
        port.map(Some).ok_or(InvalidHost)
    })
}

/// Parses any host; what comes out parses to itself.
#[doc(hidden)]
pub fn fuzz_host(data: &[u8]) {
    if let Ok(host) = Host::parse(data) {
        assert!(!host.name.is_empty() && !host.name.contains(['/', ' ', '\0']));
        let again = Host::parse(host.name.as_bytes());
        assert!(again.is_ok_and(|again| again.name == host.name && again.port.is_none()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn good_hosts() {
        let table = [
            ("a", "a", None),
            ("LocalHost", "localhost", None),
            ("a.b.:80", "a.b", Some(80)),
            ("a:", "a", None),
            ("a:0", "a", Some(0)),
            ("a:65535", "a", Some(65535)),
            ("a:000080", "a", Some(80)),
            (".a", ".a", None),
            ("a_b~c!$&'()*+,;=%20", "a_b~c!$&'()*+,;=%20", None),
            ("127.0.0.1:8080", "127.0.0.1", Some(8080)),
            ("[::1]", "[::1]", None),
            ("[FE80::1]:443", "[fe80::1]", Some(443)),
        ];
        for (host, name, port) in table {
            let parsed = Host::parse(host.as_bytes()).unwrap();
            assert_eq!((parsed.name.as_ref(), parsed.port), (name, port), "{host}");
        }
    }

    #[test]
    fn bad_hosts() {
        for host in [
            "",
            ".",
            ":80",
            "a..b",
            "a..",
            "a/b",
            "a b",
            "a\tb",
            "a\0",
            "a@b",
            "a?b",
            "a#b",
            "a\\b",
            "\u{e4}",
            "a:x",
            "a:80x",
            "a:65536",
            "a:99999999999",
            "a:80:80",
            "[::1",
            "::1]",
            "[::1]x",
            "[::1]:x",
            "[a/b]",
            "[a%25b]",
            "a[b]",
            "[1..2]",
        ] {
            assert_eq!(Host::parse(host.as_bytes()), Err(InvalidHost), "{host}");
        }
    }

    #[test]
    fn nothing_is_copied_without_need() {
        assert!(matches!(
            Host::parse(b"example.com:80").unwrap().name,
            Cow::Borrowed(_)
        ));
    }

    proptest! {
        #[test]
        fn never_panics(data in prop::collection::vec(prop::sample::select(b"aZ0.:[]-%/".to_vec()), 0..20)) {
            fuzz_host(&data);
        }
    }
}
