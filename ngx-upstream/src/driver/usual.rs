//! The way that most exchanges go.

use std::task::{Context, Poll, ready};

use super::body::{Passed, Rest};
use super::{Client, Driver, End, Tried};
use crate::connect::Connect;
use crate::error::Error;
use crate::exchange::Signal;
use crate::now::now_ms;
use crate::peer::Session;
use crate::protocol::Protocol;

/// How far an exchange has come on the usual way.
pub(crate) enum Usual<H> {
    Ended(Result<End, Error>),
    /// It goes on from here in another way.
    Left(At<H>),
}

/// Where an exchange is.
pub(crate) enum At<H> {
    /// The running try has come to this.
    Tried(Tried<H>),
    /// A try is over and the next one begins.
    Next,
    /// The head was passed on, and the body follows.
    Body(Rest),
}

impl<P, S, C> Driver<P, S, C>
where
    P: Protocol,
    S: Session,
    C: Connect,
{
    /// Runs the exchange from its beginning as most of them go: on a kept connection, with an answer
    /// whose body comes with its head and is taken by the client at once. Where it goes another way
    /// it is left to [`go_on`](Self::go_on).
    pub(crate) fn poll_usual<R: Client<P::Head>>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut R,
    ) -> Poll<Usual<P::Head>> {
        if self.used == 0 {
            self.begun = now_ms();
            if let Err(error) = self.begin_try() {
                return Poll::Ready(Usual::Left(At::Tried(Err(error))));
            }
        }
        let head = match ready!(self.poll_try(cx, client)) {
            Ok(Some(Signal::Head(head))) => head,
            tried => return Poll::Ready(Usual::Left(At::Tried(tried))),
        };
        if self.is_refused(&head, client) {
            return Poll::Ready(Usual::Left(At::Next));
        }
        let ended = match self.pass(head, client) {
            Ok(Passed::End(end)) => Ok(end),
            Ok(Passed::Unwanted) => {
                self.discard(cx);
                Ok(End::Discarded)
            }
            Ok(Passed::Rest(rest)) => return Poll::Ready(Usual::Left(At::Body(rest))),
            Err(error) => Err(error),
        };
        let ended = self.conclude(ended, client);
        Poll::Ready(Usual::Ended(self.settle(ended)))
    }
}
