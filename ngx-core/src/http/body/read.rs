//! Reading a request body: whole, or piece by piece.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use ngx_buf::{Buf, Chain};

use super::build::Collected;
use super::{BodyFraming, Stage};
use crate::http::core::InFileOnly;
use crate::http::downstream::{BodyError, BodyPiece};
use crate::http::request::Request;
use crate::{error, info};

/// Bytes asked for in one read while a body streams.
const PIECE: usize = 64 * 1024;

impl Request {
    /// Reads the whole body: into memory up to `client_body_buffer_size`, beyond that into a
    /// temporary file. Afterwards [`body_bufs`](Self::body_bufs) has it.
    ///
    /// # Errors
    /// The status to end the request with: 400, 408, 413, 500.
    ///
    /// # Cancel safety
    /// Dropping the future loses what was read: the request can only end then.
    pub async fn read_body(&self) -> Result<(), u16> {
        let body = &self.parts().body;
        match body.stage.get() {
            Stage::Read | Stage::Discarded => return Ok(()),
            Stage::Reading => {
                error!("the request body is being read by somebody else");
                return Err(500);
            }
            Stage::Unread => {}
        }
        if !self.has_body() {
            body.stage.set(Stage::Read);
            return Ok(());
        }
        let conf = self.core();
        let in_memory = match *conf.client_body_in_file_only {
            InFileOnly::Off => *conf.client_body_buffer_size,
            InFileOnly::On | InFileOnly::Clean => 0,
        };
        let mut collected = Collected::default();
        if let BodyFraming::Length(length) = self.body_framing() {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            collected.reserve(length.min(in_memory));
        }
        while let Some(piece) = self.next_body_piece().await? {
            collected.add(self, &piece, in_memory)?;
        }
        body.bufs.replace(collected.finish());
        body.stage.set(Stage::Read);
        Ok(())
    }

    /// Reads what of the body has come already, up to `client_body_buffer_size`, for those who are
    /// about to stream it. `true` says that this is all of it: [`body_bufs`](Self::body_bufs) has
    /// it then. What has come of a longer one is the first of its pieces.
    ///
    /// # Errors
    /// As [`read_body`](Self::read_body).
    ///
    /// # Cancel safety
    /// It never waits.
    pub async fn read_body_at_hand(&self) -> Result<bool, u16> {
        poll_fn(|cx| Poll::Ready(self.read_at_hand(cx))).await
    }

    fn read_at_hand(&self, cx: &mut Context<'_>) -> Result<bool, u16> {
        let body = &self.parts().body;
        let most = *self.core().client_body_buffer_size;
        let mut read = BytesMut::new();
        while read.len() < most {
            match self.poll_body_piece(cx)? {
                Poll::Ready(Some(piece)) => read.extend_from_slice(&piece),
                Poll::Ready(None) => {
                    if !read.is_empty() {
                        body.bufs.replace(Chain::from(Buf::from(read.freeze())));
                    }
                    return Ok(true);
                }
                Poll::Pending => break,
            }
        }
        body.ahead.replace(read);
        Ok(false)
    }

    /// The next piece of the body as it comes, unframed; `None` at its end.
    ///
    /// # Errors
    /// As [`read_body`](Self::read_body).
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn next_body_piece(&self) -> Result<Option<Bytes>, u16> {
        poll_fn(|cx| self.poll_body_piece(cx)).await
    }

    /// The poll form of [`next_body_piece`](Self::next_body_piece).
    pub fn poll_body_piece(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, u16>> {
        let body = &self.parts().body;
        if !self.has_body() || matches!(body.stage.get(), Stage::Read | Stage::Discarded) {
            return Poll::Ready(Ok(None));
        }
        if !body.ahead.borrow().is_empty() {
            return Poll::Ready(Ok(Some(body.ahead.take().freeze())));
        }
        body.stage.set(Stage::Reading);
        self.test_expect();
        let Some(downstream) = self.downstream() else {
            return Poll::Ready(Ok(None));
        };
        let polled = ready!(downstream.poll_body(cx, PIECE));
        Poll::Ready(match polled {
            Ok(BodyPiece::End) => {
                body.stage.set(Stage::Read);
                Ok(None)
            }
            Ok(BodyPiece::Data(data)) => self.count_body(data.len() as u64).map(|()| Some(data)),
            Err(failed) => {
                info!("{failed} while reading client request body");
                downstream.forbid_keepalive();
                Err(failed.status())
            }
        })
    }

    /// A chunked body has no announced length to check: it is checked while it grows.
    fn count_body(&self, more: u64) -> Result<(), u16> {
        let received = &self.parts().body.received;
        received.set(received.get() + more);
        let max = *self.core().client_max_body_size;
        if max != 0 && received.get() > max {
            error!(
                "client intended to send too large chunked body: {} bytes",
                received.get()
            );
            // Whatever else is wrong with it, it is too large.
            let _ = self.discard_body();
            return Err(BodyError::TooLarge.status());
        }
        Ok(())
    }
}
