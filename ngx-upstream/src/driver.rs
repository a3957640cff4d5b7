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
use std::sync::Arc;
use std::task::{Context, Poll, ready};

pub use client::{Client, ClientError, Disposition};
pub use collect::Collect;
pub use report::{End, Report, Tries, Try};
#[cfg(feature = "http")]
pub(crate) use settings::DISCARD_MAX;
pub use settings::Settings;

use ngx_core::net::seats::NoSeat;

use crate::connect::{Connect, Connection};
use crate::error::{Error, ErrorKind, Phase};
use crate::exchange::{Exchange, Signal};
use crate::now::{millis, now_ms, since};
use crate::peer::{Peer, PeerOutcome, Session};
use crate::pipe::Pipe;
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
    parts: Box<Parts<P, C::Stream>>,
    session: S,
    connector: C,
    settings: Arc<Settings>,
    nature: Nature,
    waits: Waits,
    clock: Clock,
    /// Tries that count.
    used: u32,
    /// A kept connection has failed: the next one has to be new.
    fresh: bool,
    /// The request body that is sent while it arrives has ended.
    body_sent: bool,
}

/// What is large in a driver: it stays where it is, and may serve one exchange after the other.
pub(crate) struct Parts<P: Protocol, T> {
    exchange: Exchange<P>,
    /// The connection of the running try.
    link: Link<T>,
    pipe: Pipe,
    /// The running try is the last.
    tries: Tries,
}

/// What one request says about how it is driven.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nature {
    /// [`Settings::stream_request`]
    pub(crate) stream_request: bool,
    /// [`Settings::idempotent`]
    pub(crate) idempotent: bool,
}

/// The limits of waits, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Waits {
    connect: u64,
    send: u64,
    read: u64,
}

/// How a try went on.
enum Answer<H> {
    Head(H),
    Upgrade(H),
}

impl<P: Protocol, T> Parts<P, T> {
    pub(crate) fn new(protocol: P, settings: &Settings) -> Box<Self> {
        Box::new(Self {
            exchange: Exchange::new(protocol, settings.limits),
            link: Link::default(),
            pipe: Pipe::new(settings.mode, settings.buffers.clone()),
            tries: Tries::new(),
        })
    }

    /// The protocol, to be set up for another exchange.
    #[cfg(feature = "http")]
    pub(crate) fn renew(&mut self, settings: &Settings) -> &mut P {
        self.exchange.renew(settings.limits)
    }
}

impl<P, S, C> Driver<P, S, C>
where
    P: Protocol,
    S: Session,
    C: Connect,
{
    /// A driver that has not begun.
    pub fn new(protocol: P, session: S, connector: C, settings: impl Into<Arc<Settings>>) -> Self {
        let settings = settings.into();
        let nature = Nature {
            stream_request: settings.stream_request,
            idempotent: settings.idempotent,
        };
        let parts = Parts::new(protocol, &settings);
        Self::of_parts(parts, (session, connector), settings, nature)
    }

    /// A driver of parts that have served another one.
    #[inline]
    pub(crate) fn of_parts(
        parts: Box<Parts<P, C::Stream>>,
        (session, connector): (S, C),
        settings: Arc<Settings>,
        nature: Nature,
    ) -> Self {
        let timeouts = &settings.timeouts;
        let waits = Waits {
            connect: millis(timeouts.connect),
            send: millis(timeouts.send),
            read: millis(timeouts.read),
        };
        Self {
            parts,
            session,
            connector,
            settings,
            nature,
            waits,
            clock: Clock::default(),
            used: 0,
            fresh: false,
            body_sent: !nature.stream_request,
        }
    }

    /// The parts of a driver that has run, at rest: they hold nothing of the exchange but memory.
    #[cfg(feature = "http")]
    pub(crate) fn into_parts(self) -> Box<Parts<P, C::Stream>> {
        let mut parts = self.parts;
        parts.exchange.rest();
        parts.pipe.clear();
        parts.tries.clear();
        parts
    }

    /// Runs the exchange to its end: the response has gone to the client, was discarded, or failed.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the exchange where it is; dropping the driver ends it. It is run
    /// once: there is nothing to resume.
    pub async fn run<R: Client<P::Head>>(&mut self, client: &mut R) -> Report {
        Report {
            result: self.drive(client).await,
            tries: std::mem::take(self.tries()),
        }
    }

    /// As [`run`](Self::run), which leaves the [`tries`](Self::tries) here.
    pub(crate) async fn drive<R: Client<P::Head>>(&mut self, client: &mut R) -> Result<End, Error> {
        let result = self.exchange(client).await;
        let exchange = &mut self.parts.exchange;
        if result.as_ref().is_err_and(Error::is_client) {
            exchange.abort();
        }
        exchange.finalize();
        result
    }

    /// The tries so far.
    pub(crate) fn tries(&mut self) -> &mut Tries {
        &mut self.parts.tries
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
                client.upgrade(head, &self.parts.tries);
                // Seldom, and of no use to all others.
                Box::pin(self.tunnel(client)).await.map(|()| End::Tunnel)
            }
        };
        if let Err(error) = &ended {
            // Whatever happened behind the head, the peer has answered with that status.
            if self.parts.link.is_on() {
                let status = self.parts.tries.last().map_or(0, |attempt| attempt.status);
                self.close(PeerOutcome::Served, status);
            }
            client.try_failed(error, &self.parts.tries);
        }
        ended
    }

    /// Whether the answer's status asks for another peer and there is one; then the try is over.
    fn is_refused<R: Client<P::Head>>(
        &mut self,
        answer: &Answer<P::Head>,
        begun: u64,
        client: &mut R,
    ) -> bool {
        let (Answer::Head(head) | Answer::Upgrade(head)) = answer;
        let status = client.status(head);
        let Parts { link, tries, .. } = &mut *self.parts;
        if let Some(attempt) = tries.last_mut() {
            attempt.status = status.unwrap_or(0);
            link.head_came(attempt);
        }
        let condition = status.and_then(Conditions::from_status);
        let Some(condition) = condition.filter(|&c| self.may_retry(c, begun).is_some()) else {
            return false;
        };
        let outcome = if condition.is_answer() {
            PeerOutcome::Declined
        } else {
            PeerOutcome::Failed(Phase::Head)
        };
        self.parts.exchange.fail();
        self.close(outcome, status.unwrap_or(0));
        true
    }

    /// One try: chooses a peer, connects, sends, waits for the head.
    async fn attempt<R: Client<P::Head>>(
        &mut self,
        client: &mut R,
    ) -> Result<Answer<P::Head>, Error> {
        self.used += 1;
        let begun = self.parts.exchange.begin();
        begun.map_err(|e| Error::new(e.into(), Phase::Connect))?;
        let peer = poll_fn(|cx| self.poll_choice(cx, client)).await?;
        client.connecting(&peer);
        self.clock.clear();
        let kept = if self.fresh {
            None
        } else {
            self.connector.take(&peer)
        };
        let Parts { link, tries, .. } = &mut *self.parts;
        tries.push(link.begin(peer, &self.settings));
        match kept {
            Some(connection) => self.connected(connection),
            // Seldom, and large.
            None => Box::pin(self.connect(client)).await?,
        }
        loop {
            match poll_fn(|cx| self.poll_event(cx, client, self.settings.read_max)).await? {
                Signal::Interim(head) => client.interim(head),
                Signal::Head(head) => return Ok(Answer::Head(head)),
                Signal::Upgrade(head) => return Ok(Answer::Upgrade(head)),
                Signal::Again | Signal::Body(_) | Signal::Trailers(_) | Signal::Done(_) => {}
            }
        }
    }

    /// The peer of the next try.
    fn poll_choice<R: Client<P::Head>>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut R,
    ) -> Poll<Result<Peer, Error>> {
        let kind = match self.session.poll_next(cx) {
            Poll::Ready(Ok(peer)) => return Poll::Ready(Ok(peer)),
            Poll::Ready(Err(_)) => ErrorKind::NoLive,
            Poll::Pending => {
                ready!(client.poll_closed(cx));
                ErrorKind::ClientClosed
            }
        };
        Poll::Ready(Err(Error::new(kind, Phase::Connect)))
    }

    async fn connect<R: Client<P::Head>>(&mut self, client: &mut R) -> Result<(), Error> {
        let Some(peer) = &self.parts.link.peer else {
            return Ok(());
        };
        self.clock.set(Timer::Connect, self.waits.connect);
        let connected = {
            let mut connecting = pin!(self.connector.connect(peer, self.fresh));
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
        let connection = connected.map_err(|kind| Error::new(kind, Phase::Connect))?;
        self.connected(connection);
        Ok(())
    }

    /// The running try has its connection.
    fn connected(&mut self, mut connection: Connection<C::Stream>) {
        self.clock.take_alarm(&mut connection.alarm);
        let Parts { link, tries, .. } = &mut *self.parts;
        if let Some(attempt) = tries.last_mut() {
            link.connected(connection, attempt);
        }
    }

    /// Tells the client about a failed try; `Ok` when there is to be another one.
    #[cold]
    fn after_failure<R: Client<P::Head>>(
        &mut self,
        error: Error,
        begun: u64,
        client: &mut R,
    ) -> Result<(), Error> {
        self.parts.exchange.fail();
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
        client.try_failed(&error, &self.parts.tries);
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
        let Parts { link, exchange, .. } = &*self.parts;
        let failure = Failure {
            condition,
            tries_left,
            elapsed: since(begun),
            idempotent: self.nature.idempotent,
            sent: link.is_on() && link.sender.sent() > 0,
            replayable: exchange.is_replayable(),
            reused: link.is_on() && link.is_reused(),
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
        self.end_try(|attempt| attempt.status = status);
    }

    /// Gives the connection of a complete exchange back.
    fn release(&mut self, keep: bool) {
        self.session.done(PeerOutcome::Served);
        let Parts { link, exchange, .. } = &mut *self.parts;
        let reusable = keep && self.body_sent && link.is_quiet() && !exchange.has_output();
        if reusable
            && let Some(mut connection) = link.connection.take()
            && let Some(peer) = &link.peer
        {
            self.clock.leave_alarm(&mut connection.alarm);
            self.connector.keep(peer, connection);
        }
        self.end_try(|_| {});
    }

    fn end_try(&mut self, also: impl FnOnce(&mut Try)) {
        let Parts { link, tries, .. } = &mut *self.parts;
        if link.is_on()
            && let Some(attempt) = tries.last_mut()
        {
            link.end(attempt);
            also(attempt);
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
