//! `ngx.ctx`, `ngx.status`, `ngx.headers_sent`, `ngx.is_subrequest`: fields of the `ngx` table that
//! are looked up when they are asked for.

use std::rc::Rc;

use ngx_core::error;
use ngx_core::http::parse::Version;

use super::{header_is_out, live, nothing};
use crate::ffi::{Call, Kept, Kind, Raise, Reply, Value, function};
use crate::http::Guest;
use crate::phase::Phase;
use crate::sched::Engine;

pub(super) fn install(engine: &Rc<Engine>, ngx: &mlua::Table) -> mlua::Result<()> {
    let raw = engine.raw();
    let meta = raw.lua().create_table()?;
    meta.set("__index", raw.create_function(function(get))?)?;
    meta.set("__newindex", raw.create_function(function(set))?)?;
    ngx.set_metatable(Some(meta))
}

/// `ngx.KEY` that is no field.
fn get(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let key = match call.kind(2) {
        Kind::String => call.text(2),
        _ => None,
    };
    let value = match key.as_deref() {
        Some(b"ctx") => Value::Kept(ctx(call)?),
        Some(b"status") => status(call)?,
        Some(b"headers_sent") => Value::Boolean(header_is_out(call, live(call)?)),
        Some(b"is_subrequest") => {
            live(call)?;
            Value::Boolean(false)
        }
        _ => Value::Nil,
    };
    Ok(Reply::Value(value))
}

/// `ngx.KEY = value` of a key that is no field.
fn set(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let key = match call.kind(2) {
        Kind::String => call.text(2),
        _ => None,
    };
    match key.as_deref() {
        Some(b"ctx") => set_ctx(call)?,
        Some(b"status") => set_status(call)?,
        _ => call.raw_set()?,
    }
    nothing()
}

/// The table of the request, or of the run if there is no request; made when first asked for.
fn ctx(call: &Call<'_>) -> Result<Rc<Kept>, Raise> {
    let run = call.lane().run();
    let place = match run.guest() {
        Some(guest) => &guest.state.ctx,
        None if run.phase() == Phase::Init => return Err("no request found".into()),
        None => run.own_ctx(),
    };
    if let Some(table) = &*place.borrow() {
        return Ok(Rc::clone(table));
    }
    let table = Kept::new_table(call.lane().vm())?;
    place.replace(Some(Rc::clone(&table)));
    Ok(table)
}

fn set_ctx(call: &Call<'_>) -> Result<(), Raise> {
    if call.kind(3) != Kind::Table {
        let kind = call.type_name(3);
        return Err(format!("ctx should be a table while getting a {kind}").into());
    }
    let run = call.lane().run();
    let place = match run.guest() {
        Some(guest) => &guest.state.ctx,
        None if run.phase() == Phase::Init => return Err("no request found".into()),
        None => run.own_ctx(),
    };
    let table = call.keep(3)?;
    // Dropped outside of the cell.
    let old = place.replace(Some(table));
    drop(old);
    Ok(())
}

fn status(call: &Call<'_>) -> Result<Value, Raise> {
    let guest = live(call)?;
    let r = &guest.request;
    let status = match r.status() {
        0 if r.head().version() == Version::HTTP_09 => 9,
        status => status,
    };
    Ok(Value::Number(status.into()))
}

fn set_status(call: &Call<'_>) -> Result<(), Raise> {
    let guest = live(call)?;
    let status = call.want_number(3)?.trunc();
    change_status(call, guest, status, None);
    Ok(())
}

/// Gives the response a status, with a reason phrase if there is one; what is wrong is logged.
pub(super) fn change_status(call: &Call<'_>, guest: &Guest, status: f64, reason: Option<&[u8]>) {
    let r = &guest.request;
    if header_is_out(call, guest) {
        error!("attempt to set ngx.status after sending out response headers");
        return;
    }
    // RFC 9112 §4: three digits.
    if !(100.0..=999.0).contains(&status) {
        error!("invalid HTTP status code {status}");
        return;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked above"
    )]
    let status = status as u16;
    r.set_status(status);
    if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
        let mut line = status.to_string().into_bytes();
        line.push(b' ');
        line.extend(reason.iter().filter(|byte| !byte.is_ascii_control()));
        r.response().set_reason(Some(line.into()));
    }
}
