//! The part of the `ngx` table that works on a request.

mod arg;
mod control;
mod ctx;
mod header;
mod output;
mod req;
mod req_args;
mod req_body;
mod req_headers;
mod req_socket;
mod var;

use std::rc::Rc;

use crate::ffi::{Call, Raise, Reply, Value, values};
use crate::http::Guest;
use crate::phase::Phase;
use crate::sched::Engine;

/// Puts the functions that work on requests into the `ngx` table.
pub(super) fn install(engine: &Rc<Engine>) -> mlua::Result<()> {
    let ngx: mlua::Table = engine.raw().lua().globals().get("ngx")?;
    control::install(engine, &ngx)?;
    header::install(engine, &ngx)?;
    arg::install(engine, &ngx)?;
    req::install(engine, &ngx)?;
    var::install(engine, &ngx)?;
    output::install(engine, &ngx)?;
    ctx::install(engine, &ngx)
}

/// Phases that can make the response.
const ANSWERING: &[Phase] = &[
    Phase::ServerRewrite,
    Phase::Rewrite,
    Phase::Access,
    Phase::Content,
];

/// The request of the call.
fn guest(call: &Call<'_>) -> Result<Guest, Raise> {
    match call.lane().run().guest() {
        Some(guest) => Ok(guest.clone()),
        None => Err("no request found".into()),
    }
}

/// Whether nginx runs such code with a request that is none.
fn is_requestless(phase: Phase) -> bool {
    matches!(phase, Phase::Timer | Phase::InitWorker | Phase::ExitWorker)
}

/// The request of a call that makes sense in these phases alone.
fn guest_in(call: &Call<'_>, phases: &[Phase]) -> Result<Guest, Raise> {
    allowed(call, phases)?;
    guest(call)
}

/// Refuses a call outside of these phases.
fn allowed(call: &Call<'_>, phases: &[Phase]) -> Result<(), Raise> {
    let run = call.lane().run();
    let phase = run.phase();
    if phases.contains(&phase) {
        return Ok(());
    }
    if run.guest().is_none() && !is_requestless(phase) {
        return Err("no request found".into());
    }
    Err(format!("API disabled in the context of {}", phase.context()).into())
}

/// The request of a call that makes sense wherever there is one.
fn current(call: &Call<'_>) -> Result<Guest, Raise> {
    let run = call.lane().run();
    match run.guest() {
        Some(guest) => Ok(guest.clone()),
        None if run.phase() == Phase::Init => Err("no request found".into()),
        None => Err("API disabled in the current context".into()),
    }
}

/// The answer of what went well.
fn done() -> Result<Reply, Raise> {
    Ok(Reply::Values(values([Value::Number(1.0)])))
}

/// The answer of what did not: nil and why.
fn refuse(why: &'static str) -> Result<Reply, Raise> {
    Ok(Reply::Values(values([Value::Nil, why.into()])))
}

/// No results.
fn nothing() -> Result<Reply, Raise> {
    Ok(Reply::Values(values([])))
}
