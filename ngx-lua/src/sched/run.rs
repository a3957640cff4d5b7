//! A run: one call from outside, with everything that begins and ends with it.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::{Context, Waker};

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::Engine;
use super::light::Light;
use crate::cosocket::{Defaults, Heritage, ReadingDefaults};
#[cfg(feature = "http")]
use crate::ffi::{Kept, Thread};
#[cfg(feature = "http")]
use crate::http::Guest;
use crate::phase::Phase;
use crate::settings::Resolve;

/// A run.
pub(crate) struct Run {
    engine: Rc<Engine>,
    kind: RunKind,
    phase: Phase,
    /// The request it works for.
    #[cfg(feature = "http")]
    guest: Option<Guest>,
    /// `ngx.ctx` of a run without a request.
    #[cfg(feature = "http")]
    own_ctx: RefCell<Option<Rc<Kept>>>,
    /// What runs when the client leaves.
    #[cfg(feature = "http")]
    on_abort: RefCell<OnAbort>,
    /// The light threads by the ids of their Lua threads, ended ones too.
    pub(super) lights: RefCell<FxHashMap<usize, Rc<Light>>>,
    /// Light threads that have not ended.
    live: Cell<usize>,
    /// Who looks after the run while it waits.
    watcher: RefCell<Option<Waker>>,
    /// Somebody has ended the run (`ngx.exit` and its like).
    exited: Cell<bool>,
    /// What a timer has of the request that made it.
    heritage: Option<Rc<Heritage>>,
    /// What ends with the run, if it works for no request.
    endings: Endings,
    /// It has, or had, something of the above: few runs do.
    is_used: Cell<bool>,
}

/// Whether a run may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunKind {
    /// It goes through to its end at once.
    Blocking,
    /// It may wait for whatever it likes.
    Waiting,
}

/// What `ngx.on_abort` has left.
#[cfg(feature = "http")]
#[derive(Default)]
enum OnAbort {
    #[default]
    Nothing,
    /// A thread with the callback, and who has asked for it.
    Callback(Thread, usize),
    /// The client has left, and the callback was begun.
    Begun,
}

/// What has to end with a run, or with the request that runs work for.
#[derive(Default)]
pub(crate) struct Endings {
    /// There is something to end.
    any: Cell<bool>,
    /// What belongs to it, and is kept for it.
    own: RefCell<SmallVec<[Rc<dyn Ending>; 2]>>,
    /// What scripts keep and it uses.
    adopted: RefCell<Vec<Weak<dyn Ending>>>,
}

/// Tells endings apart: what knows one of these is told when they are over. The default is nobody's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EndingsId(usize);

/// Something that must not outlive the run or request that made it.
pub(crate) trait Ending {
    /// The time of `of` is over.
    fn end(self: Rc<Self>, of: EndingsId);
}

impl Run {
    pub(super) fn new(engine: &Rc<Engine>, purpose: Purpose) -> Self {
        Self {
            engine: Rc::clone(engine),
            kind: purpose.kind,
            phase: purpose.phase,
            #[cfg(feature = "http")]
            guest: purpose.guest,
            #[cfg(feature = "http")]
            own_ctx: RefCell::default(),
            #[cfg(feature = "http")]
            on_abort: RefCell::default(),
            lights: RefCell::default(),
            live: Cell::new(0),
            watcher: RefCell::default(),
            exited: Cell::new(false),
            is_used: Cell::new(purpose.heritage.is_some()),
            heritage: purpose.heritage,
            endings: Endings::default(),
        }
    }

    /// Makes a run that has ended one for something else.
    #[cfg(feature = "http")]
    #[inline]
    pub(super) fn renew(&mut self, purpose: Purpose) {
        self.kind = purpose.kind;
        self.phase = purpose.phase;
        self.guest = purpose.guest;
        if purpose.heritage.is_some() {
            self.heritage = purpose.heritage;
            self.is_used.set(true);
        }
    }

    /// Lets go of all that a run that has ended still knows.
    #[cfg(feature = "http")]
    #[inline]
    pub(super) fn forget(&mut self) {
        self.guest = None;
        if self.is_used.get() {
            self.forget_all();
        }
    }

    #[cfg(feature = "http")]
    #[cold]
    fn forget_all(&mut self) {
        let Self {
            engine: _,
            kind: _,
            phase: _,
            guest: _,
            own_ctx,
            on_abort,
            lights,
            live,
            watcher,
            exited,
            heritage,
            endings,
            is_used,
        } = self;
        *own_ctx.get_mut() = None;
        *on_abort.get_mut() = OnAbort::Nothing;
        lights.get_mut().clear();
        *live.get_mut() = 0;
        *watcher.get_mut() = None;
        *exited.get_mut() = false;
        *heritage = None;
        endings.end();
        *is_used.get_mut() = false;
    }

    pub(crate) fn engine(&self) -> &Rc<Engine> {
        &self.engine
    }

    pub(crate) fn kind(&self) -> RunKind {
        self.kind
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// The request it works for.
    #[cfg(feature = "http")]
    pub(crate) fn guest(&self) -> Option<&Guest> {
        self.guest.as_ref()
    }

    /// `ngx.ctx` of a run without a request.
    #[cfg(feature = "http")]
    pub(crate) fn own_ctx(&self) -> &RefCell<Option<Rc<Kept>>> {
        self.is_used.set(true);
        &self.own_ctx
    }

    /// Keeps what is to run as a light thread when the client leaves; false if there is such a thing
    /// already. `parent` is the thread that asks for it.
    #[cfg(feature = "http")]
    pub(crate) fn set_on_abort(&self, callback: Thread, parent: usize) -> bool {
        let mut on_abort = self.on_abort.borrow_mut();
        if !matches!(*on_abort, OnAbort::Nothing) {
            return false;
        }
        self.is_used.set(true);
        *on_abort = OnAbort::Callback(callback, parent);
        true
    }

    /// Whether there is something to run when the client leaves, or was.
    #[cfg(feature = "http")]
    pub(crate) fn has_on_abort(&self) -> bool {
        !matches!(*self.on_abort.borrow(), OnAbort::Nothing)
    }

    /// Begins what is to run when the client leaves; false if there is nothing.
    #[cfg(feature = "http")]
    pub(crate) fn begin_on_abort(self: &Rc<Self>) -> bool {
        if !self.has_on_abort() {
            return false;
        }
        let on_abort = self.on_abort.replace(OnAbort::Begun);
        if let OnAbort::Callback(thread, parent) = on_abort {
            Light::new(self, thread, parent).begin();
        }
        true
    }

    /// Has the task of the run look at what it waits for: a light thread, which is a task of its
    /// own, has left something to do.
    #[cfg(feature = "http")]
    pub(crate) fn nudge(&self) {
        self.wake();
    }

    /// Ends the run as soon as its threads yield: none of them goes on.
    pub(crate) fn exit(&self) {
        self.is_used.set(true);
        self.exited.set(true);
        self.wake();
    }

    /// What ends with the request that the run works for, else with the run. Sockets belong to it:
    /// what has the same one may use them.
    #[inline]
    pub(crate) fn endings(&self) -> &Endings {
        #[cfg(feature = "http")]
        if let Some(guest) = &self.guest {
            return &guest.state.endings;
        }
        self.is_used.set(true);
        &self.endings
    }

    /// What sockets begin with here.
    pub(crate) fn socket_defaults(&self) -> Defaults {
        #[cfg(feature = "http")]
        if let Some(guest) = &self.guest {
            return crate::http::sockets::defaults(&guest.request);
        }
        match &self.heritage {
            Some(heritage) => heritage.sockets,
            None => self.engine.settings().into(),
        }
    }

    /// What a receive begins with here: a part of [`socket_defaults`](Self::socket_defaults).
    #[inline]
    pub(crate) fn reading_defaults(&self) -> ReadingDefaults {
        #[cfg(feature = "http")]
        if let Some(guest) = &self.guest {
            return crate::http::sockets::reading_defaults(&guest.request);
        }
        self.socket_defaults().into()
    }

    /// Who knows the addresses of names here.
    pub(crate) fn resolver(&self) -> Option<Rc<dyn Resolve>> {
        #[cfg(feature = "http")]
        if let Some(guest) = &self.guest {
            return crate::http::sockets::resolver(&guest.request);
        }
        match &self.heritage {
            Some(heritage) => heritage.resolver.clone(),
            None => self.engine.settings().resolver.clone(),
        }
    }

    /// What a timer that is made here takes with it.
    pub(super) fn heritage(&self) -> Option<Rc<Heritage>> {
        #[cfg(feature = "http")]
        if self.guest.is_some() {
            return Some(Rc::new(Heritage {
                sockets: self.socket_defaults(),
                resolver: self.resolver(),
            }));
        }
        self.heritage.clone()
    }

    pub(super) fn light_began(&self) {
        self.is_used.set(true);
        self.live.set(self.live.get() + 1);
    }

    pub(super) fn light_ended(&self) {
        self.live.set(self.live.get().saturating_sub(1));
        if self.live.get() == 0 {
            self.wake();
        }
    }

    /// Whether no light thread goes on.
    pub(super) fn is_quiet(&self) -> bool {
        self.live.get() == 0
    }

    /// Whether there are light threads, or were: they are tasks of their own, and may leave something
    /// for the run's.
    pub(super) fn has_lights(&self) -> bool {
        !self.lights.borrow().is_empty()
    }

    /// Whether somebody has ended the run.
    pub(super) fn has_exited(&self) -> bool {
        self.exited.get()
    }

    /// Remembers the task that is to look at the run when something of it has ended.
    pub(super) fn watch(&self, cx: &Context<'_>) {
        self.is_used.set(true);
        let mut watcher = self.watcher.borrow_mut();
        match &*watcher {
            Some(known) if known.will_wake(cx.waker()) => {}
            _ => *watcher = Some(cx.waker().clone()),
        }
    }

    fn wake(&self) {
        if let Some(watcher) = &*self.watcher.borrow() {
            watcher.wake_by_ref();
        }
    }

    /// Ends what belongs to the run.
    #[inline]
    pub(super) fn close(&self) {
        if self.is_used.get() {
            self.close_all();
        }
    }

    #[inline(never)]
    fn close_all(&self) {
        #[cfg(feature = "http")]
        drop(self.on_abort.replace(OnAbort::Begun));
        if !self.lights.borrow().is_empty() {
            let lights = self.lights.take();
            for light in lights.values() {
                light.end();
            }
        }
        self.endings.end();
    }
}

impl Endings {
    /// Who this is for what it has adopted or keeps.
    #[inline]
    pub(crate) fn id(&self) -> EndingsId {
        EndingsId(std::ptr::from_ref(self).addr())
    }

    /// Ends `thing` with the others, if somebody still has it then.
    pub(crate) fn adopt(&self, thing: Weak<dyn Ending>) {
        self.any.set(true);
        let mut all = self.adopted.borrow_mut();
        // A run that goes on for days must not remember all sockets that it ever had.
        if all.len() == all.capacity() {
            all.retain(|thing| thing.strong_count() > 0);
        }
        all.push(thing);
    }

    /// Keeps `thing`, and ends it with the others.
    pub(crate) fn keep(&self, thing: Rc<dyn Ending>) {
        self.any.set(true);
        self.own.borrow_mut().push(thing);
    }

    /// How many things it keeps.
    pub(crate) fn kept(&self) -> usize {
        self.own.borrow().len()
    }

    /// Ends all that was adopted or kept.
    #[inline]
    pub(crate) fn end(&self) {
        if self.any.take() {
            self.end_all();
        }
    }

    #[inline(never)]
    fn end_all(&self) {
        while let Some(thing) = self.last_own() {
            thing.end(self.id());
        }
        if !self.adopted.borrow().is_empty() {
            let adopted = self.adopted.take();
            for thing in adopted.iter().filter_map(Weak::upgrade) {
                thing.end(self.id());
            }
        }
    }

    fn last_own(&self) -> Option<Rc<dyn Ending>> {
        self.own.borrow_mut().pop()
    }
}

impl Drop for Endings {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a new run is for.
pub(crate) struct Purpose {
    pub(crate) kind: RunKind,
    pub(crate) phase: Phase,
    #[cfg(feature = "http")]
    pub(crate) guest: Option<Guest>,
    pub(crate) heritage: Option<Rc<Heritage>>,
}

impl Purpose {
    pub(crate) fn new(kind: RunKind, phase: Phase) -> Self {
        Self {
            kind,
            phase,
            #[cfg(feature = "http")]
            guest: None,
            heritage: None,
        }
    }
}
