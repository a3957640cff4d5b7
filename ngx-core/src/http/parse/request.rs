//! Heads of requests.

use std::ops::Range;

use super::chars::is_method_byte;
use super::error::{RequestError, excerpt, excerpt_up_to};
use super::framing::{BodyFraming, of_request};
use super::header::{FieldRange, find, parse_field};
use super::known::{Known, KnownSet};
use super::lines::{Limits, LineError, Lines};
use super::method::Method;
use super::quick;
use super::request_line::{RequestLine, Version};
use super::span::Span;

/// What the configuration says about heads of requests. The defaults are nginx's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestOptions {
    /// `client_header_buffer_size` and `large_client_header_buffers`.
    pub limits: Limits,
    /// `max_headers`: the most fields a request may have.
    pub max_headers: usize,
    /// `ignore_invalid_headers`: fields with odd names are dropped, not passed on.
    pub ignore_invalid_headers: bool,
    /// `underscores_in_headers`: `_` in a name does not make it odd.
    pub underscores_in_headers: bool,
}

impl Default for RequestOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            max_headers: 1000,
            ignore_invalid_headers: true,
            underscores_in_headers: false,
        }
    }
}

/// How far a head has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<H> {
    /// Call again with the same bytes and more behind them.
    More,
    /// The head is complete.
    Done(H),
}

/// The complete head of a request; its fields are in the vector that the caller gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// The request line.
    pub line: RequestLine,
    /// Which known fields there are.
    pub seen: KnownSet,
    /// How many bytes the head takes, empty lines before it included: the body begins there.
    pub len: usize,
}

impl RequestHead {
    /// How the body is delimited (RFC 9112 §6.3), from the bytes and fields that were parsed.
    ///
    /// # Errors
    ///
    /// A bad `Content-Length` or `Transfer-Encoding`, or both of them.
    pub fn framing(&self, head: &[u8], fields: &[FieldRange]) -> Result<BodyFraming, RequestError> {
        of_request(self.line.version, self.seen, head, fields)
    }

    /// Whether the method may be used at all: never `TRACE`; `CONNECT` if allowed, in HTTP/1.1 and
    /// without a body.
    ///
    /// # Errors
    ///
    /// [`RequestError::Trace`], [`RequestError::Connect`], [`RequestError::ConnectWithBody`].
    pub fn check_method(
        &self,
        framing: BodyFraming,
        allow_connect: bool,
    ) -> Result<(), RequestError> {
        match self.line.method {
            Method::Trace => Err(RequestError::Trace),
            Method::Connect if !allow_connect || self.line.version != Version::HTTP_11 => {
                Err(RequestError::Connect)
            }
            Method::Connect => match framing {
                BodyFraming::None | BodyFraming::Length(0) => Ok(()),
                BodyFraming::Length(_) | BodyFraming::Chunked => Err(RequestError::ConnectWithBody),
            },
            _ => Ok(()),
        }
    }
}

/// Parses the head of one request out of a slice that grows.
///
/// Each line is looked at as soon as it is complete and never again, so that errors are told early
/// and a client sending one byte at a time costs no more than its bytes. On an error, what was
/// parsed so far stays readable: the log and the choice of the server want it.
///
/// ```
/// use ngx_core::http::parse::{Known, Progress, RequestOptions, RequestParser};
///
/// let input = b"POST /form HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na=b";
/// let mut parser = RequestParser::new(RequestOptions::default());
/// let mut fields = Vec::new();
/// assert_eq!(parser.parse(&input[..30], &mut fields)?, Progress::More);
/// let Progress::Done(head) = parser.parse(input, &mut fields)? else { panic!("complete") };
/// assert!(head.seen.contains(Known::ContentLength));
/// assert_eq!(&input[head.len..], b"a=b");
/// # Ok::<(), ngx_core::http::parse::RequestError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RequestParser {
    options: RequestOptions,
    lines: Lines,
    line: Option<RequestLine>,
    seen: KnownSet,
    ignored: Vec<Span>,
}

impl RequestParser {
    /// A parser for one request.
    #[must_use]
    pub const fn new(options: RequestOptions) -> Self {
        Self {
            lines: Lines::new(options.limits, false),
            options,
            line: None,
            seen: KnownSet::EMPTY,
            ignored: Vec::new(),
        }
    }

    /// Makes it a parser for another request, as [`new`](Self::new) does; its memory stays.
    pub fn reset(&mut self, options: RequestOptions) {
        let Self {
            options: own,
            lines,
            line,
            seen,
            ignored,
        } = self;
        *lines = Lines::new(options.limits, false);
        *own = options;
        *line = None;
        *seen = KnownSet::EMPTY;
        ignored.clear();
    }

    /// Goes on where the last call stopped. `buf` begins with the same bytes as before and may have
    /// more behind them; fields are appended to `fields`, which the caller empties before a new
    /// request.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong. The parser is of no further use then, but for what it has
    /// parsed.
    pub fn parse(
        &mut self,
        buf: &[u8],
        fields: &mut Vec<FieldRange>,
    ) -> Result<Progress<RequestHead>, RequestError> {
        let done = self.advance(buf, fields)?;
        Ok(match done {
            true => Progress::Done(self.head()),
            false => Progress::More,
        })
    }

    /// As [`parse`](Self::parse), but the head stays with the parser: `true` when it is complete.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn advance(
        &mut self,
        buf: &[u8],
        fields: &mut Vec<FieldRange>,
    ) -> Result<bool, RequestError> {
        let buf = Span::describable(buf);

        if self.lines.is_fresh() {
            let before = fields.len();
            if self.parse_quickly(buf, fields).is_some() {
                return Ok(true);
            }
            self.line = None;
            fields.truncate(before);
        }
        self.parse_lines(buf, fields)
    }

    /// A whole head that has nothing unusual in it.
    #[inline(never)]
    fn parse_quickly(&mut self, buf: &[u8], fields: &mut Vec<FieldRange>) -> Option<()> {
        let line = self.line.insert(RequestLine::default());
        let (seen, len) = parse_usual(&self.options, (buf, buf.len()), line, fields)?;
        self.seen = seen;
        self.lines.skip_to(len);
        Some(())
    }

    /// Line by line, what has anything unusual in it or comes in pieces.
    #[cold]
    fn parse_lines(
        &mut self,
        buf: &[u8],
        fields: &mut Vec<FieldRange>,
    ) -> Result<bool, RequestError> {
        loop {
            let line = match self.lines.next(buf) {
                Ok(Some(line)) => line,
                Ok(None) => return self.check_beginning(buf).map(|()| false),
                Err(error) => return Err(self.refuse(buf, error)),
            };

            match (&self.line, line.is_empty()) {
                (Some(_), false) => self.take_field(buf, line, fields)?,
                (Some(request), true) => return self.complete(request.version),
                (None, true) => {}
                (None, false) => {
                    let request = self.line.insert(RequestLine::parse(buf, line)?);
                    let version = request.version;
                    if version < Version::HTTP_10 {
                        return self.complete(version);
                    }
                }
            }
        }
    }

    /// The request line, once it is parsed.
    #[must_use]
    pub const fn request_line(&self) -> Option<&RequestLine> {
        self.line.as_ref()
    }

    /// Lines dropped because of their names; the log has them at level `info` as `client sent
    /// invalid header line`.
    #[must_use]
    pub fn ignored(&self) -> &[Span] {
        &self.ignored
    }

    /// How many bytes of empty lines stand before a request line that has not come yet. The caller
    /// takes them off its buffer, so that a client sending nothing else cannot fill it; the parser
    /// counts from the new beginning.
    pub const fn take_leading(&mut self) -> usize {
        if self.line.is_some() {
            return 0;
        }
        let leading = self.lines.start();
        self.lines.rebase(leading);
        leading
    }

    /// Which known fields there are, so far.
    #[must_use]
    pub const fn seen(&self) -> KnownSet {
        self.seen
    }

    /// How many bytes the lines take that have come, empty ones before and behind them included.
    #[must_use]
    pub const fn taken(&self) -> usize {
        self.lines.start()
    }

    fn head(&self) -> RequestHead {
        RequestHead {
            line: self.line.unwrap_or_default(),
            seen: self.seen,
            len: self.taken(),
        }
    }

    fn complete(&self, version: Version) -> Result<bool, RequestError> {
        if version > Version::HTTP_10 && !self.seen.contains(Known::Host) {
            return Err(RequestError::MissingHost);
        }
        Ok(true)
    }

    fn take_field(
        &mut self,
        buf: &[u8],
        line: Range<usize>,
        fields: &mut Vec<FieldRange>,
    ) -> Result<(), RequestError> {
        let parsed = parse_field(buf, line.clone())
            .map_err(|bad| RequestError::InvalidHeaderLine(excerpt_up_to(buf, line.start, bad)))?;
        let field = parsed.field;

        let odd = parsed.odd || parsed.underscore && !self.options.underscores_in_headers;
        if odd && self.options.ignore_invalid_headers {
            self.ignored.push(Span::at(line.start, line.end));
            return Ok(());
        }

        if fields.len() >= self.options.max_headers {
            return Err(RequestError::TooManyHeaderLines);
        }

        if !self.seen.insert(field.known) && field.known.is_single_in_requests() {
            return Err(duplicate(buf, &field, fields));
        }

        fields.push(field);
        Ok(())
    }

    /// Refuses at once what cannot become a request, a TLS handshake for one, without waiting for a
    /// line end.
    fn check_beginning(&self, buf: &[u8]) -> Result<(), RequestError> {
        match buf.get(self.lines.start()) {
            Some(&byte) if self.line.is_none() && byte != b'\r' && !is_method_byte(byte) => {
                Err(RequestError::InvalidMethod)
            }
            _ => Ok(()),
        }
    }

    fn refuse(&self, buf: &[u8], error: LineError) -> RequestError {
        let start = self.lines.start();

        match (error, self.line) {
            (LineError::Control(at), None) => {
                let line = buf.get(start..at).unwrap_or_default();
                if line.contains(&b' ') {
                    RequestError::InvalidRequest
                } else {
                    RequestError::InvalidMethod
                }
            }
            (LineError::Control(at), Some(_)) => {
                RequestError::InvalidHeaderLine(excerpt_up_to(buf, start, at))
            }
            (LineError::TooLong | LineError::TooLarge, None) => RequestError::TooLongUri,
            (LineError::TooLong, Some(_)) => {
                let line = buf.get(start..).unwrap_or_default();
                RequestError::TooLongHeaderLine(excerpt(line))
            }
            (LineError::TooLarge, Some(_)) => RequestError::TooLargeRequest,
        }
    }
}

/// Parses a head that is there as a whole and has nothing unusual in it, without a parser: into a
/// `line` as it is by default but for its method and version, and behind what is in `fields`. Which
/// known fields there are, and how long the head is.
///
/// Of `buf` only the first `received` bytes are the client's. What is behind means nothing, but there
/// being something spares the search, which looks at words, a special case at the end.
///
/// `None` says nothing about the head but that a [`RequestParser`] is to look at it; `line` and
/// `fields` may have some of it then.
#[inline(always)]
pub(crate) fn parse_usual(
    options: &RequestOptions,
    (buf, received): (&[u8], usize),
    line: &mut RequestLine,
    fields: &mut Vec<FieldRange>,
) -> Option<(KnownSet, usize)> {
    let buf = Span::describable(buf);
    let at = quick::request_line(buf, line)?;
    let rules = quick::Rules {
        most: options.max_headers,
        is_single: Known::is_single_in_requests,
    };
    let lines = Lines::new(options.limits, false);
    let (seen, len) = quick::fields((buf, at), lines, &rules, fields)?;
    // Each byte decides only about what is behind it: a head that ends in front was found there.
    if len > received || line.version > Version::HTTP_10 && !seen.contains(Known::Host) {
        return None;
    }
    Some((seen, len))
}

/// The error for a second field of a name that may come once.
fn duplicate(buf: &[u8], field: &FieldRange, fields: &[FieldRange]) -> RequestError {
    let text = |field: &FieldRange| excerpt(Span::new(field.name.start, field.value.end).of(buf));
    let previous = find(fields, field.known).map(text).unwrap_or_default();

    if field.known == Known::Host {
        RequestError::DuplicateHost(text(field), previous)
    } else {
        RequestError::DuplicateHeaderLine(text(field), previous)
    }
}

/// Feeds a request whole and byte by byte: both must say the same.
#[doc(hidden)]
pub fn fuzz_request(data: &[u8]) {
    let mut whole_fields = Vec::new();
    let mut whole = RequestParser::new(RequestOptions::default());
    let expected = whole.parse(data, &mut whole_fields);
    let line_by_line = {
        let mut fields = Vec::new();
        let mut parser = RequestParser::new(RequestOptions::default());
        let parsed = parser.parse_lines(data, &mut fields);
        let progress = parsed.map(|done| match done {
            true => Progress::Done(parser.head()),
            false => Progress::More,
        });
        (progress, fields)
    };
    assert_eq!(
        (&expected, &whole_fields),
        (&line_by_line.0, &line_by_line.1)
    );

    let mut fields = Vec::new();
    let mut parser = RequestParser::new(RequestOptions::default());
    let mut result = Ok(Progress::More);
    for end in 0..=data.len() {
        result = parser.parse(&data[..end], &mut fields);
        if result != Ok(Progress::More) {
            break;
        }
    }

    match (&expected, &result) {
        (Ok(expected), Ok(result)) => assert_eq!(expected, result),
        // A longer slice may show a later mistake, or more of the same line, but no other verdict.
        (Err(_), Err(_)) => {}
        (expected, result) => assert_eq!(expected, result, "a split changes the verdict"),
    }

    if let Ok(Progress::Done(head)) = result {
        assert_eq!(fields, whole_fields);
        let framing = head.framing(data, &fields);
        assert_eq!(framing, head.framing(&data[..head.len], &fields));
        if head.line.plain {
            let mut uri = Vec::new();
            assert!(super::uri::normalize(head.line.path.of(data), true, &mut uri).is_ok());
            assert_eq!(uri, head.line.path.of(data));
        }
    }
}

#[cfg(test)]
mod tests;
