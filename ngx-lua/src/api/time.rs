//! `ngx.now`, `ngx.time`, `ngx.update_time`.

use std::rc::Rc;

use crate::ffi::{Call, Raise, Reply, Value, function, values};
use crate::sched::Engine;

pub(super) fn install(engine: &Rc<Engine>, ngx: &mlua::Table) -> mlua::Result<()> {
    let raw = engine.raw();
    ngx.set("now", raw.create_function(function(now))?)?;
    ngx.set("time", raw.create_function(function(time))?)?;
    ngx.set("update_time", raw.create_function(function(update_time))?)
}

/// Seconds since 1970, with milliseconds.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn now(call: &mut Call<'_>) -> Result<Reply, Raise> {
    no_arguments(call)?;
    let seconds = ngx_core::time::unix_ms() as f64 / 1000.0;
    Ok(Reply::Values(values([Value::Number(seconds)])))
}

/// Seconds since 1970.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn time(call: &mut Call<'_>) -> Result<Reply, Raise> {
    no_arguments(call)?;
    let seconds = ngx_core::time::unix_seconds() as f64;
    Ok(Reply::Values(values([Value::Number(seconds)])))
}

/// nginx remembers the time of the last event; here every look at the clock is a new one already.
fn update_time(call: &mut Call<'_>) -> Result<Reply, Raise> {
    no_arguments(call)?;
    Ok(Reply::Values(values([])))
}

fn no_arguments(call: &Call<'_>) -> Result<(), Raise> {
    match call.count() {
        0 => Ok(()),
        n => Err(format!("expecting zero arguments, but got {n}").into()),
    }
}
