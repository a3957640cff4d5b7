//! The body of a response on its way to the client.

use std::future::poll_fn;
use std::task::{Context, Poll};

use super::{Client, Disposition, Driver, End, TURNS};
use crate::connect::Connect;
use crate::error::{Error, ErrorKind, Phase};
use crate::exchange::Event;
use crate::peer::Session;
use crate::pipe::Pipe;
use crate::protocol::{Protocol, Reuse, Trailers};

/// What remains to be told when the pipe has run empty.
#[derive(Default)]
struct Rest {
    trailers: Option<Trailers>,
    /// How the upstream side ended, if it has.
    end: Option<Result<(), Error>>,
}

impl<P, S, C> Driver<P, S, C>
where
    P: Protocol,
    S: Session,
    C: Connect,
{
    /// Hands the head to the client and does with the body what it says.
    pub(super) async fn pass<R: Client<P::Head>>(
        &mut self,
        head: P::Head,
        client: &mut R,
    ) -> Result<End, Error> {
        let mode = match client.head(head, &self.tries) {
            Disposition::Pass => self.settings.mode,
            Disposition::PassIn(mode) => mode,
            Disposition::Discard => {
                poll_fn(|cx| {
                    self.discard(cx);
                    Poll::Ready(())
                })
                .await;
                return Ok(End::Discarded);
            }
        };
        let mut pipe = Pipe::new(mode, self.settings.buffers.clone());
        let mut rest = Rest::default();
        poll_fn(|cx| self.poll_pass(cx, client, &mut pipe, &mut rest)).await?;
        if let Some(trailers) = rest.trailers {
            client.trailers(trailers);
        }
        Ok(End::Complete)
    }

    fn poll_pass<R: Client<P::Head>>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut R,
        pipe: &mut Pipe,
        rest: &mut Rest,
    ) -> Poll<Result<(), Error>> {
        for _ in 0..TURNS {
            let came = self.poll_fill(cx, client, pipe, rest);
            let last = matches!(rest.end, Some(Ok(()))) && rest.trailers.is_none();
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
        pipe: &mut Pipe,
        rest: &mut Rest,
    ) -> bool {
        let mut came = false;
        while rest.end.is_none() {
            let room = match pipe.room() {
                Ok(room) => room,
                Err(error) => {
                    rest.end = Some(Err(Error::new(ErrorKind::TempFile(error), Phase::Body)));
                    return true;
                }
            };
            match self.poll_event(cx, client, room) {
                Poll::Pending => return came,
                Poll::Ready(Ok(Event::Body(chain))) => {
                    if let Some(link) = &mut self.link {
                        link.attempt.body += chain.size();
                    }
                    pipe.push(chain);
                }
                Poll::Ready(Ok(Event::Trailers(trailers))) => rest.trailers = Some(trailers),
                Poll::Ready(Ok(Event::Done(reuse))) => {
                    self.release(reuse == Reuse::Keep);
                    rest.end = Some(Ok(()));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    if error.is_client() {
                        pipe.clear();
                    }
                    rest.end = Some(Err(error));
                }
            }
            came = true;
            if pipe.is_enough() {
                return true;
            }
        }
        came
    }

    /// Reads what is here of a body nobody wants.
    fn discard(&mut self, cx: &mut Context<'_>) {
        let mut left = self.settings.discard_max;
        loop {
            match self.exchange.poll() {
                Ok(Event::Done(reuse)) => return self.release(reuse == Reuse::Keep),
                Ok(Event::Again) if left > 0 => {}
                Ok(Event::Again) | Err(_) => break,
                Ok(_) => continue,
            }
            let Some(link) = &mut self.link else { break };
            let input = self.exchange.input();
            let before = input.len();
            match link.poll_recv(cx, input, left) {
                Poll::Ready(Ok(false)) => {
                    left = left.saturating_sub(input.len() - before);
                    self.exchange.received();
                }
                Poll::Ready(Ok(true)) => self.exchange.closed(),
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
        }
        self.exchange.fail();
        self.release(false);
    }
}
