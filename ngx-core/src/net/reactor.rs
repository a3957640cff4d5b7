//! The event loop of a worker's connections.
//!
//! A turn of tokio's loop costs several times what `epoll_wait(2)` does, and waking a task through
//! it a dozen locked operations. For timers, resolvers and whatever else a thread does that is
//! little; for connections, which are woken once or twice per request, it is as much as a third of
//! what the request may take. So they have an epoll instance of their own, and one task of tokio's,
//! the pump, which asks it and polls them:
//!
//! ```text
//! tokio's loop ── epoll ─┬─ timers, resolver, signals ─▶ tasks of tokio's
//!                        └─ the reactor's epoll ─▶ pump ─▶ tasks of the reactor's
//!                              └─ listeners, clients, backends
//! ```
//!
//! The pump goes on while much comes. It gives the thread to tokio when little does, when a task has
//! woken itself, after 128 polls, or when the tasks have used up the budget with which tokio
//! has all get their turn, and which they share.
//!
//! A [`Transport`](super::Transport) that was accepted or connected while a reactor runs on the thread
//! is registered with it and belongs to that thread; a task that was [spawned](spawn) is polled by it.
//! Either works without the other: a task of tokio's may wait for such a transport, and a task of
//! the reactor's for anything else. Where no reactor runs, both are tokio's.

mod places;
mod source;
mod tasks;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::retry_on_intr;
use tokio::task::coop;

use self::places::Key;
use self::source::Sources;
use self::tasks::{Boxed, Task, TaskId, Tasks};
use super::sys;
use crate::alert;
use crate::error::errno;

pub(super) use self::source::{Stage, Watched, Way};

/// How many tasks are polled before everybody else has a turn.
const POLLS_MAX: usize = 128;
/// How many events are taken at once.
const EVENTS_MAX: usize = 256;

thread_local! {
    static HERE: RefCell<Option<Rc<Reactor>>> = const { RefCell::new(None) };
    /// The number of the reactor that runs here; 0 for none.
    static HOME: Cell<u64> = const { Cell::new(0) };
    /// The task that is being polled.
    static CURRENT: Cell<Current> = const { Cell::new(Current::NONE) };
}

/// Numbers the reactors of the process, from 1.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// Starts the reactor of the calling thread; it runs until the runtime ends, which drops its
/// tasks. Where one runs already this does nothing: a thread has one runtime at a time that has a
/// reactor.
///
/// # Errors
///
/// What `epoll_create1(2)` says; there is no reactor then.
///
/// # Panics
///
/// Outside of a tokio runtime that runs local tasks
/// ([`LocalRuntime`](tokio::runtime::LocalRuntime), or a `LocalSet`) with its I/O driver on.
///
/// ```
/// use ngx_core::net::reactor;
///
/// # fn main() -> std::io::Result<()> {
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default())?;
/// # runtime.block_on(async {
/// reactor::start()?;
/// let (sender, receiver) = tokio::sync::oneshot::channel();
/// reactor::spawn(async move { sender.send("hello").unwrap() });
/// assert_eq!(receiver.await.unwrap(), "hello");
/// # Ok(())
/// # })
/// # }
/// ```
pub fn start() -> io::Result<()> {
    if HOME.get() != 0 {
        return Ok(());
    }
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let home = NUMBER.fetch_add(1, Ordering::Relaxed);
    let reactor = Rc::new(Reactor {
        epoll: sys::Readable::new(epoll)?,
        home,
        sources: RefCell::default(),
        tasks: RefCell::default(),
        ready: RefCell::default(),
        batch: Cell::default(),
        events: RefCell::new(Vec::with_capacity(EVENTS_MAX)),
        awake: Cell::new(false),
        in_a_hurry: Cell::new(false),
        remote: Arc::default(),
    });
    HERE.set(Some(Rc::clone(&reactor)));
    HOME.set(home);
    let pump = Pump(reactor);
    tokio::task::spawn_local(async move { pump.run().await });
    Ok(())
}

/// Runs a future on this thread, as [`tokio::task::spawn_local`] does, but polled by the reactor
/// if one runs.
///
/// A panic ends the task and nothing else.
///
/// # Panics
///
/// As [`tokio::task::spawn_local`], where no reactor runs.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    match here() {
        Some(reactor) => reactor.spawn(Box::pin(future)),
        None => drop(tokio::task::spawn_local(future)),
    }
}

/// The reactor of this thread; `None` too while the thread ends.
fn here() -> Option<Rc<Reactor>> {
    HERE.try_with(|here| here.borrow().clone()).ok().flatten()
}

/// What a thread's event loop has.
struct Reactor {
    epoll: sys::Readable,
    home: u64,
    sources: RefCell<Sources>,
    tasks: RefCell<Tasks>,
    /// Tasks that were woken, once each.
    ready: RefCell<Vec<TaskId>>,
    /// The storage of `ready` while that was being worked off.
    batch: Cell<Vec<TaskId>>,
    events: RefCell<Vec<epoll::Event>>,
    /// The pump is at work, or will be.
    awake: Cell<bool>,
    /// A task was woken while it was polled.
    in_a_hurry: Cell<bool>,
    remote: Arc<Remote>,
}

/// What other threads, and whoever wakes the pump, need of it.
#[derive(Default)]
struct Remote(Mutex<Notes>);

#[derive(Default)]
struct Notes {
    woken: Vec<TaskId>,
    pump: Option<Waker>,
    /// There is nobody to wake any more.
    has_ended: bool,
}

/// The task that is being polled, and how to know its waker.
#[derive(Clone, Copy)]
struct Current {
    task: TaskId,
    waker: *const (),
}

impl Current {
    const NONE: Self = Self {
        task: TaskId::NONE,
        waker: std::ptr::null(),
    };
}

impl Reactor {
    fn spawn(&self, future: Boxed) {
        let task = self
            .tasks
            .borrow_mut()
            .insert(future, self.home, &self.remote);
        self.wake(task);
    }

    /// Has a task polled soon.
    fn wake(&self, task: TaskId) {
        if CURRENT.get().task == task {
            self.in_a_hurry.set(true);
        }
        if self.queue(task) && !self.awake.replace(true) {
            self.remote.wake_pump();
        }
    }

    /// Whether the task is there, and was not woken yet.
    fn queue(&self, task: TaskId) -> bool {
        let queued = self.tasks.borrow().queue(task);
        if queued {
            self.ready.borrow_mut().push(task);
        }
        queued
    }

    /// Polls the tasks that were woken up to now, `most` of them; says how many it were.
    fn run_ready(&self, most: usize) -> usize {
        let mut batch = self.batch.take();
        batch.append(&mut self.ready.borrow_mut());
        let mut polled = 0;
        for task in batch.iter().take(most) {
            if polled > 0 && !coop::has_budget_remaining() {
                break;
            }
            polled += 1;
            self.poll_task(*task);
        }
        batch.drain(..polled);
        if !batch.is_empty() {
            // First come, first served.
            let mut ready = self.ready.borrow_mut();
            batch.append(&mut ready);
            std::mem::swap(&mut *ready, &mut batch);
        }
        self.batch.set(batch);
        polled
    }

    fn poll_task(&self, id: TaskId) {
        let Some(mut task) = self.tasks.borrow_mut().take(id) else {
            return;
        };
        let outer = CURRENT.replace(Current {
            task: id,
            waker: task.waker().data(),
        });
        let polled = catch_unwind(AssertUnwindSafe(|| task.poll()));
        CURRENT.set(outer);
        match polled {
            Ok(Poll::Pending) => self.tasks.borrow_mut().put_back(id, task),
            Ok(Poll::Ready(())) => self.end(id, task),
            Err(_) => {
                alert!("a task was ended by a panic; this is a bug, please report it");
                self.end(id, task);
            }
        }
    }

    /// Drops a task: with its place free, for it may wake or start others.
    fn end(&self, id: TaskId, task: Task) {
        self.tasks.borrow_mut().remove(id);
        drop_task(task);
    }

    /// Takes the events that there are, without waiting, and wakes whom they concern; says how
    /// many there were.
    fn collect(&self) -> usize {
        let mut events = self.events.borrow_mut();
        events.clear();
        let taken = retry_on_intr(|| {
            let room = spare_capacity(&mut events);
            epoll::wait(&self.epoll, room, Some(&AT_ONCE))
        });
        if let Err(error) = taken {
            alert!("epoll_wait() failed {}", errno(&error.into()));
        }
        let count = events.len();
        let mut others = Vec::new();
        let sources = self.sources.borrow();
        for event in events.iter() {
            let Some(source) = sources.get(Key(event.data.u64())) else {
                continue;
            };
            for task in source.happened(event.flags, &mut others) {
                if task != TaskId::NONE {
                    self.queue(task);
                }
            }
        }
        // Whoever is woken may do anything.
        drop((sources, events));
        others.into_iter().for_each(Waker::wake);
        count
    }

    /// Does what there is to do; `Ready` when others are to have a turn before it goes on.
    fn turn(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.awake.set(true);
        for task in self.remote.take(cx.waker()) {
            self.queue(task);
        }
        let mut polled = 0;
        let mut is_first = true;
        loop {
            let asked = match self.epoll.poll_ready(cx) {
                Poll::Ready(Ok(mut guard)) => {
                    let events = self.collect();
                    // While more than one comes at a time, it is cheaper to ask than to be woken.
                    if events == 0 || (is_first && events == 1) {
                        guard.clear_ready();
                    }
                    is_first = false;
                    true
                }
                // The runtime ends, and the pump with it.
                Poll::Ready(Err(_)) => return Poll::Pending,
                Poll::Pending => false,
            };
            polled += self.run_ready(POLLS_MAX - polled);
            // Who wakes himself has had his turn.
            let hurried = self.in_a_hurry.take();
            if hurried || polled >= POLLS_MAX || !coop::has_budget_remaining() {
                return Poll::Ready(());
            }
            if !asked && self.ready.borrow().is_empty() {
                break;
            }
        }
        self.awake.set(false);
        Poll::Pending
    }
}

impl Remote {
    fn notes(&self) -> std::sync::MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called on another thread than the reactor's.
    fn wake(&self, task: TaskId) {
        let pump = {
            let mut notes = self.notes();
            if notes.has_ended {
                return;
            }
            notes.woken.push(task);
            notes.pump.clone()
        };
        if let Some(pump) = pump {
            pump.wake();
        }
    }

    fn wake_pump(&self) {
        let pump = self.notes().pump.clone();
        if let Some(pump) = pump {
            pump.wake();
        }
    }

    /// What other threads have woken; `pump` is to be woken for more.
    fn take(&self, pump: &Waker) -> Vec<TaskId> {
        let mut notes = self.notes();
        if !notes.pump.as_ref().is_some_and(|own| own.will_wake(pump)) {
            notes.pump = Some(pump.clone());
        }
        std::mem::take(&mut notes.woken)
    }
}

/// The task of tokio's that drives the reactor.
struct Pump(Rc<Reactor>);

impl Pump {
    async fn run(self) {
        loop {
            poll_fn(|cx| self.turn(cx)).await;
            // Behind everybody else, and behind a look at what tokio waits for.
            tokio::task::yield_now().await;
        }
    }

    /// A reactor that has ended would leave a thread that accepts and never answers.
    fn turn(&self, cx: &mut Context<'_>) -> Poll<()> {
        catch_unwind(AssertUnwindSafe(|| self.0.turn(cx))).unwrap_or_else(|_| {
            alert!(
                "a turn of the event loop was ended by a panic; this is a bug, please report it"
            );
            Poll::Ready(())
        })
    }
}

impl Drop for Pump {
    /// What the tasks hold may wake or start others when it goes, here or in tokio's runtime.
    fn drop(&mut self) {
        HOME.set(0);
        let _ = HERE.try_with(|here| here.borrow_mut().take());
        let ended = Notes {
            has_ended: true,
            ..Notes::default()
        };
        let left = std::mem::replace(&mut *self.0.remote.notes(), ended);
        drop(left);
        self.0.tasks.take().into_tasks().for_each(drop_task);
    }
}

/// What a task holds may panic when it goes. That is nothing to others; and where the thread is ending
/// by a panic, a second one would end the process.
fn drop_task(task: Task) {
    if catch_unwind(AssertUnwindSafe(|| drop(task))).is_err() {
        alert!("the end of a task was a panic; this is a bug, please report it");
    }
}

/// Whether the calling thread is that of this reactor, which runs.
fn is_home(home: u64) -> bool {
    HOME.get() == home
}

/// The task that is being polled, if this is its waker.
fn current(waker: &Waker) -> Option<TaskId> {
    let current = CURRENT.get();
    (current.waker == waker.data() && current.task != TaskId::NONE).then_some(current.task)
}

const AT_ONCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

#[cfg(test)]
mod tests;
