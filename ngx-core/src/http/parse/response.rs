//! Heads of responses, and trailers.

use std::ops::Range;

use super::error::{ResponseError, excerpt, excerpt_up_to};
use super::framing::{ResponseFraming, of_response};
use super::header::{FieldRange, find, parse_field};
use super::known::{Known, KnownSet};
use super::lines::{Limits, LineError, Lines};
use super::quick;
use super::request::Progress;
use super::request_line::Version;
use super::span::Span;

/// A status line (RFC 9112 §4); the spans count from the first byte of the slice that was parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusLine {
    /// The version of the protocol.
    pub version: Version,
    /// The status: three digits, 100 to 999.
    pub code: u16,
    /// Status and reason as sent: `404 Not Found`.
    pub text: Span,
}

impl StatusLine {
    /// As tolerant as nginx: several spaces before the status, nothing or `.1` behind it.
    fn parse(buf: &[u8], line: Range<usize>) -> Option<Self> {
        let bytes = buf.get(line.clone())?;
        let (major, rest) = number(bytes.strip_prefix(b"HTTP/")?)?;
        let (minor, rest) = number(rest.strip_prefix(b".")?)?;
        let version = Version::new(u8::try_from(major).ok().filter(|&major| major > 0)?, minor);

        let spaces = rest.iter().take_while(|&&byte| byte == b' ').count();
        let rest = rest.get(spaces..).filter(|_| spaces > 0)?;
        let (digits, after) = rest.split_at_checked(3)?;
        let (code, []) = number(digits)? else {
            return None;
        };

        let ends = matches!(after.first(), None | Some(b' ' | b'.'));
        let text = Span::at(line.end - rest.len(), line.end);
        (ends && code >= 100).then_some(Self {
            version,
            code,
            text,
        })
    }
}

/// The complete head of a response; its fields are in the vector that the caller gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status line; empty for a trailer.
    pub status: StatusLine,
    /// Which known fields there are.
    pub seen: KnownSet,
    /// How many bytes the head takes: the body begins there.
    pub len: usize,
}

impl ResponseHead {
    /// How the body is delimited (RFC 9112 §6.3), from the bytes and fields that were parsed.
    /// `to_head` says that the request was a `HEAD`.
    ///
    /// # Errors
    ///
    /// A bad `Content-Length` or `Transfer-Encoding`, or both of them.
    pub fn framing(
        &self,
        to_head: bool,
        head: &[u8],
        fields: &[FieldRange],
    ) -> Result<ResponseFraming, ResponseError> {
        of_response(self.status.code, to_head, self.seen, head, fields)
    }
}

/// Parses the head of one response, interim ones included, out of a slice that grows. As tolerant
/// as nginx is with backends: any name without blanks or controls, controls in values.
///
/// ```
/// use ngx_core::http::parse::{Limits, Progress, ResponseFraming, ResponseParser};
///
/// let input = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
/// let mut parser = ResponseParser::new(Limits::single(4096));
/// let mut fields = Vec::new();
/// let Progress::Done(head) = parser.parse(input, &mut fields)? else { panic!("complete") };
/// assert_eq!(head.status.code, 200);
/// assert_eq!(head.status.text.of(input), b"200 OK");
/// assert_eq!(head.framing(false, input, &fields)?, ResponseFraming::Length(5));
/// # Ok::<(), ngx_core::http::parse::ResponseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ResponseParser {
    lines: Lines,
    status: Option<StatusLine>,
    seen: KnownSet,
}

impl ResponseParser {
    /// A parser for one response.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            lines: Lines::new(limits, true),
            status: None,
            seen: KnownSet::EMPTY,
        }
    }

    /// A parser for the fields behind the last chunk of a body, up to the empty line: there is no
    /// status line.
    #[must_use]
    pub fn trailers(limits: Limits) -> Self {
        Self {
            status: Some(StatusLine::default()),
            ..Self::new(limits)
        }
    }

    /// Goes on where the last call stopped. `buf` begins with the same bytes as before and may have
    /// more behind them; fields are appended to `fields`, which the caller empties before a new
    /// response.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong. The parser is of no further use then.
    pub fn parse(
        &mut self,
        buf: &[u8],
        fields: &mut Vec<FieldRange>,
    ) -> Result<Progress<ResponseHead>, ResponseError> {
        let buf = Span::describable(buf);

        if self.lines.is_fresh() {
            let before = fields.len();
            if let Some(head) = self.parse_quickly(buf, fields) {
                return Ok(Progress::Done(head));
            }
            fields.truncate(before);
        }
        self.parse_lines(buf, fields)
    }

    /// A whole head that has nothing unusual in it.
    fn parse_quickly(&mut self, buf: &[u8], fields: &mut Vec<FieldRange>) -> Option<ResponseHead> {
        let (status, at) = match self.status {
            None => quick::status_line(buf)?,
            Some(status) => (status, 0),
        };
        let rules = quick::Rules {
            most: usize::MAX,
            is_single: Known::is_single_in_responses,
        };
        let (seen, len) = quick::fields((buf, at), self.lines, &rules, fields)?;
        self.status = Some(status);
        self.lines.skip_to(len);
        Some(ResponseHead { status, seen, len })
    }

    fn parse_lines(
        &mut self,
        buf: &[u8],
        fields: &mut Vec<FieldRange>,
    ) -> Result<Progress<ResponseHead>, ResponseError> {
        loop {
            let line = match self.lines.next(buf) {
                Ok(Some(line)) => line,
                Ok(None) => return self.check_beginning(buf).map(|()| Progress::More),
                Err(error) => return Err(self.refuse(buf, error)),
            };

            let Some(status) = self.status else {
                let status = StatusLine::parse(buf, line).ok_or(ResponseError::NoStatusLine)?;
                self.status = Some(status);
                continue;
            };

            if line.is_empty() {
                let len = self.lines.start();
                return Ok(Progress::Done(ResponseHead {
                    status,
                    seen: self.seen,
                    len,
                }));
            }
            self.take_field(buf, line, fields)?;
        }
    }

    fn take_field(
        &mut self,
        buf: &[u8],
        line: Range<usize>,
        fields: &mut Vec<FieldRange>,
    ) -> Result<(), ResponseError> {
        // Some IIS send their status line twice.
        if buf
            .get(line.clone())
            .is_some_and(|bytes| bytes.starts_with(b"HTTP/"))
        {
            return Ok(());
        }

        let parsed = parse_field(buf, line.clone())
            .map_err(|bad| ResponseError::InvalidHeader(excerpt_up_to(buf, line.start, bad)))?;
        let field = parsed.field;

        if !self.seen.insert(field.known) && field.known.is_single_in_responses() {
            let text =
                |field: &FieldRange| excerpt(Span::new(field.name.start, field.value.end).of(buf));
            let previous = find(fields, field.known).map(text).unwrap_or_default();
            return Err(ResponseError::DuplicateHeaderLine(text(&field), previous));
        }

        fields.push(field);
        Ok(())
    }

    /// Tells at once that this is no HTTP, without waiting for a line end that may never come.
    fn check_beginning(&self, buf: &[u8]) -> Result<(), ResponseError> {
        let expected = b"HTTP/";
        let same = buf.iter().zip(expected).all(|(a, b)| a == b);
        if self.status.is_some() || same {
            Ok(())
        } else {
            Err(ResponseError::NoStatusLine)
        }
    }

    fn refuse(&self, buf: &[u8], error: LineError) -> ResponseError {
        match error {
            LineError::Control(_) if self.status.is_none() => ResponseError::NoStatusLine,
            LineError::Control(at) => {
                ResponseError::InvalidHeader(excerpt_up_to(buf, self.lines.start(), at))
            }
            LineError::TooLong | LineError::TooLarge => match self.check_beginning(buf) {
                Err(error) => error,
                Ok(()) => ResponseError::TooBigHeader,
            },
        }
    }
}

/// One to three digits and what follows them.
fn number(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let count = bytes
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (digits, rest) = bytes
        .split_at_checked(count)
        .filter(|_| (1..=3).contains(&count))?;
    Some((
        digits
            .iter()
            .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')),
        rest,
    ))
}

/// Feeds a response whole and byte by byte: both must say the same.
#[doc(hidden)]
pub fn fuzz_response(data: &[u8]) {
    let limits = Limits::single(4096);
    let mut whole_fields = Vec::new();
    let expected = ResponseParser::new(limits).parse(data, &mut whole_fields);
    let line_by_line = {
        let mut fields = Vec::new();
        let parsed = ResponseParser::new(limits).parse_lines(data, &mut fields);
        (parsed, fields)
    };
    assert_eq!(
        (&expected, &whole_fields),
        (&line_by_line.0, &line_by_line.1)
    );

    let mut fields = Vec::new();
    let mut parser = ResponseParser::new(limits);
    let mut result = Ok(Progress::More);
    for end in 0..=data.len() {
        result = parser.parse(&data[..end], &mut fields);
        if result != Ok(Progress::More) {
            break;
        }
    }

    match (&expected, &result) {
        (Err(_), Err(_)) => {}
        (expected, result) => assert_eq!(expected, result, "a split changes the verdict"),
    }

    if let Ok(Progress::Done(head)) = result {
        assert_eq!(fields, whole_fields);
        assert!(head.len <= data.len());
        for to_head in [false, true] {
            let framing = head.framing(to_head, data, &fields);
            assert_eq!(framing, head.framing(to_head, &data[..head.len], &fields));
        }
    }
}

#[cfg(test)]
mod tests;
