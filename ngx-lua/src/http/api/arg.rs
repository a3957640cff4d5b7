//! `ngx.arg`: what `set_by_lua` is given, and the piece of the body in `body_filter_by_lua`.

use std::rc::Rc;

use bytes::Bytes;

use super::guest;
use crate::ffi::{Call, Kind, Raise, Reply, Value, Values, function};
use crate::http::state::Arg;
use crate::sched::Engine;

pub(super) fn install(engine: &Rc<Engine>, ngx: &mlua::Table) -> mlua::Result<()> {
    let raw = engine.raw();
    let meta = raw.lua().create_table()?;
    meta.set("__index", raw.create_function(function(get))?)?;
    meta.set("__newindex", raw.create_function(function(set))?)?;
    let arg = raw.lua().create_table()?;
    arg.set_metatable(Some(meta))?;
    ngx.set("arg", arg)
}

/// `ngx.arg[i]`
fn get(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let guest = guest(call)?;
    let at = index(call)?;
    let value = match &*guest.state.arg.borrow() {
        Arg::None => return Err(disabled(call)),
        Arg::Set(arguments) => match at.checked_sub(1).and_then(|at| arguments.get(at)) {
            Some(argument) => Value::from(argument.to_vec()),
            None => Value::Nil,
        },
        Arg::Body(piece) => match at {
            1 => Value::from(piece.text().to_vec()),
            2 => Value::Boolean(piece.eof),
            _ => Value::Nil,
        },
    };
    Ok(Reply::Value(value))
}

/// `ngx.arg[i] = value`
fn set(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let guest = guest(call)?;
    let at = index(call)?;
    let mut text = Vec::new();
    if at == 1 && call.is_given(3) {
        match call.kind(3) {
            Kind::String | Kind::Number | Kind::Table => call.append_array(3, &mut text)?,
            _ => return Err(format!("bad chunk data type: {}", call.type_name(3)).into()),
        }
    }
    match (&mut *guest.state.arg.borrow_mut(), at) {
        (Arg::Body(piece), 1) => piece.data = Some(Bytes::from(text)),
        (Arg::Body(piece), 2) => {
            piece.eof = call.boolean(3);
            piece.eof_set = true;
        }
        (Arg::Body(_), other) => return Err(format!("bad index: {other}").into()),
        _ => return Err(disabled(call)),
    }
    Ok(Reply::of(Values::new()))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is no index is none"
)]
fn index(call: &Call<'_>) -> Result<usize, Raise> {
    Ok(call.want_number(2)?.max(0.0) as usize)
}

fn disabled(call: &Call<'_>) -> Raise {
    let context = call.lane().run().phase().context();
    format!("API disabled in the context of {context}").into()
}
