//! A socket as Lua holds it: connected or not, busy or not.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};

use ngx_core::net::Addr;

use super::keepalive::{NamedPool, Pools, Slot};
use super::kept::Sockets;
use super::link::Link;
use super::receive::Reading;
use super::target::{PoolName, Target, Upstream};
use super::timeouts::Timeouts;
use crate::ffi::{Call, Raise};
use crate::sched::{Ending, EndingsId};

/// A cosocket.
pub(super) struct Socket {
    /// Where it is known by a number, if it is.
    home: Weak<Sockets>,
    /// Its place there.
    at: u32,
    /// Who keeps it there.
    pub(super) kept_by: Cell<EndingsId>,
    owner: Owner,
    link: RefCell<Option<Rc<Link>>>,
    /// Whom it was told to connect to.
    target: RefCell<Option<Rc<Target>>>,
    /// The address that it connects from.
    pub(super) local: Cell<Option<SocketAddr>>,
    /// The name of the pool that it would go to, if that was not there when it connected.
    pub(super) pool_name: RefCell<Option<PoolName>>,
    /// The pool that counts it, if connecting named one.
    pub(super) slot: RefCell<Option<Slot>>,
    pub(super) timeouts: Timeouts,
    /// The receive that waits.
    pub(super) reading: RefCell<Option<Reading>>,
    /// The [bits](Task::bit) of what it is busy with.
    busy: Cell<u8>,
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

/// The request or run that a socket belongs to since it was connected: it ends with it.
#[derive(Default)]
pub(super) struct Owner(Cell<EndingsId>);

impl Owner {
    /// Makes whoever calls the owner; false if it is that already.
    pub(super) fn claim(&self, call: &Call<'_>) -> bool {
        let id = call.lane().run().endings().id();
        self.0.replace(id) != id
    }

    /// Raises if somebody else owns the socket.
    #[inline]
    pub(super) fn check(&self, call: &Call<'_>) -> Result<(), Raise> {
        let owner = self.0.get();
        if owner == call.lane().run().endings().id() || owner == EndingsId::default() {
            return Ok(());
        }
        Err("bad request".into())
    }

    fn get(&self) -> EndingsId {
        self.0.get()
    }

    /// `owner` is over; whether it was the owner.
    pub(super) fn leave(&self, owner: EndingsId) -> bool {
        let was = self.0.get() == owner;
        if was {
            self.0.take();
        }
        was
    }
}

impl Socket {
    /// A socket that whoever has it keeps.
    pub(super) fn new() -> Self {
        Self::at(Weak::new(), 0)
    }

    /// A socket that is kept in the place `at` of `home`.
    pub(super) fn at(home: Weak<Sockets>, at: u32) -> Self {
        Self {
            home,
            at,
            kept_by: Cell::default(),
            owner: Owner::default(),
            link: RefCell::new(None),
            target: RefCell::new(None),
            local: Cell::new(None),
            pool_name: RefCell::new(None),
            slot: RefCell::new(None),
            timeouts: Timeouts::default(),
            reading: RefCell::new(None),
            busy: Cell::new(0),
            read_closed: Cell::new(false),
            write_closed: Cell::new(false),
        }
    }

    /// Makes it as good as new.
    pub(super) fn renew(&mut self) {
        let Self {
            home: _,
            at: _,
            kept_by,
            owner,
            link,
            target,
            local,
            pool_name,
            slot,
            timeouts,
            reading,
            busy,
            read_closed,
            write_closed,
        } = self;
        *kept_by.get_mut() = EndingsId::default();
        *owner = Owner::default();
        *link.get_mut() = None;
        *target.get_mut() = None;
        *local.get_mut() = None;
        *pool_name.get_mut() = None;
        *slot.get_mut() = None;
        *timeouts = Timeouts::default();
        *reading.get_mut() = None;
        *busy.get_mut() = 0;
        *read_closed.get_mut() = false;
        *write_closed.get_mut() = false;
    }

    /// Says whom it will be connected to.
    pub(super) fn aim(&self, target: Rc<Target>) {
        if self.target.replace(Some(target)).is_some() {
            ngx_core::debug!("lua reuse socket upstream ctx");
        }
    }

    /// Makes whoever calls the owner.
    pub(super) fn claim(self: &Rc<Self>, call: &Call<'_>) {
        if self.owner.claim(call) {
            let endings = call.lane().run().endings();
            if self.kept_by.get() != endings.id() {
                let weak: Weak<Self> = Rc::downgrade(self);
                endings.adopt(weak);
            }
        }
    }

    /// Raises if the socket belongs to another request.
    pub(super) fn check_owner(&self, call: &Call<'_>) -> Result<(), Raise> {
        self.owner.check(call)
    }

    pub(super) fn link(&self) -> Option<Rc<Link>> {
        self.link.borrow().clone()
    }

    /// Whether there is a connection, of use or not.
    pub(super) fn is_connected(&self) -> bool {
        self.link.borrow().is_some()
    }

    pub(super) fn take_link(&self) -> Option<Rc<Link>> {
        self.link.borrow_mut().take()
    }

    /// The connection is made.
    pub(super) fn connected(&self, link: Rc<Link>, pool: Option<Slot>) {
        *self.link.borrow_mut() = Some(link);
        *self.slot.borrow_mut() = pool;
        self.read_closed.set(false);
        self.write_closed.set(false);
    }

    /// The pool that its connection may be kept in: the one that counts it, or else the one of that
    /// name. The error is the name of one that has to be made.
    pub(super) fn pool(&self, pools: &Pools) -> Option<Result<Rc<NamedPool>, PoolName>> {
        if let Some(slot) = &*self.slot.borrow() {
            return Some(Ok(Rc::clone(slot.pool())));
        }
        let name = self.pool_name.borrow();
        let name = name.as_ref()?;
        Some(pools.find(name).ok_or_else(|| name.clone()))
    }

    /// Whether there is a connection with which anything can be done.
    pub(super) fn is_open(&self) -> bool {
        self.link.borrow().is_some() && !(self.read_closed.get() && self.write_closed.get())
    }

    /// What keeps it from being used as a whole.
    pub(super) fn busy(&self) -> Option<&'static str> {
        self.busy_with(&[Task::Connecting, Task::Reading, Task::Writing])
    }

    /// The first of `tasks` that it is busy with, as scripts are told.
    #[inline]
    pub(super) fn busy_with(&self, tasks: &[Task]) -> Option<&'static str> {
        let busy = self.busy.get();
        if busy == 0 {
            return None;
        }
        Self::task_of(busy, tasks)
    }

    #[cold]
    fn task_of(busy: u8, tasks: &[Task]) -> Option<&'static str> {
        let task = tasks.iter().find(|task| busy & task.bit() != 0);
        task.map(|task| task.text())
    }

    /// Marks it busy until the guard is dropped, also when whoever works is killed.
    pub(super) fn begin(self: &Rc<Self>, task: Task) -> Busy {
        self.set_busy(task);
        Busy {
            socket: Rc::clone(self),
            task,
        }
    }

    /// Marks it busy; for who cannot go without [`set_idle`](Self::set_idle).
    pub(super) fn set_busy(&self, task: Task) {
        self.busy.set(self.busy.get() | task.bit());
    }

    pub(super) fn set_idle(&self, task: Task) {
        self.busy.set(self.busy.get() & !task.bit());
    }

    /// Logs that something went wrong on the connection.
    pub(super) fn log(&self, what: impl std::fmt::Display) {
        let addr = self
            .link()
            .and_then(|link| link.transport()?.peer_addr().ok());
        self.log_about(what, addr.as_ref());
    }

    /// As [`log`](Self::log), about an address that is not connected.
    pub(super) fn log_about(&self, what: impl std::fmt::Display, addr: Option<&Addr>) {
        let target = self.target.borrow();
        let upstream = Upstream {
            target: target.as_deref(),
            addr,
        };
        ngx_core::error!("{what}{upstream}");
    }

    /// Closes the connection.
    pub(super) fn close(&self) {
        if let Some(link) = self.take_link() {
            ngx_core::debug!("lua finalize socket");
            drop(link);
        }
        let slot = self.slot.borrow_mut().take();
        drop(slot);
    }
}

impl Task {
    fn bit(self) -> u8 {
        match self {
            Self::Connecting => 1,
            Self::Reading => 2,
            Self::Writing => 4,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Connecting => "socket busy connecting",
            Self::Reading => "socket busy reading",
            Self::Writing => "socket busy writing",
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.close();
    }
}

impl Ending for Socket {
    fn end(self: Rc<Self>, of: EndingsId) {
        if self.owner.leave(of) {
            self.close();
        }
        if self.kept_by.get() == of {
            match (self.owner.get(), self.home.upgrade()) {
                // Another one uses it: from now on it is kept for that one.
                (owner, _) if owner != EndingsId::default() => self.kept_by.set(owner),
                (_, Some(home)) => home.release(self.at, self),
                (_, None) => {}
            }
        }
    }
}

/// A socket that is busy.
pub(super) struct Busy {
    socket: Rc<Socket>,
    task: Task,
}

impl Busy {
    pub(super) fn socket(&self) -> &Rc<Socket> {
        &self.socket
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.socket.set_idle(self.task);
    }
}
