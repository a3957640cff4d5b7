//! Idle connections, kept for the next exchange (`keepalive`).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ngx_core::net::seats::Idlers;
use rustc_hash::FxHashMap;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::connect::{Connect, Connection, Stream};
use crate::now::{millis, now_ms};
use crate::peer::{Addr, Peer, TlsIdentity};

/// What a pool keeps and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PoolSettings {
    /// Idle connections to all peers together; the one idle for longest makes room (`keepalive`).
    pub size: usize,
    /// Exchanges a connection serves (`keepalive_requests`).
    pub requests: u64,
    /// Age at which a connection is kept no more (`keepalive_time`).
    pub time: Duration,
    /// How long a connection idles before it is closed (`keepalive_timeout`).
    pub timeout: Duration,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            size: 1024,
            requests: 1000,
            time: Duration::from_secs(60 * 60),
            timeout: Duration::from_secs(60),
        }
    }
}

/// A connector that keeps connections: one per thread, without a lock.
///
/// Connections are found by address and TLS identity, the one used last first. Before one is handed
/// out it is probed; if its peer closed it or sent something, it is closed.
///
/// Idle connections are watched by [`reap`](Self::reap), which somebody has to run:
///
/// ```
/// use ngx_upstream::connect::Sockets;
/// use ngx_upstream::pool::{Pool, PoolSettings};
/// use std::rc::Rc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let pool = Rc::new(Pool::new(Sockets, PoolSettings::default()));
/// let local = tokio::task::LocalSet::new();
/// let reaper = Rc::clone(&pool);
/// local.spawn_local(async move { reaper.reap().await });
/// // … drivers get `Rc::clone(&pool)` as their connector.
/// # }
/// ```
#[derive(Debug)]
pub struct Pool<C: Connect> {
    connector: C,
    settings: PoolSettings,
    /// `time` and `timeout` in milliseconds.
    time: u64,
    timeout: u64,
    inner: RefCell<Inner<C::Stream>>,
}

type Key = (Addr, TlsIdentity);

#[derive(Debug)]
struct Inner<S> {
    /// Each queue from the one idle for longest to the one used last.
    idle: FxHashMap<Key, VecDeque<Idle<S>>>,
    /// Invariant: the sum of the lengths of the queues.
    count: usize,
    reaper: Option<Waker>,
    /// When the reaper wakes by itself.
    wakes_at: Option<u64>,
}

#[derive(Debug)]
struct Idle<S> {
    connection: Connection<S>,
    /// In milliseconds of [`now_ms`].
    until: u64,
}

impl<C: Connect> Pool<C> {
    /// An empty pool in front of `connector`.
    pub fn new(connector: C, settings: PoolSettings) -> Self {
        let inner = Inner {
            idle: FxHashMap::default(),
            count: 0,
            reaper: None,
            wakes_at: None,
        };
        Self {
            connector,
            time: millis(settings.time),
            timeout: millis(settings.timeout),
            settings,
            inner: RefCell::new(inner),
        }
    }

    /// How many connections are idle.
    pub fn idle(&self) -> usize {
        self.inner.borrow().count
    }

    /// Closes all idle connections.
    pub fn clear(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.count = 0;
        inner.idle.clear();
    }

    /// Closes idle connections when their peers do and when their time is over. Never returns.
    ///
    /// # Cancel safety
    /// May be dropped and called again; meanwhile idle connections are only checked when taken.
    pub async fn reap(&self) {
        watch(|cx, now| ControlFlow::Continue(self.inner.borrow_mut().reap(cx, now))).await;
    }

    /// A kept connection to `peer` that is still of use, without making one.
    pub fn take(&self, peer: &Peer) -> Option<Connection<C::Stream>> {
        let key = (peer.addr.clone(), peer.tls);
        let now = now_ms();
        loop {
            let mut idle = self.inner.borrow_mut().pop_last(&key)?;
            if idle.until > now && !idle.connection.stream.is_stale() {
                return Some(idle.connection);
            }
        }
    }
}

impl<C: Connect> Connect for Pool<C> {
    type Stream = C::Stream;

    async fn connect(&self, peer: &Peer, fresh: bool) -> io::Result<Connection<C::Stream>> {
        if !fresh && let Some(connection) = self.take(peer) {
            return Ok(connection);
        }
        self.connector.connect(peer, fresh).await
    }

    fn take(&self, peer: &Peer) -> Option<Connection<C::Stream>> {
        Self::take(self, peer)
    }

    fn keep(&self, peer: &Peer, mut connection: Connection<C::Stream>) {
        connection.requests += 1;
        let now = now_ms();
        let worn = connection.requests >= self.settings.requests
            || now.saturating_sub(connection.begun) >= self.time;
        if worn || self.settings.size == 0 {
            return;
        }
        let until = now.saturating_add(self.timeout);
        let mut inner = self.inner.borrow_mut();
        // The reaper, if there is one, is going to look at it anyway.
        if inner.reaper.is_none() && connection.stream.is_stale() {
            return;
        }
        if inner.count >= self.settings.size {
            inner.evict();
        }
        let idle = Idle { connection, until };
        inner.push((peer.addr.clone(), peer.tls), idle);
    }
}

/// Where there are too many connections, idle ones make room.
impl<C: Connect> Idlers for Pool<C> {
    fn idle_since(&self) -> Option<u64> {
        let inner = self.inner.borrow();
        let fronts = inner.idle.values().filter_map(VecDeque::front);
        // All idle for the same time at most.
        let until = fronts.map(|idle| idle.until).min()?;
        Some(until.saturating_sub(self.timeout))
    }

    fn close_eldest(&self) {
        // Closed outside of the borrow.
        let closed = self.inner.borrow_mut().evict();
        drop(closed);
    }
}

/// Calls `look` whenever it is woken, and at the time that it has named last, until it breaks. Times
/// are milliseconds of [`ngx_core::time::now_ms`]. For keepers of idle connections.
///
/// # Cancel safety
/// May be dropped; it keeps nothing but a timer.
pub async fn watch(mut look: impl FnMut(&mut Context<'_>, u64) -> ControlFlow<(), Option<u64>>) {
    let mut timer = pin!(sleep_until(Instant::now()));
    poll_fn(|cx| -> Poll<()> {
        // The timer's clock is a little ahead of the coarse one.
        let mut rung = 0;
        loop {
            let now = now_ms().max(rung);
            let next = match look(cx, now) {
                ControlFlow::Continue(Some(next)) => next,
                ControlFlow::Continue(None) => return Poll::Pending,
                ControlFlow::Break(()) => return Poll::Ready(()),
            };
            let left = Duration::from_millis(next.saturating_sub(now));
            Sleep::reset(timer.as_mut(), Instant::now() + left);
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            rung = next;
        }
    })
    .await;
}

impl<S: Stream> Inner<S> {
    fn push(&mut self, key: Key, mut idle: Idle<S>) {
        if let Some(waker) = &self.reaper {
            let watched = idle
                .connection
                .stream
                .poll_stale(&mut Context::from_waker(waker));
            if watched.is_ready() {
                return;
            }
            // One without connections does not sleep.
            if self.wakes_at.is_none_or(|at| idle.until < at) {
                waker.wake_by_ref();
            }
        }
        self.idle.entry(key).or_default().push_back(idle);
        self.count += 1;
    }

    fn pop_last(&mut self, key: &Key) -> Option<Idle<S>> {
        // A queue that is empty stays for the next one: the reaper clears up.
        let idle = self.idle.get_mut(key)?.pop_back()?;
        self.count -= 1;
        Some(idle)
    }

    /// Takes away the connection that is idle for longest.
    fn evict(&mut self) -> Option<Idle<S>> {
        let queues = self.idle.values_mut().filter(|queue| !queue.is_empty());
        let oldest = queues.min_by_key(|queue| queue.front().map(|idle| idle.until));
        let evicted = oldest.and_then(VecDeque::pop_front);
        self.count -= usize::from(evicted.is_some());
        self.idle.retain(|_, queue| !queue.is_empty());
        evicted
    }

    /// Closes what is closed or too old, watches the rest; says when the next one is too old.
    fn reap(&mut self, cx: &mut Context<'_>, now: u64) -> Option<u64> {
        self.reaper = Some(cx.waker().clone());
        for queue in self.idle.values_mut() {
            queue.retain_mut(|idle| {
                idle.until > now && idle.connection.stream.poll_stale(cx).is_pending()
            });
        }
        self.idle.retain(|_, queue| !queue.is_empty());
        self.count = self.idle.values().map(VecDeque::len).sum();
        self.wakes_at = self.idle.values().flatten().map(|idle| idle.until).min();
        self.wakes_at
    }
}

#[cfg(test)]
mod tests;
