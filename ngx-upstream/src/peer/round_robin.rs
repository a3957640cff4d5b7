//! Smooth weighted round robin: nginx's default balancer.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use smallvec::SmallVec;

use super::balancer::{Balancer, NoLive, Peer, PeerOutcome, Session};
use super::fails::Fails;
use crate::now::{now_ms, since};

/// A `server` of an `upstream` block, one for each address its name has.
#[derive(Clone, Debug)]
pub struct Server {
    /// The peer.
    pub peer: Peer,
    /// Its share (`weight`).
    pub weight: u32,
    /// Failures within `fail_timeout` that bar it; 0 for never (`max_fails`).
    pub max_fails: u32,
    /// How long it is barred (`fail_timeout`).
    pub fail_timeout: Duration,
    /// Connections at a time, of all threads; 0 for no limit (`max_conns`).
    pub max_conns: u32,
    /// Only asked when the others are barred (`backup`).
    pub backup: bool,
    /// Never asked (`down`).
    pub down: bool,
}

impl Server {
    /// A server with nginx's defaults.
    pub fn new(peer: Peer) -> Self {
        Self {
            peer,
            weight: 1,
            max_fails: 1,
            fail_timeout: Duration::from_secs(10),
            max_conns: 0,
            backup: false,
            down: false,
        }
    }
}

/// Weighted round robin with backups.
///
/// The servers and their counters of failures and connections are shared by all clones made with
/// [`for_thread`](Self::for_thread); the position in the round is each one's own.
///
/// ```
/// use ngx_upstream::peer::{Addr, Balancer, Peer, PeerOutcome, RoundRobin, Server, Session};
/// use std::task::{Context, Poll, Waker};
///
/// let server = |port: u16, weight| Server {
///     weight,
///     ..Server::new(Peer::new(Addr::from(std::net::SocketAddr::from(([127, 0, 0, 1], port)))))
/// };
/// let balancer = RoundRobin::new([server(1, 5), server(2, 1), server(3, 1)]);
/// let order: Vec<_> = (0..7)
///     .map(|_| {
///         let mut session = balancer.session(b"");
///         let Poll::Ready(Ok(peer)) = session.poll_next(&mut Context::from_waker(Waker::noop()))
///         else { panic!() };
///         session.done(PeerOutcome::Served);
///         peer.name.trim_start_matches("127.0.0.1:").to_owned()
///     })
///     .collect();
/// assert_eq!(order, ["1", "1", "2", "1", "3", "1", "1"]);
/// ```
#[derive(Debug)]
pub struct RoundRobin(Arc<Position>);

/// The servers, and where one thread stands in the round.
#[derive(Debug)]
struct Position {
    shared: Arc<Shared>,
    /// Only one thread takes the lock: it is never contended.
    round: Mutex<Round>,
}

#[derive(Debug)]
struct Shared {
    servers: Box<[Server]>,
    fails: Box<[Fails]>,
    /// How many servers are not `down`.
    up: u32,
    /// The clock of `fails` counts from here.
    base: u64,
}

#[derive(Debug)]
struct Round {
    weights: Box<[Weight]>,
}

#[derive(Clone, Copy, Debug)]
struct Weight {
    current: i64,
    /// Lowered by failures, grows back by one each round.
    /// Invariant: `0 <= effective <= weight`.
    effective: i64,
}

impl RoundRobin {
    /// A balancer over these servers, in this order.
    pub fn new(servers: impl IntoIterator<Item = Server>) -> Self {
        let servers: Box<[Server]> = servers.into_iter().collect();
        let fails = servers.iter().map(|_| Fails::default()).collect();
        let up = servers.iter().filter(|server| !server.down).count();
        let shared = Shared {
            servers,
            fails,
            up: u32::try_from(up).unwrap_or(u32::MAX),
            base: now_ms(),
        };
        Self::at_start(Arc::new(shared))
    }

    /// A balancer over the same servers and counters with a position of its own.
    pub fn for_thread(&self) -> Self {
        Self::at_start(Arc::clone(&self.0.shared))
    }

    fn at_start(shared: Arc<Shared>) -> Self {
        let round = Mutex::new(Round::new(&shared));
        Self(Arc::new(Position { shared, round }))
    }

    /// The servers and their counters, in order.
    pub fn servers(&self) -> impl Iterator<Item = (&Server, &Fails)> {
        self.0.shared.servers.iter().zip(&self.0.shared.fails)
    }
}

impl Balancer for RoundRobin {
    type Session = RoundRobinSession;

    fn session(&self, _key: &[u8]) -> RoundRobinSession {
        RoundRobinSession {
            at: Arc::clone(&self.0),
            tried: SmallVec::new(),
            chosen: None,
            tries: self.0.shared.up,
        }
    }
}

/// The peers of one exchange: no peer is offered twice.
#[derive(Debug)]
pub struct RoundRobinSession {
    at: Arc<Position>,
    /// By server; those behind its end were not.
    tried: SmallVec<[bool; 16]>,
    /// The server of the running try.
    chosen: Option<usize>,
    /// Tries left, the running one included.
    tries: u32,
}

impl Session for RoundRobinSession {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Peer, NoLive>> {
        if self.at.shared.servers.len() == 1 {
            return Poll::Ready(self.take_only().ok_or(NoLive));
        }
        let now = self.at.shared.now();
        let picked = match self.pick(false, now) {
            Some(at) => Some(at),
            None => self.pick(true, now),
        };
        let server = picked.and_then(|at| Some((at, self.at.shared.servers.get(at)?)));
        let Some((at, server)) = server else {
            return Poll::Ready(Err(NoLive));
        };
        if let Some(fails) = self.at.shared.fails.get(at) {
            fails.chosen(server.fail_timeout.as_secs(), now);
        }
        self.chosen = Some(at);
        Poll::Ready(Ok(server.peer.clone()))
    }

    fn done(&mut self, outcome: PeerOutcome) {
        let Some(at) = self.chosen.take() else {
            return;
        };
        self.tries = self.tries.saturating_sub(1);
        let (Some(server), Some(fails)) =
            (self.at.shared.servers.get(at), self.at.shared.fails.get(at))
        else {
            return;
        };
        fails.released();
        match outcome {
            PeerOutcome::Unknown => {}
            // With nobody to turn to, a failure changes nothing.
            _ if self.at.shared.servers.len() == 1 => {}
            PeerOutcome::Served | PeerOutcome::Declined => fails.served(),
            PeerOutcome::Failed(during) => {
                if fails.failed(server.max_fails, self.at.shared.now()) {
                    ngx_core::warn!("upstream server temporarily disabled while {during}");
                }
                self.round().lower(at, server);
            }
        }
    }

    fn tries_left(&self) -> u32 {
        self.tries.saturating_sub(u32::from(self.chosen.is_some()))
    }

    fn refund(&mut self) {
        self.tries = self.tries.saturating_add(1);
        if self.at.shared.servers.len() == 1 {
            self.tried.clear();
        } else if let Some(tried) = self.chosen.and_then(|at| self.tried.get_mut(at)) {
            *tried = false;
        }
    }
}

impl Drop for RoundRobinSession {
    fn drop(&mut self) {
        self.done(PeerOutcome::Unknown);
    }
}

impl RoundRobinSession {
    /// Begins another exchange; false, and nothing is done, if it is not with this balancer.
    #[cfg(feature = "http")]
    #[inline]
    pub(crate) fn renew(&mut self, balancer: &RoundRobin) -> bool {
        let is_same = Arc::ptr_eq(&self.at, &balancer.0);
        if is_same {
            if self.chosen.is_some() {
                self.done(PeerOutcome::Unknown);
            }
            self.tried.clear();
            self.tries = self.at.shared.up;
        }
        is_same
    }

    /// Chooses the only server there is, if it may be asked. Its failures change nothing, so
    /// neither the clock nor the round is looked at.
    #[inline]
    fn take_only(&mut self) -> Option<Peer> {
        let Shared { servers, fails, .. } = &*self.at.shared;
        let (server, fails) = (servers.first()?, fails.first()?);
        let full = server.max_conns != 0 && fails.connections() >= server.max_conns;
        if server.down || full || !self.tried.is_empty() {
            return None;
        }
        fails.taken();
        self.tried.push(true);
        self.chosen = Some(0);
        Some(server.peer.clone())
    }

    /// Chooses among the servers, or among the backups, that are up and were not tried.
    fn pick(&mut self, backup: bool, now: u64) -> Option<usize> {
        let Self { at, tried, .. } = self;
        let Position { shared, round } = &**at;
        let mut round = round.lock().unwrap_or_else(PoisonError::into_inner);
        let mut total = 0;
        let mut best: Option<(usize, i64)> = None;
        for (at, server) in shared.servers.iter().enumerate() {
            let was_tried = tried.get(at).copied().unwrap_or_default();
            if server.backup != backup || was_tried || !shared.is_up(at, now) {
                continue;
            }
            let Some(weight) = round.weights.get_mut(at) else {
                continue;
            };
            weight.current += weight.effective;
            total += weight.effective;
            weight.effective = (weight.effective + 1).min(i64::from(server.weight));
            if best.is_none_or(|(_, current)| weight.current > current) {
                best = Some((at, weight.current));
            }
        }
        let (at, _) = best?;
        if let Some(weight) = round.weights.get_mut(at) {
            weight.current -= total;
        }
        drop(round);
        if tried.len() <= at {
            tried.resize(at + 1, false);
        }
        if let Some(tried) = tried.get_mut(at) {
            *tried = true;
        }
        Some(at)
    }

    fn round(&self) -> std::sync::MutexGuard<'_, Round> {
        self.at.round.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn now(&self) -> u64 {
        // The clock begins late enough that a `checked` of zero is long ago.
        since(self.base)
            .as_secs()
            .saturating_add(u64::from(u32::MAX))
    }

    fn is_up(&self, at: usize, now: u64) -> bool {
        let (Some(server), Some(fails)) = (self.servers.get(at), self.fails.get(at)) else {
            return false;
        };
        let full = server.max_conns != 0 && fails.connections() >= server.max_conns;
        !server.down && !full && fails.is_live(server.max_fails, server.fail_timeout.as_secs(), now)
    }
}

impl Round {
    fn new(shared: &Shared) -> Self {
        let weights = shared.servers.iter();
        let weights = weights.map(|s| Weight {
            current: 0,
            effective: i64::from(s.weight),
        });
        Self {
            weights: weights.collect(),
        }
    }

    /// A server that failed gets a smaller share for a while.
    fn lower(&mut self, at: usize, server: &Server) {
        if let Some(weight) = self.weights.get_mut(at)
            && let Some(loss) = server.weight.checked_div(server.max_fails)
        {
            weight.effective = (weight.effective - i64::from(loss)).max(0);
        }
    }
}

#[cfg(test)]
mod tests;
