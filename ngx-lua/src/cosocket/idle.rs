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

/// A connection that idles for so many milliseconds is settled: it is watched, and keeps no more than it
/// needs. Those of a busy pool are taken out again before that, which saves both them and who takes them
/// the work.
const SETTLES_AFTER: u64 = 100;

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
    is_settled: bool,
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

    /// Keeps a connection for so many milliseconds. If there are `size` already, the one that idles for
    /// longest makes room.
    pub(super) fn keep(&self, link: Rc<Link>, millis: u64, size: usize) {
        if size == 0 {
            return;
        }
        link.put_back();
        let since = now_ms();
        let kept = Kept {
            link,
            since,
            until: since.saturating_add(millis),
            is_settled: false,
        };
        let looked_at = kept.looked_at();
        // Who watches nothing does not sleep.
        if self.wakes_at.get().is_none_or(|at| looked_at < at) {
            self.wake();
        }
        let oldest = {
            let mut all = self.kept.borrow_mut();
            let oldest = (all.len() >= size).then(|| all.pop_front());
            all.push_back(kept);
            oldest
        };
        drop(oldest);
    }

    #[cold]
    fn wake(&self) {
        if let Some(watcher) = &*self.watcher.borrow() {
            watcher.wake_by_ref();
        }
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
            self.wake();
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

    /// Closes what is closed or too old, watches what is settled by now; says when the next one is too old.
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
        self.kept.borrow_mut().retain_mut(|kept| {
            if kept.until <= now {
                closed.too_old += 1;
                return false;
            }
            if !kept.is_settled && kept.looked_at() <= now {
                kept.is_settled = true;
                kept.link.retire();
            }
            let is_stale = if kept.is_settled {
                kept.link.poll_stale(cx).is_ready()
            } else {
                kept.link.is_stale()
            };
            if is_stale {
                closed.by_peer += 1;
                return false;
            }
            let looked_at = kept.looked_at();
            next = Some(next.map_or(looked_at, |next: u64| next.min(looked_at)));
            true
        });
        self.wakes_at.set(next);
        (next, closed)
    }
}

impl Kept {
    /// When the task that watches has to look at it, if its peer does nothing.
    fn looked_at(&self) -> u64 {
        if self.is_settled {
            self.until
        } else {
            self.until.min(self.since.saturating_add(SETTLES_AFTER))
        }
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
