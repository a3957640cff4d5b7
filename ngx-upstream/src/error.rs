//! What can go wrong with an exchange, in the words nginx logs.

use std::borrow::Cow;
use std::fmt;
use std::io;

use ngx_core::net::seats::NoSeat;

/// What the exchange was doing. Displayed as the end of a log line: `… while connecting to upstream`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// A peer is chosen and a connection made.
    Connect,
    /// The request is on its way.
    Send,
    /// The request is out, the head of the response is not here yet.
    Head,
    /// The head is here, the body comes.
    Body,
    /// The protocol was switched: bytes pass both ways.
    Tunnel,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting to upstream",
            Self::Send => "sending request to upstream",
            Self::Head => "reading response header from upstream",
            Self::Body => "reading upstream",
            Self::Tunnel => "proxying upgraded connection",
        })
    }
}

/// What a hook of a [`Protocol`](crate::Protocol) may complain about.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The peer sent something that the protocol does not allow; the text says what, for example
    /// `invalid header`. Another peer may do better.
    #[error("upstream sent {0}")]
    Invalid(Cow<'static, str>),
    /// The head of the response is larger than [`Limits::head`](crate::exchange::Limits::head).
    #[error("upstream sent too big header")]
    TooBigHeader,
    /// The peer closed the connection before the response was complete.
    #[error("upstream prematurely closed connection")]
    PrematureClose,
    /// The request itself cannot be expressed in this protocol. No peer will do better.
    #[error("{0}")]
    Request(Cow<'static, str>),
    /// The exchange was driven in the wrong order, for example begun again after its end.
    #[error("upstream exchange out of order: {0}")]
    OutOfOrder(&'static str),
}

impl ProtocolError {
    /// The peer sent `what`: `ProtocolError::invalid("invalid header")`.
    pub fn invalid(what: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid(what.into())
    }
}

/// Why an exchange, or one try of it, failed.
///
/// Displays as the message nginx writes for the same accident, without the client, server and
/// request that the caller adds:
///
/// ```
/// use ngx_upstream::error::{Error, ErrorKind, Phase};
///
/// let error = Error::new(ErrorKind::TimedOut, Phase::Head);
/// assert_eq!(
///     error.to_string(),
///     "upstream timed out (110: Connection timed out) while reading response header from upstream",
/// );
/// ```
#[derive(Debug)]
pub struct Error(Box<(ErrorKind, Phase)>);

impl Error {
    /// An error of this kind, met while doing that.
    #[cold]
    pub fn new(kind: ErrorKind, during: Phase) -> Self {
        Self(Box::new((kind, during)))
    }

    /// What went wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.0
    }

    /// While doing what.
    pub fn during(&self) -> Phase {
        self.0.1
    }

    /// Whether it was the client who ended the exchange: the peer is not to blame.
    pub fn is_client(&self) -> bool {
        matches!(self.kind(), ErrorKind::ClientClosed | ErrorKind::Client(_))
    }

    /// The HTTP status that stands for this error: 504 for a timeout, 499 when the client left, 500
    /// for a request that cannot be made or a connection too many, 502 for what the peer did.
    pub fn status(&self) -> u16 {
        match self.kind() {
            ErrorKind::TimedOut => 504,
            ErrorKind::ClientClosed => 499,
            ErrorKind::Client(code) => *code,
            ErrorKind::TempFile(_)
            | ErrorKind::NoSeat
            | ErrorKind::Protocol(ProtocolError::Request(_) | ProtocolError::OutOfOrder(_)) => 500,
            _ => 502,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} while {}", self.kind(), self.during())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.kind() {
            ErrorKind::Connect(e)
            | ErrorKind::Recv(e)
            | ErrorKind::Send(e)
            | ErrorKind::TempFile(e) => Some(e),
            ErrorKind::Protocol(e) => Some(e),
            _ => None,
        }
    }
}

/// The kinds of [`Error`].
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The balancer has no peer left to offer.
    NoLive,
    /// No connection could be made.
    Connect(io::Error),
    /// The thread has as many connections as it may have (`worker_connections`).
    NoSeat,
    /// Nothing moved for longer than the timeout of the phase.
    TimedOut,
    /// Reading from the peer failed.
    Recv(io::Error),
    /// Writing to the peer failed.
    Send(io::Error),
    /// What the peer sent, or the request, does not follow the protocol.
    Protocol(ProtocolError),
    /// The client left.
    ClientClosed,
    /// The client's side ended the exchange with a code of its own, for example 413.
    Client(u16),
    /// The temporary file could not be made or written.
    TempFile(io::Error),
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLive => f.write_str("no live upstreams"),
            Self::Connect(e) => write!(f, "connect() failed ({})", Errno(e)),
            Self::NoSeat => NoSeat.fmt(f),
            Self::TimedOut => f.write_str("upstream timed out (110: Connection timed out)"),
            Self::Recv(e) => write!(f, "recv() failed ({})", Errno(e)),
            Self::Send(e) => write!(f, "send() failed ({})", Errno(e)),
            Self::Protocol(e) => e.fmt(f),
            Self::ClientClosed => f.write_str(
                "client prematurely closed connection, so upstream connection is closed too",
            ),
            Self::Client(code) => write!(f, "client's side ended the exchange with {code}"),
            Self::TempFile(e) => write!(f, "temporary file failed ({})", Errno(e)),
        }
    }
}

impl From<ProtocolError> for ErrorKind {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

/// Writes an I/O error as `111: Connection refused`.
struct Errno<'a>(&'a io::Error);

impl fmt::Display for Errno<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        match self.0.raw_os_error() {
            Some(code) => {
                let plain = text.split(" (os error").next().unwrap_or(&text);
                write!(f, "{code}: {plain}")
            }
            None => f.write_str(&text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_like_nginx() {
        let refused = ErrorKind::Connect(io::Error::from_raw_os_error(111));
        assert_eq!(
            Error::new(refused, Phase::Connect).to_string(),
            "connect() failed (111: Connection refused) while connecting to upstream"
        );
        let early = ErrorKind::Protocol(ProtocolError::PrematureClose);
        assert_eq!(
            Error::new(early, Phase::Head).to_string(),
            "upstream prematurely closed connection while reading response header from upstream"
        );
        assert_eq!(
            Error::new(ErrorKind::NoLive, Phase::Connect).to_string(),
            "no live upstreams while connecting to upstream"
        );
        assert_eq!(
            ProtocolError::invalid("invalid header").to_string(),
            "upstream sent invalid header"
        );
    }

    #[test]
    fn statuses() {
        assert_eq!(Error::new(ErrorKind::TimedOut, Phase::Body).status(), 504);
        assert_eq!(
            Error::new(ErrorKind::ClientClosed, Phase::Body).status(),
            499
        );
        assert_eq!(Error::new(ErrorKind::NoLive, Phase::Connect).status(), 502);
    }
}
