//! After an upgrade: bytes both ways.

use std::future::poll_fn;
use std::task::{Context, Poll};

use ngx_buf::{Buf, Chain};

use super::{Client, Driver, Parts, TURNS};
use crate::connect::Connect;
use crate::error::{Error, ErrorKind, Phase};
use crate::peer::Session;
use crate::pipe::Mode;
use crate::protocol::Protocol;
use crate::timeouts::Timer;

/// How far the direction from the client to the peer is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Uplink {
    Open,
    /// The client has ended; what it sent is on its way, then our side is closed.
    Ending,
    Closed,
}

impl<P, S, C> Driver<P, S, C>
where
    P: Protocol,
    S: Session,
    C: Connect,
{
    /// Passes bytes both ways until the peer has closed and the client has everything, or nothing has
    /// moved for the time of `proxy_read_timeout`. When the client closes its side, so do we towards
    /// the peer, who may go on talking.
    pub(super) async fn tunnel<R: Client<P::Head>>(&mut self, client: &mut R) -> Result<(), Error> {
        let Parts { exchange, pipe, .. } = &mut self.parts;
        pipe.begin(Mode::Unbuffered, &self.settings.buffers);
        let first = exchange.take_input();
        if !first.is_empty() {
            pipe.push(Chain::from(Buf::from(first)));
        }
        let mut uplink = Uplink::Open;
        self.clock.clear();
        self.clock.set(Timer::Read, self.waits.read);
        let result = poll_fn(|cx| self.poll_tunnel(cx, client, &mut uplink)).await;
        result.map_err(|kind| Error::new(kind, Phase::Tunnel))?;
        self.parts.exchange.finalize();
        self.release(false);
        Ok(())
    }

    fn poll_tunnel<R: Client<P::Head>>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut R,
        uplink: &mut Uplink,
    ) -> Poll<Result<(), ErrorKind>> {
        for _ in 0..TURNS {
            let up = self.poll_uplink(cx, client, uplink)?;
            let down = self.poll_downlink(cx, client)?;
            let Parts { link, pipe, .. } = &self.parts;
            let ended = !link.is_on() || link.is_eof();
            if ended && pipe.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if up || down {
                self.clock.set(Timer::Read, self.waits.read);
                continue;
            }
            return self
                .clock
                .poll_expired(cx)
                .map(|_| Err(ErrorKind::TimedOut));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// From the client to the peer; whether something moved.
    fn poll_uplink<R: Client<P::Head>>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut R,
        uplink: &mut Uplink,
    ) -> Result<bool, ErrorKind> {
        let Parts { link, exchange, .. } = &mut self.parts;
        if !link.is_on() {
            return Ok(false);
        }
        let before = link.sender.sent();
        let mut moved = false;
        while link.poll_send(cx, &mut exchange.outgoing())?.is_ready() {
            match *uplink {
                Uplink::Closed => break,
                Uplink::Ending if link.poll_shutdown(cx).is_ready() => {
                    *uplink = Uplink::Closed;
                    break;
                }
                Uplink::Ending => break,
                Uplink::Open => match client.poll_request_body(cx)? {
                    Poll::Ready(Some(chain)) => {
                        moved = true;
                        exchange.output().append(chain);
                    }
                    Poll::Ready(None) => *uplink = Uplink::Ending,
                    Poll::Pending => break,
                },
            }
        }
        Ok(moved || link.sender.sent() > before)
    }

    /// From the peer to the client; whether something moved.
    fn poll_downlink<R: Client<P::Head>>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut R,
    ) -> Result<bool, ErrorKind> {
        let Parts {
            link,
            exchange,
            pipe,
            tries,
        } = &mut self.parts;
        let mut moved = pipe.poll_pass(cx, client, false)?;
        if !link.is_on() || link.is_eof() || !pipe.is_empty() {
            return Ok(moved);
        }
        let input = exchange.input();
        if let Poll::Ready(end) = link.poll_recv(cx, input, self.settings.read_max)? {
            moved = true;
            if !end {
                let bytes = input.split().freeze();
                if let Some(attempt) = tries.last_mut() {
                    attempt.body += bytes.len() as u64;
                }
                pipe.push(Chain::from(Buf::from(bytes)));
                pipe.poll_pass(cx, client, false)?;
            }
        }
        Ok(moved)
    }
}
