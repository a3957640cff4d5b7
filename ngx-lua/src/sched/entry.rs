//! The entry of a run: how it begins, goes on and ends.

use std::future::poll_fn;
use std::rc::Rc;
#[cfg(feature = "http")]
use std::task::ready;
use std::task::{Context, Poll};

use mlua::{Function, MultiValue};

use super::Engine;
use super::lane::{self, Lane, Step};
use super::run::{Purpose, Run};
#[cfg(feature = "http")]
use super::spare::Spare;
use crate::error::object_text;
use crate::ffi::Thread;
#[cfg(feature = "http")]
use crate::ffi::{Exhausted, Kept};

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

/// The entry thread of a run. Dropping it ends the run, wherever it stands.
pub(crate) struct Entry {
    lane: Rc<Lane>,
    /// Where what it is made of is kept when it is over.
    #[cfg(feature = "http")]
    home: Option<Rc<Spare>>,
    /// The thread stands in the lane still, ready for the next run.
    #[cfg(feature = "http")]
    rested: bool,
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
pub(crate) struct Waiting {
    /// What it waits for: dropped before the rest is.
    step: Option<Step>,
    /// The entry thread has returned, and light threads go on.
    returned: Option<Rc<Thread>>,
    entry: Entry,
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

    /// Prepares a run of a function without arguments, of what `home` keeps.
    #[cfg(feature = "http")]
    #[inline(always)]
    pub(crate) fn of_kept(
        engine: &Rc<Engine>,
        home: &Rc<Spare>,
        purpose: Purpose,
        function: &Kept,
    ) -> Result<Self, Exhausted> {
        let lane = match home.take() {
            Some(lane) => lane.renew(purpose, function)?,
            None => Self::new_lane(engine, purpose, function)?,
        };
        Ok(Self {
            lane,
            home: Some(Rc::clone(home)),
            rested: false,
        })
    }

    #[cfg(feature = "http")]
    #[cold]
    fn new_lane(
        engine: &Rc<Engine>,
        purpose: Purpose,
        function: &Kept,
    ) -> Result<Rc<Lane>, Exhausted> {
        let thread = Rc::new(engine.raw().thread()?);
        thread.begin_with(function)?;
        Ok(Lane::new(Rc::new(Run::new(engine, purpose)), thread))
    }

    /// Prepares a run of what stands on `thread`.
    pub(crate) fn with_thread(engine: &Rc<Engine>, purpose: Purpose, thread: Thread) -> Self {
        let run = Rc::new(Run::new(engine, purpose));
        Self {
            lane: Lane::new(run, Rc::new(thread)),
            #[cfg(feature = "http")]
            home: None,
            #[cfg(feature = "http")]
            rested: false,
        }
    }

    /// Runs to the end, without waiting.
    pub(crate) fn block(mut self) -> Result<MultiValue, Failure> {
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
    #[inline(always)]
    pub(crate) fn begin(mut self) -> Begun {
        match self.lane.step() {
            Step::Finished(thread) if self.lane.run().is_quiet() => {
                self.retire(thread);
                Begun::Over(Ok(Ended::Returned))
            }
            Step::Failed(thread) => Begun::Over(Err(failure(&thread))),
            Step::Exhausted => Begun::Over(Err(exhausted())),
            Step::Exited => Begun::Over(Ok(Ended::Exited)),
            step => Begun::Waiting(Waiting {
                step: Some(step),
                returned: None,
                entry: self,
            }),
        }
    }

    /// Runs to the end of the entry thread and of all its light threads.
    pub(crate) async fn finish(self) -> Result<MultiValue, Failure> {
        let mut waiting = Waiting {
            step: None,
            returned: None,
            entry: self,
        };
        match poll_fn(|cx| waiting.poll_left(cx)).await? {
            Left::Results(thread) => waiting.entry.results(thread),
            Left::Nothing => Ok(MultiValue::new()),
        }
    }

    /// Takes the results, and gives the thread back.
    fn results(&mut self, thread: Rc<Thread>) -> Result<MultiValue, Failure> {
        let results = thread.take(thread.count());
        self.retire(thread);
        results.map_err(|error| Failure {
            message: error.to_string(),
            traceback: String::new(),
        })
    }

    /// Gives a thread that has returned back, whatever it has returned.
    #[inline]
    fn retire(&mut self, thread: Rc<Thread>) {
        #[cfg(feature = "http")]
        if self.home.is_some() && self.lane.rests(&thread) {
            self.rested = true;
            return;
        }
        self.lane.close();
        if let Some(thread) = Rc::into_inner(thread) {
            thread.recycle();
        }
    }
}

impl Waiting {
    #[cfg(feature = "http")]
    pub(crate) fn run(&self) -> &Rc<Run> {
        self.entry.lane.run()
    }

    /// Goes on until the run ends.
    #[cfg(feature = "http")]
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ended, Failure>> {
        Poll::Ready(match ready!(self.poll_left(cx)) {
            Ok(Left::Results(thread)) => {
                self.entry.retire(thread);
                Ok(Ended::Returned)
            }
            Ok(Left::Nothing) => Ok(Ended::Exited),
            Err(failure) => Err(failure),
        })
    }

    /// Runs to the end.
    #[cfg(feature = "http")]
    pub(crate) async fn finish(mut self) -> Result<Ended, Failure> {
        poll_fn(|cx| self.poll(cx)).await
    }

    #[inline]
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<Result<Left, Failure>> {
        let Self {
            step,
            returned,
            entry,
        } = self;
        let run = entry.lane.run();
        if returned.is_none()
            && let Poll::Ready(ended) = entry.lane.poll_end(step, cx)
        {
            match ended {
                lane::Ended::Finished(thread) => *returned = Some(thread),
                lane::Ended::Exited => return Poll::Ready(Ok(Left::Nothing)),
                lane::Ended::Failed(thread) => return Poll::Ready(Err(failure(&thread))),
                lane::Ended::Exhausted => return Poll::Ready(Err(exhausted())),
            }
        }
        if run.has_exited() {
            return Poll::Ready(Ok(Left::Nothing));
        }
        if run.is_quiet()
            && let Some(thread) = returned.take()
        {
            return Poll::Ready(Ok(Left::Results(thread)));
        }
        if run.has_lights() {
            run.watch(cx);
        }
        Poll::Pending
    }
}

impl Drop for Entry {
    #[inline]
    fn drop(&mut self) {
        #[cfg(feature = "http")]
        let rested = self.rested;
        #[cfg(not(feature = "http"))]
        let rested = false;
        if !rested {
            self.lane.close();
        }
        self.lane.run().close();
        #[cfg(feature = "http")]
        if let Some(home) = &self.home {
            home.keep(&mut self.lane);
        }
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
