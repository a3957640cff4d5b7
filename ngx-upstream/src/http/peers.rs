//! What a thread keeps for the groups of a configuration: positions of balancers, idle
//! connections.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::task::AbortHandle;

use super::upstream_block::{Keepalive, Upstream};
use crate::connect::Sockets;
use crate::peer::{Balancer as _, Peer, RoundRobin, RoundRobinSession, Server};
use crate::pool::{Pool, PoolSettings};

/// The groups as one thread uses them; lives in the thread's generation.
#[derive(Default)]
pub(super) struct Threads {
    /// By the number of the group.
    groups: RefCell<Vec<Option<Rc<Group>>>>,
    /// For addresses that no group has: keeps nothing.
    unpooled: RefCell<Option<Rc<Pool<Sockets>>>>,
}

struct Group {
    balancer: RoundRobin,
    keepalive: Keepalive,
    pools: RefCell<Vec<(usize, Idle)>>,
}

/// A pool, and the task that closes what is closed or too old.
struct Idle {
    pool: Rc<Pool<Sockets>>,
    reaper: Option<AbortHandle>,
}

impl Drop for Idle {
    fn drop(&mut self) {
        if let Some(reaper) = &self.reaper {
            reaper.abort();
        }
    }
}

/// Whom an exchange may ask, and over which connections.
pub(super) struct Peers {
    pub(super) session: RoundRobinSession,
    pub(super) pool: Rc<Pool<Sockets>>,
}

impl Threads {
    /// The peers for one exchange with `upstream`. `location` tells locations apart, for
    /// connections that are `local`.
    pub(super) fn peers(&self, upstream: &Arc<Upstream>, location: usize) -> Option<Peers> {
        if let Some(Some(group)) = self.groups.borrow().get(upstream.id) {
            return Some(group.peers(location));
        }
        Some(self.group(upstream)?.peers(location))
    }

    /// The peers for one exchange with servers that were found at run time.
    pub(super) fn unnamed(&self, servers: impl IntoIterator<Item = Peer>) -> Peers {
        let balancer = RoundRobin::new(servers.into_iter().map(Server::new));
        let mut unpooled = self.unpooled.borrow_mut();
        let pool =
            unpooled.get_or_insert_with(|| Rc::new(Pool::new(Sockets, Keepalive::none().settings)));
        Peers {
            session: balancer.session(b""),
            pool: Rc::clone(pool),
        }
    }

    /// A group that is asked for the first time.
    #[cold]
    fn group(&self, upstream: &Upstream) -> Option<Rc<Group>> {
        let mut groups = self.groups.borrow_mut();
        let servers = upstream.servers()?;
        let group = Rc::new(Group {
            balancer: servers.balancer.for_thread(),
            keepalive: servers.keepalive,
            pools: RefCell::default(),
        });
        if groups.len() <= upstream.id {
            groups.resize(upstream.id + 1, None);
        }
        if let Some(place) = groups.get_mut(upstream.id) {
            *place = Some(Rc::clone(&group));
        }
        Some(group)
    }
}

impl Group {
    fn peers(&self, location: usize) -> Peers {
        let key = if self.keepalive.local { location } else { 0 };
        Peers {
            session: self.balancer.session(b""),
            pool: self.pool(key),
        }
    }

    fn pool(&self, key: usize) -> Rc<Pool<Sockets>> {
        let mut pools = self.pools.borrow_mut();
        if let Some((_, idle)) = pools.iter().find(|(own, _)| *own == key) {
            return Rc::clone(&idle.pool);
        }
        let idle = Idle::new(self.keepalive.settings);
        let pool = Rc::clone(&idle.pool);
        pools.push((key, idle));
        pool
    }
}

impl Idle {
    fn new(settings: PoolSettings) -> Self {
        let pool = Rc::new(Pool::new(Sockets, settings));
        let reaper = (settings.size > 0).then(|| {
            let pool = Rc::clone(&pool);
            tokio::task::spawn_local(async move { pool.reap().await }).abort_handle()
        });
        Self { pool, reaper }
    }
}
