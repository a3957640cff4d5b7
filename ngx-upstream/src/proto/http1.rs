//! HTTP/1.0 and HTTP/1.1 towards a backend (RFC 9112).

mod head;

use std::borrow::Cow;

use bytes::Bytes;
use ngx_buf::Chain;
use ngx_core::http::parse::{
    ChunkedDecoder, FieldRange, Limits, Progress, ResponseError, ResponseFraming, ResponseParser,
    write_chunk_size,
};

pub use head::{Field, Head};

use crate::error::ProtocolError;
use crate::protocol::{BodySink, BodyStep, HeadSink, Input, Protocol, Reuse, Step};

/// A request: its head as it goes out, and what is known about the rest.
///
/// ```
/// use ngx_buf::{Buf, Chain};
/// use ngx_upstream::proto::http1::{Body, Http1, Request};
/// use ngx_upstream::testing::play;
///
/// let head = Chain::from(Buf::from("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
/// let protocol = Http1::new(Request { head, body: Body::None, is_head: false, upgrade: false });
/// let seen = play(protocol, &[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"], false);
/// assert_eq!(seen.heads[0].code(), 200);
/// assert_eq!(seen.body, b"hi");
/// ```
#[derive(Clone, Debug)]
pub struct Request {
    /// Request line and fields, the empty line included. Must say what `body` says.
    pub head: Chain,
    /// The body.
    pub body: Body,
    /// The method is HEAD: the response has no body whatever its fields say.
    pub is_head: bool,
    /// The head asks for an upgrade: a 101 makes the connection a tunnel.
    pub upgrade: bool,
}

/// The body of a request.
#[derive(Clone, Debug, Default)]
pub enum Body {
    /// There is none.
    #[default]
    None,
    /// All of it is here and goes out with the head, framed like this.
    Whole(Framing, Chain),
    /// It comes piece by piece, framed like this
    /// ([`Settings::stream_request`](crate::driver::Settings::stream_request)).
    Stream(Framing),
}

/// How the end of a request body is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    /// The head has a `Content-Length` with this number.
    Length(u64),
    /// The head has `Transfer-Encoding: chunked`.
    Chunked,
}

/// One request and its response.
#[derive(Debug)]
pub struct Http1(Box<Inner>);

/// What an exchange is moved about with had better be small.
#[derive(Debug)]
struct Inner {
    /// The head of the request, if it was written here: it goes out in front of the other.
    front: Vec<u8>,
    request: Request,
    /// Bytes of the request body still allowed by its `Content-Length`.
    unsent: u64,
    parser: ResponseParser,
    fields: Vec<FieldRange>,
    keep_alive: bool,
    /// The end of the body is told by a `Content-Length`.
    has_length: bool,
    rest: Rest,
}

/// What is still to come of the response's body.
#[derive(Debug)]
enum Rest {
    Length(u64),
    Chunks(ChunkedDecoder),
    Trailer(ResponseParser),
    Close,
}

impl Http1 {
    /// An exchange of this request.
    pub fn new(request: Request) -> Self {
        Self(Box::new(Inner {
            front: Vec::new(),
            request,
            unsent: 0,
            parser: parser(),
            fields: Vec::with_capacity(head::FIELDS),
            keep_alive: false,
            has_length: false,
            rest: Rest::Length(0),
        }))
    }
}

impl Http1 {
    /// Sets up another exchange in the place of one that is over, or has not begun. What it answers
    /// is empty and is to be filled with the head of the request.
    #[cfg(feature = "http")]
    pub(crate) fn renew(&mut self, body: Body) -> &mut Vec<u8> {
        let inner = &mut *self.0;
        inner.parser = parser();
        inner.fields.clear();
        inner.rest = Rest::Length(0);
        let request = &mut inner.request;
        if !request.head.is_empty() {
            request.head.clear();
        }
        match (&request.body, body) {
            (Body::None, Body::None) => {}
            (_, body) => request.body = body,
        }
        inner.front.clear();
        inner.front.shrink_to(FRONT_MAX);
        &mut inner.front
    }

    /// Says what is known of the head of the request.
    #[cfg(feature = "http")]
    pub(crate) fn announce(&mut self, is_head: bool, upgrade: bool) {
        let request = &mut self.0.request;
        request.is_head = is_head;
        request.upgrade = upgrade;
    }
}

/// As long as the memory of a request's head is kept.
#[cfg(feature = "http")]
const FRONT_MAX: usize = 16 * 1024;

impl Inner {
    fn framing(&self) -> Option<Framing> {
        match self.request.body {
            Body::None => None,
            Body::Whole(framing, _) | Body::Stream(framing) => Some(framing),
        }
    }

    fn set_unsent(&mut self) {
        self.unsent = match self.framing() {
            Some(Framing::Length(length)) => length,
            Some(Framing::Chunked) | None => 0,
        };
    }

    /// Sets up the reading of the body behind a final head.
    fn expect(&mut self, head: &Head) {
        self.keep_alive = head.keeps_alive();
        self.has_length = matches!(head.framing(), ResponseFraming::Length(_));
        self.rest = match head.framing() {
            ResponseFraming::None => Rest::Length(0),
            ResponseFraming::Length(length) => Rest::Length(length),
            ResponseFraming::Chunked => Rest::Chunks(ChunkedDecoder::new().keep_trailer()),
            ResponseFraming::Close => Rest::Close,
        };
    }

    fn end(&self) -> BodyStep {
        if self.keep_alive {
            BodyStep::Keep
        } else {
            BodyStep::Close
        }
    }
}

impl Protocol for Http1 {
    type Head = Head;

    fn create_request(&mut self, out: &mut Chain) -> Result<(), ProtocolError> {
        self.0.set_unsent();
        let inner = &mut *self.0;
        if !inner.request.head.is_empty() {
            out.append(std::mem::take(&mut inner.request.head));
        }
        if let Body::Whole(framing, body) = &mut self.0.request.body {
            let body = std::mem::take(body);
            // What was sent at once is still framed like that when the request is replayed.
            self.0.request.body = Body::Whole(*framing, Chain::new());
            self.output_filter(body, true, out)?;
        }
        Ok(())
    }

    #[inline]
    fn front(&self) -> &[u8] {
        &self.0.front
    }

    fn reinit_request(&mut self) -> Result<(), ProtocolError> {
        self.0.set_unsent();
        self.0.parser = parser();
        self.0.fields.clear();
        self.0.rest = Rest::Length(0);
        Ok(())
    }

    fn process_header(
        &mut self,
        input: &mut Input<'_>,
        sink: &mut HeadSink<'_, Head>,
    ) -> Result<Step<Head>, ProtocolError> {
        loop {
            let parsed = self.0.parser.parse(input.as_slice(), &mut self.0.fields);
            let Progress::Done(parsed) = parsed.map_err(invalid)? else {
                return Ok(Step::Again);
            };
            let bytes = input.take(parsed.len);
            let framing = parsed.framing(self.0.request.is_head, &bytes, &self.0.fields);
            let framing = framing.map_err(invalid)?;
            let head = Head::new(bytes, parsed, &mut self.0.fields, framing);
            if head.code() < 200 {
                self.0.parser = parser();
            }
            match head.code() {
                101 if self.0.request.upgrade => return Ok(Step::Upgrade(head)),
                101 => {
                    return Err(ProtocolError::invalid(
                        "101 to a request without \"Upgrade\"",
                    ));
                }
                103 => sink.interim(head),
                100..200 => {}
                _ => {
                    self.0.expect(&head);
                    return Ok(Step::Ready(head));
                }
            }
        }
    }

    fn input_filter(
        &mut self,
        input: &mut Input<'_>,
        sink: &mut BodySink<'_>,
    ) -> Result<BodyStep, ProtocolError> {
        match &mut self.0.rest {
            Rest::Length(left) => {
                *left -= sink.push_upto(input, *left);
                Ok(if *left == 0 {
                    if self.0.has_length && !input.is_empty() {
                        ngx_core::warn!(
                            "upstream sent more data than specified in \"Content-Length\" header \
                             while reading upstream"
                        );
                    }
                    self.0.end()
                } else {
                    BodyStep::Again
                })
            }
            Rest::Close => {
                sink.push_all(input);
                Ok(if input.eof() {
                    BodyStep::Close
                } else {
                    BodyStep::Again
                })
            }
            Rest::Chunks(decoder) => {
                if !decode(decoder, input, sink)? {
                    return Ok(BodyStep::Again);
                }
                self.0.rest = Rest::Trailer(ResponseParser::trailers(Limits::single(TRAILER_MAX)));
                self.input_filter(input, sink)
            }
            Rest::Trailer(parser) => {
                let parsed = parser
                    .parse(input.as_slice(), &mut self.0.fields)
                    .map_err(invalid)?;
                let Progress::Done(end) = parsed else {
                    return Ok(BodyStep::Again);
                };
                let bytes = input.take(end.len);
                for field in self.0.fields.drain(..) {
                    let part = |span: ngx_core::http::parse::Span| bytes.slice(span.range());
                    sink.trailer(part(field.name), part(field.value));
                }
                Ok(self.0.end())
            }
        }
    }

    fn whole_body(&mut self, input: &mut Input<'_>, most: usize) -> Option<(Bytes, Reuse)> {
        let inner = &mut *self.0;
        match inner.rest {
            Rest::Length(left)
                if left == input.len() as u64 && (1..=most).contains(&input.len()) =>
            {
                inner.rest = Rest::Length(0);
                let reuse = if inner.keep_alive {
                    Reuse::Keep
                } else {
                    Reuse::Close
                };
                Some((input.take_all(), reuse))
            }
            _ => None,
        }
    }

    fn output_filter(
        &mut self,
        body: Chain,
        last: bool,
        out: &mut Chain,
    ) -> Result<(), ProtocolError> {
        let size = body.size();
        match self.0.framing() {
            Some(Framing::Chunked) => {
                if size > 0 {
                    let mut line = Vec::with_capacity(18);
                    write_chunk_size(&mut line, size);
                    out.push(line);
                    out.append(body);
                    out.push("\r\n");
                }
                if last {
                    out.push("0\r\n\r\n");
                }
                Ok(())
            }
            Some(Framing::Length(_)) | None => {
                let left = self
                    .0
                    .unsent
                    .checked_sub(size)
                    .filter(|&left| left == 0 || !last);
                self.0.unsent = left.ok_or(ProtocolError::Request(Cow::Borrowed(
                    "request body is not as long as its \"Content-Length\" says",
                )))?;
                out.append(body);
                Ok(())
            }
        }
    }
}

/// The most bytes that the fields behind a body may take.
const TRAILER_MAX: usize = 4096;

/// A parser without a limit of its own: the exchange has one.
fn parser() -> ResponseParser {
    ResponseParser::new(Limits::single(1 << 30))
}

/// Moves the data of the chunks that are here; true behind the last chunk.
fn decode(
    decoder: &mut ChunkedDecoder,
    input: &mut Input<'_>,
    sink: &mut BodySink<'_>,
) -> Result<bool, ProtocolError> {
    while !input.is_empty() && !decoder.is_done() {
        let decoded = decoder
            .decode(input.as_slice())
            .map_err(|e| ProtocolError::invalid(format!("invalid chunked response: {e}")))?;
        let rest = decoded.consumed - decoded.data.end;
        input.skip(decoded.data.start);
        sink.push_upto(input, decoded.data.len() as u64);
        input.skip(rest);
    }
    Ok(decoder.is_done())
}

fn invalid(error: ResponseError) -> ProtocolError {
    match error {
        ResponseError::TooBigHeader => ProtocolError::TooBigHeader,
        error => {
            let text = error.to_string();
            let what = text.strip_prefix("upstream sent ").unwrap_or(&text);
            ProtocolError::invalid(what.to_owned())
        }
    }
}

#[cfg(test)]
mod tests;
