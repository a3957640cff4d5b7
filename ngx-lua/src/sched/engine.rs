//! What all runs of a VM share.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::lane::Lane;
use crate::cosocket::Pools;
use crate::ffi::{Meta, RawVm};
use crate::settings::Settings;

/// A VM with its scheduler.
pub(crate) struct Engine {
    raw: Rc<RawVm>,
    settings: Settings,
    /// The threads that stand in a lane, by their ids.
    busy: RefCell<FxHashMap<usize, Weak<Lane>>>,
    pub(super) timers: Timers,
    pools: Pools,
    /// The metatable of sockets.
    socket_meta: Cell<Option<Meta>>,
    /// What runs has run before, in another VM: what it logs was logged.
    replay: Cell<bool>,
}

/// Counts of `ngx.timer`.
#[derive(Default)]
pub(super) struct Timers {
    pub(super) pending: Cell<usize>,
    pub(super) running: Cell<usize>,
    pub(super) exiting: Cell<bool>,
    pub(super) exit: Notify,
}

impl Engine {
    pub(crate) fn new(raw: Rc<RawVm>, settings: Settings) -> Rc<Self> {
        Rc::new(Self {
            raw,
            settings,
            busy: RefCell::default(),
            timers: Timers::default(),
            pools: Pools::default(),
            socket_meta: Cell::new(None),
            replay: Cell::new(false),
        })
    }

    pub(crate) fn raw(&self) -> &Rc<RawVm> {
        &self.raw
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn pools(&self) -> &Pools {
        &self.pools
    }

    /// Whether what runs has run before, in another VM, so that its effects outside of this VM are
    /// there already.
    pub(crate) fn is_replay(&self) -> bool {
        self.replay.get()
    }

    #[cfg(feature = "http")]
    pub(crate) fn set_replay(&self, replay: bool) {
        self.replay.set(replay);
    }

    pub(crate) fn socket_meta(&self) -> Option<Meta> {
        self.socket_meta.get()
    }

    pub(crate) fn set_socket_meta(&self, meta: Meta) {
        self.socket_meta.set(Some(meta));
    }

    /// Ends the waiting of all timers: their callbacks run at once, told that it is too early.
    pub(crate) fn shut_down(&self) {
        self.timers.exiting.set(true);
        self.timers.exit.notify_waiters();
    }

    pub(crate) fn pending_timers(&self) -> usize {
        self.timers.pending.get()
    }

    pub(crate) fn running_timers(&self) -> usize {
        self.timers.running.get()
    }

    /// How many threads stand in lanes.
    #[cfg(test)]
    pub(crate) fn busy_threads(&self) -> usize {
        self.busy.borrow().len()
    }

    pub(super) fn lane_of(&self, id: usize) -> Option<Rc<Lane>> {
        self.busy.borrow().get(&id).and_then(Weak::upgrade)
    }

    pub(super) fn occupy(&self, id: usize, lane: &Rc<Lane>) {
        self.busy.borrow_mut().insert(id, Rc::downgrade(lane));
    }

    pub(super) fn release(&self, id: usize) {
        self.busy.borrow_mut().remove(&id);
    }
}
