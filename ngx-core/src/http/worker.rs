//! What the connections of one worker thread share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use super::connection;
use super::generation::Generation;
use crate::cycle::Cycle;
use crate::net::addr::Addr;
use crate::net::transport::Transport;
use crate::process::Service;
use crate::time::now_ms;
use crate::warn;

/// Numbers connections across all threads of the process.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// The HTTP half of a worker thread: the current generation and the connections it serves.
pub struct HttpWorker {
    current: RefCell<Rc<Generation>>,
    /// One entry per connection.
    connections: RefCell<Vec<Option<Rc<Seat>>>>,
    free: RefCell<Vec<usize>>,
    count: Cell<usize>,
    limit: Cell<usize>,
    /// When the log was told last that there are too many connections; 0 for never.
    limit_logged: Cell<u64>,
    closing: Cell<bool>,
    /// While closing: idle connections may be used once more.
    patient: Cell<bool>,
    /// Whose time is up.
    overdue: Cell<Overdue>,
}

/// What the worker knows of a connection.
#[derive(Default)]
struct Seat {
    /// How to wake its task.
    waker: RefCell<Option<Waker>>,
    /// Since when it waits for a request, in coarse monotonic milliseconds; 0 if it does not.
    idle_since: Cell<u64>,
    /// It is to make room for another, if it still has nothing to do.
    wanted: Cell<bool>,
}

impl Seat {
    fn wake(&self) {
        let waker = self.waker.borrow().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Too many connections are logged once in so many milliseconds.
const LIMIT_LOGGED: u64 = 60_000;

/// Which connections are to end now.
#[derive(Clone, Copy)]
enum Overdue {
    None,
    /// Those of the generation with this number. They all hear of it at once, and none is added.
    One(u64),
    All,
}

/// The place of one connection in the worker's list; gives it back when dropped.
pub(crate) struct Place {
    worker: Rc<HttpWorker>,
    seat: Rc<Seat>,
    index: usize,
}

impl HttpWorker {
    /// The generation that new requests get.
    pub fn current(&self) -> Rc<Generation> {
        Rc::clone(&self.current.borrow())
    }

    /// Whether new requests get this generation.
    pub(crate) fn is_current(&self, generation: &Rc<Generation>) -> bool {
        Rc::ptr_eq(&self.current.borrow(), generation)
    }

    /// Whether the worker is going down.
    pub fn is_closing(&self) -> bool {
        self.closing.get()
    }

    /// Whether idle connections are to end now.
    pub(crate) fn ends_idle(&self) -> bool {
        self.closing.get() && !self.patient.get()
    }

    /// Whether what began under this generation has to end.
    pub(crate) fn is_overdue(&self, generation: &Generation) -> bool {
        match self.overdue.get() {
            Overdue::None => false,
            Overdue::One(number) => generation.cycle().number() == number,
            Overdue::All => true,
        }
    }

    pub(crate) fn enter(self: &Rc<Self>) -> Place {
        self.count.set(self.count.get() + 1);
        let seat = Rc::new(Seat::default());
        let free = self.free.borrow_mut().pop();
        let mut connections = self.connections.borrow_mut();
        let index = free.unwrap_or_else(|| {
            connections.push(None);
            connections.len() - 1
        });
        if let Some(place) = connections.get_mut(index) {
            *place = Some(Rc::clone(&seat));
        }
        Place {
            worker: Rc::clone(self),
            seat,
            index,
        }
    }

    /// Has the connection that has waited longest for a request close. There is none if all are
    /// busy.
    fn make_room(&self) -> bool {
        let longest = {
            let connections = self.connections.borrow();
            let idle = connections.iter().flatten().filter(|seat| {
                seat.idle_since.get() > 0 && !seat.wanted.get() && seat.waker.borrow().is_some()
            });
            idle.min_by_key(|seat| seat.idle_since.get()).cloned()
        };
        let Some(seat) = longest else {
            return false;
        };
        seat.wanted.set(true);
        seat.wake();
        true
    }

    fn log_limit(&self, room: bool) {
        let (now, last) = (now_ms(), self.limit_logged.get());
        if last != 0 && now.saturating_sub(last) < LIMIT_LOGGED {
            return;
        }
        self.limit_logged.set(now);
        let then = if room { ", reusing connections" } else { "" };
        warn!(
            "{} worker_connections are not enough{then}",
            self.limit.get()
        );
    }

    fn wake_all(&self) {
        let seats: Vec<Rc<Seat>> = self
            .connections
            .borrow()
            .iter()
            .flatten()
            .cloned()
            .collect();
        seats.iter().for_each(|seat| seat.wake());
    }
}

impl Service for HttpWorker {
    fn new(cycle: Arc<Cycle>, connections: usize) -> Rc<Self> {
        Rc::new(Self {
            current: RefCell::new(Generation::start(cycle)),
            connections: RefCell::default(),
            free: RefCell::default(),
            count: Cell::new(0),
            limit: Cell::new(connections),
            limit_logged: Cell::new(0),
            closing: Cell::new(false),
            patient: Cell::new(false),
            overdue: Cell::new(Overdue::None),
        })
    }

    fn swap(&self, cycle: Arc<Cycle>, connections: usize) {
        self.limit.set(connections);
        self.limit_logged.set(0);
        let old = self.current.replace(Generation::start(cycle));
        old.retire();
        // Dropped outside of the borrow: ending a generation runs code of modules.
        drop(old);
        self.wake_all();
    }

    fn serve(self: &Rc<Self>, transport: Transport, peer: Addr, listener: &Addr) {
        if self.count.get() >= self.limit.get() {
            let room = self.make_room();
            self.log_limit(room);
            if !room {
                return;
            }
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let connection = connection::Serve::new(self, transport, peer, listener.clone(), number);
        tokio::task::spawn_local(connection);
    }

    fn leave(&self) {
        self.closing.set(true);
        self.patient.set(true);
        self.current().retire();
        self.wake_all();
    }

    fn close_gracefully(&self) {
        self.patient.set(false);
        if !self.closing.replace(true) {
            self.current().retire();
        }
        self.wake_all();
    }

    fn cut_off(&self, generation: Option<u64>) {
        self.overdue
            .set(generation.map_or(Overdue::All, Overdue::One));
        self.wake_all();
    }

    fn connections(&self) -> usize {
        self.count.get()
    }
}

impl Place {
    pub(crate) fn worker(&self) -> &Rc<HttpWorker> {
        &self.worker
    }

    /// Remembers how to wake the connection; once is enough, a task keeps its waker.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        let mut own = self.seat.waker.borrow_mut();
        if own.is_none() {
            *own = Some(waker.clone());
        }
    }

    /// Whether the connection waits for a request, so that it may be closed when others want in.
    pub(crate) fn set_idle(&self, idle: bool) {
        let seat = &self.seat;
        if !idle {
            seat.idle_since.set(0);
            seat.wanted.set(false);
        } else if seat.idle_since.get() == 0 {
            seat.idle_since.set(now_ms().max(1));
        }
    }

    /// Whether another connection wants the place of this one.
    pub(crate) fn is_wanted(&self) -> bool {
        self.seat.wanted.get()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let worker = &self.worker;
        worker.count.set(worker.count.get().saturating_sub(1));
        let seat = {
            let mut connections = worker.connections.borrow_mut();
            connections.get_mut(self.index).and_then(Option::take)
        };
        // Outside of the borrow: a waker may be the last to hold its task.
        drop(seat.and_then(|seat| seat.waker.take()));
        worker.free.borrow_mut().push(self.index);
    }
}
