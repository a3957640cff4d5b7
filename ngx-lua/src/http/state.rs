//! What Lua keeps for a request.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use ngx_buf::Chain;
use ngx_core::debug;
use ngx_core::http::{CtxSlot, Request, Reused};

use super::answer::Answer;
use super::phases::Going;
use super::vm::Vm;
use crate::ffi::Kept;
use crate::sched::Endings;

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
    pub(crate) exec: RefCell<Option<Box<Exec>>>,
    /// `header_filter_by_lua` has asked for another response.
    pub(super) header_failed: Cell<bool>,
    /// `body_filter_by_lua` has seen or said the end of the body.
    pub(super) body_ended: Cell<bool>,
    /// `ngx.arg`
    pub(super) arg: RefCell<Arg>,
    /// What ends with the request: its sockets.
    pub(crate) endings: Endings,
    /// The VM of this request alone (`lua_code_cache off`).
    pub(super) vm: RefCell<Option<Rc<Vm>>>,
    /// The code of a phase that waits.
    pub(super) going: RefCell<Option<Going>>,
}

impl Reused for State {
    fn forget(&mut self) {
        let Self {
            ctx,
            answer,
            exit,
            exec,
            header_failed,
            body_ended,
            arg,
            endings,
            vm,
            going,
        } = self;
        endings.end();
        *ctx.get_mut() = None;
        answer.forget();
        *exit.get_mut() = None;
        *exec.get_mut() = None;
        *header_failed.get_mut() = false;
        *body_ended.get_mut() = false;
        *arg.get_mut() = Arg::None;
        *vm.get_mut() = None;
        *going.get_mut() = None;
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if self.ctx.get_mut().is_some() {
            debug!("lua release ngx.ctx at ref {:p}", self);
        }
    }
}

/// What `ngx.arg` is, phase by phase.
#[derive(Default)]
pub(super) enum Arg {
    #[default]
    None,
    /// The arguments of `set_by_lua`.
    Set(Vec<Bytes>),
    /// A piece of the response body.
    Body(Box<Piece>),
}

/// A piece of the response body in `body_filter_by_lua`.
pub(super) struct Piece {
    pub(super) chain: Chain,
    /// What Lua has put in its place.
    pub(super) data: Option<Bytes>,
    pub(super) eof: bool,
    pub(super) eof_set: bool,
}

/// `ngx.exec`: a path with arguments, or the name of a location that begins with `@`.
pub(crate) struct Exec {
    pub(crate) uri: Vec<u8>,
    pub(crate) args: Vec<u8>,
}

static STATE: CtxSlot<State> = CtxSlot::reused();

impl Guest {
    /// The request with what Lua keeps for it; made when first asked for.
    #[inline]
    pub(super) fn of(request: &Request) -> Self {
        Self {
            request: request.clone(),
            state: request.ctx_or_default(&STATE),
        }
    }
}
