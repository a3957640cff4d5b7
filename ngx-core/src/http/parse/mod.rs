//! Parsers of the HTTP core: bytes in, values out. No I/O, no clock, no allocation per header
//! field.
//!
//! One decoder serves both directions: the server reads requests with [`RequestParser`], the HTTP/1
//! protocol of an upstream reads responses with [`ResponseParser`]; both share the line scanner,
//! the field parser, the table of [`Known`] names and the [`ChunkedDecoder`].
//!
//! Strict by RFC 9112 where requests can be smuggled (a bare CR, folded fields, spaces around a
//! field name, `Content-Length` next to `Transfer-Encoding`, line ends inside chunk framing),
//! tolerant where nginx is (a bare LF ends a line, empty lines before a request line are skipped).
//!
//! ```
//! use ngx_core::http::parse::{BodyFraming, Limits, Progress, RequestOptions, RequestParser};
//!
//! let input = b"GET /index.html?a=1 HTTP/1.1\r\nHost: example.com\r\n\r\n";
//! let mut parser = RequestParser::new(RequestOptions::default());
//! let mut fields = Vec::new();
//! let Progress::Done(head) = parser.parse(input, &mut fields)? else { panic!("complete") };
//! assert_eq!(head.len, input.len());
//! assert_eq!(head.framing(input, &fields)?, BodyFraming::None);
//! assert_eq!(head.line.path.of(input), b"/index.html");
//! assert_eq!(fields[0].value.of(input), b"example.com");
//! # Ok::<(), ngx_core::http::parse::RequestError>(())
//! ```

mod chars;
mod chunked;
mod error;
mod escape;
mod framing;
mod header;
mod host;
mod known;
mod lines;
mod method;
mod quick;
mod request;
mod request_line;
mod response;
mod span;
mod status;
mod uri;

#[cfg(feature = "http")]
pub(crate) use chars::are_equal;
#[cfg(feature = "http")]
pub(crate) use chunked::write_hex;
pub use chunked::{ChunkError, ChunkedDecoder, Decoded, fuzz_chunked, write_chunk_size};
pub use error::{RequestError, ResponseError};

pub use escape::{Escape, Unescape, escape_controls, escape_uri, unescape_uri};
pub use framing::{BodyFraming, ResponseFraming};
pub use header::FieldRange;
#[cfg(feature = "http")]
pub(crate) use host::HostParts;
pub use host::{Host, InvalidHost, fuzz_host};
pub use known::{Known, KnownSet};
pub use lines::Limits;
pub use method::Method;
#[cfg(feature = "http")]
pub(crate) use request::parse_usual;
pub use request::{Progress, RequestHead, RequestOptions, RequestParser, fuzz_request};
pub use request_line::{RequestLine, TargetForm, Version};
pub use response::{ResponseHead, ResponseParser, StatusLine, fuzz_response};
pub use span::Span;
pub use status::{HttpDate, format_date, parse_date, reason, status_line};
pub use uri::{InvalidUri, arg, exten, fuzz_uri, normalize, parse_unsafe, split_args};
