//! Drives an exchange: peers, connections, timers, retries, back-pressure.

mod body;
mod client;
mod clock;
mod collect;
mod link;
mod pump;
mod report;
mod sender;
mod settings;
mod tunnel;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;

pub use client::{Client, ClientError, Disposition};
pub use collect::Collect;
pub use report::{End, Report, Tries, Try};
#[cfg(feature = "http")]
pub(crate) use settings::DISCARD_MAX;
pub use settings::Settings;

use ngx_core::net::seats::NoSeat;

use crate::connect::Connect;
use crate::error::{Error, ErrorKind, Phase};
use crate::exchange::{Event, Exchange};
use crate::now::{now_ms, since};
use crate::peer::{Peer, PeerOutcome, Session};
use crate::protocol::Protocol;
use crate::retry::{Conditions, Decision, Failure, decide};
use crate::timeouts::Timer;
pub(crate) use clock::Alarm;
use clock::Clock;
use link::Link;

/// One exchange with whichever peers it takes.
///
/// Generic over the [`Protocol`], the balancer's [`Session`] and the connector; the future of
/// [`run`](Self::run) is `Send` when these and the [`Client`] are. Dropping that future closes the
/// connection and runs the protocol's `abort_request` and `finalize_request`.
///
/// ```
/// use ngx_upstream::connect::Sockets;
/// use ngx_upstream::driver::{Collect, Driver, Settings};
/// use ngx_upstream::peer::{Addr, Balancer, Peer, RoundRobin, Server};
/// use ngx_upstream::proto::memcached::Memcached;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let peer = Peer::new(Addr::from(std::net::SocketAddr::from(([127, 0, 0, 1], 1))));
/// let balancer = RoundRobin::new([Server::new(peer)]);
/// let protocol = Memcached::get(b"key").unwrap();
/// let mut driver = Driver::new(protocol, balancer.session(b""), Sockets, Settings::default());
/// let report = driver.run(&mut Collect::new(1024)).await;
/// assert_eq!(
///     report.result.unwrap_err().to_string(),
///     "connect() failed (111: Connection refused) while connecting to upstream",
/// );
/// # }
/// ```
pub struct Driver<P: Protocol, S, C: Connect> {
    exchange: Exchange<P>,
    session: S,
    connector: C,
    settings: Settings,
    clock: Clock,
    tries: Tries,
    /// The connection of the running try.
    link: Option<Link<C::Stream>>,
    /// Tries that count.
    used: u32,
    /// A kept connection has failed: the next one has to be new.
    fresh: bool,
    /// The request body that is sent while it arrives has ended.
    body_sent: bool,
}

/// How a try went on.
enum Answer<H> {
    Head(H),
    Upgrade(H),
}

impl<P, S, C> Driver<P, S, C>
where
    P: Protocol,
    S: Session,
    C: Connect,
{
    /// A driver that has not begun.
    #[inline(always)]
    pub fn new(protocol: P, session: S, connector: C, settings: Settings) -> Self {
        Self {
            exchange: Exchange::new(protocol, settings.limits),
            session,
            connector,
            clock: Clock::default(),
            tries: Tries::new(),
            link: None,
            used: 0,
            fresh: false,
            body_sent: !settings.stream_request,
            settings,
        }
    }

    /// Runs the exchange to its end: the response has gone to the client, was discarded, or failed.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the exchange where it is; dropping the driver ends it. It is run
    /// once: there is nothing to resume.
    pub async fn run<R: Client<P::Head>>(&mut self, client: &mut R) -> Report {
        let result = self.exchange(client).await;
        if result.as_ref().is_err_and(Error::is_client) {
            self.exchange.abort();
        }
        self.exchange.finalize();
        Report {
            result,
            tries: std::mem::take(&mut self.tries),
        }
    }

    async fn exchange<R: Client<P::Head>>(&mut self, client: &mut R) -> Result<End, Error> {
        let begun = now_ms();
        let answer = loop {
            match self.attempt(client).await {
                Ok(answer) if self.is_refused(&answer, begun, client) => {}
                Ok(answer) => break answer,
                Err(error) => self.after_failure(error, begun, client)?,
            }
        };
        let ended = match answer {
            Answer::Head(head) => self.pass(head, client).await,
            Answer::Upgrade(head) => {
                client.upgrade(head, &self.tries);
                self.tunnel(client).await.map(|()| End::Tunnel)
            }
        };
        if let Err(error) = &ended {
            // Whatever happened behind the head, the peer has answered with that status.
            if let Some(link) = &self.link {
                let status = link.attempt.status;
                self.close(PeerOutcome::Served, status);
            }
            client.try_failed(error, &self.tries);
        }
        ended
    }

    /// Whether the answer's status asks for another peer and there is one; then the try is over. Else
    /// it stands among the tries.
    fn is_refused<R: Client<P::Head>>(
        &mut self,
        answer: &Answer<P::Head>,
        begun: u64,
        client: &mut R,
    ) -> bool {
        let (Answer::Head(head) | Answer::Upgrade(head)) = answer;
        let status = client.status(head);
        if let Some(link) = &mut self.link {
            link.attempt.status = status.unwrap_or(0);
        }
        self.note_progress();
        let condition = status.and_then(Conditions::from_status);
        let Some(condition) = condition.filter(|&c| self.may_retry(c, begun).is_some()) else {
            return false;
        };
        let outcome = if condition.is_answer() {
            PeerOutcome::Declined
        } else {
            PeerOutcome::Failed(Phase::Head)
        };
        self.exchange.fail();
        self.close(outcome, status.unwrap_or(0));
        true
    }

    /// One try: chooses a peer, connects, sends, waits for the head.
    async fn attempt<R: Client<P::Head>>(
        &mut self,
        client: &mut R,
    ) -> Result<Answer<P::Head>, Error> {
        self.used += 1;
        let begun = self.exchange.begin();
        begun.map_err(|e| Error::new(e.into(), Phase::Connect))?;
        let peer = self.choose(client).await?;
        client.connecting(&peer);
        self.connect(peer, client).await?;
        loop {
            match poll_fn(|cx| self.poll_event(cx, client, self.settings.read_max)).await? {
                Event::Interim(head) => client.interim(head),
                Event::Head(head) => return Ok(Answer::Head(head)),
                Event::Upgrade(head) => return Ok(Answer::Upgrade(head)),
                Event::Again | Event::Body(_) | Event::Trailers(_) | Event::Done(_) => {}
            }
        }
    }

    async fn choose<R: Client<P::Head>>(&mut self, client: &mut R) -> Result<Peer, Error> {
        let chosen = poll_fn(|cx| {
            if let Poll::Ready(chosen) = self.session.poll_next(cx) {
                return Poll::Ready(chosen.map_err(|_| ErrorKind::NoLive));
            }
            client
                .poll_closed(cx)
                .map(|()| Err(ErrorKind::ClientClosed))
        });
        chosen
            .await
            .map_err(|kind| Error::new(kind, Phase::Connect))
    }

    async fn connect<R: Client<P::Head>>(
        &mut self,
        peer: Peer,
        client: &mut R,
    ) -> Result<(), Error> {
        let mut link = Link::new(peer, &self.settings);
        self.clock.clear();
        self.clock
            .set(Timer::Connect, self.settings.timeouts.connect);
        let connected = {
            let mut connecting = pin!(self.connector.connect(&link.peer, self.fresh));
            let clock = &mut self.clock;
            poll_fn(|cx| {
                if let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
                    return Poll::Ready(connected.map_err(connect_error));
                }
                if client.poll_closed(cx).is_ready() {
                    return Poll::Ready(Err(ErrorKind::ClientClosed));
                }
                clock.poll_expired(cx).map(|_| Err(ErrorKind::TimedOut))
            })
            .await
        };
        self.clock.stop(Timer::Connect);
        let result = connected.map(|mut connection| {
            self.clock.take_alarm(&mut connection.alarm);
            link.connected(connection);
        });
        self.link = Some(link);
        result.map_err(|kind| Error::new(kind, Phase::Connect))
    }

    /// Tells the client about a failed try; `Ok` when there is to be another one.
    fn after_failure<R: Client<P::Head>>(
        &mut self,
        error: Error,
        begun: u64,
        client: &mut R,
    ) -> Result<(), Error> {
        self.exchange.fail();
        let condition = Conditions::from_error(&error);
        let decision = condition.and_then(|condition| self.may_retry(condition, begun));
        let outcome = match decision {
            _ if error.is_client() || condition.is_none() => PeerOutcome::Unknown,
            Some(true) => PeerOutcome::Unknown,
            _ => PeerOutcome::Failed(error.during()),
        };
        if decision == Some(true) {
            self.session.refund();
            self.used -= 1;
            self.fresh = true;
        }
        self.close(outcome, error.status());
        client.try_failed(&error, &self.tries);
        if decision.is_some() {
            Ok(())
        } else {
            Err(error)
        }
    }

    /// Whether another try follows, and whether the running one is given back.
    fn may_retry(&self, condition: Conditions, begun: u64) -> Option<bool> {
        let policy = &self.settings.retry;
        let mut tries_left = self.session.tries_left();
        if policy.tries > 0 {
            tries_left = tries_left.min(policy.tries.saturating_sub(self.used));
        }
        let failure = Failure {
            condition,
            tries_left,
            elapsed: since(begun),
            idempotent: self.settings.idempotent,
            sent: self
                .link
                .as_ref()
                .is_some_and(|link| link.sender.sent() > 0),
            replayable: self.exchange.is_replayable(),
            reused: self.link.as_ref().is_some_and(Link::is_reused),
            head_passed: false,
        };
        match decide(policy, &failure) {
            Decision::Next { refund } => Some(refund),
            Decision::Stop => None,
        }
    }

    /// Closes the connection of the running try and writes the try down.
    fn close(&mut self, outcome: PeerOutcome, status: u16) {
        self.session.done(outcome);
        self.forget_progress();
        if let Some(link) = self.link.take() {
            self.tries.push(link.into_try(status));
        }
    }

    /// Gives the connection of a complete exchange back.
    fn release(&mut self, keep: bool) {
        self.session.done(PeerOutcome::Served);
        self.forget_progress();
        let Some(mut link) = self.link.take() else {
            return;
        };
        let reusable = keep && self.body_sent && link.is_quiet() && !self.exchange.has_output();
        if let Some(mut connection) = link.connection.take().filter(|_| reusable) {
            self.clock.leave_alarm(&mut connection.alarm);
            self.connector.keep(&link.peer, connection);
        }
        let status = link.attempt.status;
        self.tries.push(link.into_try(status));
    }

    /// Lets the client see the running try among the others while it looks at the head.
    fn note_progress(&mut self) {
        if let Some(link) = &mut self.link {
            link.head_came();
            link.noted = true;
            self.tries.push(link.attempt.clone());
        }
    }

    fn forget_progress(&mut self) {
        if self.link.as_ref().is_some_and(|link| link.noted) {
            self.tries.pop();
        }
    }
}

/// How often one poll of the driver reads, or writes to the client, before others get their turn.
const TURNS: usize = 16;

fn connect_error(error: io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::TimedOut => ErrorKind::TimedOut,
        _ if NoSeat::is_cause_of(&error) => ErrorKind::NoSeat,
        _ => ErrorKind::Connect(error),
    }
}

#[cfg(test)]
mod tests;
