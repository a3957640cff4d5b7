//! The memory of requests: what one has used, the next one uses again.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Inner, Parts, Request, Sent, UriIs};

thread_local! {
    /// Storage of requests that have ended. Bounded: a burst must not be kept for ever.
    static SPARE: RefCell<Vec<Rc<Inner>>> = const { RefCell::new(Vec::new()) };
}
const SPARE_MAX: usize = 64;

/// What a request that has ended has left. Nobody else has a handle to it.
pub(super) fn take() -> Option<Rc<Inner>> {
    SPARE.with_borrow_mut(Vec::pop)
}

impl Drop for Request {
    #[inline]
    fn drop(&mut self) {
        if Rc::strong_count(&self.0) == 1 {
            give(&mut self.0);
        }
    }
}

/// Keeps the memory of a request that has ended for the next one.
fn give(inner: &mut Rc<Inner>) {
    let Some(own) = Rc::get_mut(inner) else {
        return;
    };
    own.reset();
    // The thread may be ending, and its storage gone.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < SPARE_MAX {
            spare.push(Rc::clone(inner));
        }
    });
}

impl Inner {
    /// Forgets everything: the next request must not seem to have anything of this one.
    fn reset(&mut self) {
        let Self {
            generation,
            // A few facts about a client; the next request has its own.
            peer: _,
            downstream,
            // Given to each request when it begins.
            server: _,
            location: _,
            content: _,
            internal,
            started: _,
            sent,
            limit_rate,
            pipelined,
            uri,
            parts,
        } = self;
        parts.reset();
        *downstream.get_mut() = None;
        internal.set(false);
        *sent = Sent::default();
        limit_rate.set(None);
        pipelined.set(false);
        uri.set(UriIs::default());
        // Last: what modules have kept may still look at it.
        *generation = None;
    }
}

impl Parts {
    /// Forgets everything.
    fn reset(&mut self) {
        let Self {
            head,
            path,
            args,
            captures,
            contexts,
            log_upstream,
            // Emptied when it is known how many there are.
            cells: _,
            response,
            engine,
            output,
            body,
        } = self;
        head.get_mut().clear();
        path.get_mut().clear();
        args.get_mut().clear();
        captures.get_mut().clear();
        if !contexts.get_mut().is_empty() {
            super::Contexts::rest(contexts);
        }
        *log_upstream.get_mut() = None;
        response.reset();
        engine.reset();
        output.reset();
        body.reset();
    }
}
