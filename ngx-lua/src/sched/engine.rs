//! What all runs of a VM share.

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};

use ngx_core::debug;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::lane::Lane;
use crate::api::re::Re;
#[cfg(feature = "http")]
use crate::cosocket::LentMetas;
use crate::cosocket::{Pools, Sockets};
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
    sockets: Rc<Sockets>,
    /// Compiled patterns of `ngx.re`.
    re: Re,
    /// The metatable of sockets.
    socket_meta: Cell<Option<Meta>>,
    /// The metatable of datagram sockets.
    udp_meta: Cell<Option<Meta>>,
    /// The metatable of semaphores.
    semaphore_meta: Cell<Option<Meta>>,
    /// The metatables of cjson.
    json_metas: OnceCell<Rc<dyn Any>>,
    /// Those of sockets whose connections are another's.
    #[cfg(feature = "http")]
    pub(crate) lent_metas: Cell<Option<LentMetas>>,
    /// That of tables of header fields.
    #[cfg(feature = "http")]
    pub(crate) fields_meta: Cell<Option<Meta>>,
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
        let re = Re::new(settings.regex_cache_size, settings.regex_match_limit);
        Rc::new(Self {
            raw,
            settings,
            re,
            busy: RefCell::default(),
            timers: Timers::default(),
            pools: Pools::default(),
            sockets: Rc::default(),
            socket_meta: Cell::new(None),
            udp_meta: Cell::new(None),
            semaphore_meta: Cell::new(None),
            json_metas: OnceCell::new(),
            #[cfg(feature = "http")]
            lent_metas: Cell::new(None),
            #[cfg(feature = "http")]
            fields_meta: Cell::new(None),
            replay: Cell::new(false),
        })
    }

    pub(crate) fn raw(&self) -> &Rc<RawVm> {
        &self.raw
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn re(&self) -> &Re {
        &self.re
    }

    pub(crate) fn pools(&self) -> &Pools {
        &self.pools
    }

    pub(crate) fn sockets(&self) -> &Rc<Sockets> {
        &self.sockets
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

    pub(crate) fn semaphore_meta(&self) -> Option<Meta> {
        self.semaphore_meta.get()
    }

    pub(crate) fn set_semaphore_meta(&self, meta: Meta) {
        self.semaphore_meta.set(Some(meta));
    }

    pub(crate) fn json_metas(&self) -> Option<Rc<dyn Any>> {
        self.json_metas.get().cloned()
    }

    pub(crate) fn set_json_metas(&self, metas: Rc<dyn Any>) {
        let _first = self.json_metas.set(metas);
    }

    pub(crate) fn is_exiting(&self) -> bool {
        self.timers.exiting.get()
    }

    pub(crate) fn udp_meta(&self) -> Option<Meta> {
        self.udp_meta.get()
    }

    pub(crate) fn set_udp_meta(&self, meta: Meta) {
        self.udp_meta.set(Some(meta));
    }

    /// Ends the waiting of all timers: their callbacks run at once, told that it is too early.
    pub(crate) fn shut_down(&self) {
        if !self.timers.exiting.replace(true) && self.pending_timers() > 0 {
            debug!("lua abort pending timers");
        }
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
