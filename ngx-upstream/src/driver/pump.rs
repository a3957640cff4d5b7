//! Moves bytes between the exchange, the connection and the client.

use std::task::{Context, Poll};

use ngx_buf::Chain;

use super::{Client, Driver, Parts};
use crate::connect::Connect;
use crate::error::{Error, ErrorKind, Phase, ProtocolError};
use crate::exchange::Signal;
use crate::peer::Session;
use crate::protocol::Protocol;
use crate::timeouts::Timer;

/// Bytes of request body queued before they are written, about.
const BODY_BATCH: u64 = 64 * 1024;

impl<P, S, C> Driver<P, S, C>
where
    P: Protocol,
    S: Session,
    C: Connect,
{
    /// Sends, reads at most about `room` bytes (nothing if it is 0), and waits for the next event.
    pub(super) fn poll_event<R: Client<P::Head>>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut R,
        room: usize,
    ) -> Poll<Result<Signal<P::Head>, Error>> {
        loop {
            match self.advance() {
                Ok(Signal::Again) => {}
                Ok(signal) => return Poll::Ready(Ok(signal)),
                Err(error) => return self.fail(error.into(), self.reading()),
            }
            let sent = match self.poll_request(cx, client) {
                Ok(sent) => sent,
                Err(kind) => return self.fail(kind, Phase::Send),
            };
            match self.poll_response(cx, room) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(kind) => return self.fail(kind, self.reading()),
            }
            if room == 0 || !sent {
                self.clock.stop(Timer::Read);
            } else {
                self.clock.start(Timer::Read, self.waits.read);
            }
            if client.poll_closed(cx).is_ready() {
                return self.fail(ErrorKind::ClientClosed, self.reading());
            }
            return match self.clock.poll_expired(cx) {
                Poll::Ready(Timer::Send) => self.fail(ErrorKind::TimedOut, Phase::Send),
                Poll::Ready(_) => self.fail(ErrorKind::TimedOut, self.reading()),
                Poll::Pending => Poll::Pending,
            };
        }
    }

    /// What the exchange has to tell; what has come of the body is in the pipe.
    #[inline]
    pub(super) fn advance(&mut self) -> Result<Signal<P::Head>, ProtocolError> {
        let Parts { exchange, pipe, .. } = &mut self.parts;
        exchange.advance(pipe.queue())
    }

    /// Sends what there is; whether the whole request is out.
    fn poll_request<R: Client<P::Head>>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut R,
    ) -> Result<bool, ErrorKind> {
        loop {
            if self.parts.link.sender.is_blocked() && !self.poll_output(cx)? {
                return Ok(false);
            }
            // What the client has sent by now leaves in one write with what is queued already.
            let came = self.poll_request_body(cx, client)?;
            if !self.poll_output(cx)? {
                return Ok(false);
            }
            if self.body_sent || !came {
                return Ok(self.body_sent);
            }
        }
    }

    /// Takes what the client has sent of the request body, within reason; whether that is anything.
    fn poll_request_body<R: Client<P::Head>>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut R,
    ) -> Result<bool, ErrorKind> {
        if self.body_sent {
            return Ok(false);
        }
        let mut came = 0;
        while !self.body_sent && came < BODY_BATCH {
            match client.poll_request_body(cx)? {
                Poll::Ready(Some(chain)) => {
                    came += chain.size().max(1);
                    self.parts.exchange.push_request_body(chain, false)?;
                }
                Poll::Ready(None) => {
                    self.parts.exchange.push_request_body(Chain::new(), true)?;
                    self.body_sent = true;
                }
                Poll::Pending => break,
            }
        }
        Ok(came > 0)
    }

    /// Writes what the protocol has queued; whether all of it is out.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Result<bool, ErrorKind> {
        let Parts { link, exchange, .. } = &mut self.parts;
        if !exchange.has_output() && link.sender.is_empty() {
            return Ok(true);
        }
        let before = link.sender.sent();
        let out = link.poll_send(cx, &mut exchange.outgoing())?.is_ready();
        if out {
            self.clock.stop(Timer::Send);
        } else if link.sender.sent() > before {
            self.clock.set(Timer::Send, self.waits.send);
        } else {
            self.clock.start(Timer::Send, self.waits.send);
        }
        Ok(out)
    }

    /// Reads; whether something came.
    fn poll_response(&mut self, cx: &mut Context<'_>, room: usize) -> Result<bool, ErrorKind> {
        let Parts { link, exchange, .. } = &mut self.parts;
        if room == 0 || link.is_eof() {
            return Ok(false);
        }
        match link.poll_recv(cx, exchange.input(), room)? {
            Poll::Ready(end) => {
                self.clock.stop(Timer::Read);
                if end {
                    exchange.closed();
                } else {
                    exchange.received();
                }
                Ok(true)
            }
            Poll::Pending => Ok(false),
        }
    }

    /// What is done when bytes are read.
    fn reading(&self) -> Phase {
        if self.parts.link.is_on() && self.parts.link.answered {
            Phase::Body
        } else {
            Phase::Head
        }
    }

    fn fail<T>(&mut self, kind: ErrorKind, during: Phase) -> Poll<Result<T, Error>> {
        self.clock.stop(Timer::Send);
        self.clock.stop(Timer::Read);
        Poll::Ready(Err(Error::new(kind, during)))
    }
}
