//! Speaking to a client past HTTP.

use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::Header;
use crate::http::downstream::Downstream;
use crate::http::request::Request;

/// Why a connection cannot be [taken over](Request::take_over).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// The client has left.
    #[error("the client is gone")]
    Gone,
    /// It was taken over before.
    #[error("duplicate call")]
    Taken,
    /// Some of the response waits.
    #[error("pending data to write")]
    Pending,
}

impl Request {
    /// Hands the connection to the caller: bytes go both ways unframed, past all filters, and it
    /// ends after this request. A header that was not sent will not be; what was sent must have
    /// left. Bytes are read with [`Downstream::poll_body`], written with
    /// [`Downstream::send_body`]; the caller waits with [`Downstream::poll_flush`] until they are
    /// out.
    ///
    /// # Errors
    /// Nobody is there any more, or something waits to be written.
    pub fn take_over(&self) -> Result<Rc<dyn Downstream>, TakeError> {
        let output = &self.parts().output;
        let downstream = self.downstream().ok_or(TakeError::Gone)?;
        if output.header.get() == Header::Taken {
            return Err(TakeError::Taken);
        }
        let mut cx = Context::from_waker(Waker::noop());
        match self.poll_output(&mut cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Err(TakeError::Gone),
            Poll::Pending => return Err(TakeError::Pending),
        }
        downstream.upgrade();
        self.forget_body();
        output.header.set(Header::Taken);
        output.last_seen.set(true);
        Ok(downstream)
    }

    /// Whether somebody has [taken over](Self::take_over) the connection.
    pub fn is_taken_over(&self) -> bool {
        self.parts().output.header.get() == Header::Taken
    }
}
