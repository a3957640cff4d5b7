//! Named pools: `setkeepalive`, and what `connect` finds there.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::rc::{Rc, Weak};

use ngx_core::net::{Peek, Transport, seats};
use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::idle::{Closed, Idle, watch};
use super::kept::this;
use super::link::Link;
use super::receive::whole;
use super::target::Target;
use super::{done, refuse};
use crate::ffi::{Call, Raise, Reply, Value};

/// The pools of a host, by their names. A pool is there as long as it has connections.
#[derive(Clone, Default)]
pub(crate) struct Pools(Rc<Named>);

#[derive(Default)]
struct Named {
    all: RefCell<FxHashMap<Box<[u8]>, Rc<NamedPool>>>,
    /// The one that was found last by the name of its target. Invariant: it is among `all`.
    last: RefCell<Option<(Rc<Target>, Rc<NamedPool>)>>,
}

/// A pool: connections to whatever its name stands for.
pub(super) struct NamedPool {
    name: Box<[u8]>,
    pools: Weak<Named>,
    idle: Idle,
    size: usize,
    /// How many may wait for a place, if there is a limit to how many are open.
    backlog: Option<usize>,
    /// Connections that were made through the pool and are in use.
    active: Cell<usize>,
    waiting: Cell<usize>,
    freed: Notify,
    watcher: AbortHandle,
}

impl Pools {
    pub(super) fn find(&self, name: &[u8]) -> Option<Rc<NamedPool>> {
        self.0.all.borrow().get(name).cloned()
    }

    /// The host (or path) of that name and its pool, if they are those of [`remember`](Self::remember): most
    /// scripts connect to the same one time and again.
    pub(super) fn last(
        &self,
        host: &[u8],
        port: Option<f64>,
    ) -> Option<(Rc<Target>, Rc<NamedPool>)> {
        let last = self.0.last.borrow();
        let (target, pool) = last.as_ref()?;
        let (name, at) = match &**target {
            Target::Host(name, at) => (name, Some(*at)),
            Target::Unix(path, at) => (path, *at),
        };
        let is_it = at.map(f64::from) == port && name.as_bytes() == host;
        is_it.then(|| (Rc::clone(target), Rc::clone(pool)))
    }

    /// A pool was found by the name of `target`.
    pub(super) fn remember(&self, target: &Rc<Target>, pool: &Rc<NamedPool>) {
        let mut last = self.0.last.borrow_mut();
        let is_last = |(_, last): &(_, Rc<NamedPool>)| Rc::ptr_eq(last, pool);
        if !last.as_ref().is_some_and(is_last) && self.0.has(pool) {
            *last = Some((Rc::clone(target), Rc::clone(pool)));
        }
    }

    pub(super) fn make(&self, name: &[u8], size: usize, backlog: Option<usize>) -> Rc<NamedPool> {
        ngx_core::debug!(
            "lua tcp socket keepalive create connection pool for key \"{}\"",
            String::from_utf8_lossy(name)
        );
        ngx_core::debug!(
            "lua tcp socket connection pool size: {size}, backlog: {}",
            backlog.map_or_else(|| "-1".to_owned(), |backlog| backlog.to_string())
        );
        let made = NamedPool::new(&self.0, name, size, backlog);
        let old = self
            .0
            .all
            .borrow_mut()
            .insert(name.into(), Rc::clone(&made));
        let last = self.0.last.take();
        drop((old, last));
        made
    }
}

impl Named {
    fn has(&self, pool: &Rc<NamedPool>) -> bool {
        let all = self.all.borrow();
        all.get(&pool.name)
            .is_some_and(|known| Rc::ptr_eq(known, pool))
    }
}

impl NamedPool {
    fn new(pools: &Rc<Named>, name: &[u8], size: usize, backlog: Option<usize>) -> Rc<Self> {
        let pool = Rc::new_cyclic(|this: &Weak<Self>| Self {
            name: name.into(),
            pools: Rc::downgrade(pools),
            idle: Idle::default(),
            size,
            backlog,
            active: Cell::new(0),
            waiting: Cell::new(0),
            freed: Notify::new(),
            watcher: tokio::task::spawn_local(watch(Weak::clone(this))).abort_handle(),
        });
        seats::register(&pool);
        pool
    }

    pub(super) fn idle(&self) -> &Idle {
        &self.idle
    }

    /// Idle connections have been closed.
    pub(super) fn closed(self: &Rc<Self>, closed: Closed) {
        for _ in 0..closed.by_peer {
            ngx_core::debug!("lua tcp socket keepalive close handler");
        }
        for _ in 0..closed.too_old {
            ngx_core::debug!("lua tcp socket keepalive max idle timeout");
        }
        self.tidy();
    }

    /// A pool without connections goes; who connects again makes a new one, with sizes of its own.
    fn tidy(self: &Rc<Self>) {
        if self.active.get() > 0 || !self.idle.is_empty() || self.waiting.get() > 0 {
            return;
        }
        let Some(pools) = self.pools.upgrade() else {
            return;
        };
        if !pools.has(self) {
            return;
        }
        let gone = pools.all.borrow_mut().remove(&self.name);
        let last = pools.last.take();
        let name = String::from_utf8_lossy(&self.name);
        ngx_core::debug!("lua tcp socket keepalive: free connection pool for \"{name}\"");
        drop((gone, last));
    }

    /// A connection that was kept and is still good.
    pub(super) fn take(&self) -> Option<Rc<Link>> {
        let link = self.idle.take()?;
        ngx_core::debug!(
            "lua tcp socket get keepalive peer: using connection fd:{}",
            link.transport()
                .map_or(-1, |transport| transport.as_fd().as_raw_fd())
        );
        Some(link)
    }

    /// A place for one more connection, without waiting.
    pub(super) fn place(self: &Rc<Self>) -> Slot {
        Rc::clone(self).into_place()
    }

    /// As [`place`](Self::place), for who has no other use for the pool.
    pub(super) fn into_place(self: Rc<Self>) -> Slot {
        self.active.set(self.active.get() + 1);
        Slot(self)
    }

    /// Whether a new connection has to wait for a place, behind those who wait already. The error is
    /// that too many do.
    pub(super) fn wait(self: &Rc<Self>) -> Result<Option<Waiting>, &'static str> {
        let Some(backlog) = self.backlog else {
            return Ok(None);
        };
        if !self.is_full() && self.waiting.get() == 0 {
            return Ok(None);
        }
        if self.waiting.get() >= backlog {
            return Err("too many waiting connect operations");
        }
        ngx_core::debug!(
            "lua tcp socket queue connect operation for connection pool \"{}\", connections: {}",
            String::from_utf8_lossy(&self.name),
            self.active.get()
        );
        Ok(Some(Waiting::new(self)))
    }

    /// Whether there is no place for a new connection.
    fn is_full(&self) -> bool {
        self.backlog.is_some() && self.active.get() >= self.size
    }
}

/// Where a thread has too many connections, idle ones make room.
impl seats::Idlers for NamedPool {
    fn idle_since(&self) -> Option<u64> {
        self.idle.since()
    }

    fn close_eldest(&self) {
        self.idle.close_eldest();
    }
}

impl Drop for NamedPool {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

/// A place in a pool, given back when it is dropped.
pub(super) struct Slot(Rc<NamedPool>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get().saturating_sub(1));
        if self.0.waiting.get() > 0 {
            self.0.freed.notify_one();
        }
        self.0.tidy();
    }
}

impl Slot {
    pub(super) fn pool(&self) -> &Rc<NamedPool> {
        &self.0
    }
}

/// A turn in the queue for a place, given up when it is dropped.
pub(super) struct Waiting {
    pool: Rc<NamedPool>,
    over: Cell<bool>,
}

impl Waiting {
    fn new(pool: &Rc<NamedPool>) -> Self {
        pool.waiting.set(pool.waiting.get() + 1);
        Self {
            pool: Rc::clone(pool),
            over: Cell::new(false),
        }
    }

    /// Waits for a place.
    pub(super) async fn turn(self) -> Slot {
        while self.pool.is_full() {
            self.pool.freed.notified().await;
        }
        self.over.set(true);
        self.pool.place()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let pool = &self.pool;
        pool.waiting.set(pool.waiting.get().saturating_sub(1));
        if !self.over.get() {
            ngx_core::debug!("lua tcp socket abort queueing");
        }
        // Whoever was told of a place and cannot take it passes the word on.
        if !pool.is_full() {
            pool.freed.notify_one();
        }
        pool.tidy();
    }
}

/// `ok, err = tcpsock:setkeepalive(timeout?, size?)`
pub(super) fn set_keepalive(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let n = call.count();
    if !(1..=3).contains(&n) {
        let message = format!("expecting 1 to 3 arguments (including the object), but got {n}");
        return Err(message.into());
    }
    let socket = this(call)?;
    let timeout = match given(call, 2)? {
        Some(millis) => kept_for(millis),
        None => call.lane().run().socket_defaults().keepalive_timeout,
    };
    let size = match given(call, 3)? {
        Some(size) => size,
        None => {
            let default = call.lane().run().socket_defaults().pool_size;
            // Small: a number of connections.
            f64::from(u32::try_from(default).unwrap_or(u32::MAX))
        }
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
    let Some(transport) = link.transport() else {
        return Ok(refuse("the connection is another's"));
    };
    let engine = call.lane().engine();
    if let Some(why) = useless(transport) {
        socket.close();
        return Ok(refuse(why));
    }
    if engine.is_exiting() {
        ngx_core::debug!("lua tcp socket set keepalive while process exiting, closing connection");
        socket.close();
        return Ok(done(call));
    }
    let pool = match socket.pool(engine.pools()) {
        Some(Ok(pool)) => pool,
        Some(Err(_)) if size < 1.0 => {
            let message = format!("bad \"pool_size\" option value: {}", size.trunc());
            return Err(Raise::Argument(n, message.into()));
        }
        Some(Err(name)) => engine.pools().make(&name, whole(size), None),
        None => return Ok(refuse("key not found")),
    };
    if timeout == UNLIMITED {
        ngx_core::debug!("lua tcp socket keepalive timeout: unlimited");
    } else {
        ngx_core::debug!("lua tcp socket keepalive timeout: {timeout} ms");
    }
    drop(socket.take_link());
    pool.idle.keep(link, timeout, pool.size);
    // Only now, so that who waits for the place finds the connection.
    socket.close();
    pool.tidy();
    Ok(done(call))
}

/// Why a connection cannot be kept, if it cannot.
fn useless(transport: &Transport) -> Option<&'static str> {
    match transport.peek_closed() {
        Ok(Peek::Nothing) => None,
        Ok(Peek::Data) => Some("connection in dubious state"),
        Ok(Peek::Closed) | Err(_) => Some("closed"),
    }
}

/// `count, err = tcpsock:getreusedtimes()`
pub(super) fn reused_times(call: &mut Call<'_>) -> Result<Reply, Raise> {
    if call.count() != 1 {
        let n = call.count();
        let message = format!("expecting 1 argument (including the object), but got {n}");
        return Err(message.into());
    }
    let socket = this(call)?;
    let Some(link) = socket.link().filter(|_| socket.is_open()) else {
        return Ok(refuse("closed"));
    };
    let times = f64::from(link.reused());
    Ok(Reply::Value(Value::Number(times)))
}

/// A number that may be left out.
#[inline(always)]
fn given(call: &Call<'_>, at: usize) -> Result<Option<f64>, Raise> {
    match call.number(at) {
        None => left_out(call, at),
        number => Ok(number),
    }
}

/// What is no number has to be nothing.
#[cold]
fn left_out(call: &Call<'_>, at: usize) -> Result<Option<f64>, Raise> {
    if call.is_given(at) {
        return Err(call.expected(at, "number"));
    }
    Ok(None)
}

/// Milliseconds; 0 is without limit, and so is what no clock reaches.
fn kept_for(millis: f64) -> u64 {
    if millis >= 1.0 {
        (whole(millis) as u64).min(UNLIMITED)
    } else {
        UNLIMITED
    }
}

/// Ten years.
const UNLIMITED: u64 = 10 * 365 * 24 * 60 * 60 * 1000;
