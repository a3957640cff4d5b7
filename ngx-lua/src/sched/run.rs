//! A run: one call from outside, with everything that begins and ends with it.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};

use mlua::{Function, MultiValue};
use ngx_core::log::{self, LogScope};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use tokio::sync::Notify;

use super::Engine;
use super::lane::{self, Lane, Step};
use super::light::Light;
use crate::cosocket::{Defaults, Heritage};
use crate::error::object_text;
use crate::ffi::Thread;
#[cfg(feature = "http")]
use crate::ffi::{Exhausted, Kept};
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
    scope: Option<Rc<dyn LogScope>>,
    /// The light threads by the ids of their Lua threads, ended ones too.
    pub(super) lights: RefCell<FxHashMap<usize, Rc<Light>>>,
    /// Light threads that have not ended.
    live: Cell<usize>,
    quiet: Notify,
    /// Somebody has ended the run (`ngx.exit` and its like).
    exited: Cell<bool>,
    /// What a timer has of the request that made it.
    heritage: Option<Rc<Heritage>>,
    /// What sockets begin with, once somebody has asked.
    socket_defaults: OnceCell<Defaults>,
    /// What ends with the run, if it works for no request.
    endings: OnceCell<Rc<Endings>>,
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
pub(crate) struct Endings(RefCell<SmallVec<[Weak<dyn Ending>; 2]>>);

/// Something that must not outlive the run or request that made it.
pub(crate) trait Ending {
    /// Its time is over.
    fn end(&self);
}

/// Why a run failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) traceback: String,
}

impl Failure {
    /// Message and stack as they stand in the error log.
    pub(crate) fn text(&self) -> String {
        let stack = self.traceback.strip_prefix("stack traceback:");
        let stack = stack.unwrap_or(&self.traceback);
        format!("{}\nstack traceback:\ncoroutine 0:{stack}", self.message)
    }
}

impl Run {
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
        self.quiet.notify_waiters();
    }

    /// Ends the run as soon as its threads yield: none of them goes on.
    pub(crate) fn exit(&self) {
        self.exited.set(true);
        self.quiet.notify_waiters();
    }

    /// What log lines of the run are about.
    pub(super) fn scope(&self) -> Option<Rc<dyn LogScope>> {
        self.scope.clone()
    }

    /// What ends with the request that the run works for, else with the run. Sockets belong to it:
    /// what has the same one may use them.
    pub(crate) fn endings(&self) -> &Rc<Endings> {
        #[cfg(feature = "http")]
        if let Some(guest) = &self.guest {
            return guest.state.endings.get_or_init(Rc::default);
        }
        self.endings.get_or_init(Rc::default)
    }

    /// What sockets begin with here.
    pub(crate) fn socket_defaults(&self) -> &Defaults {
        self.socket_defaults.get_or_init(|| {
            #[cfg(feature = "http")]
            if let Some(guest) = &self.guest {
                return crate::http::sockets::defaults(&guest.request);
            }
            match &self.heritage {
                Some(heritage) => heritage.sockets,
                None => self.engine.settings().into(),
            }
        })
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
                sockets: *self.socket_defaults(),
                resolver: self.resolver(),
            }));
        }
        self.heritage.clone()
    }

    pub(super) fn light_began(&self) {
        self.live.set(self.live.get() + 1);
    }

    pub(super) fn light_ended(&self) {
        self.live.set(self.live.get().saturating_sub(1));
        if self.live.get() == 0 {
            self.quiet.notify_waiters();
        }
    }

    /// Waits until all light threads have ended, or one has ended the run.
    async fn quiet(&self) {
        while self.live.get() > 0 && !self.exited.get() {
            self.quiet.notified().await;
        }
    }

    /// Waits until a light thread ends the run.
    async fn exited(&self) {
        while !self.exited.get() {
            self.quiet.notified().await;
        }
    }

    fn close(&self) {
        #[cfg(feature = "http")]
        drop(self.on_abort.replace(OnAbort::Begun));
        let lights = std::mem::take(&mut *self.lights.borrow_mut());
        for light in lights.values() {
            light.end();
        }
        if let Some(endings) = self.endings.get() {
            endings.end();
        }
    }
}

impl Endings {
    /// Ends `thing` with the others, if somebody still has it then.
    pub(crate) fn adopt(&self, thing: Weak<dyn Ending>) {
        let mut all = self.0.borrow_mut();
        // A run that goes on for days must not remember all sockets that it ever had.
        if all.len() == all.capacity() {
            all.retain(|thing| thing.strong_count() > 0);
        }
        all.push(thing);
    }

    fn end(&self) {
        let all = std::mem::take(&mut *self.0.borrow_mut());
        for thing in all.iter().filter_map(Weak::upgrade) {
            thing.end();
        }
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

/// The entry thread of a run. Dropping it ends the run, wherever it stands.
pub(crate) struct Entry {
    lane: Rc<Lane>,
}

/// How a run ended that did not fail.
#[cfg(feature = "http")]
pub(crate) enum Ended {
    /// The entry thread has returned, and all light threads.
    Returned,
    /// Somebody has ended the run.
    Exited,
}

/// What is left of a run that did not fail.
enum Left {
    /// The entry thread, with its results on its stack.
    Results(Rc<Thread>),
    /// Nothing: somebody has ended the run.
    Nothing,
}

/// How far a run came without waiting.
#[cfg(feature = "http")]
pub(crate) enum Begun {
    Over(Result<Ended, Failure>),
    /// Go on with [`Waiting::finish`].
    Waiting(Waiting),
}

/// A run that waits for something.
#[cfg(feature = "http")]
pub(crate) struct Waiting {
    entry: Entry,
    step: Option<Step>,
}

impl Entry {
    /// Prepares a run of `function`.
    pub(crate) fn new(
        engine: &Rc<Engine>,
        purpose: Purpose,
        function: &Function,
        arguments: MultiValue,
    ) -> mlua::Result<Self> {
        let thread = engine.raw().launch(function, arguments)?;
        Ok(Self::with_thread(engine, purpose, thread))
    }

    /// Prepares a run of a function without arguments.
    #[cfg(feature = "http")]
    pub(crate) fn of_kept(
        engine: &Rc<Engine>,
        purpose: Purpose,
        function: &Kept,
    ) -> Result<Self, Exhausted> {
        let thread = engine.raw().start(function)?;
        Ok(Self::with_thread(engine, purpose, thread))
    }

    /// Prepares a run of what stands on `thread`.
    pub(crate) fn with_thread(engine: &Rc<Engine>, purpose: Purpose, thread: Thread) -> Self {
        let run = Rc::new(Run {
            engine: Rc::clone(engine),
            kind: purpose.kind,
            phase: purpose.phase,
            #[cfg(feature = "http")]
            guest: purpose.guest,
            #[cfg(feature = "http")]
            own_ctx: RefCell::default(),
            #[cfg(feature = "http")]
            on_abort: RefCell::default(),
            scope: log::current(),
            lights: RefCell::default(),
            live: Cell::new(0),
            quiet: Notify::new(),
            exited: Cell::new(false),
            heritage: purpose.heritage,
            socket_defaults: OnceCell::new(),
            endings: OnceCell::new(),
        });
        Self {
            lane: Lane::new(run, Rc::new(thread)),
        }
    }

    /// Runs to the end, without waiting.
    pub(crate) fn block(self) -> Result<MultiValue, Failure> {
        loop {
            match self.lane.step() {
                Step::Finished(thread) => return self.results(thread),
                Step::Failed(thread) => return Err(failure(&thread)),
                Step::Exited => return Ok(MultiValue::new()),
                // A function of the program's that yields by itself is told to go on.
                Step::Pause => {}
                _ => return Err(exhausted()),
            }
        }
    }

    /// Runs until it ends, with all light threads, or has to wait.
    #[cfg(feature = "http")]
    pub(crate) fn begin(self) -> Begun {
        match self.lane.step() {
            Step::Finished(thread) if self.lane.run().live.get() == 0 => {
                self.retire(thread);
                Begun::Over(Ok(Ended::Returned))
            }
            Step::Failed(thread) => Begun::Over(Err(failure(&thread))),
            Step::Exhausted => Begun::Over(Err(exhausted())),
            Step::Exited => Begun::Over(Ok(Ended::Exited)),
            step => Begun::Waiting(Waiting {
                entry: self,
                step: Some(step),
            }),
        }
    }

    /// Runs to the end of the entry thread and of all its light threads.
    pub(crate) async fn finish(self) -> Result<MultiValue, Failure> {
        match self.drive(None).await? {
            Left::Results(thread) => self.results(thread),
            Left::Nothing => Ok(MultiValue::new()),
        }
    }

    async fn drive(&self, first: Option<Step>) -> Result<Left, Failure> {
        let run = Rc::clone(self.lane.run());
        tokio::select! {
            biased;
            ended = self.lane.drive(first) => match ended {
                lane::Ended::Finished(thread) => {
                    run.quiet().await;
                    Ok(if run.exited.get() {
                        Left::Nothing
                    } else {
                        Left::Results(thread)
                    })
                }
                lane::Ended::Exited => Ok(Left::Nothing),
                lane::Ended::Failed(thread) => Err(failure(&thread)),
                lane::Ended::Exhausted => Err(exhausted()),
            },
            () = run.exited() => Ok(Left::Nothing),
        }
    }

    /// Takes the results, and gives the thread back.
    fn results(&self, thread: Rc<Thread>) -> Result<MultiValue, Failure> {
        let results = thread.take(thread.count());
        self.retire(thread);
        results.map_err(|error| Failure {
            message: error.to_string(),
            traceback: String::new(),
        })
    }

    /// Gives a thread that has returned back, whatever it has returned.
    fn retire(&self, thread: Rc<Thread>) {
        self.lane.close();
        if let Some(thread) = Rc::into_inner(thread) {
            thread.recycle();
        }
    }
}

#[cfg(feature = "http")]
impl Waiting {
    #[cfg(feature = "http")]
    pub(crate) fn run(&self) -> &Rc<Run> {
        self.entry.lane.run()
    }

    /// Runs to the end.
    pub(crate) async fn finish(mut self) -> Result<Ended, Failure> {
        let first = self.step.take();
        Ok(match self.entry.drive(first).await? {
            Left::Results(thread) => {
                self.entry.retire(thread);
                Ended::Returned
            }
            Left::Nothing => Ended::Exited,
        })
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.lane.close();
        self.lane.run().close();
    }
}

/// What a thread raised.
pub(super) fn failure(thread: &Thread) -> Failure {
    let traceback = thread.traceback();
    let object = thread
        .take(1)
        .ok()
        .and_then(|mut objects| objects.pop_front());
    Failure {
        message: object.map_or_else(|| "not enough memory".to_owned(), |o| object_text(&o)),
        traceback,
    }
}

fn exhausted() -> Failure {
    Failure {
        message: "not enough memory".to_owned(),
        traceback: String::new(),
    }
}
