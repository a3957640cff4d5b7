//! What the connections of one worker thread share.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use super::connection;
use super::generation::Generation;
use crate::cycle::Cycle;
use crate::net::addr::Addr;
use crate::net::reactor;
use crate::net::seats::{self, Idlers, Seat};
use crate::net::transport::Transport;
use crate::process::Service;
use crate::time::now_ms;

/// Numbers connections across all threads of the process.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// The HTTP half of a worker thread: the current generation and the connections it serves.
pub struct HttpWorker {
    current: RefCell<Rc<Generation>>,
    /// One entry per connection.
    connections: RefCell<Vec<Option<Rc<Entry>>>>,
    free: RefCell<Vec<usize>>,
    count: Cell<usize>,
    closing: Cell<bool>,
    /// While closing: idle connections may be used once more.
    patient: Cell<bool>,
    /// Whose time is up.
    overdue: Cell<Overdue>,
    /// Counts what connections have to look at: a generation, an end, a place that is wanted.
    news: Cell<u32>,
}

/// What the worker knows of a connection.
#[derive(Default)]
struct Entry {
    /// How to wake its task.
    waker: OnceCell<Waker>,
    /// Since when it waits for a request, in coarse monotonic milliseconds; 0 if it does not.
    idle_since: Cell<u64>,
    /// It is to make room for another, if it still has nothing to do.
    wanted: Cell<bool>,
}

impl Entry {
    fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }
}

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
    entry: Rc<Entry>,
    index: usize,
    _seat: Seat,
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

    /// Another number than before if anything has happened that connections have to look at.
    #[inline]
    pub(crate) fn news(&self) -> u32 {
        self.news.get()
    }

    fn tell(&self) {
        self.news.set(self.news.get().wrapping_add(1).max(1));
    }

    /// Whether what began under this generation has to end.
    pub(crate) fn is_overdue(&self, generation: &Generation) -> bool {
        match self.overdue.get() {
            Overdue::None => false,
            Overdue::One(number) => generation.cycle().number() == number,
            Overdue::All => true,
        }
    }

    fn enter(self: &Rc<Self>, seat: Seat) -> Place {
        self.count.set(self.count.get() + 1);
        let entry = Rc::new(Entry::default());
        let free = self.free.borrow_mut().pop();
        let mut connections = self.connections.borrow_mut();
        let index = free.unwrap_or_else(|| {
            connections.push(None);
            connections.len() - 1
        });
        if let Some(place) = connections.get_mut(index) {
            *place = Some(Rc::clone(&entry));
        }
        Place {
            worker: Rc::clone(self),
            entry,
            index,
            _seat: seat,
        }
    }

    /// The connection that has waited longest for a request; `None` if all are busy.
    fn eldest(&self) -> Option<Rc<Entry>> {
        let connections = self.connections.borrow();
        let idle = connections.iter().flatten().filter(|entry| {
            entry.idle_since.get() > 0 && !entry.wanted.get() && entry.waker.get().is_some()
        });
        idle.min_by_key(|entry| entry.idle_since.get()).cloned()
    }

    fn wake_all(&self) {
        self.tell();
        let entries: Vec<Rc<Entry>> = self
            .connections
            .borrow()
            .iter()
            .flatten()
            .cloned()
            .collect();
        entries.iter().for_each(|entry| entry.wake());
    }
}

impl Service for HttpWorker {
    fn new(cycle: Arc<Cycle>, connections: usize) -> Rc<Self> {
        seats::set_limit(connections);
        let worker = Rc::new(Self {
            current: RefCell::new(Generation::start(cycle)),
            connections: RefCell::default(),
            free: RefCell::default(),
            count: Cell::new(0),
            closing: Cell::new(false),
            patient: Cell::new(false),
            overdue: Cell::new(Overdue::None),
            news: Cell::new(1),
        });
        seats::register(&worker);
        worker
    }

    fn swap(&self, cycle: Arc<Cycle>, connections: usize) {
        seats::set_limit(connections);
        let old = self.current.replace(Generation::start(cycle));
        old.retire();
        // Dropped outside of the borrow: ending a generation runs code of modules.
        drop(old);
        self.wake_all();
    }

    fn serve(self: &Rc<Self>, transport: Transport, peer: Addr, listener: &Addr) {
        let Ok(seat) = seats::take() else {
            return;
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let place = self.enter(seat);
        let connection = connection::Serve::new(place, transport, peer, listener.clone(), number);
        reactor::spawn(connection);
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

impl Idlers for HttpWorker {
    fn idle_since(&self) -> Option<u64> {
        self.eldest().map(|entry| entry.idle_since.get())
    }

    fn close_eldest(&self) {
        if let Some(entry) = self.eldest() {
            entry.wanted.set(true);
            self.tell();
            entry.wake();
        }
    }
}

impl Place {
    pub(crate) fn worker(&self) -> &Rc<HttpWorker> {
        &self.worker
    }

    /// Remembers how to wake the connection; once is enough, a task keeps its waker.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        let _ = self.entry.waker.get_or_init(|| waker.clone());
    }

    /// Whether the connection waits for a request, so that it may be closed when others want in.
    pub(crate) fn set_idle(&self, idle: bool) {
        let entry = &self.entry;
        if !idle {
            entry.idle_since.set(0);
            entry.wanted.set(false);
        } else if entry.idle_since.get() == 0 {
            entry.idle_since.set(now_ms().max(1));
        }
    }

    /// Whether another connection wants the place of this one.
    pub(crate) fn is_wanted(&self) -> bool {
        self.entry.wanted.get()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let worker = &self.worker;
        worker.count.set(worker.count.get().saturating_sub(1));
        let entry = {
            let mut connections = worker.connections.borrow_mut();
            connections.get_mut(self.index).and_then(Option::take)
        };
        // Outside of the borrow; its waker goes with the last handle, which is ours.
        drop(entry);
        worker.free.borrow_mut().push(self.index);
    }
}
