//! What a handler or a filter answers: it never blocks, it returns at once.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// A future that a handler or filter waits on. It is boxed only when something really waits.
///
/// It is polled on the worker thread that runs the request, so it need not be `Send`.
pub type Waiting<T> = Pin<Box<dyn Future<Output = Step<T>>>>;

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
    /// Call back when the future is ready; its output is the answer.
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
        Self::Wait(future)
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
