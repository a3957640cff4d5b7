//! The request line (RFC 9112 §3).

use std::ops::Range;

use super::chars::{is_ip_literal_byte, is_method_byte};
use super::error::RequestError;
use super::method::Method;
use super::span::Span;

/// A protocol version: a thousand times the major number plus the minor one, as nginx counts.
///
/// ```
/// use ngx_core::http::parse::Version;
///
/// assert!(Version::HTTP_09 < Version::HTTP_10 && Version::HTTP_10 < Version::HTTP_11);
/// assert_eq!(Version::new(1, 1), Version::HTTP_11);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u16);

impl Version {
    /// A request line without a version; a response without a head.
    pub const HTTP_09: Self = Self(9);
    /// HTTP/1.0
    pub const HTTP_10: Self = Self(1000);
    /// HTTP/1.1
    pub const HTTP_11: Self = Self(1001);
    /// HTTP/2
    pub const HTTP_20: Self = Self(2000);

    /// The version with these numbers.
    #[must_use]
    pub const fn new(major: u8, minor: u16) -> Self {
        Self((major as u16).saturating_mul(1000).saturating_add(minor))
    }

    /// The major and the minor number.
    #[must_use]
    pub const fn numbers(self) -> (u16, u16) {
        (self.0 / 1000, self.0 % 1000)
    }
}

/// The form of a request target (RFC 9112 §3.2). The asterisk form is refused, as nginx does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetForm {
    /// `/path?args`
    #[default]
    Origin,
    /// `http://host/path?args`
    Absolute,
    /// `host:port`, for `CONNECT` and nothing else.
    Authority,
}

/// A request line; the spans count from the first byte of the slice that was parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestLine {
    /// The whole line without its end: `$request`.
    pub line: Span,
    /// The method.
    pub method: Method,
    /// Its name: `$request_method`.
    pub method_name: Span,
    /// The form of the target.
    pub form: TargetForm,
    /// The scheme of an absolute target, else empty.
    pub scheme: Span,
    /// Host and port of an absolute target or of `CONNECT`, not validated yet (see
    /// [`Host`](super::Host)); else empty.
    pub host: Span,
    /// Path and arguments as sent, without scheme and host: `$request_uri`. A lone `/` where the
    /// target has no path.
    pub target: Span,
    /// The path as sent, without arguments and fragment.
    pub path: Span,
    /// The path holds no escapes, no `//` and no segment that begins with a dot, so that it is
    /// `$uri` as it stands; else see [`normalize`](super::normalize).
    pub plain: bool,
    /// `target` has arguments but no path (`http://host?a=1`): it cannot be sent to a backend as it
    /// is.
    pub no_path: bool,
    /// What follows the first `?`, without the fragment; may be empty: `$args`.
    pub args: Span,
    /// The protocol as sent, `HTTP/1.1`; empty if there was none.
    pub protocol: Span,
    /// The version.
    pub version: Version,
}

impl RequestLine {
    /// Parses the line at `line` in `buf`; no control characters but tabs in it.
    pub(super) fn parse(buf: &[u8], line: Range<usize>) -> Result<Self, RequestError> {
        let bytes = buf.get(line.clone()).unwrap_or_default();
        let mut cursor = Cursor {
            bytes,
            at: 0,
            base: line.start,
        };
        let mut this = Self {
            line: Span::at(line.start, line.end),
            ..Self::default()
        };

        cursor.skip_while(is_method_byte);
        if cursor.at == 0 || cursor.peek() != Some(b' ') {
            return Err(RequestError::InvalidMethod);
        }
        this.method_name = cursor.span(0);
        this.method = Method::from_name(bytes.get(..cursor.at).unwrap_or_default());
        cursor.skip_while(|byte| byte == b' ');

        match cursor.peek() {
            _ if this.method == Method::Connect => this.parse_authority(&mut cursor)?,
            Some(b'/') => this.parse_path(&mut cursor)?,
            Some(byte) if byte.is_ascii_alphabetic() => this.parse_absolute(&mut cursor)?,
            _ => return Err(RequestError::InvalidRequest),
        }

        this.parse_version(&mut cursor)?;
        Ok(this)
    }

    /// From the `/` that begins the path.
    fn parse_path(&mut self, cursor: &mut Cursor<'_>) -> Result<(), RequestError> {
        let start = cursor.at;
        self.plain = true;

        loop {
            cursor.skip_while(|byte| matches!(TARGET[usize::from(byte)], TargetByte::Usual));
            match cursor.peek().map(|byte| TARGET[usize::from(byte)]) {
                Some(TargetByte::Slash) => {
                    self.plain &= !matches!(cursor.bytes.get(cursor.at + 1), Some(b'/' | b'.'));
                }
                Some(TargetByte::Percent) => self.plain = false,
                Some(TargetByte::Bad) => return Err(RequestError::InvalidRequest),
                Some(TargetByte::Usual | TargetByte::End) | None => break,
            }
            cursor.at += 1;
        }

        self.path = cursor.span(start);
        if cursor.peek() == Some(b' ') {
            self.target = self.path;
            return Ok(());
        }
        self.parse_args(cursor, start)
    }

    /// From the `?`, the `#` or the space behind the path; the target began at `start`.
    fn parse_args(&mut self, cursor: &mut Cursor<'_>, start: usize) -> Result<(), RequestError> {
        if cursor.peek() == Some(b'?') {
            cursor.at += 1;
            let args = cursor.at;
            cursor.skip_while(|byte| byte != b' ' && byte != b'#' && byte != b'\t');
            self.args = cursor.span(args);
        }

        cursor.skip_while(|byte| byte != b' ' && byte != b'\t');
        self.target = cursor.span(start);
        cursor.expect_space_or_end()
    }

    /// From the first letter of the scheme.
    fn parse_absolute(&mut self, cursor: &mut Cursor<'_>) -> Result<(), RequestError> {
        let start = cursor.at;
        cursor
            .skip_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
        self.scheme = cursor.span(start);
        self.form = TargetForm::Absolute;

        if !cursor.rest().starts_with(b"://") {
            return Err(RequestError::InvalidRequest);
        }
        let slash = cursor.at + 1;
        cursor.at += 3;

        let host = cursor.at;
        cursor.skip_host()?;
        if cursor.at == host {
            return Err(RequestError::InvalidHostInRequestLine);
        }
        if cursor.peek() == Some(b':') {
            cursor.at += 1;
            cursor.skip_while(|byte| byte.is_ascii_digit());
        }
        self.host = cursor.span(host);

        match cursor.peek() {
            Some(b'/') => self.parse_path(cursor),
            // Where there is no path, the `/` of the scheme stands for it: spans point into the
            // request.
            Some(b'?') => {
                self.path = cursor.span_of(slash, slash + 1);
                self.plain = true;
                self.no_path = true;
                self.parse_args(cursor, cursor.at)
            }
            Some(b' ') => {
                self.path = cursor.span_of(slash, slash + 1);
                self.target = self.path;
                self.plain = true;
                Ok(())
            }
            _ => Err(RequestError::InvalidRequest),
        }
    }

    /// From the first byte of the host that `CONNECT` names.
    fn parse_authority(&mut self, cursor: &mut Cursor<'_>) -> Result<(), RequestError> {
        let host = cursor.at;
        self.form = TargetForm::Authority;

        cursor.skip_host()?;
        if cursor.peek() != Some(b':') {
            return Err(RequestError::InvalidRequest);
        }
        cursor.at += 1;
        let port = cursor.at;
        cursor.skip_while(|byte| byte.is_ascii_digit());
        self.host = cursor.span(host);

        // Here the `/` of the protocol stands for the path.
        let slash = cursor.bytes.iter().rposition(|&byte| byte == b'/');
        self.path = slash
            .map(|at| cursor.span_of(at, at + 1))
            .unwrap_or_default();
        self.target = self.path;
        self.plain = true;

        if cursor.at == port || cursor.peek() != Some(b' ') {
            return Err(RequestError::InvalidRequest);
        }
        Ok(())
    }

    /// From the spaces behind the target up to the end of the line.
    fn parse_version(&mut self, cursor: &mut Cursor<'_>) -> Result<(), RequestError> {
        cursor.skip_while(|byte| byte == b' ');
        let start = cursor.at;

        self.version = match cursor.rest() {
            b"HTTP/1.1" => Version::HTTP_11,
            b"HTTP/1.0" => Version::HTTP_10,
            b"" if self.method == Method::Get => return self.set_http_09(),
            b"" => return Err(RequestError::InvalidMethodInHttp09),
            rest => {
                let (version, len) = parse_protocol(rest)?;
                self.protocol = cursor.span_of(start, start + len);
                self.version = version;
                return Ok(());
            }
        };

        self.protocol = cursor.span_of(start, start + b"HTTP/1.1".len());
        Ok(())
    }

    fn set_http_09(&mut self) -> Result<(), RequestError> {
        self.version = Version::HTTP_09;
        Ok(())
    }
}

/// `HTTP/1.` and a minor number of one to three digits, then nothing but spaces. Gives the length
/// of the protocol too.
fn parse_protocol(rest: &[u8]) -> Result<(Version, usize), RequestError> {
    let numbers = rest
        .strip_prefix(b"HTTP/")
        .ok_or(RequestError::InvalidRequest)?;

    let minor = match numbers {
        [b'1', b'.', minor @ ..] => minor,
        [b'2'..=b'9', ..] | [b'1', b'0'..=b'9', ..] => return Err(RequestError::InvalidVersion),
        _ => return Err(RequestError::InvalidRequest),
    };

    let digits = minor
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (digits, spaces) = minor.split_at(digits);
    if digits.is_empty() || digits.len() > 3 || spaces.iter().any(|&byte| byte != b' ') {
        return Err(RequestError::InvalidRequest);
    }

    let number = digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    Ok((Version::new(1, number), rest.len() - spaces.len()))
}

/// A place in the line.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Offset of the line in the head.
    base: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn skip_while(&mut self, accept: impl Fn(u8) -> bool) {
        let rest = self.rest();
        self.at += rest
            .iter()
            .position(|&byte| !accept(byte))
            .unwrap_or(rest.len());
    }

    /// Over a host name or an IP literal in brackets.
    fn skip_host(&mut self) -> Result<(), RequestError> {
        if self.peek() == Some(b'[') {
            self.at += 1;
            self.skip_while(is_ip_literal_byte);
            if self.peek() != Some(b']') {
                return Err(RequestError::InvalidRequest);
            }
            self.at += 1;
        } else {
            self.skip_while(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-');
        }
        Ok(())
    }

    fn expect_space_or_end(&self) -> Result<(), RequestError> {
        match self.peek() {
            None | Some(b' ') => Ok(()),
            Some(_) => Err(RequestError::InvalidRequest),
        }
    }

    fn span(&self, start: usize) -> Span {
        self.span_of(start, self.at)
    }

    fn span_of(&self, start: usize, end: usize) -> Span {
        Span::at(self.base + start, self.base + end)
    }
}

/// What a byte means to a path.
#[derive(Clone, Copy)]
enum TargetByte {
    Usual,
    Slash,
    Percent,
    /// A space, `?` or `#`.
    End,
    Bad,
}

/// Class of each byte inside a path.
static TARGET: [TargetByte; 256] = {
    let mut table = [TargetByte::Usual; 256];
    let mut byte = 0;
    while byte < b' ' as usize {
        table[byte] = TargetByte::Bad;
        byte += 1;
    }
    table[0x7f] = TargetByte::Bad;
    table[b' ' as usize] = TargetByte::End;
    table[b'?' as usize] = TargetByte::End;
    table[b'#' as usize] = TargetByte::End;
    table[b'/' as usize] = TargetByte::Slash;
    table[b'%' as usize] = TargetByte::Percent;
    table
};
