//! A run: one call from outside, with everything that begins and ends with it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use mlua::{Function, MultiValue};
use ngx_core::log::{self, LogScope};
use tokio::sync::Notify;

use super::Engine;
use super::lane::{Ended, Lane, Step};
use super::light::Light;
use crate::error::object_text;
use crate::ffi::Thread;

/// A run.
pub(crate) struct Run {
    engine: Rc<Engine>,
    kind: RunKind,
    scope: Option<Rc<dyn LogScope>>,
    /// The light threads by the ids of their Lua threads, ended ones too.
    pub(super) lights: RefCell<HashMap<usize, Rc<Light>>>,
    /// Light threads that have not ended.
    live: Cell<usize>,
    quiet: Notify,
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

impl Run {
    pub(crate) fn engine(&self) -> &Rc<Engine> {
        &self.engine
    }

    pub(crate) fn kind(&self) -> RunKind {
        self.kind
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

    /// Waits until all light threads have ended.
    async fn quiet(&self) {
        while self.live.get() > 0 {
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

/// The entry thread of a run. Dropping it ends the run, wherever it stands.
pub(crate) struct Entry {
    lane: Rc<Lane>,
}

impl Entry {
    /// Prepares a run of `function`.
    pub(crate) fn new(
        engine: &Rc<Engine>,
        kind: RunKind,
        function: &Function,
        arguments: MultiValue,
    ) -> mlua::Result<Self> {
        let thread = engine.raw().launch(function, arguments)?;
        Ok(Self::with_thread(engine, kind, thread))
    }

    /// Prepares a run of what stands on `thread`.
    pub(super) fn with_thread(engine: &Rc<Engine>, kind: RunKind, thread: Thread) -> Self {
        let run = Rc::new(Run {
            engine: Rc::clone(engine),
            kind,
            scope: log::current(),
            lights: RefCell::default(),
            live: Cell::new(0),
            quiet: Notify::new(),
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
                // A function of the program's that yields by itself is told to go on.
                Step::Pause => {}
                _ => return Err(exhausted()),
            }
        }
    }

    /// Runs to the end of the entry thread and of all its light threads.
    pub(crate) async fn finish(self) -> Result<MultiValue, Failure> {
        match self.lane.drive().await {
            Ended::Finished(thread) => {
                let results = self.results(thread);
                self.lane.run().quiet().await;
                results
            }
            Ended::Failed(thread) => Err(failure(&thread)),
            Ended::Exhausted => Err(exhausted()),
        }
    }

    /// Takes the results, and gives the thread back.
    fn results(&self, thread: Rc<Thread>) -> Result<MultiValue, Failure> {
        let results = thread.take(thread.count());
        self.lane.close();
        if let Some(thread) = Rc::into_inner(thread) {
            thread.recycle();
        }
        results.map_err(|error| Failure {
            message: error.to_string(),
            traceback: String::new(),
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
