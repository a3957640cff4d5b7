//! One line of execution: a thread and the coroutines that it runs.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use smallvec::SmallVec;

use super::light::{self, Light};
use super::run::Run;
use super::{Engine, enter};
use crate::ffi::{RawVm, Resumed, Thread, Value, Values, values};

/// Coroutines inside coroutines; a runaway recursion ends here.
const MAX_NESTED: usize = 8192;

/// A future of this thread.
pub(crate) type LocalFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// What a coroutine asks the scheduler for when it yields.
pub(crate) enum Op {
    /// `coroutine.resume`: run this one; its arguments are on the stack, behind itself.
    Resume(Rc<Thread>),
    /// `coroutine.yield`: what it passes is on the stack.
    Yield,
    /// Wait, and return what comes.
    Wait(LocalFuture<Values>),
    /// Start a light thread, and return it.
    Spawn(Rc<Light>),
    /// Wait for one of these, and return what it left.
    Join(Vec<Rc<Light>>),
    /// End the whole run here.
    #[cfg_attr(
        not(feature = "http"),
        expect(dead_code, reason = "requests are ended")
    )]
    Exit,
}

/// A line of execution.
pub(crate) struct Lane {
    run: Rc<Run>,
    /// The bottom is the entry or light thread, the top is what runs.
    stack: RefCell<SmallVec<[Rc<Thread>; 2]>>,
    op: RefCell<Option<Op>>,
}

/// What a lane needs before it can go on.
pub(super) enum Step {
    Wait(LocalFuture<Values>),
    /// `coroutine.yield` at the bottom: others may run.
    Pause,
    Spawn(Rc<Light>),
    Join(Vec<Rc<Light>>),
    /// A coroutine has ended the run.
    Exited,
    /// The bottom thread has returned; its results are on its stack.
    Finished(Rc<Thread>),
    /// The bottom thread has raised; the error object is on top of its stack.
    Failed(Rc<Thread>),
    /// There was no memory to go on.
    Exhausted,
}

/// How the bottom thread of a lane ended.
pub(super) enum Ended {
    Finished(Rc<Thread>),
    Failed(Rc<Thread>),
    Exited,
    Exhausted,
}

impl Lane {
    pub(super) fn new(run: Rc<Run>, bottom: Rc<Thread>) -> Rc<Self> {
        let lane = Rc::new(Self {
            run,
            stack: RefCell::default(),
            op: RefCell::new(None),
        });
        lane.push(bottom);
        lane
    }

    pub(crate) fn run(&self) -> &Rc<Run> {
        &self.run
    }

    pub(crate) fn engine(&self) -> &Rc<Engine> {
        self.run.engine()
    }

    pub(crate) fn vm(&self) -> &Rc<RawVm> {
        self.run.engine().raw()
    }

    /// Leaves what the running coroutine asks for; it has to yield now.
    pub(crate) fn ask(&self, op: Op) {
        *self.op.borrow_mut() = Some(op);
    }

    /// The thread that runs.
    pub(super) fn top_id(&self) -> Option<usize> {
        self.stack.borrow().last().map(|top| top.id())
    }

    pub(super) fn is_bottom(&self) -> bool {
        self.stack.borrow().len() == 1
    }

    pub(super) fn is_full(&self) -> bool {
        self.stack.borrow().len() >= MAX_NESTED
    }

    /// The running thread becomes known to scripts.
    pub(super) fn show_top(&self) {
        if let Some(top) = self.stack.borrow().last() {
            top.show();
        }
    }

    /// Runs until the bottom thread ends, going on behind the `first` step if that was taken.
    ///
    /// Dropping the future drops what the lane waits for; the lane can then only be closed.
    pub(super) async fn drive(self: &Rc<Self>, mut first: Option<Step>) -> Ended {
        loop {
            let answered = match first.take().unwrap_or_else(|| self.step()) {
                Step::Finished(thread) => return Ended::Finished(thread),
                Step::Exited => return Ended::Exited,
                Step::Failed(thread) => return Ended::Failed(thread),
                Step::Exhausted => return Ended::Exhausted,
                Step::Wait(future) => self.answer(future.await),
                Step::Pause => {
                    tokio::task::yield_now().await;
                    self.answer(Values::new())
                }
                Step::Spawn(light) => {
                    let thread = light.start().await;
                    self.answer(values([Value::Thread(thread)]))
                }
                Step::Join(lights) => {
                    let light = light::first_ended(&lights).await;
                    self.answer_with(|top| light.hand_over(top))
                }
            };
            if !answered {
                return Ended::Exhausted;
            }
        }
    }

    /// Runs until something has to be waited for.
    pub(super) fn step(self: &Rc<Self>) -> Step {
        loop {
            let Some(top) = self.top() else {
                return Step::Exhausted;
            };
            let resumed = {
                let _current = enter(self);
                top.resume()
            };
            let op = self.op.borrow_mut().take();
            let went_on = match (resumed, op) {
                (Resumed::Yielded, Some(Op::Resume(inner))) => self.descend(&top, inner),
                (Resumed::Yielded, Some(Op::Wait(future))) => return Step::Wait(future),
                (Resumed::Yielded, Some(Op::Spawn(light))) => return Step::Spawn(light),
                (Resumed::Yielded, Some(Op::Join(lights))) => return Step::Join(lights),
                (Resumed::Yielded, Some(Op::Exit)) => {
                    self.run.exit();
                    return Step::Exited;
                }
                // A C module that yields by itself means its caller, too.
                (Resumed::Yielded, Some(Op::Yield) | None) => {
                    if self.is_bottom() {
                        return Step::Pause;
                    }
                    self.ascend(&top, true, top.count())
                }
                (Resumed::Finished, _) => {
                    if self.is_bottom() {
                        return Step::Finished(top);
                    }
                    self.ascend(&top, true, top.count())
                }
                (Resumed::Failed, _) => {
                    if self.is_bottom() {
                        return Step::Failed(top);
                    }
                    self.ascend(&top, false, 1)
                }
            };
            if !went_on {
                return Step::Exhausted;
            }
        }
    }

    /// Ends the lane wherever it stands.
    pub(super) fn close(&self) {
        let stack = std::mem::take(&mut *self.stack.borrow_mut());
        for thread in &stack {
            self.engine().release(thread.id());
        }
        drop(stack);
        let op = self.op.borrow_mut().take();
        drop(op);
    }

    fn top(&self) -> Option<Rc<Thread>> {
        self.stack.borrow().last().cloned()
    }

    fn push(self: &Rc<Self>, thread: Rc<Thread>) {
        self.engine().occupy(thread.id(), self);
        self.stack.borrow_mut().push(thread);
    }

    fn pop(&self) {
        let popped = self.stack.borrow_mut().pop();
        if let Some(thread) = popped {
            self.engine().release(thread.id());
        }
    }

    /// Goes on in a coroutine that `top` resumes.
    fn descend(self: &Rc<Self>, top: &Rc<Thread>, inner: Rc<Thread>) -> bool {
        // What `inner` yielded last has been handed over: its stack holds a function or nothing.
        let arguments = top.count().saturating_sub(1);
        if top.move_to(&inner, arguments).is_err() {
            top.clear();
            return top
                .push(values([Value::Boolean(false), "stack overflow".into()]))
                .is_ok();
        }
        self.push(inner);
        true
    }

    /// Goes on in the coroutine that resumed `top`, with the `n` values on its top.
    fn ascend(&self, top: &Rc<Thread>, ok: bool, n: usize) -> bool {
        self.pop();
        self.answer_with(|parent| {
            let moved = parent
                .push(values([Value::Boolean(ok)]))
                .and_then(|()| top.move_to(parent, n));
            top.clear();
            moved.is_ok()
        })
    }

    /// Pushes what the running thread waits for.
    fn answer(&self, list: Values) -> bool {
        self.answer_with(|top| top.push(list).is_ok())
    }

    fn answer_with(&self, fill: impl FnOnce(&Thread) -> bool) -> bool {
        let Some(top) = self.top() else { return false };
        top.clear();
        fill(&top)
    }
}
