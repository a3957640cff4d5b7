//! Named pools: `setkeepalive`, and what `connect` finds there.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use ngx_core::net::{Addr, Peek, Transport};
use ngx_upstream::connect::{Connection, Sockets};
use ngx_upstream::peer::Peer;
use ngx_upstream::pool::{Pool, PoolSettings};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::link::Link;
use super::receive::whole;
use super::socket::Socket;
use super::{done, refuse};
use crate::ffi::{Call, Raise, Reply, Value, values};

/// The pools of a host, by their names.
#[derive(Default)]
pub(crate) struct Pools(RefCell<HashMap<Vec<u8>, Rc<NamedPool>>>);

/// A pool: connections to whatever its name stands for.
pub(super) struct NamedPool {
    pool: Rc<Pool<Sockets>>,
    /// What its connections are kept under: a name says everything here.
    peer: Peer,
    size: usize,
    /// How many may wait for a place, if there is a limit to how many are open.
    backlog: Option<usize>,
    /// Connections that were made through the pool and are in use.
    active: Cell<usize>,
    waiting: Cell<usize>,
    freed: Notify,
    reaper: AbortHandle,
}

impl Pools {
    pub(super) fn find(&self, name: &[u8]) -> Option<Rc<NamedPool>> {
        self.0.borrow().get(name).cloned()
    }

    pub(super) fn make(&self, name: &[u8], size: usize, backlog: Option<usize>) -> Rc<NamedPool> {
        let mut pools = self.0.borrow_mut();
        if pools.len() >= TIDY {
            pools.retain(|_, pool| pool.pool.idle() > 0 || Rc::strong_count(pool) > 1);
        }
        let made = Rc::new(NamedPool::new(size, backlog));
        pools.insert(name.to_vec(), Rc::clone(&made));
        made
    }
}

impl NamedPool {
    fn new(size: usize, backlog: Option<usize>) -> Self {
        let pool = Rc::new(Pool::new(
            Sockets,
            PoolSettings {
                size,
                requests: u64::MAX,
                time: Duration::MAX,
                timeout: UNLIMITED,
            },
        ));
        let reaped = Rc::clone(&pool);
        let reaper = tokio::task::spawn_local(async move { reaped.reap().await });
        Self {
            pool,
            peer: Peer::new(Addr::unix("cosocket")),
            size,
            backlog,
            active: Cell::new(0),
            waiting: Cell::new(0),
            freed: Notify::new(),
            reaper: reaper.abort_handle(),
        }
    }

    /// A connection that was kept and is still good.
    pub(super) fn take(&self) -> Option<Connection<Transport>> {
        self.pool.take(&self.peer)
    }

    /// A place for one more connection, without waiting.
    pub(super) fn place(self: &Rc<Self>) -> Slot {
        self.active.set(self.active.get() + 1);
        Slot(Rc::clone(self))
    }

    /// Whether a new connection has to wait for a place.
    pub(super) fn is_full(&self) -> bool {
        self.backlog.is_some() && self.active.get() >= self.size
    }

    /// Whether too many wait already.
    pub(super) fn is_crowded(&self) -> bool {
        self.backlog
            .is_some_and(|backlog| self.waiting.get() >= backlog)
    }

    /// Waits for a place.
    pub(super) async fn wait_for_place(self: &Rc<Self>) -> Slot {
        let _waiting = Waiting::new(self);
        while self.is_full() {
            self.freed.notified().await;
        }
        self.place()
    }
}

impl Drop for NamedPool {
    fn drop(&mut self) {
        self.reaper.abort();
    }
}

/// A place in a pool, given back when it is dropped.
pub(super) struct Slot(Rc<NamedPool>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get().saturating_sub(1));
        self.0.freed.notify_one();
    }
}

struct Waiting<'a>(&'a NamedPool);

impl<'a> Waiting<'a> {
    fn new(pool: &'a NamedPool) -> Self {
        pool.waiting.set(pool.waiting.get() + 1);
        Self(pool)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get().saturating_sub(1));
        // Whoever was told of a place and cannot take it passes the word on.
        if !self.0.is_full() {
            self.0.freed.notify_one();
        }
    }
}

/// `ok, err = tcpsock:setkeepalive(timeout?, size?)`
pub(super) fn set_keepalive(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let n = call.count();
    if !(1..=3).contains(&n) {
        let message = format!("expecting 1 to 3 arguments (including the object), but got {n}");
        return Err(message.into());
    }
    let socket = call.object::<Socket>(1)?;
    let engine = Rc::clone(call.lane().engine());
    let settings = engine.settings();
    let timeout = if call.is_given(2) {
        kept_for(call.want_number(2)?)
    } else {
        settings.keepalive_timeout
    };
    let size = if call.is_given(3) {
        call.want_number(3)?.trunc()
    } else {
        // Small: a number of connections.
        f64::from(u32::try_from(settings.pool_size).unwrap_or(u32::MAX))
    };
    let Some(link) = socket.link() else {
        return Ok(refuse("closed"));
    };
    if socket.read_closed.get() || socket.write_closed.get() {
        return Ok(refuse("closed"));
    }
    socket.check_owner(call)?;
    if let Some(busy) = socket.busy() {
        return Ok(refuse(busy));
    }
    if !link.input.borrow().is_empty() {
        return Ok(refuse("unread data in buffer"));
    }
    let why = match link.transport().map(Transport::peek_closed) {
        None => return Ok(refuse("the connection is another's")),
        Some(Ok(Peek::Nothing)) => None,
        Some(Ok(Peek::Data)) => Some("connection in dubious state"),
        Some(Ok(Peek::Closed) | Err(_)) => Some("closed"),
    };
    if let Some(why) = why {
        socket.close();
        return Ok(refuse(why));
    }
    let Some(name) = socket.pool_name.borrow().clone() else {
        return Ok(refuse("key not found"));
    };
    let pool = match engine.pools().find(&name) {
        Some(pool) => pool,
        None if size < 1.0 => {
            let message = format!("bad \"pool_size\" option value: {size}");
            return Err(Raise::Argument(n, message.into()));
        }
        None => engine.pools().make(&name, whole(size), None),
    };
    drop(link);
    let link = socket.take_link().and_then(Rc::into_inner);
    if let Some(connection) = link.and_then(Link::into_connection) {
        pool.pool.keep_for(&pool.peer, connection, timeout);
    }
    // Only now, so that who waits for the place finds the connection.
    socket.close();
    Ok(done())
}

/// `count, err = tcpsock:getreusedtimes()`
pub(super) fn reused_times(call: &mut Call<'_>) -> Result<Reply, Raise> {
    if call.count() != 1 {
        let n = call.count();
        let message = format!("expecting 1 argument (including the object), but got {n}");
        return Err(message.into());
    }
    let socket = call.object::<Socket>(1)?;
    let Some(link) = socket.link().filter(|_| socket.is_open()) else {
        return Ok(refuse("closed"));
    };
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let times = link.reused() as f64;
    Ok(Reply::Values(values([Value::Number(times)])))
}

/// 0 is without limit, and so is what no clock reaches.
fn kept_for(millis: f64) -> Duration {
    let seconds = millis.trunc() / 1000.0;
    if seconds > 0.0 && seconds < UNLIMITED.as_secs_f64() {
        Duration::from_secs_f64(seconds)
    } else {
        UNLIMITED
    }
}

/// Ten years.
const UNLIMITED: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// With so many pools, those that are of no use are dropped.
const TIDY: usize = 1024;
