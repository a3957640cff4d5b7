//! Paths and arguments.

use super::escape::{Unescape, unescape_uri};
use thiserror::Error;

use super::chars::hex_value;

/// A path that cannot be normalised: the request gets 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidUri {
    /// The path does not begin with `/`.
    #[error("the path does not begin with \"/\"")]
    Relative,
    /// A `%` without two hexadecimal digits behind it.
    #[error("invalid escape in the path")]
    Escape,
    /// A NUL, escaped or not.
    #[error("zero byte in the path")]
    Zero,
    /// More `..` than there are segments.
    #[error("the path leads above the root")]
    AboveRoot,
}

/// Appends the path that a request means: escapes decoded, `.` and `..` resolved (RFC 3986 §5.2.4),
/// repeated slashes merged if `merge_slashes` says so. `path` ends before its arguments; it is
/// `$uri` that comes out.
///
/// An escaped slash or dot counts like a plain one; an escaped `%`, `?` or `#` is but a character.
/// A `+` stays.
///
/// # Errors
///
/// The path means nothing; `out` then ends with rubbish.
///
/// ```
/// use ngx_core::http::parse::{InvalidUri, normalize};
///
/// let mut out = Vec::new();
/// normalize(b"/a//b/./c/%2e%2e/d%20e", true, &mut out)?;
/// assert_eq!(out, b"/a/b/d e");
/// assert_eq!(normalize(b"/../x", true, &mut Vec::new()), Err(InvalidUri::AboveRoot));
/// # Ok::<(), InvalidUri>(())
/// ```
pub fn normalize(path: &[u8], merge_slashes: bool, out: &mut Vec<u8>) -> Result<(), InvalidUri> {
    let root = out.len();
    let mut rest = path.strip_prefix(b"/").ok_or(InvalidUri::Relative)?;
    out.push(b'/');
    // Where the segment that is being written begins; the byte before it is a slash.
    let mut segment = out.len();

    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let byte = if first == b'%' {
            decode(&mut rest)?
        } else {
            first
        };

        if byte == 0 {
            return Err(InvalidUri::Zero);
        }
        if byte != b'/' {
            out.push(byte);
            continue;
        }

        if !resolve_dots(out, root, &mut segment)? && (!merge_slashes || out.len() > segment) {
            out.push(b'/');
            segment = out.len();
        }
    }

    resolve_dots(out, root, &mut segment)?;
    Ok(())
}

/// Where the extension of a normalised path begins: behind the last dot of its last segment, unless
/// the dot begins the segment.
///
/// ```
/// use ngx_core::http::parse::exten;
///
/// assert_eq!(exten(b"/a/b.tar.gz"), Some(b"gz".as_slice()));
/// assert_eq!(exten(b"/a.b/.htaccess"), None);
/// ```
#[must_use]
pub fn exten(uri: &[u8]) -> Option<&[u8]> {
    // Endings are short: there is nothing to be gained by searching many bytes at once.
    let at = uri.iter().rposition(|byte| matches!(byte, b'.' | b'/'))?;
    let before = uri.get(at.checked_sub(1)?)?;
    (uri.get(at) == Some(&b'.') && *before != b'/').then(|| uri.get(at + 1..))?
}

/// A URI's path, and its arguments if there is a `?`.
///
/// ```
/// use ngx_core::http::parse::split_args;
///
/// assert_eq!(split_args(b"/a?b?c"), (b"/a".as_slice(), Some(b"b?c".as_slice())));
/// assert_eq!(split_args(b"/a"), (b"/a".as_slice(), None));
/// ```
#[must_use]
pub fn split_args(uri: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', uri) {
        Some(at) => (uri.get(..at).unwrap_or_default(), uri.get(at + 1..)),
        None => (uri, None),
    }
}

/// Path and arguments of a URI that a script or a backend names, unescaped; `None` if the path leads
/// out of the root.
///
/// ```
/// use ngx_core::http::parse::parse_unsafe;
///
/// assert_eq!(parse_unsafe(b"/a%20b?c=%20"), Some((b"/a b".to_vec(), b"c=%20".to_vec())));
/// assert_eq!(parse_unsafe(b"/a/%2e%2e/b"), None);
/// ```
#[must_use]
pub fn parse_unsafe(uri: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (raw, args) = split_args(uri);
    let mut path = Vec::with_capacity(raw.len());
    if raw.contains(&b'%') {
        unescape_uri(raw, Unescape::All, &mut path);
    } else {
        path.extend_from_slice(raw);
    }
    let is_safe = |path: &[u8]| {
        !path.is_empty() && !path.contains(&0) && !path.split(|b| *b == b'/').any(|s| s == b"..")
    };
    (is_safe(raw) && is_safe(&path)).then(|| (path, args.unwrap_or_default().to_vec()))
}

/// The value of the first argument of this name, in any case of letters, as sent: `$arg_name`. An
/// argument without `=` has none.
///
/// ```
/// use ngx_core::http::parse::arg;
///
/// assert_eq!(arg(b"ab=1&b=2&B=3", b"b"), Some(b"2".as_slice()));
/// assert_eq!(arg(b"b&c=", b"b"), None);
/// assert_eq!(arg(b"b&c=", b"c"), Some(b"".as_slice()));
/// ```
#[must_use]
pub fn arg<'a>(args: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    if name.is_empty() {
        return None;
    }
    args.split(|&byte| byte == b'&').find_map(|pair| {
        let (key, value) = pair.split_at_checked(name.len())?;
        value
            .strip_prefix(b"=")
            .filter(|_| key.eq_ignore_ascii_case(name))
    })
}

/// The byte that the two digits at the front of `rest` mean.
fn decode(rest: &mut &[u8]) -> Result<u8, InvalidUri> {
    let [high, low, tail @ ..] = rest else {
        return Err(InvalidUri::Escape);
    };
    let (Some(high), Some(low)) = (hex_value(*high), hex_value(*low)) else {
        return Err(InvalidUri::Escape);
    };
    *rest = tail;
    Ok(high << 4 | low)
}

/// Takes a finished `.` or `..` off `out`; whether there was one.
fn resolve_dots(out: &mut Vec<u8>, root: usize, segment: &mut usize) -> Result<bool, InvalidUri> {
    match out.get(*segment..) {
        Some(b".") => {
            out.truncate(*segment);
            Ok(true)
        }
        Some(b"..") => {
            out.truncate(*segment - 1);
            let parents = out.get(root..).unwrap_or_default();
            let slash = memchr::memrchr(b'/', parents).ok_or(InvalidUri::AboveRoot)?;
            out.truncate(root + slash + 1);
            *segment = out.len();
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Normalises any path; the result is normal and keeps inside the root.
#[doc(hidden)]
pub fn fuzz_uri(data: &[u8]) {
    let (path, args) = split_args(data);
    for merge_slashes in [false, true] {
        let mut out = b"before".to_vec();
        if normalize(path, merge_slashes, &mut out).is_ok() {
            let uri = out.get(6..).unwrap_or_default();
            assert!(out.starts_with(b"before/") && !uri.contains(&0));
            assert!(
                !uri.split(|&byte| byte == b'/')
                    .any(|segment| matches!(segment, b"." | b".."))
            );
            assert!(!merge_slashes || !uri.windows(2).any(|pair| pair == b"//"));
            assert!(exten(uri).is_none_or(|exten| uri.ends_with(exten)));
        }
    }
    if let Some(args) = args {
        assert!(arg(args, b"a").is_none_or(|value| value.len() + 2 <= args.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn normal(path: &str, merge: bool) -> Result<String, InvalidUri> {
        let mut out = Vec::new();
        normalize(path.as_bytes(), merge, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_script_may_not_leave_the_root() {
        let parsed = |uri: &str| {
            let (path, args) = parse_unsafe(uri.as_bytes())?;
            let text = |bytes| String::from_utf8(bytes).unwrap();
            Some((text(path), text(args)))
        };
        let some = |path: &str, args: &str| Some((path.to_owned(), args.to_owned()));
        assert_eq!(parsed("/a?b=%20"), some("/a", "b=%20"));
        assert_eq!(parsed("/a%20b"), some("/a b", ""));
        assert_eq!(parsed("@name"), some("@name", ""));
        assert_eq!(parsed("/a..b/..c"), some("/a..b/..c", ""));
        for refused in ["", "?a", "../a", "/a/../b", "/a/..", "/a/%2e%2e/b", "/a%00"] {
            assert_eq!(parsed(refused), None, "{refused}");
        }
    }

    #[test]
    fn paths_are_normalised() {
        let table = [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/", "/a/"),
            ("//a///b//", "/a/b/"),
            ("/.", "/"),
            ("/./a/./", "/a/"),
            ("/a/..", "/"),
            ("/a/../", "/"),
            ("/a/b/../c", "/a/c"),
            ("/a/b/..", "/a/"),
            ("/a//..", "/"),
            ("/a/...", "/a/..."),
            ("/a/.b/..c/d..", "/a/.b/..c/d.."),
            ("/%61%2f%2E%2e%2Fb", "/b"),
            ("/a%3fb%23c%25d+e", "/a?b#c%d+e"),
            ("/%2e", "/"),
            ("/a%20b", "/a b"),
        ];
        for (path, expected) in table {
            assert_eq!(normal(path, true).as_deref(), Ok(expected), "{path}");
        }
        assert_eq!(normal("//a///b/", false).as_deref(), Ok("//a///b/"));
        assert_eq!(normal("/a//../b", false).as_deref(), Ok("/a/b"));
        assert_eq!(normal("//..", false).as_deref(), Ok("/"));
    }

    #[test]
    fn bad_paths_are_refused() {
        let table = [
            ("", InvalidUri::Relative),
            ("a", InvalidUri::Relative),
            ("/..", InvalidUri::AboveRoot),
            ("/a/../../b", InvalidUri::AboveRoot),
            ("/%2e%2e/", InvalidUri::AboveRoot),
            ("//../..", InvalidUri::AboveRoot),
            ("/%", InvalidUri::Escape),
            ("/%4", InvalidUri::Escape),
            ("/%4g", InvalidUri::Escape),
            ("/%%41", InvalidUri::Escape),
            ("/%00", InvalidUri::Zero),
            ("/a\0", InvalidUri::Zero),
        ];
        for (path, error) in table {
            assert_eq!(normal(path, true), Err(error), "{path}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(data in prop::collection::vec(prop::sample::select(b"/.%2eEfF05a?=&".to_vec()), 0..60)) {
            fuzz_uri(&[b"/", data.as_slice()].concat());
        }

        #[test]
        fn normalising_what_is_normal_changes_nothing(path in "(/[a-z]{0,3}\\.?[a-z]{1,3}){1,6}/?") {
            prop_assert_eq!(normal(&path, true), Ok(path));
        }
    }
}
