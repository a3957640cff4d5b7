//! One line of execution: a thread and the coroutines that it runs.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use smallvec::SmallVec;

use super::Engine;
use super::light::{self, Light};
#[cfg(feature = "http")]
use super::run::Purpose;
use super::run::Run;
#[cfg(feature = "http")]
use crate::ffi::{Exhausted, Kept};
use crate::ffi::{RawVm, Resumed, Thread, Value, Values, values, with_lane};

/// Coroutines inside coroutines; a runaway recursion ends here.
const MAX_NESTED: usize = 8192;

/// A future of this thread.
pub(crate) type LocalFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// Something that waits where it is, with no memory but its own.
pub(crate) trait Waits {
    /// Ready when it has answered the call on `to`, which waits for that; false if there was no memory
    /// for it. Not asked again then.
    fn poll_answer(&self, cx: &mut Context<'_>, to: &Thread) -> Poll<bool>;

    /// Nobody waits any more.
    fn leave(&self);
}

/// A stay with something that waits; it is left when this is dropped.
pub(crate) struct Stay(Rc<dyn Waits>);

impl Stay {
    pub(super) fn with(what: Rc<dyn Waits>) -> Self {
        Self(what)
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// What a coroutine asks the scheduler for when it yields.
pub(crate) enum Op {
    /// `coroutine.resume`: run this one; its arguments are on the stack, behind itself.
    Resume(Rc<Thread>),
    /// `coroutine.yield`: what it passes is on the stack.
    Yield,
    /// Wait, and return what comes.
    Wait(LocalFuture<Values>),
    /// The same.
    Stay(Stay),
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
    /// The id of the one that runs.
    top: Cell<usize>,
    op: RefCell<Option<Op>>,
}

/// What a lane needs before it can go on.
pub(super) enum Step {
    Wait(LocalFuture<Values>),
    Stay(Stay),
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
            top: Cell::new(0),
            op: RefCell::new(None),
        });
        lane.push(bottom);
        lane
    }

    /// Lets a lane of [`forget`](Self::forget) begin anew, with a function that waits for its first resume.
    #[cfg(feature = "http")]
    #[inline]
    pub(super) fn renew(
        mut self: Rc<Self>,
        purpose: Purpose,
        function: &Kept,
    ) -> Result<Rc<Self>, Exhausted> {
        // Nobody else has it, nor its run: see `forget`.
        let lane = Rc::get_mut(&mut self).ok_or(Exhausted)?;
        let run = Rc::get_mut(&mut lane.run).ok_or(Exhausted)?;
        let stack = lane.stack.get_mut();
        match stack.last() {
            Some(thread) => thread.begin_with(function)?,
            None => {
                let thread = Rc::new(run.engine().raw().thread()?);
                thread.begin_with(function)?;
                lane.top.set(thread.id());
                stack.push(thread);
            }
        }
        run.renew(purpose);
        Ok(self)
    }

    /// Whether the lane can begin anew with its thread, which has returned and waits for it.
    #[cfg(feature = "http")]
    #[inline]
    pub(super) fn rests(&self, thread: &Rc<Thread>) -> bool {
        // Here, and where it was taken from the lane's end.
        self.is_bottom() && Rc::strong_count(thread) == 2 && thread.rest()
    }

    /// Lets go of all that a lane which was closed and its run still know; false if somebody else
    /// has one of the two.
    #[cfg(feature = "http")]
    #[inline]
    pub(super) fn forget(lane: &mut Rc<Self>) -> bool {
        let known = Rc::get_mut(lane).and_then(|lane| Rc::get_mut(&mut lane.run));
        known.map(Run::forget).is_some()
    }

    /// Gives the thread back that rests here, if there is one.
    #[cfg(feature = "http")]
    pub(super) fn recycle(&self) {
        let thread = self.stack.borrow_mut().pop();
        if let Some(thread) = thread.and_then(Rc::into_inner) {
            thread.recycle();
        }
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

    /// The id of the thread that runs; no thread's if none does.
    pub(super) fn top_id(&self) -> usize {
        self.top.get()
    }

    pub(super) fn is_bottom(&self) -> bool {
        self.stack.borrow().len() == 1
    }

    pub(super) fn is_full(&self) -> bool {
        self.stack.borrow().len() >= MAX_NESTED
    }

    /// The running thread becomes known to scripts.
    pub(super) fn show_top(self: &Rc<Self>) {
        if let Some(top) = self.stack.borrow().last()
            && !top.is_shown()
        {
            top.show();
            self.engine().occupy(top.id(), self);
        }
    }

    /// Goes on behind `step`, or from where the lane stands, until the bottom thread ends.
    ///
    /// What the lane waits for stands in `step` meanwhile: with it dropped, the lane can only be
    /// closed.
    pub(super) fn poll_end(
        self: &Rc<Self>,
        step: &mut Option<Step>,
        cx: &mut Context<'_>,
    ) -> Poll<Ended> {
        loop {
            let answered = match step.take().unwrap_or_else(|| self.step()) {
                Step::Finished(thread) => return Poll::Ready(Ended::Finished(thread)),
                Step::Exited => return Poll::Ready(Ended::Exited),
                Step::Failed(thread) => return Poll::Ready(Ended::Failed(thread)),
                Step::Exhausted => return Poll::Ready(Ended::Exhausted),
                Step::Wait(mut future) => match future.as_mut().poll(cx) {
                    Poll::Ready(list) => {
                        drop(future);
                        self.answer(list)
                    }
                    Poll::Pending => {
                        *step = Some(Step::Wait(future));
                        return Poll::Pending;
                    }
                },
                Step::Stay(stay) => {
                    let Some(top) = self.top() else {
                        return Poll::Ready(Ended::Exhausted);
                    };
                    match stay.0.poll_answer(cx, &top) {
                        Poll::Ready(answered) => answered,
                        Poll::Pending => {
                            *step = Some(Step::Stay(stay));
                            return Poll::Pending;
                        }
                    }
                }
                Step::Pause => {
                    *step = Some(Step::Wait(Box::pin(async {
                        tokio::task::yield_now().await;
                        Values::new()
                    })));
                    true
                }
                Step::Spawn(light) => {
                    *step = Some(Step::Wait(Box::pin(async {
                        values([Value::Thread(light.start().await)])
                    })));
                    true
                }
                Step::Join(lights) => match light::poll_ended(&lights, cx) {
                    Poll::Ready(light) => self.answer_with(|top| light.hand_over(top)),
                    Poll::Pending => {
                        *step = Some(Step::Join(lights));
                        return Poll::Pending;
                    }
                },
            };
            if !answered {
                return Poll::Ready(Ended::Exhausted);
            }
        }
    }

    /// Runs until something has to be waited for.
    pub(super) fn step(self: &Rc<Self>) -> Step {
        loop {
            let Some(top) = self.top() else {
                return Step::Exhausted;
            };
            let resumed = with_lane(self, || top.resume());
            let op = self.op.borrow_mut().take();
            let went_on = match (resumed, op) {
                (Resumed::Yielded, Some(Op::Resume(inner))) => self.descend(&top, inner),
                (Resumed::Yielded, Some(Op::Wait(future))) => return Step::Wait(future),
                (Resumed::Yielded, Some(Op::Stay(stay))) => return Step::Stay(stay),
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
        let depth = self.stack.borrow().len();
        for _ in 0..depth {
            self.pop();
        }
        if self.op.borrow().is_some() {
            let op = self.op.borrow_mut().take();
            drop(op);
        }
    }

    fn top(&self) -> Option<Rc<Thread>> {
        self.stack.borrow().last().cloned()
    }

    /// Puts a thread on top. One that scripts know is known to stand here.
    pub(super) fn push(self: &Rc<Self>, thread: Rc<Thread>) {
        if thread.is_shown() {
            self.engine().occupy(thread.id(), self);
        }
        self.top.set(thread.id());
        self.stack.borrow_mut().push(thread);
    }

    #[inline]
    fn pop(&self) {
        let (popped, top) = {
            let mut stack = self.stack.borrow_mut();
            (stack.pop(), stack.last().map_or(0, |top| top.id()))
        };
        self.top.set(top);
        if let Some(thread) = popped
            && thread.is_shown()
        {
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
        inner.show();
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
        self.top().is_some_and(|top| top.answer(list))
    }

    fn answer_with(&self, fill: impl FnOnce(&Thread) -> bool) -> bool {
        let Some(top) = self.top() else { return false };
        top.clear();
        fill(&top)
    }
}
