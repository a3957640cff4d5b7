//! `ngx.req`: arguments, of the URI and of a form.

use std::rc::Rc;

use ngx_buf::Buf;

use super::live;
use super::req::{nothing, one};
use crate::api::encode::{Args, args_table, decode_args, encode_args_table, uri_args};
use crate::ffi::{Call, Function, Kind, Raise, Reply, TableValue, Value, function, values};
use crate::sched::Engine;

/// What is taken apart unless scripts ask for more.
pub(super) const MAX: usize = 100;

pub(super) fn install(engine: &Rc<Engine>, req: &mlua::Table) -> mlua::Result<()> {
    let functions: [(&str, Function); 3] = [
        ("get_uri_args", function(get_uri_args)),
        ("set_uri_args", function(set_uri_args)),
        ("get_post_args", function(get_post_args)),
    ];
    for (name, function) in functions {
        req.set(name, engine.raw().create_function(function)?)?;
    }
    Ok(())
}

/// `args, err = ngx.req.get_uri_args(max?, table?)`
fn get_uri_args(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let guest = live(call)?;
    let max = limit(call, 1)?;
    let args = uri_args(&guest.request.args(), max);
    if !call.boolean(2) {
        return Ok(answer(args));
    }
    empty(call, 2)?;
    let Args { list, truncated } = args;
    if let Value::Table(table) = args_table(list) {
        call.fill(2, &table)?;
    }
    let given = Value::Kept(call.keep(2)?);
    Ok(Reply::of(if truncated {
        values([given, "truncated".into()])
    } else {
        values([given])
    }))
}

/// `ngx.req.set_uri_args(args)`: text as it is, but for control bytes; a table is encoded.
fn set_uri_args(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let n = call.count();
    if n != 1 {
        return Err(format!("expecting 1 argument but seen {n}").into());
    }
    let guest = live(call)?;
    let args = match call.kind(1) {
        Kind::Number => call.want_text(1)?.into_owned(),
        Kind::String => without_controls(&call.want_text(1)?),
        Kind::Table => encode_args_table(call, 1)?,
        _ => {
            let got = call.type_name(1);
            let message = format!("string, number, or table expected, but got {got}");
            return Err(Raise::Argument(1, message.into()));
        }
    };
    guest.request.set_args(&args);
    Ok(nothing())
}

/// `args, err = ngx.req.get_post_args(max?)`
fn get_post_args(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let n = call.count();
    if n > 1 {
        return Err(format!("expecting 0 or 1 arguments but seen {n}").into());
    }
    let max = if n == 1 {
        whole(call.want_number(1)?)
    } else {
        MAX
    };
    let guest = live(call)?;
    let r = &guest.request;
    if r.body_is_discarded() {
        return Ok(one(TableValue::default().into()));
    }
    if !r.body_is_read() {
        let message = "no request body found; maybe you should turn on lua_need_request_body?";
        return Err(message.into());
    }
    let body = r.body_bufs();
    if body.iter().any(Buf::is_file) {
        let why = "request body in temp file not supported";
        return Ok(Reply::of(values([Value::Nil, why.into()])));
    }
    let text: Vec<&[u8]> = body.iter().filter_map(Buf::as_slice).collect();
    Ok(answer(decode_args(&text.concat(), max)))
}

fn answer(args: Args) -> Reply {
    let table = args_table(args.list);
    Reply::of(if args.truncated {
        values([table, "truncated".into()])
    } else {
        values([table])
    })
}

/// A limit: 100 if none is given, or one below zero; 0 is none at all.
pub(super) fn limit(call: &Call<'_>, at: usize) -> Result<usize, Raise> {
    if !call.boolean(at) {
        return Ok(MAX);
    }
    let max = call.want_number(at)?;
    Ok(if max < 0.0 { MAX } else { whole(max) })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is below zero means no limit, as zero does"
)]
pub(super) fn whole(number: f64) -> usize {
    number as usize
}

/// Removes everything from the table at `at`.
fn empty(call: &Call<'_>, at: usize) -> Result<(), Raise> {
    let mut gone = TableValue::default();
    call.each(at, |key, _| {
        gone.fields.push((Value::Kept(call.keep(key)?), Value::Nil));
        Ok(())
    })?;
    call.fill(at, &gone)
}

/// What cannot stand in a request line is written as `%XX`.
fn without_controls(text: &[u8]) -> Vec<u8> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(text.len());
    for &byte in text {
        if byte.is_ascii_control() || byte == b' ' {
            let [high, low] = [byte >> 4, byte & 15].map(|half| HEX[usize::from(half)]);
            out.extend_from_slice(&[b'%', high, low]);
        } else {
            out.push(byte);
        }
    }
    out
}
