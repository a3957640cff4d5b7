//! A run: one call from outside, with everything that begins and ends with it.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use mlua::{Function, MultiValue};
use ngx_core::log::{self, LogScope};
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::Engine;
use super::lane::{self, Lane, Step};
use super::light::Light;
use crate::error::object_text;
use crate::ffi::Thread;
#[cfg(feature = "http")]
use crate::ffi::{Exhausted, Kept};
#[cfg(feature = "http")]
use crate::http::Guest;
use crate::phase::Phase;

/// A run.
pub(crate) struct Run {
    engine: Rc<Engine>,
    kind: RunKind,
    phase: Phase,
    /// The request it works for.
    #[cfg(feature = "http")]
    guest: Option<Guest>,
    scope: Option<Rc<dyn LogScope>>,
    /// The light threads by the ids of their Lua threads, ended ones too.
    pub(super) lights: RefCell<FxHashMap<usize, Rc<Light>>>,
    /// Light threads that have not ended.
    live: Cell<usize>,
    quiet: Notify,
    /// Somebody has ended the run (`ngx.exit` and its like).
    exited: Cell<bool>,
    /// What has to end with the run.
    endings: RefCell<Vec<Weak<dyn Ending>>>,
}

/// Whether a run may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunKind {
    /// It goes through to its end at once.
    Blocking,
    /// It may wait for whatever it likes.
    Waiting,
}

/// Something that must not outlive the run that made it.
pub(crate) trait Ending {
    /// The run is over.
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

    /// Ends the run as soon as its threads yield: none of them goes on.
    pub(super) fn exit(&self) {
        self.exited.set(true);
        self.quiet.notify_waiters();
    }

    /// What log lines of the run are about.
    pub(super) fn scope(&self) -> Option<Rc<dyn LogScope>> {
        self.scope.clone()
    }

    /// Ends `thing` with the run, if somebody still has it then.
    pub(crate) fn adopt(&self, thing: Weak<dyn Ending>) {
        let mut endings = self.endings.borrow_mut();
        // A run that goes on for days must not remember all sockets that it ever had.
        if endings.len() == endings.capacity() {
            endings.retain(|thing| thing.strong_count() > 0);
        }
        endings.push(thing);
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
        let lights = std::mem::take(&mut *self.lights.borrow_mut());
        for light in lights.values() {
            light.end();
        }
        let endings = std::mem::take(&mut *self.endings.borrow_mut());
        for thing in endings.iter().filter_map(Weak::upgrade) {
            thing.end();
        }
    }
}

/// What a new run is for.
pub(crate) struct Purpose {
    pub(crate) kind: RunKind,
    pub(crate) phase: Phase,
    #[cfg(feature = "http")]
    pub(crate) guest: Option<Guest>,
}

impl Purpose {
    pub(crate) fn new(kind: RunKind, phase: Phase) -> Self {
        Self {
            kind,
            phase,
            #[cfg(feature = "http")]
            guest: None,
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
            scope: log::current(),
            lights: RefCell::default(),
            live: Cell::new(0),
            quiet: Notify::new(),
            exited: Cell::new(false),
            endings: RefCell::default(),
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
