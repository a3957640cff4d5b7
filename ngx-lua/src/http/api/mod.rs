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
    output::install(engine, &ngx)?;
    req::install(engine, &ngx)?;
    var::install(engine, &ngx)?;
    control::install(engine, &ngx)?;
    header::install(engine, &ngx)?;
    arg::install(engine, &ngx)?;
    ctx::install(engine, &ngx)
}

/// The request of the call.
fn guest<'a>(call: &Call<'a>) -> Result<&'a Guest, Raise> {
    let run = call.lane().run();
    match run.guest() {
        Some(guest) => Ok(guest),
        None => Err("no request found".into()),
    }
}

/// The request of the call; where there cannot be one, that is said.
fn live<'a>(call: &Call<'a>) -> Result<&'a Guest, Raise> {
    let run = call.lane().run();
    match run.guest() {
        Some(guest) => Ok(guest),
        None if is_requestless(run.phase()) => Err("API disabled in the current context".into()),
        None => Err("no request found".into()),
    }
}

/// The request of the call, in one of these phases alone.
fn allowed<'a>(call: &Call<'a>, phases: &[Phase]) -> Result<&'a Guest, Raise> {
    let run = call.lane().run();
    let phase = run.phase();
    match run.guest() {
        Some(guest) if phases.contains(&phase) => Ok(guest),
        None if !is_requestless(phase) => Err("no request found".into()),
        _ => Err(format!("API disabled in the context of {}", phase.context()).into()),
    }
}

/// Whether nginx runs such code with a request that is none.
fn is_requestless(phase: Phase) -> bool {
    matches!(phase, Phase::Timer | Phase::InitWorker | Phase::ExitWorker)
}

/// The phases that wait for the client.
const WAITING: &[Phase] = &[
    Phase::ServerRewrite,
    Phase::Rewrite,
    Phase::Access,
    Phase::Content,
];

/// Whether the response header is beyond change. While `header_filter_by_lua` waits, it is not.
fn header_is_out(call: &Call<'_>, guest: &Guest) -> bool {
    guest.request.header_sent() && call.lane().run().phase() != Phase::HeaderFilter
}

/// The answer of what went well.
fn done(call: &Call<'_>) -> Result<Reply, Raise> {
    Ok(call.number_back(1.0))
}

/// The answer of what did not: nil and why.
fn refuse(why: &'static str) -> Result<Reply, Raise> {
    Ok(Reply::of(values([Value::Nil, why.into()])))
}

/// No results.
fn nothing() -> Result<Reply, Raise> {
    Ok(Reply::of(values([])))
}
