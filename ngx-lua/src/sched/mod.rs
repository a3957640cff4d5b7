//! The scheduler: runs, their threads, and what they wait for.
//!
//! ```text
//!   run        one call from outside: a chunk, a timer
//!   |- lane    its entry thread, with the coroutines that it has resumed and that have not yielded
//!   '- lane    each light thread of ngx.thread.spawn
//! ```
//!
//! Every coroutine is resumed from the scheduler's own level. What a coroutine asks for
//! (`coroutine.resume`, a sleep, bytes from a socket) it leaves in its lane and yields; the lane
//! does it, pushes the results, and resumes again. So everything may wait everywhere, but behind a
//! C function that calls back: there LuaJIT cannot yield.

mod coroutine;
mod engine;
mod entry;
mod lane;
mod light;
mod run;
pub(crate) mod semaphore;
mod sleep;
#[cfg(feature = "http")]
mod spare;
mod timer;

use std::future::Future;
use std::rc::Rc;

pub(crate) use self::engine::Engine;
#[cfg(feature = "http")]
pub(crate) use self::entry::{Begun, Ended, Waiting};
pub(crate) use self::entry::{Entry, Failure};
use self::lane::Stay;
pub(crate) use self::lane::{Lane, Op, Waits};
pub(crate) use self::run::{Ending, Endings, EndingsId, Purpose, Run, RunKind};
#[cfg(feature = "http")]
pub(crate) use self::spare::Spare;

use crate::ffi::{Call, Raise, Reply, Values};

/// Puts the scheduler's functions into the VM.
pub(crate) fn install(engine: &Rc<Engine>, ngx: &mlua::Table) -> mlua::Result<()> {
    coroutine::install(engine)?;
    light::install(engine, ngx)?;
    sleep::install(engine, ngx)?;
    timer::install(engine, ngx)
}

/// Asks the scheduler to wait for `future`, whose output the call then returns.
pub(crate) fn wait(
    call: &Call<'_>,
    future: impl Future<Output = Values> + 'static,
) -> Result<Reply, Raise> {
    may_wait(call)?;
    call.lane().ask(Op::Wait(Box::pin(future)));
    Ok(Reply::Yield)
}

/// As [`wait`], for what `what` waits for. The call has asked [`may_wait`] already.
pub(crate) fn stay(call: &Call<'_>, what: Rc<dyn Waits>) -> Reply {
    call.lane().ask(Op::Stay(Stay::with(what)));
    Reply::Yield
}

/// Whether the call may wait here.
#[inline]
pub(crate) fn may_wait(call: &Call<'_>) -> Result<(), Raise> {
    if call.lane().run().kind() == RunKind::Waiting && is_top(call) {
        return Ok(());
    }
    may_ever_wait(call)?;
    may_yield(call)
}

/// Whether anything may wait in the run of the call.
pub(crate) fn may_ever_wait(call: &Call<'_>) -> Result<(), Raise> {
    let run = call.lane().run();
    if run.kind() == RunKind::Blocking {
        let context = run.phase().context();
        return Err(format!("API disabled in the context of {context}").into());
    }
    Ok(())
}

/// Ends the run: nothing of it goes on behind this call.
#[cfg(feature = "http")]
pub(crate) fn exit(call: &Call<'_>) -> Result<Reply, Raise> {
    may_yield(call)?;
    call.lane().ask(Op::Exit);
    Ok(Reply::Yield)
}

/// Whether the call may hand control to the scheduler.
fn may_yield(call: &Call<'_>) -> Result<(), Raise> {
    if is_top(call) {
        Ok(())
    } else {
        Err("attempt to yield across C-call boundary".into())
    }
}

/// Whether the scheduler itself has resumed who calls.
#[inline]
fn is_top(call: &Call<'_>) -> bool {
    call.can_yield() && call.lane().top_id() == call.thread_id()
}

#[cfg(test)]
mod tests;
