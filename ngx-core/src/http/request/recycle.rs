//! The memory of requests: what one has used, the next one uses again.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Inner, Marks, Parts, Request, Sent, Started};
use crate::http::downstream::{Downstream, Peer};
use crate::http::generation::Generation;
use crate::http::server::ServerId;

thread_local! {
    /// Storage of requests that have ended. Bounded: a burst must not be kept for ever.
    static SPARE: RefCell<Vec<Rc<Inner>>> = const { RefCell::new(Vec::new()) };
}
const SPARE_MAX: usize = 64;

/// What a request that has ended has left: a request that has not begun, to which nobody has a
/// handle. Its header may be filled in before anything else is known of it.
pub(crate) struct Blank(Rc<Inner>);

impl Blank {
    /// `None` if there is none.
    #[inline]
    pub(crate) fn take() -> Option<Self> {
        SPARE.with_borrow_mut(Vec::pop).map(Self)
    }

    /// What it will have, all of it empty at first.
    #[inline]
    pub(crate) fn parts_mut(&mut self) -> &mut Parts {
        &mut self.inner().parts
    }

    #[inline]
    fn inner(&mut self) -> &mut Inner {
        match Rc::get_mut(&mut self.0) {
            Some(inner) => inner,
            None => unreachable!("nobody else has a handle to it"),
        }
    }

    /// A request for this server.
    #[inline(always)]
    pub(crate) fn begin(
        mut self,
        generation: Rc<Generation>,
        downstream: Rc<dyn Downstream>,
        peer: Rc<Peer>,
        server: ServerId,
    ) -> Request {
        let location = generation.http().server(server).root;
        let variables = generation.http().variables.len();
        let inner = self.inner();
        inner.generation = Some(generation);
        inner.peer = peer;
        *inner.downstream.get_mut() = Some(downstream);
        inner.server.set(server);
        inner.location.set(location);
        inner.content.set(location);
        inner.started = Started::now();
        inner.parts.cells.reset(variables);
        Request(self.0)
    }

    /// It is not needed after all.
    #[cold]
    pub(crate) fn give_back(mut self) {
        self.parts_mut().head_mut().clear();
        keep(self.0);
    }
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
    keep(Rc::clone(inner));
}

#[inline(always)]
fn keep(inner: Rc<Inner>) {
    // The thread may be ending, and its storage gone.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < SPARE_MAX {
            spare.push(inner);
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
            marks,
            started: _,
            sent,
            limit_rate,
            parts,
        } = self;
        parts.reset();
        *downstream.get_mut() = None;
        marks.set(Marks::default());
        *sent = Sent::default();
        limit_rate.set(None);
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
