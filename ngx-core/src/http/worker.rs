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
use crate::warn;

/// Numbers connections across all threads of the process.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// The HTTP half of a worker thread: the current generation and the connections it serves.
pub struct HttpWorker {
    current: RefCell<Rc<Generation>>,
    /// One entry per connection: how to wake its task.
    connections: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<usize>>,
    count: Cell<usize>,
    limit: Cell<usize>,
    limit_logged: Cell<bool>,
    closing: Cell<bool>,
    /// While closing: idle connections may be used once more.
    patient: Cell<bool>,
    /// Whose time is up.
    overdue: Cell<Overdue>,
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
    index: usize,
}

impl HttpWorker {
    /// The generation that new requests get.
    pub fn current(&self) -> Rc<Generation> {
        Rc::clone(&self.current.borrow())
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
        let free = self.free.borrow_mut().pop();
        let index = free.unwrap_or_else(|| {
            let mut connections = self.connections.borrow_mut();
            connections.push(None);
            connections.len() - 1
        });
        Place {
            worker: Rc::clone(self),
            index,
        }
    }

    fn wake_all(&self) {
        let wakers: Vec<Waker> = self
            .connections
            .borrow()
            .iter()
            .flatten()
            .cloned()
            .collect();
        wakers.iter().for_each(Waker::wake_by_ref);
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
            limit_logged: Cell::new(false),
            closing: Cell::new(false),
            patient: Cell::new(false),
            overdue: Cell::new(Overdue::None),
        })
    }

    fn swap(&self, cycle: Arc<Cycle>, connections: usize) {
        self.limit.set(connections);
        self.limit_logged.set(false);
        let old = self.current.replace(Generation::start(cycle));
        old.retire();
        // Dropped outside of the borrow: ending a generation runs code of modules.
        drop(old);
        self.wake_all();
    }

    fn serve(self: &Rc<Self>, transport: Transport, peer: Addr, listener: &Addr) {
        if self.count.get() >= self.limit.get() {
            if !self.limit_logged.replace(true) {
                warn!("{} worker_connections are not enough", self.limit.get());
            }
            return;
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
        if let Some(place) = self.worker.connections.borrow_mut().get_mut(self.index)
            && place.is_none()
        {
            *place = Some(waker.clone());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let worker = &self.worker;
        worker.count.set(worker.count.get().saturating_sub(1));
        let waker = worker
            .connections
            .borrow_mut()
            .get_mut(self.index)
            .and_then(Option::take);
        drop(waker);
        worker.free.borrow_mut().push(self.index);
    }
}
