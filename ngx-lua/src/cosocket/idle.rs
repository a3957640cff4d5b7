//! Connections that idle in a pool, and who watches them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::rc::{Rc, Weak};
use std::task::{Context, Waker};

use ngx_core::time::now_ms;
use ngx_upstream::pool;

use super::keepalive::NamedPool;
use super::link::Link;

/// The idle connections of one pool. Times are milliseconds of [`now_ms`].
#[derive(Default)]
pub(super) struct Idle {
    /// From the one that idles for longest to the one that was put back last.
    kept: RefCell<VecDeque<Kept>>,
    /// The task that watches them.
    watcher: RefCell<Option<Waker>>,
    /// When it wakes by itself.
    wakes_at: Cell<Option<u64>>,
    /// How many have made room for others since it was awake.
    evicted: Cell<usize>,
}

struct Kept {
    link: Rc<Link>,
    since: u64,
    until: u64,
}

/// How many connections were closed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Closed {
    /// Their peers closed them, or sent something.
    pub(super) by_peer: usize,
    /// They were idle for too long, or made room for others.
    pub(super) too_old: usize,
}

impl Idle {
    pub(super) fn is_empty(&self) -> bool {
        self.kept.borrow().is_empty()
    }

    /// Has the task that watches told when `link` is of no use any more; false if there is none, or the
    /// link is of none already.
    pub(super) fn watch(&self, link: &Link) -> bool {
        self.watcher.borrow().as_ref().is_some_and(|watcher| {
            let mut cx = Context::from_waker(watcher);
            link.poll_stale(&mut cx).is_pending()
        })
    }

    /// Keeps a connection, which may be watched already, for so many milliseconds. If there are `size`
    /// already, the one that idles for longest makes room.
    pub(super) fn keep(&self, link: Rc<Link>, millis: u64, size: usize, is_watched: bool) {
        if size == 0 {
            return;
        }
        link.retire();
        let since = now_ms();
        let until = since.saturating_add(millis);
        let oldest = {
            let mut kept = self.kept.borrow_mut();
            (kept.len() >= size).then(|| kept.pop_front())
        };
        drop(oldest);
        if let Some(watcher) = &*self.watcher.borrow() {
            let mut cx = Context::from_waker(watcher);
            if !is_watched && link.poll_stale(&mut cx).is_ready() {
                return;
            }
            // Who watches nothing does not sleep.
            if self.wakes_at.get().is_none_or(|at| until < at) {
                watcher.wake_by_ref();
            }
        }
        self.kept
            .borrow_mut()
            .push_back(Kept { link, since, until });
    }

    /// Since when the one that idles for longest does.
    pub(super) fn since(&self) -> Option<u64> {
        self.kept.borrow().front().map(|kept| kept.since)
    }

    /// Closes the one that idles for longest; the task that watches tells the pool.
    pub(super) fn close_eldest(&self) {
        let closed = self.kept.borrow_mut().pop_front();
        if closed.is_some() {
            self.evicted.set(self.evicted.get() + 1);
            if let Some(watcher) = &*self.watcher.borrow() {
                watcher.wake_by_ref();
            }
        }
    }

    /// The connection that was put back last and is still of use.
    pub(super) fn take(&self) -> Option<Rc<Link>> {
        let now = now_ms();
        loop {
            let Kept { link, until, .. } = self.kept.borrow_mut().pop_back()?;
            if until > now && !link.is_stale() {
                return Some(link);
            }
        }
    }

    /// Closes what is closed or too old, watches the rest; says when the next one is too old.
    fn look(&self, cx: &mut Context<'_>, now: u64) -> (Option<u64>, Closed) {
        let mut watcher = self.watcher.borrow_mut();
        if !watcher.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *watcher = Some(cx.waker().clone());
        }
        let mut closed = Closed {
            by_peer: 0,
            too_old: self.evicted.take(),
        };
        let mut next = None;
        self.kept.borrow_mut().retain(|kept| {
            if kept.until <= now {
                closed.too_old += 1;
                return false;
            }
            if kept.link.poll_stale(cx).is_ready() {
                closed.by_peer += 1;
                return false;
            }
            next = Some(next.map_or(kept.until, |next: u64| next.min(kept.until)));
            true
        });
        self.wakes_at.set(next);
        (next, closed)
    }
}

/// Closes the idle connections of a pool when their peers do and when their time is over, until the
/// pool is gone.
pub(super) async fn watch(pool: Weak<NamedPool>) {
    pool::watch(|cx, now| {
        let Some(pool) = pool.upgrade() else {
            return ControlFlow::Break(());
        };
        let (next, closed) = pool.idle().look(cx, now);
        if closed != Closed::default() {
            pool.closed(closed);
        }
        ControlFlow::Continue(next)
    })
    .await;
}
