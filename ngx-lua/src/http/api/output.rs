//! `ngx.say`, `ngx.print`, `ngx.exit`.

use std::rc::Rc;

use bytes::Bytes;
use ngx_buf::{Buf, Chain};

use super::guest;
use crate::ffi::{Call, Raise, Reply, Value, function, values};
use crate::sched::{self, Engine};

pub(super) fn install(engine: &Rc<Engine>, ngx: &mlua::Table) -> mlua::Result<()> {
    let raw = engine.raw();
    ngx.set("say", raw.create_function(function(say))?)?;
    ngx.set("print", raw.create_function(function(print))?)?;
    ngx.set("exit", raw.create_function(function(exit))?)
}

/// `ok, err = ngx.print(...)`
fn print(call: &mut Call<'_>) -> Result<Reply, Raise> {
    send(call, false)
}

/// `ok, err = ngx.say(...)`: with a newline behind.
fn say(call: &mut Call<'_>) -> Result<Reply, Raise> {
    send(call, true)
}

fn send(call: &mut Call<'_>, newline: bool) -> Result<Reply, Raise> {
    let guest = guest(call)?;
    let mut out = Vec::new();
    for at in 1..=call.count() {
        call.append_array(at, &mut out)?;
    }
    if newline {
        out.push(b'\n');
    }
    let r = &guest.request;
    if !r.header_sent() {
        if r.response().status() == 0 {
            r.response().set_status(200);
        }
        if r.response().content_type().is_none() {
            r.response().set_content_type(Some(r.media_type()));
        }
        let _ = r.send_header();
    }
    let sent = r.output(Chain::from(Buf::from(Bytes::from(out))));
    Ok(Reply::Values(match sent {
        Ok(_) => values([Value::Number(1.0)]),
        Err(_) => values([Value::Nil, "nginx output filter error".into()]),
    }))
}

/// `ngx.exit(status)`
#[expect(
    clippy::cast_possible_truncation,
    reason = "a status; others are refused"
)]
fn exit(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let guest = guest(call)?;
    let status = call.want_number(1)? as i32;
    guest.state.exit.set(Some(status));
    sched::exit(call)
}
