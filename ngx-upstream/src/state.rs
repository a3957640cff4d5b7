//! Where an exchange stands.

use crate::protocol::Reuse;

/// The state of an exchange.
///
/// ```text
///        create            ready            finish
///  Idle --------> Head -------------> Body --------> Done --+
///                 ^  |  \              |                    |
///           retry |  |   \ upgrade     | fail               | finalize
///                 |  |    `--> Tunnel  |                    v
///                 |  | fail      |     |                 Finalized
///                 |  v           |     v                    ^
///               Failed <---------+-----+                    |
///                 |                                         |
///                 +-------------- finalize -----------------+
/// ```
///
/// `finalize` may come from any state but `Idle` and `Finalized`. Every verb answers whether the
/// arrow existed; if it did not, nothing changed.
#[derive(Debug)]
pub(crate) struct State {
    inner: Inner,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Inner {
    /// Nothing was asked of the protocol yet.
    Idle,
    /// The request is made; the head of the response is awaited.
    Head,
    /// The head was handed out; the body is awaited.
    Body,
    /// The head was handed out; bytes pass unseen.
    Tunnel,
    /// The response is complete.
    Done(Reuse),
    /// This try failed; the exchange may still be retried.
    Failed,
    /// `finalize_request` was called.
    Finalized,
}

impl State {
    pub(crate) fn new() -> Self {
        Self { inner: Inner::Idle }
    }

    pub(crate) fn create(&mut self) -> bool {
        self.step(Inner::Idle, Inner::Head)
    }

    pub(crate) fn ready(&mut self) -> bool {
        self.step(Inner::Head, Inner::Body)
    }

    pub(crate) fn upgrade(&mut self) -> bool {
        self.step(Inner::Head, Inner::Tunnel)
    }

    pub(crate) fn finish(&mut self, reuse: Reuse) -> bool {
        self.step(Inner::Body, Inner::Done(reuse))
    }

    /// A try failed. Without effect on what has not begun or is over.
    pub(crate) fn fail(&mut self) -> bool {
        let running = matches!(self.inner, Inner::Head | Inner::Body | Inner::Tunnel);
        if running {
            self.inner = Inner::Failed;
        }
        running
    }

    pub(crate) fn retry(&mut self) -> bool {
        self.step(Inner::Failed, Inner::Head)
    }

    pub(crate) fn finalize(&mut self) -> bool {
        let begun = !matches!(self.inner, Inner::Idle | Inner::Finalized);
        if begun {
            self.inner = Inner::Finalized;
        }
        begun
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.inner == Inner::Idle
    }

    pub(crate) fn is_head(&self) -> bool {
        self.inner == Inner::Head
    }

    pub(crate) fn is_body(&self) -> bool {
        self.inner == Inner::Body
    }

    pub(crate) fn is_tunnel(&self) -> bool {
        self.inner == Inner::Tunnel
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.inner == Inner::Failed
    }

    pub(crate) fn done(&self) -> Option<Reuse> {
        match self.inner {
            Inner::Done(reuse) => Some(reuse),
            _ => None,
        }
    }

    fn step(&mut self, from: Inner, to: Inner) -> bool {
        let allowed = self.inner == from;
        if allowed {
            self.inner = to;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_of_the_diagram() {
        let mut state = State::new();
        assert!(!state.finalize() && !state.retry() && !state.ready() && !state.fail());
        assert!(state.create() && !state.create());
        assert!(state.ready() && !state.upgrade());
        assert!(state.fail() && !state.fail());
        assert!(state.retry() && state.is_head());
        assert!(state.ready() && state.finish(Reuse::Keep));
        assert_eq!(state.done(), Some(Reuse::Keep));
        assert!(!state.fail() && !state.retry());
        assert!(state.finalize() && !state.finalize());
    }
}
