//! What Lua keeps for a request.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ngx_core::http::{CtxSlot, Request};

use super::answer::Answer;
use crate::ffi::Kept;

/// A request as its Lua code sees it.
#[derive(Clone)]
pub(crate) struct Guest {
    pub(crate) request: Request,
    pub(crate) state: Rc<State>,
}

/// What Lua keeps for a request, up to an internal redirect.
#[derive(Default)]
pub(crate) struct State {
    /// `ngx.ctx`
    pub(crate) ctx: RefCell<Option<Rc<Kept>>>,
    /// How far the response has come.
    pub(crate) answer: Answer,
    /// The status that `ngx.exit` or its like has ended the run with.
    pub(crate) exit: Cell<Option<i32>>,
    /// Where `ngx.exec` wants to go on.
    pub(crate) exec: RefCell<Option<Exec>>,
}

/// `ngx.exec`: a path with arguments, or the name of a location that begins with `@`.
pub(crate) struct Exec {
    pub(crate) uri: Vec<u8>,
    pub(crate) args: Vec<u8>,
}

static STATE: CtxSlot<State> = CtxSlot::new();

impl Guest {
    /// The request with what Lua keeps for it; made when first asked for.
    pub(super) fn of(request: &Request) -> Self {
        let state = request.ctx(&STATE).unwrap_or_else(|| {
            let state = Rc::new(State::default());
            request.set_ctx(&STATE, Rc::clone(&state));
            state
        });
        Self {
            request: request.clone(),
            state,
        }
    }
}
