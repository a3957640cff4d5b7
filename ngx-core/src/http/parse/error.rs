//! What can be wrong with a head. The messages are nginx's: programs read logs.

use thiserror::Error;

/// Why a request is refused while its head is read.
///
/// The message goes to the error log at level `info`; the client gets [`RequestError::status`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request line does not begin with a method and a space.
    #[error("client sent invalid method")]
    InvalidMethod,
    /// The target, or what follows it, is malformed.
    #[error("client sent invalid request")]
    InvalidRequest,
    /// A major version above 1.
    #[error("client sent invalid version")]
    InvalidVersion,
    /// A request line without a version allows nothing but `GET`.
    #[error("client sent invalid method in HTTP/0.9 request")]
    InvalidMethodInHttp09,
    /// The request line does not fit into a large buffer.
    #[error("client sent too long URI")]
    TooLongUri,
    /// The host of an absolute target is malformed.
    #[error("client sent invalid host in request line")]
    InvalidHostInRequestLine,
    /// A header line has a byte that cannot stand there, or no colon. The text is escaped.
    #[error("client sent invalid header line: \"{0}...\"")]
    InvalidHeaderLine(Box<str>),
    /// A header line does not fit into a large buffer. The text is escaped.
    #[error("client sent too long header line: \"{0}...\"")]
    TooLongHeaderLine(Box<str>),
    /// All large buffers are taken.
    #[error("client sent too large request")]
    TooLargeRequest,
    /// More fields than `max_headers`.
    #[error("client sent too many header lines")]
    TooManyHeaderLines,
    /// A second field of a name that may come once. The texts are escaped.
    #[error("client sent duplicate header line: \"{0}\", previous value: \"{1}\"")]
    DuplicateHeaderLine(Box<str>, Box<str>),
    /// A second `Host`. The texts are escaped.
    #[error("client sent duplicate host header: \"{0}\", previous value: \"{1}\"")]
    DuplicateHost(Box<str>, Box<str>),
    /// `Host` is malformed.
    #[error("client sent invalid host header")]
    InvalidHost,
    /// HTTP/1.1 asks for a `Host` (RFC 9112 §3.2).
    #[error("client sent HTTP/1.1 request without \"Host\" header")]
    MissingHost,
    /// `Content-Length` is not a number, or too large a number.
    #[error("client sent invalid \"Content-Length\" header")]
    InvalidContentLength,
    /// HTTP/1.0 knows no transfer codings (RFC 9112 §6.1).
    #[error("client sent HTTP/1.0 request with \"Transfer-Encoding\" header")]
    TransferEncodingInHttp10,
    /// Both say how long the body is (RFC 9112 §6.3).
    #[error("client sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time")]
    LengthAndEncoding,
    /// A transfer coding other than `chunked` alone. The text is escaped.
    #[error("client sent unknown \"Transfer-Encoding\": \"{0}\"")]
    UnknownTransferEncoding(Box<str>),
    /// `CONNECT` is not allowed here.
    #[error("client sent CONNECT method")]
    Connect,
    /// A tunnel has no request body.
    #[error("client sent CONNECT request with body")]
    ConnectWithBody,
    /// `TRACE` is never allowed.
    #[error("client sent TRACE method")]
    Trace,
}

impl RequestError {
    /// The status that the client gets. 494 is nginx's own "request header too large", sent as 400.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::InvalidVersion => 505,
            Self::TooLongUri => 414,
            Self::TooLongHeaderLine(_) | Self::TooLargeRequest | Self::TooManyHeaderLines => 494,
            Self::UnknownTransferEncoding(_) => 501,
            Self::Connect | Self::Trace => 405,
            _ => 400,
        }
    }
}

/// Why the head of a response is refused. The message goes to the error log at level `error`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// The response does not begin with a status line; nginx takes it for an HTTP/0.9 response.
    #[error("upstream sent no valid HTTP/1.0 header")]
    NoStatusLine,
    /// A header line has a byte that cannot stand there, or no colon. The text is escaped.
    #[error("upstream sent invalid header: \"{0}...\"")]
    InvalidHeader(Box<str>),
    /// The head does not fit into its buffer (`proxy_buffer_size`).
    #[error("upstream sent too big header")]
    TooBigHeader,
    /// A second `Content-Length` or `Transfer-Encoding`. The texts are escaped.
    #[error("upstream sent duplicate header line: \"{0}\", previous value: \"{1}\"")]
    DuplicateHeaderLine(Box<str>, Box<str>),
    /// `Content-Length` is not a number, or too large a number. The text is escaped.
    #[error("upstream sent invalid \"Content-Length\" header: \"{0}\"")]
    InvalidContentLength(Box<str>),
    /// Both say how long the body is (RFC 9112 §6.3).
    #[error("upstream sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time")]
    LengthAndEncoding,
    /// A transfer coding other than `chunked` alone. The text is escaped.
    #[error("upstream sent unknown \"Transfer-Encoding\": \"{0}\"")]
    UnknownTransferEncoding(Box<str>),
}

/// The most bytes of a peer's line that a message repeats.
const EXCERPT_MAX: usize = 1748;

/// Bytes of a peer, fit for a log line: what is not visible ASCII is written as `\xNN`.
pub(super) fn excerpt(bytes: &[u8]) -> Box<str> {
    let mut text = String::with_capacity(bytes.len().min(EXCERPT_MAX));
    for &byte in bytes.iter().take(EXCERPT_MAX) {
        if byte == b' ' || byte.is_ascii_graphic() {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text.into()
}

/// The line from `start` up to and including the byte at `bad`, written as nginx does: the byte
/// always as `\xNN`.
pub(super) fn excerpt_up_to(buf: &[u8], start: usize, bad: usize) -> Box<str> {
    let mut text = excerpt(buf.get(start..bad).unwrap_or_default()).into_string();
    if let Some(byte) = buf.get(bad) {
        text.push_str(&format!("\\x{byte:02x}"));
    }
    text.into()
}
