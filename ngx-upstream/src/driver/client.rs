//! The other side of a driver.

use std::task::{Context, Poll};

use bytes::Bytes;
use ngx_buf::{Buf, Chain, Flow};

use super::report::Try;
use crate::error::{Error, ErrorKind};
use crate::peer::Peer;
use crate::pipe::Mode;
use crate::protocol::Trailers;

/// Where the head and the body of a response go, and where a streamed request body comes from.
///
/// Three methods have no default. Methods called `poll_…` register the waker when they are not ready,
/// as futures do; all are polled from the task that runs the driver.
pub trait Client<H> {
    /// The head has come. What shall become of the body? `tries` are all tries so far, the running one
    /// last.
    fn head(&mut self, head: H, tries: &[Try]) -> Disposition;

    /// Takes a piece of the body, in order. [`Flow::Again`] says that it is kept: the driver waits for
    /// [`poll_ready`](Self::poll_ready) before the next one. Nothing marks the end of a body that the
    /// peer ends late: that is when [`Driver::run`](super::Driver::run) returns.
    ///
    /// # Errors
    /// The exchange ends with this error.
    fn body(&mut self, chain: Chain) -> Result<Flow, ClientError>;

    /// Takes the last piece of the body, if it is known to be that when it is passed on. Nothing
    /// follows, trailers neither. The default is [`body`](Self::body).
    ///
    /// # Errors
    /// As there.
    fn last_body(&mut self, chain: Chain) -> Result<Flow, ClientError> {
        self.body(chain)
    }

    /// As [`last_body`](Self::last_body), for a body that is one piece.
    ///
    /// # Errors
    /// As there.
    fn last_bytes(&mut self, bytes: Bytes) -> Result<Flow, ClientError> {
        self.last_body(Chain::from(Buf::from(bytes)))
    }

    /// Waits until [`body`](Self::body) may be called again.
    ///
    /// # Errors
    /// The exchange ends with this error.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>>;

    /// Waits until the client has left. Never does by default (`proxy_ignore_client_abort on`). Not
    /// asked in tunnels, where the other methods say so.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Pending
    }

    /// The next piece of the request body, `None` behind the last one. Asked if
    /// [`Settings::stream_request`](super::Settings::stream_request) is set, and in tunnels, where
    /// `None` is the end of what the client sends.
    ///
    /// # Errors
    /// The exchange ends with this error.
    fn poll_request_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Chain>, ClientError>> {
        let _ = cx;
        Poll::Ready(Ok(None))
    }

    /// The HTTP status this head stands for, if the protocol knows such: decides on
    /// `proxy_next_upstream http_503` and goes into [`Try::status`]. Asked before
    /// [`head`](Self::head), which is not called if another try follows.
    fn status(&mut self, head: &H) -> Option<u16> {
        let _ = head;
        None
    }

    /// A head that is not the last one (103).
    fn interim(&mut self, head: H) {
        let _ = head;
    }

    /// The head says that the connection is a tunnel from here on: what comes goes to
    /// [`body`](Self::body) as it is, each read with a flush, and
    /// [`poll_request_body`](Self::poll_request_body) is asked for what the client sends.
    fn upgrade(&mut self, head: H, tries: &[Try]) {
        self.head(head, tries);
    }

    /// The fields behind the body, after the last piece of it.
    fn trailers(&mut self, trailers: Trailers) {
        let _ = trailers;
    }

    /// A connection to this peer is going to be made or taken from the pool.
    fn connecting(&mut self, peer: &Peer) {
        let _ = peer;
    }

    /// A try failed, the last of `tries`. Before the head there may be another one; behind it, this
    /// is the end. The place to log: every error comes here exactly once, that of the
    /// [`Report`](super::Report) too. The default logs without saying to whom it happened.
    fn try_failed(&mut self, error: &Error, tries: &[Try]) {
        let _ = tries;
        ngx_core::error!("{error}");
    }
}

/// What becomes of the body behind a head.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Disposition {
    /// It goes to the client.
    Pass,
    /// It goes to the client in this way, whatever the settings say (`X-Accel-Buffering`).
    PassIn(Mode),
    /// Nobody wants it: the connection is kept if the body is here already, else closed.
    Discard,
}

/// Why the client's side ends an exchange.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ClientError {
    /// The client left.
    #[error("client closed connection")]
    Closed,
    /// For a reason of its own, given back as [`ErrorKind::Client`]: 408, 413.
    #[error("client's side ended the exchange with {0}")]
    Code(u16),
}

impl From<ClientError> for ErrorKind {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Closed => Self::ClientClosed,
            ClientError::Code(code) => Self::Client(code),
        }
    }
}
