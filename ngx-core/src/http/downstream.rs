//! What a request speaks to: the connection of a client, never a socket.

use std::cell::Cell;
use std::task::{Context, Poll};

use bytes::Bytes;
use ngx_buf::{Chain, Flags, Flow, WriteError};

use super::core::LocationConf;
use super::request::Request;
use crate::net::addr::Addr;

/// The side of the client: an HTTP/1 connection today; an HTTP/2 stream or the parent of a
/// subrequest fit the same questions.
///
/// All methods take `&self`: a response is written by one party of a request while another reads
/// the body.
pub trait Downstream {
    /// Who the client is.
    fn peer(&self) -> &Peer;

    /// Writes the response header as the protocol wants it. It may be kept back until body
    /// bytes follow, or until a flush.
    ///
    /// # Errors
    /// When the client is gone.
    fn send_header(&self, r: &Request) -> Result<(), WriteError>;

    /// Queues the bufs of `chain`, which is empty after that, framed as the header has said, and
    /// writes what the client takes now.
    ///
    /// # Errors
    /// When the client is gone, or a file cannot be read.
    fn send_body(&self, chain: &mut Chain) -> Result<Flow, WriteError>;

    /// The same with bytes that bear `flags`, by copying them. Who cannot copy them right to
    /// where they leave from takes nothing and says nothing of a flow.
    ///
    /// # Errors
    /// As [`send_body`](Self::send_body).
    fn send_small(&self, _bytes: &[u8], _flags: Flags) -> Result<Option<Flow>, WriteError> {
        Ok(None)
    }

    /// [`send_header`](Self::send_header) and [`send_small`](Self::send_small) in one go.
    ///
    /// # Errors
    /// As these.
    fn send_header_and_small(
        &self,
        r: &Request,
        bytes: &[u8],
        flags: Flags,
    ) -> Result<Option<Flow>, WriteError> {
        self.send_header(r)?;
        self.send_small(bytes, flags)
    }

    /// Writes an interim response, such as `100 Continue`.
    ///
    /// # Errors
    /// When the client is gone.
    fn send_interim(&self, head: &[u8]) -> Result<(), WriteError>;

    /// Ready when all that was queued is written. `send_timeout` bounds the time between two
    /// writes that make progress.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>>;

    /// The next piece of the request body, unframed, at most `limit` bytes.
    /// `client_body_timeout` bounds the time between two pieces.
    fn poll_body(&self, cx: &mut Context<'_>, limit: usize) -> Poll<Result<BodyPiece, BodyError>>;

    /// Ready when the client has left. Bytes that arrive meanwhile stay where they are.
    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// From here on bytes go both ways unframed, whatever the header has said: after
    /// `101 Switching Protocols`.
    fn upgrade(&self);

    /// The limits and timeouts of this location apply from here on.
    fn set_location(&self, conf: &LocationConf);

    /// The body still to be read is not wanted: it is skipped, or the connection ends after the
    /// response if that is cheaper.
    ///
    /// # Errors
    /// What has come of it already is malformed.
    fn discard_body(&self) -> Result<(), BodyError>;

    /// Whether the connection may serve another request, as far as the protocol goes.
    fn keeps_alive(&self) -> bool;

    /// The connection ends after this response.
    fn forbid_keepalive(&self);

    /// The connection ends now, without another byte (`return 444`).
    fn abort(&self);

    /// Bytes written to the client for the current response, header included.
    fn sent(&self) -> u64;
}

/// A piece of a request body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BodyPiece {
    /// Some of it.
    Data(Bytes),
    /// There is no more.
    End,
}

/// Why a request body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The client has closed the connection in the middle.
    #[error("client prematurely closed connection")]
    Closed,
    /// The chunked framing is wrong.
    #[error("client sent invalid chunked body")]
    Invalid,
    /// The body is longer than `client_max_body_size`.
    #[error("client intended to send too large chunked body")]
    TooLarge,
    /// Nothing came within `client_body_timeout`.
    #[error("client timed out (110: Connection timed out)")]
    TimedOut,
    /// Reading failed.
    #[error("recv() failed ({0})")]
    Io(#[from] std::io::Error),
}

impl BodyError {
    /// The status nginx ends such a request with.
    pub fn status(&self) -> u16 {
        match self {
            Self::Closed | Self::Invalid | Self::Io(_) => 400,
            Self::TooLarge => 413,
            Self::TimedOut => 408,
        }
    }
}

/// Facts about a client connection that outlive it, for the log phase.
#[derive(Debug)]
pub struct Peer {
    /// The connection's number, unique in the process (`$connection`).
    pub number: u64,
    /// Where the client is (`$remote_addr`, `$remote_port`).
    pub addr: Addr,
    /// Where it was accepted (`$server_addr`, `$server_port`).
    pub local: Addr,
    /// Requests begun on this connection (`$connection_requests`).
    pub requests: Cell<u64>,
    /// When it was accepted, in coarse monotonic milliseconds (`$connection_time`).
    pub since: u64,
}
