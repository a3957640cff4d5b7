//! A socket as Lua holds it: connected or not, busy or not.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use super::keepalive::Slot;
use super::link::Link;
use super::timeouts::Timeouts;
use crate::ffi::{Call, Raise};
use crate::sched::{Ending, Run};
use crate::settings::Settings;

/// A cosocket.
pub(super) struct Socket {
    /// The run that connected it.
    owner: RefCell<Weak<Run>>,
    link: RefCell<Option<Rc<Link>>>,
    /// The name of the pool that it would go to.
    pub(super) pool_name: RefCell<Option<Vec<u8>>>,
    /// The pool that counts it, if connecting named one.
    pub(super) slot: RefCell<Option<Slot>>,
    pub(super) timeouts: Timeouts,
    connecting: Cell<bool>,
    reading: Cell<bool>,
    writing: Cell<bool>,
    /// Nothing can be read or written any more, after an error or the end.
    pub(super) read_closed: Cell<bool>,
    pub(super) write_closed: Cell<bool>,
}

/// What a socket is busy with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Task {
    Connecting,
    Reading,
    Writing,
}

impl Socket {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            owner: RefCell::new(Weak::new()),
            link: RefCell::new(None),
            pool_name: RefCell::new(None),
            slot: RefCell::new(None),
            timeouts: Timeouts::new(settings),
            connecting: Cell::new(false),
            reading: Cell::new(false),
            writing: Cell::new(false),
            read_closed: Cell::new(false),
            write_closed: Cell::new(false),
        }
    }

    /// Makes the run of the call the owner.
    pub(super) fn claim(self: &Rc<Self>, call: &Call<'_>) {
        let run = call.lane().run();
        *self.owner.borrow_mut() = Rc::downgrade(run);
        let weak: Weak<Self> = Rc::downgrade(self);
        run.adopt(weak);
    }

    /// Raises if the socket belongs to another run.
    pub(super) fn check_owner(&self, call: &Call<'_>) -> Result<(), Raise> {
        let owner = self.owner.borrow().upgrade();
        match owner {
            Some(owner) if !Rc::ptr_eq(&owner, call.lane().run()) => Err("bad request".into()),
            _ => Ok(()),
        }
    }

    pub(super) fn link(&self) -> Option<Rc<Link>> {
        self.link.borrow().clone()
    }

    pub(super) fn take_link(&self) -> Option<Rc<Link>> {
        self.link.borrow_mut().take()
    }

    /// The connection is made.
    pub(super) fn connected(&self, link: Link, pool: Option<Slot>) {
        *self.link.borrow_mut() = Some(Rc::new(link));
        *self.slot.borrow_mut() = pool;
        self.read_closed.set(false);
        self.write_closed.set(false);
    }

    /// Whether there is a connection with which anything can be done.
    pub(super) fn is_open(&self) -> bool {
        self.link.borrow().is_some() && !(self.read_closed.get() && self.write_closed.get())
    }

    /// What keeps it from being used as a whole.
    pub(super) fn busy(&self) -> Option<&'static str> {
        self.busy_with(Task::Connecting)
            .or_else(|| self.busy_with(Task::Reading))
            .or_else(|| self.busy_with(Task::Writing))
    }

    pub(super) fn busy_with(&self, task: Task) -> Option<&'static str> {
        let (flag, text) = self.flag(task);
        flag.get().then_some(text)
    }

    /// Marks it busy until the guard is dropped, also when whoever works is killed.
    pub(super) fn begin(self: &Rc<Self>, task: Task) -> Busy {
        self.flag(task).0.set(true);
        Busy {
            socket: Rc::clone(self),
            task,
        }
    }

    /// Closes the connection.
    pub(super) fn close(&self) {
        drop(self.take_link());
        let slot = self.slot.borrow_mut().take();
        drop(slot);
    }

    fn flag(&self, task: Task) -> (&Cell<bool>, &'static str) {
        match task {
            Task::Connecting => (&self.connecting, "socket busy connecting"),
            Task::Reading => (&self.reading, "socket busy reading"),
            Task::Writing => (&self.writing, "socket busy writing"),
        }
    }
}

impl Ending for Socket {
    fn end(&self) {
        self.close();
    }
}

/// A socket that is busy.
pub(super) struct Busy {
    socket: Rc<Socket>,
    task: Task,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.socket.flag(self.task).0.set(false);
    }
}
