//! The trait of balancers.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Addr;
use crate::error::Phase;

/// Chooses peers. One value per `upstream` block and thread.
pub trait Balancer {
    /// What one exchange needs to choose its peers.
    type Session: Session;

    /// Begins an exchange. `key` is what hashing balancers hash; others ignore it.
    fn session(&self, key: &[u8]) -> Self::Session;
}

/// Chooses the peers of one exchange: one per try.
///
/// Every `Ready(Ok(_))` of [`poll_next`](Self::poll_next) is followed by one [`done`](Self::done),
/// unless the session is dropped before; then the session itself gives back what it counted.
pub trait Session {
    /// The peer of the next try. May wait: for a resolver, for a place in a queue, for Lua.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Peer, NoLive>>;

    /// The try with the last peer is over.
    fn done(&mut self, outcome: PeerOutcome);

    /// How many more tries make sense, the running one not counted.
    fn tries_left(&self) -> u32;

    /// The running try does not count: its connection was stale, the peer is asked again.
    fn refund(&mut self);
}

impl<S: Session + ?Sized> Session for Box<S> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Peer, NoLive>> {
        (**self).poll_next(cx)
    }

    fn done(&mut self, outcome: PeerOutcome) {
        (**self).done(outcome);
    }

    fn tries_left(&self) -> u32 {
        (**self).tries_left()
    }

    fn refund(&mut self) {
        (**self).refund();
    }
}

/// A peer to connect to.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it listens.
    pub addr: Addr,
    /// How logs and variables call it, for example `127.0.0.1:8080`.
    pub name: Arc<str>,
    /// Whom the connection has to prove to be.
    pub tls: TlsIdentity,
}

impl Peer {
    /// A peer without TLS, called by its address.
    pub fn new(addr: Addr) -> Self {
        let name = addr.to_string().into();
        Self {
            addr,
            name,
            tls: TlsIdentity::Plain,
        }
    }
}

/// What a connection's TLS session was made for. Connections of different identities never share a
/// pool entry.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum TlsIdentity {
    /// No TLS.
    #[default]
    Plain,
}

/// How a try went, as far as the peer is concerned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PeerOutcome {
    /// The peer answered.
    Served,
    /// The peer gave an answer that another peer may improve on (403, 404). It is none the worse for it.
    Declined,
    /// The peer failed, while this was done.
    Failed(Phase),
    /// Nothing is known: the client left, or the pooled connection was stale.
    Unknown,
}

/// There is no peer to offer. Displays as nginx's `no live upstreams`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NoLive;

impl fmt::Display for NoLive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no live upstreams")
    }
}

impl std::error::Error for NoLive {}
