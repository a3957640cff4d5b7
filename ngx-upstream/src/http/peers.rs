//! What a thread keeps for the groups of a configuration: positions of balancers, idle
//! connections.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use ngx_buf::Chain;
use ngx_core::net::seats;
use tokio::task::AbortHandle;

use super::exchange::HttpDriver;
use super::upstream_block::{Keepalive, Upstream};
use crate::connect::Sockets;
use crate::driver::Settings;
use crate::peer::{Balancer as _, Peer, RoundRobin, RoundRobinSession, Server};
use crate::pool::{Pool, PoolSettings};
use crate::proto::http1::{Body, Http1, Request};

/// The groups as one thread uses them; lives in the thread's generation.
#[derive(Default)]
pub(super) struct Threads {
    /// By the number of the group.
    groups: RefCell<Vec<Option<Rc<Group>>>>,
    /// For addresses that no group has: keeps nothing.
    unpooled: RefCell<Option<Rc<Pool<Sockets>>>>,
    /// What exchanges with such addresses leave to others.
    spare: Rc<Spare>,
}

/// A group of peers, or what was found for one request.
pub(super) struct Group {
    /// How logs call the group if none of its peers can be asked.
    pub(super) name: Arc<str>,
    balancer: RoundRobin,
    keepalive: Keepalive,
    pools: RefCell<Vec<(usize, Idle)>>,
    /// Drivers of exchanges that are over, at rest: the next exchange with the group finds all that
    /// is the group's in them.
    spare: Rc<Spare>,
}

/// The driver of an exchange over HTTP.
pub(super) type ProxyDriver = HttpDriver<Http1>;

/// Drivers are large and stay where they are.
type Spare = RefCell<Vec<Box<ProxyDriver>>>;
/// More exchanges than these seldom begin before others end.
const SPARE_MAX: usize = 64;

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
    /// The group that `upstream` is on this thread.
    pub(super) fn group(&self, upstream: &Upstream) -> Option<Rc<Group>> {
        if let Some(Some(group)) = self.groups.borrow().get(upstream.id) {
            return Some(Rc::clone(group));
        }
        self.new_group(upstream)
    }

    /// A group of servers that were found at run time.
    pub(super) fn unnamed(
        &self,
        name: Arc<str>,
        servers: impl IntoIterator<Item = Peer>,
    ) -> Rc<Group> {
        let keepalive = Keepalive::none();
        let mut unpooled = self.unpooled.borrow_mut();
        let pool = unpooled.get_or_insert_with(|| Rc::new(Pool::new(Sockets, keepalive.settings)));
        let idle = Idle {
            pool: Rc::clone(pool),
            reaper: None,
        };
        Rc::new(Group {
            name,
            balancer: RoundRobin::new(servers.into_iter().map(Server::new)),
            keepalive,
            pools: RefCell::new(vec![(0, idle)]),
            spare: Rc::clone(&self.spare),
        })
    }

    /// A group that is asked for the first time.
    #[cold]
    fn new_group(&self, upstream: &Upstream) -> Option<Rc<Group>> {
        let mut groups = self.groups.borrow_mut();
        let servers = upstream.servers()?;
        let group = Rc::new(Group {
            name: Arc::clone(&upstream.name),
            balancer: servers.balancer.for_thread(),
            keepalive: servers.keepalive,
            pools: RefCell::default(),
            spare: Rc::default(),
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
    /// The peers for one exchange. `location` tells locations apart, for connections that are
    /// `local`.
    pub(super) fn peers(&self, location: usize) -> Peers {
        Peers {
            session: self.balancer.session(b""),
            pool: self.pool(location),
        }
    }

    /// A driver at rest for one exchange with these peers.
    pub(super) fn driver(&self, location: usize, settings: &Arc<Settings>) -> Box<ProxyDriver> {
        let Some(mut driver) = self.spare.borrow_mut().pop() else {
            return self.new_driver(location, settings);
        };
        let (session, pool) = driver.peers();
        if !session.renew(&self.balancer) {
            *session = self.balancer.session(b"");
        }
        // The others have one pool, also those that were found at run time: theirs keeps nothing.
        if self.keepalive.local {
            *pool = self.pool(location);
        }
        driver
    }

    #[cold]
    fn new_driver(&self, location: usize, settings: &Arc<Settings>) -> Box<ProxyDriver> {
        let request = Request {
            head: Chain::new(),
            body: Body::None,
            is_head: false,
            upgrade: false,
        };
        let Peers { session, pool } = self.peers(location);
        let protocol = Http1::new(request);
        Box::new(HttpDriver::new(
            protocol,
            session,
            pool,
            Arc::clone(settings),
        ))
    }

    /// Keeps the driver of an exchange that is over for the next one.
    pub(super) fn keep(&self, mut driver: Box<ProxyDriver>) {
        driver.rest();
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_MAX {
            spare.push(driver);
        }
    }

    fn pool(&self, location: usize) -> Rc<Pool<Sockets>> {
        let key = if self.keepalive.local { location } else { 0 };
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
        seats::register(&pool);
        let reaper = (settings.size > 0).then(|| {
            let pool = Rc::clone(&pool);
            tokio::task::spawn_local(async move { pool.reap().await }).abort_handle()
        });
        Self { pool, reaper }
    }
}
