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
mod usual;

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
pub(crate) use usual::{At, Usual};

use ngx_core::net::seats::NoSeat;

use crate::connect::{Connect, Connection};
use crate::error::{Error, ErrorKind, Phase};
use crate::exchange::{Exchange, Signal};
use crate::now::{millis, since};
use crate::peer::{Peer, PeerOutcome, Session};
use crate::pipe::Pipe;
use crate::protocol::Protocol;
use crate::retry::{Conditions, Decision, Failure, decide};
use crate::timeouts::{Timeouts, Timer};
use body::Passed;
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
    parts: Parts<P, C::Stream>,
    session: S,
    connector: C,
    settings: Arc<Settings>,
    nature: Nature,
    waits: Waits,
    clock: Clock,
    /// When the first try began.
    begun: u64,
    /// Tries that count.
    used: u32,
    /// A kept connection has failed: the next one has to be new.
    fresh: bool,
    /// The request body that is sent while it arrives has ended.
    body_sent: bool,
}

/// What the running try is made of.
struct Parts<P: Protocol, T> {
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

impl<H> Answer<H> {
    fn head(&self) -> &H {
        let (Self::Head(head) | Self::Upgrade(head)) = self;
        head
    }
}

/// What a try has come to; `None` if a connection has to be made first.
type Tried<H> = Result<Option<Signal<H>>, Error>;

impl Waits {
    fn new(timeouts: &Timeouts) -> Self {
        Self {
            connect: millis(timeouts.connect),
            send: millis(timeouts.send),
            read: millis(timeouts.read),
        }
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
        let parts = Parts {
            exchange: Exchange::new(protocol, settings.limits),
            link: Link::default(),
            pipe: Pipe::new(settings.mode, settings.buffers.clone()),
            tries: Tries::new(),
        };
        Self {
            parts,
            session,
            connector,
            nature,
            waits: Waits::new(&settings.timeouts),
            settings,
            clock: Clock::default(),
            begun: 0,
            used: 0,
            fresh: false,
            body_sent: !nature.stream_request,
        }
    }

    /// Whom the next exchange asks, between two of them.
    #[cfg(feature = "http")]
    pub(crate) fn peers(&mut self) -> (&mut S, &mut C) {
        (&mut self.session, &mut self.connector)
    }

    /// Sets a driver at rest up for another exchange, for which the protocol is still to be.
    #[cfg(feature = "http")]
    #[inline]
    pub(crate) fn renew(&mut self, settings: &Arc<Settings>, nature: Nature) -> &mut P {
        if !Arc::ptr_eq(&self.settings, settings) {
            self.waits = Waits::new(&settings.timeouts);
            self.settings = Arc::clone(settings);
        }
        self.nature = nature;
        self.body_sent = !nature.stream_request;
        self.parts.exchange.renew(settings.limits)
    }

    /// Puts a driver that has run at rest: it holds nothing of the exchange but memory.
    #[cfg(feature = "http")]
    pub(crate) fn rest(&mut self) {
        if self.parts.link.is_on() {
            self.close(PeerOutcome::Unknown, 0);
        }
        let Parts {
            exchange,
            pipe,
            tries,
            ..
        } = &mut self.parts;
        exchange.rest();
        pipe.clear();
        tries.clear();
        self.clock = Clock::default();
        self.used = 0;
        self.fresh = false;
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
        match poll_fn(|cx| self.poll_usual(cx, client)).await {
            Usual::Ended(result) => result,
            Usual::Left(at) => self.go_on(at, client).await,
        }
    }

    /// The tries so far.
    pub(crate) fn tries(&mut self) -> &mut Tries {
        &mut self.parts.tries
    }

    /// Goes on with the exchange from where [`poll_usual`](Self::poll_usual) has left it.
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    pub(crate) async fn go_on<R: Client<P::Head>>(
        &mut self,
        at: At<P::Head>,
        client: &mut R,
    ) -> Result<End, Error> {
        // Seldom, and large.
        let result = Box::pin(self.exchange(at, client)).await;
        self.settle(result)
    }

    /// The exchange is over.
    #[inline]
    fn settle(&mut self, result: Result<End, Error>) -> Result<End, Error> {
        let exchange = &mut self.parts.exchange;
        if result.as_ref().is_err_and(Error::is_client) {
            exchange.abort();
        }
        exchange.finalize();
        result
    }

    async fn exchange<R: Client<P::Head>>(
        &mut self,
        at: At<P::Head>,
        client: &mut R,
    ) -> Result<End, Error> {
        let mut tried = match at {
            At::Tried(tried) => Some(tried),
            At::Next => None,
            At::Body(rest) => {
                let ended = self.pass_rest(rest, client).await;
                return self.conclude(ended, client);
            }
        };
        let answer = loop {
            match self.attempt(tried.take(), client).await {
                Ok(answer) if self.is_refused(answer.head(), client) => {}
                Ok(answer) => break answer,
                Err(error) => self.after_failure(error, client)?,
            }
        };
        let ended = match answer {
            Answer::Head(head) => match self.pass(head, client) {
                Ok(Passed::Rest(rest)) => self.pass_rest(rest, client).await,
                Ok(Passed::End(end)) => Ok(end),
                Ok(Passed::Unwanted) => {
                    poll_fn(|cx| {
                        self.discard(cx);
                        Poll::Ready(())
                    })
                    .await;
                    Ok(End::Discarded)
                }
                Err(error) => Err(error),
            },
            Answer::Upgrade(head) => {
                client.upgrade(head, &self.parts.tries);
                self.tunnel(client).await.map(|()| End::Tunnel)
            }
        };
        self.conclude(ended, client)
    }

    /// What follows the last head is over.
    #[inline]
    fn conclude<R: Client<P::Head>>(
        &mut self,
        ended: Result<End, Error>,
        client: &mut R,
    ) -> Result<End, Error> {
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

    /// Whether the status of this head asks for another peer and there is one; then the try is over.
    #[inline]
    fn is_refused<R: Client<P::Head>>(&mut self, head: &P::Head, client: &mut R) -> bool {
        let status = client.status(head);
        let Parts { link, tries, .. } = &mut self.parts;
        if let Some(attempt) = tries.last_mut() {
            attempt.status = status.unwrap_or(0);
            link.head_came(attempt);
        }
        match status.and_then(Conditions::from_status) {
            Some(condition) => self.declines(condition, status.unwrap_or(0)),
            None => false,
        }
    }

    /// Ends the try, which was answered, if there is to be another one.
    #[cold]
    fn declines(&mut self, condition: Conditions, status: u16) -> bool {
        if self.may_retry(condition).is_none() {
            return false;
        }
        let outcome = if condition.is_answer() {
            PeerOutcome::Declined
        } else {
            PeerOutcome::Failed(Phase::Head)
        };
        self.parts.exchange.fail();
        self.close(outcome, status);
        true
    }

    fn begin_try(&mut self) -> Result<(), Error> {
        self.used += 1;
        let begun = self.parts.exchange.begin();
        begun.map_err(|e| Error::new(e.into(), Phase::Connect))
    }

    /// One try, or the rest of the one that has come as far as `tried`.
    async fn attempt<R: Client<P::Head>>(
        &mut self,
        tried: Option<Tried<P::Head>>,
        client: &mut R,
    ) -> Result<Answer<P::Head>, Error> {
        let mut tried = tried;
        if tried.is_none() {
            self.begin_try()?;
        }
        loop {
            let moved = match tried.take() {
                Some(tried) => tried,
                None => poll_fn(|cx| self.poll_try(cx, client)).await,
            };
            match moved? {
                Some(Signal::Head(head)) => return Ok(Answer::Head(head)),
                Some(Signal::Upgrade(head)) => return Ok(Answer::Upgrade(head)),
                Some(Signal::Interim(head)) => client.interim(head),
                None => self.connect(client).await?,
                Some(_) => {}
            }
        }
    }

    /// Begins a try if none is running, and waits for the head; `None` if a connection has to be
    /// made first.
    #[inline]
    fn poll_try<R: Client<P::Head>>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut R,
    ) -> Poll<Tried<P::Head>> {
        if !self.parts.link.is_on() {
            let peer = ready!(self.poll_choice(cx, client))?;
            client.connecting(&peer);
            self.clock.clear();
            let kept = if self.fresh {
                None
            } else {
                self.connector.take(&peer)
            };
            let Parts { link, tries, .. } = &mut self.parts;
            tries.push(link.begin(peer, &self.settings));
            match kept {
                Some(connection) => self.connected(connection),
                None => return Poll::Ready(Ok(None)),
            }
        }
        let most = self.settings.read_max;
        self.poll_event(cx, client, most).map_ok(Some)
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
        let Parts { link, tries, .. } = &mut self.parts;
        if let Some(attempt) = tries.last_mut() {
            link.connected(connection, attempt);
        }
    }

    /// Tells the client about a failed try; `Ok` when there is to be another one.
    #[cold]
    fn after_failure<R: Client<P::Head>>(
        &mut self,
        error: Error,
        client: &mut R,
    ) -> Result<(), Error> {
        self.parts.exchange.fail();
        let condition = Conditions::from_error(&error);
        let decision = condition.and_then(|condition| self.may_retry(condition));
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
    fn may_retry(&self, condition: Conditions) -> Option<bool> {
        let policy = &self.settings.retry;
        let mut tries_left = self.session.tries_left();
        if policy.tries > 0 {
            tries_left = tries_left.min(policy.tries.saturating_sub(self.used));
        }
        let Parts { link, exchange, .. } = &self.parts;
        let failure = Failure {
            condition,
            tries_left,
            elapsed: since(self.begun),
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
        let Parts { link, exchange, .. } = &mut self.parts;
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
        let Parts { link, tries, .. } = &mut self.parts;
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
