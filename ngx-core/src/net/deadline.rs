//! One coarse deadline per connection.
//!
//! A connection's deadline moves with every read and write, and hardly ever passes. So moving it
//! later is one store; a heap per thread keeps *some* time not later than each deadline, and looks
//! again when that time comes. One task per thread sleeps until the earliest entry.
//!
//! Rules:
//!
//! 1. `queued` is the time of the one entry that counts for a deadline; entries with another
//!    time are stale and are dropped when they come up.
//! 2. `queued <= due` unless the deadline is cleared.
//! 3. The clock is coarse: a deadline passes within a few milliseconds of its time, and has passed
//!    for everybody once its task is woken.

use std::cell::{Cell, RefCell};
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::{Instant, Sleep};

use crate::time::now_ms;

/// A time at which somebody is to be woken, moved at will.
///
/// Belongs to a thread. What waits on it must run on a tokio runtime of that thread which has its
/// timer on: a current-thread runtime or `LocalRuntime`, or a `LocalSet` of any runtime.
///
/// ```
/// use ngx_core::net::Deadline;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let deadline = Deadline::new();
/// deadline.set(20);
/// deadline.expired().await;
/// assert!(deadline.has_expired());
/// # }
/// ```
pub struct Deadline {
    entry: Rc<Entry>,
}

/// What the heap and the handle share.
struct Entry {
    due: Cell<u64>,
    queued: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

impl Deadline {
    /// A deadline that never passes until it is set.
    #[must_use]
    pub fn new() -> Self {
        let entry = Entry {
            due: Cell::new(NEVER),
            queued: Cell::new(NEVER),
            waker: RefCell::new(None),
        };
        Self {
            entry: Rc::new(entry),
        }
    }

    /// Moves the deadline to `ms` milliseconds from now. A later one than before costs a store.
    pub fn set(&self, ms: u64) {
        let due = now_ms().saturating_add(ms);
        self.entry.due.set(due);
        if due < self.entry.queued.get() {
            self.entry.queued.set(due);
            with_deadlines(|deadlines| deadlines.push(due, Rc::downgrade(&self.entry)));
        }
    }

    /// The deadline passes no more, until it is set again.
    pub fn clear(&self) {
        self.entry.due.set(NEVER);
    }

    /// As [`clear`](Self::clear), and forgets who waits: for what idles, so that it does not hold on
    /// to a task that ended.
    pub fn forget(&self) {
        self.clear();
        let waker = self.entry.waker.borrow_mut().take();
        drop(waker);
    }

    /// Is it set?
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.entry.due.get() != NEVER
    }

    /// Has it passed?
    #[must_use]
    pub fn has_expired(&self) -> bool {
        let due = self.entry.due.get();
        due != NEVER && now_ms() >= due
    }

    /// Ready when the deadline has passed; otherwise the task is woken when it does. One task may
    /// wait; a later one replaces it.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its timer on, or of a multi-thread one's `LocalSet`.
    pub fn poll_expired(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_expired() {
            return Poll::Ready(());
        }
        let mut waker = self.entry.waker.borrow_mut();
        // A task that waits already has seen to the driver of its runtime.
        if !waker.as_ref().is_some_and(|own| own.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
            start_driver();
        }
        Poll::Pending
    }

    /// Waits until the deadline has passed.
    ///
    /// # Cancel safety
    ///
    /// The deadline does not change; the future may be dropped at any time.
    pub async fn expired(&self) {
        poll_fn(|cx| self.poll_expired(cx)).await;
    }
}

impl Default for Deadline {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadline")
            .field("due", &self.entry.due.get())
            .finish()
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        if self.entry.queued.get() != NEVER {
            with_deadlines(Deadlines::forget_one);
        }
    }
}

const NEVER: u64 = u64::MAX;

/// A time in the heap, and whom to look at then.
struct Queued {
    at: u64,
    entry: Weak<Entry>,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

/// The deadlines of a thread.
#[derive(Default)]
struct Deadlines {
    heap: BinaryHeap<Reverse<Queued>>,
    /// Entries in the heap whose deadline is gone, at least.
    dead: usize,
    /// The task that sleeps, and until when.
    driver: Option<Waker>,
    sleeps_until: u64,
    running: bool,
}

impl Deadlines {
    fn push(&mut self, at: u64, entry: Weak<Entry>) {
        self.heap.push(Reverse(Queued { at, entry }));
        if at < self.sleeps_until
            && let Some(driver) = self.driver.take()
        {
            driver.wake();
        }
    }

    /// A deadline is gone. Its entry would stay until its time: a server with many short
    /// connections and a long timeout must not keep them all.
    fn forget_one(&mut self) {
        self.dead += 1;
        if self.dead > 1024 && self.dead > self.heap.len() / 2 {
            self.dead = 0;
            self.heap
                .retain(|Reverse(queued)| queued.entry.strong_count() > 0);
        }
    }

    /// Takes an entry whose time has come.
    fn pop(&mut self, now: u64) -> Option<Queued> {
        if self.heap.peek()?.0.at > now {
            return None;
        }
        let Reverse(queued) = self.heap.pop()?;
        if queued.entry.strong_count() == 0 {
            self.dead = self.dead.saturating_sub(1);
        }
        Some(queued)
    }
}

/// Looks at every deadline whose entry has come up, and says when the next one does.
fn fire(now: u64) -> u64 {
    while let Some(queued) = with_deadlines(|deadlines| deadlines.pop(now)).flatten() {
        let Some(entry) = queued.entry.upgrade() else {
            continue;
        };
        if entry.queued.get() != queued.at {
            continue;
        }
        let due = entry.due.get();
        if due > now {
            entry.queued.set(due);
            if due != NEVER {
                with_deadlines(|deadlines| deadlines.push(due, queued.entry));
            }
            continue;
        }
        // The timer may be a tick ahead of the coarse clock, which the woken task will ask.
        entry.due.set(due.min(now_ms()));
        entry.queued.set(NEVER);
        let waker = entry.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
    with_deadlines(|deadlines| deadlines.heap.peek().map_or(NEVER, |Reverse(next)| next.at))
        .unwrap_or(NEVER)
}

/// Starts the thread's driver if it does not run.
fn start_driver() {
    let starts = with_deadlines(|deadlines| !std::mem::replace(&mut deadlines.running, true));
    if starts != Some(true) {
        return;
    }
    // The guard is made here: a runtime that drops the task unpolled must undo the start, too.
    let running = Running;
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => drop(tokio::spawn(drive(running))),
        _ => drop(tokio::task::spawn_local(drive(running))),
    }
}

/// Sleeps until the earliest entry, over and over.
async fn drive(_running: Running) {
    let mut sleep: Option<(u64, Pin<Box<Sleep>>)> = None;
    poll_fn(move |cx| {
        loop {
            // What tokio's timer says counts, too: its clock may be a paused one of a test.
            let rung = match &mut sleep {
                Some((until, sleep)) => sleep.as_mut().poll(cx).map(|()| *until),
                None => Poll::Pending,
            };
            let rung = if let Poll::Ready(until) = rung {
                until
            } else {
                0
            };
            let now = now_ms().max(rung);
            let next = fire(now);
            with_deadlines(|deadlines| {
                deadlines.sleeps_until = next;
                deadlines.driver = Some(cx.waker().clone());
            });
            if next == NEVER {
                sleep = None;
                return Poll::<()>::Pending;
            }
            if rung == 0 && sleep.as_ref().is_some_and(|(until, _)| *until == next) {
                return Poll::Pending;
            }
            let at = Instant::now() + Duration::from_millis(next.saturating_sub(now));
            match &mut sleep {
                Some((until, sleep)) => {
                    *until = next;
                    sleep.as_mut().reset(at);
                }
                None => sleep = Some((next, Box::pin(tokio::time::sleep_until(at)))),
            }
        }
    })
    .await;
}

/// Says that the driver runs; its runtime may drop it at any time.
struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        with_deadlines(|deadlines| {
            deadlines.running = false;
            deadlines.driver = None;
        });
    }
}

/// `None` while the thread ends, when nothing is waited for any more.
fn with_deadlines<R>(f: impl FnOnce(&mut Deadlines) -> R) -> Option<R> {
    DEADLINES
        .try_with(|deadlines| f(&mut deadlines.borrow_mut()))
        .ok()
}

thread_local! {
    static DEADLINES: RefCell<Deadlines> = RefCell::default();
}

#[cfg(test)]
mod tests;
