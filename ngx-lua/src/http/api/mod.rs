//! The part of the `ngx` table that works on a request.

mod arg;
mod output;

use std::rc::Rc;

use crate::ffi::{Call, Raise};
use crate::http::Guest;
use crate::sched::Engine;

/// Puts the functions that work on requests into the `ngx` table.
pub(super) fn install(engine: &Rc<Engine>) -> mlua::Result<()> {
    let ngx: mlua::Table = engine.raw().lua().globals().get("ngx")?;
    arg::install(engine, &ngx)?;
    output::install(engine, &ngx)
}

/// The request of the call.
fn guest(call: &Call<'_>) -> Result<Guest, Raise> {
    let run = call.lane().run();
    match run.guest() {
        Some(guest) => Ok(guest.clone()),
        None => Err("no request found".into()),
    }
}
