//! The body of a response on its way to the client.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use ngx_buf::Flow;

use super::{Client, Disposition, Driver, End, Parts, TURNS};
use crate::connect::Connect;
use crate::error::{Error, ErrorKind, Phase};
use crate::exchange::Signal;
use crate::peer::Session;
use crate::pipe::Mode;
use crate::protocol::{Protocol, Reuse, Trailers};

/// What remains to be told when the pipe has run empty.
#[derive(Default)]
pub(crate) struct Rest {
    trailers: Option<Trailers>,
    /// How the upstream side ended, if it has.
    end: Option<Result<(), Error>>,
}

/// What has become of a body with its head.
pub(super) enum Passed {
    End(End),
    /// Nobody wants it.
    Unwanted,
    /// It is still to be passed on.
    Rest(Rest),
}

impl<P, S, C> Driver<P, S, C>
where
    P: Protocol,
    S: Session,
    C: Connect,
{
    /// Hands the head to the client, and begins to do with the body what it says.
    #[inline]
    pub(super) fn pass<R: Client<P::Head>>(
        &mut self,
        head: P::Head,
        client: &mut R,
    ) -> Result<Passed, Error> {
        let mode = match client.head(head, &self.parts.tries) {
            Disposition::Pass => self.settings.mode,
            Disposition::PassIn(mode) => mode,
            Disposition::Discard => return Ok(Passed::Unwanted),
        };
        let mut blocked = false;
        if mode == Mode::Buffered {
            let most = self.settings.buffers.busy;
            if let Some(whole) = self.parts.exchange.take_whole_body(most) {
                if self.pass_whole(whole, client)? == Flow::Done {
                    return Ok(Passed::End(End::Complete));
                }
                blocked = true;
            }
        }
        let pipe = &mut self.parts.pipe;
        pipe.begin(mode, &self.settings.buffers);
        let mut rest = Rest::default();
        if blocked {
            pipe.block();
            rest.end = Some(Ok(()));
        }
        Ok(Passed::Rest(rest))
    }

    /// Passes on what is not passed on yet.
    pub(super) async fn pass_rest<R: Client<P::Head>>(
        &mut self,
        mut rest: Rest,
        client: &mut R,
    ) -> Result<End, Error> {
        poll_fn(|cx| self.poll_pass(cx, client, &mut rest)).await?;
        if let Some(trailers) = rest.trailers {
            client.trailers(trailers);
        }
        Ok(End::Complete)
    }

    /// Passes on a body all of which is here.
    fn pass_whole<R: Client<P::Head>>(
        &mut self,
        (body, reuse): (Bytes, Reuse),
        client: &mut R,
    ) -> Result<Flow, Error> {
        if let Some(attempt) = self.parts.tries.last_mut() {
            attempt.body += body.len() as u64;
        }
        self.release(reuse == Reuse::Keep);
        let flow = client.last_bytes(body);
        flow.map_err(|error| Error::new(error.into(), Phase::Body))
    }

    fn poll_pass<R: Client<P::Head>>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut R,
        rest: &mut Rest,
    ) -> Poll<Result<(), Error>> {
        for _ in 0..TURNS {
            let came = self.poll_fill(cx, client, rest);
            let last = matches!(rest.end, Some(Ok(()))) && rest.trailers.is_none();
            let pipe = &mut self.parts.pipe;
            let passed = match pipe.poll_pass(cx, client, last) {
                Ok(passed) => passed,
                Err(error) => return Poll::Ready(Err(Error::new(error.into(), Phase::Body))),
            };
            if pipe.is_empty()
                && let Some(end) = rest.end.take()
            {
                return Poll::Ready(end);
            }
            if rest.end.is_some() && client.poll_closed(cx).is_ready() {
                return Poll::Ready(Err(Error::new(ErrorKind::ClientClosed, Phase::Body)));
            }
            if !came && !passed {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads until the pipe has enough or nothing comes; whether something came.
    fn poll_fill<R: Client<P::Head>>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut R,
        rest: &mut Rest,
    ) -> bool {
        let mut came = false;
        while rest.end.is_none() {
            let room = match self.parts.pipe.room() {
                Ok(room) => room,
                Err(error) => {
                    rest.end = Some(Err(Error::new(ErrorKind::TempFile(error), Phase::Body)));
                    return true;
                }
            };
            match self.poll_event(cx, client, room) {
                Poll::Pending => return came,
                Poll::Ready(Ok(Signal::Body(came))) => {
                    let Parts { pipe, tries, .. } = &mut self.parts;
                    pipe.grew(came);
                    if let Some(attempt) = tries.last_mut() {
                        attempt.body += came;
                    }
                }
                Poll::Ready(Ok(Signal::Trailers(trailers))) => rest.trailers = Some(*trailers),
                Poll::Ready(Ok(Signal::Done(reuse))) => {
                    self.release(reuse == Reuse::Keep);
                    rest.end = Some(Ok(()));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    if error.is_client() {
                        self.parts.pipe.clear();
                    }
                    rest.end = Some(Err(error));
                }
            }
            came = true;
            if self.parts.pipe.is_enough() {
                return true;
            }
        }
        came
    }

    /// Reads what is here of a body nobody wants.
    pub(super) fn discard(&mut self, cx: &mut Context<'_>) {
        let mut left = self.settings.discard_max;
        loop {
            let advanced = self.advance();
            self.parts.pipe.clear();
            match advanced {
                Ok(Signal::Done(reuse)) => return self.release(reuse == Reuse::Keep),
                Ok(Signal::Again) if left > 0 => {}
                Ok(Signal::Again) | Err(_) => break,
                Ok(_) => continue,
            }
            let Parts { link, exchange, .. } = &mut self.parts;
            if !link.is_on() {
                break;
            }
            let input = exchange.input();
            let before = input.len();
            match link.poll_recv(cx, input, left) {
                Poll::Ready(Ok(false)) => {
                    left = left.saturating_sub(input.len() - before);
                    exchange.received();
                }
                Poll::Ready(Ok(true)) => exchange.closed(),
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
        }
        self.parts.exchange.fail();
        self.release(false);
    }
}
