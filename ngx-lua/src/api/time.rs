//! Clocks: `ngx.now`, `ngx.time`, `ngx.update_time`, and what the calendar says.

use std::rc::Rc;

use crate::ffi::{Call, Raise, Reply, Value, function, values};
use crate::sched::Engine;

pub(super) fn install(engine: &Rc<Engine>, ngx: &mlua::Table) -> mlua::Result<()> {
    let raw = engine.raw();
    ngx.set("now", raw.create_function(function(now))?)?;
    ngx.set("time", raw.create_function(function(time))?)?;
    ngx.set("update_time", raw.create_function(function(update_time))?)?;
    ngx.set("today", raw.create_function(function(today))?)?;
    ngx.set("localtime", raw.create_function(function(localtime))?)?;
    ngx.set("utctime", raw.create_function(function(utctime))?)
}

/// Seconds since 1970, with milliseconds.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn now(call: &mut Call<'_>) -> Result<Reply, Raise> {
    no_arguments(call)?;
    let seconds = ngx_core::time::unix_ms() as f64 / 1000.0;
    Ok(Reply::of(values([Value::Number(seconds)])))
}

/// Seconds since 1970.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn time(call: &mut Call<'_>) -> Result<Reply, Raise> {
    no_arguments(call)?;
    let seconds = ngx_core::time::unix_seconds() as f64;
    Ok(Reply::of(values([Value::Number(seconds)])))
}

/// While a connection is served the clock stands, as nginx's does between two events; this lets it
/// go on.
fn update_time(call: &mut Call<'_>) -> Result<Reply, Raise> {
    no_arguments(call)?;
    ngx_core::time::refresh();
    Ok(Reply::of(values([])))
}

/// `ngx.today()`: `2026-11-21`, local.
fn today(call: &mut Call<'_>) -> Result<Reply, Raise> {
    no_arguments(call)?;
    Ok(text(ngx_core::time::iso8601().get(..10)))
}

/// `ngx.localtime()`: `2026-11-21 02:00:33`.
fn localtime(call: &mut Call<'_>) -> Result<Reply, Raise> {
    no_arguments(call)?;
    let now = ngx_core::time::iso8601().replacen('T', " ", 1);
    Ok(text(now.get(..19)))
}

/// `ngx.utctime()`: `2026-11-21 02:00:33`.
fn utctime(call: &mut Call<'_>) -> Result<Reply, Raise> {
    no_arguments(call)?;
    let now = jiff::Timestamp::from_second(ngx_core::time::unix_seconds())
        .unwrap_or_default()
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string();
    Ok(text(Some(&now)))
}

fn text(text: Option<&str>) -> Reply {
    let text = text.unwrap_or_default().to_owned();
    Reply::of(values([Value::from(text)]))
}

fn no_arguments(call: &Call<'_>) -> Result<(), Raise> {
    match call.count() {
        0 => Ok(()),
        n => Err(format!("expecting zero arguments, but got {n}").into()),
    }
}
