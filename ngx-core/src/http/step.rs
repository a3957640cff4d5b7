//! What a handler or a filter answers: it never blocks, it returns at once.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// What a handler or filter waits on: made only when something really waits.
///
/// It is polled on the worker thread that runs the request, so it need not be `Send`. Dropping it
/// ends the waiting.
pub struct Waiting<T>(Way<T>);

enum Way<T> {
    Boxed(Pin<Box<dyn Future<Output = Step<T>>>>),
    Kept(Rc<dyn Waits<T>>),
}

/// Something that waits where it is kept, such as in what a module keeps for the request, so that no
/// memory has to be made for it.
pub trait Waits<T> {
    /// Ready with the answer; it is not asked again then.
    fn poll_step(&self, cx: &mut Context<'_>) -> Poll<Step<T>>;

    /// Nobody waits for the answer any more, or it was given: what is waited for ends.
    fn leave(&self);
}

impl<T> Waiting<T> {
    /// The future, to be polled.
    pub fn as_mut(&mut self) -> Pin<&mut Self> {
        Pin::new(self)
    }
}

impl<T> Future for Waiting<T> {
    type Output = Step<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<T>> {
        match &mut self.0 {
            Way::Boxed(future) => future.as_mut().poll(cx),
            Way::Kept(what) => what.poll_step(cx),
        }
    }
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        if let Way::Kept(what) = &self.0 {
            what.leave();
        }
    }
}

/// The answer of a phase handler, a header filter or a body filter.
///
/// The engine owns the lists of handlers and filters and calls them by index; none of them calls
/// the next one. `T` is what goes on to the next: a [`Verdict`] for a phase handler, nothing for a
/// header filter, a chain for a body filter.
pub enum Step<T> {
    /// Go on with the next handler or filter.
    Next(T),
    /// Nothing more to call: the handler has produced the response or moved the request
    /// elsewhere (an internal redirect); the body filter has kept what it was given.
    Done,
    /// End the request with this status, which may be rendered through `error_page`.
    Finish(u16),
    /// Call back when it is ready; its output is the answer. See [`wait`](Self::wait) and
    /// [`stay`](Self::stay).
    Wait(Waiting<T>),
}

/// What a phase handler that does not end the request says about its phase.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It has no opinion: the next handler of the phase is asked (nginx's `NGX_DECLINED`).
    Declined,
    /// The phase is satisfied: its other handlers are skipped (nginx's `NGX_OK`).
    Accepted,
}

/// The answer of a phase handler.
pub type PhaseStep = Step<Verdict>;

impl<T> Step<T> {
    /// Boxes `future` into [`Step::Wait`].
    #[inline(always)]
    pub fn wait(future: impl Future<Output = Self> + 'static) -> Self {
        // The memory first: so a large future is made where it stays.
        let place = Box::new_uninit();
        let future = Box::into_pin(Box::write(place, future));
        Self::Wait(Waiting(Way::Boxed(future)))
    }

    /// Waits for something that is kept elsewhere.
    pub fn stay(what: Rc<dyn Waits<T>>) -> Self {
        Self::Wait(Waiting(Way::Kept(what)))
    }
}

impl PhaseStep {
    /// The next handler of the phase is asked.
    pub const DECLINED: Self = Self::Next(Verdict::Declined);
    /// The other handlers of the phase are skipped.
    pub const ACCEPTED: Self = Self::Next(Verdict::Accepted);
}

impl<T: fmt::Debug> fmt::Debug for Step<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Next(value) => f.debug_tuple("Next").field(value).finish(),
            Self::Done => f.write_str("Done"),
            Self::Finish(status) => f.debug_tuple("Finish").field(status).finish(),
            Self::Wait(_) => f.write_str("Wait(..)"),
        }
    }
}
