//! `ngx.req`: the request line, and what is known of the request as a whole.

use std::rc::Rc;

use ngx_core::http::parse::{Method, Version};

use super::{allowed, live, req_args, req_body, req_headers, req_socket};
use crate::ffi::{Call, Function, Kind, Raise, Reply, Value, Values, function};
use crate::phase::Phase;
use crate::sched::{self, Engine};

pub(super) fn install(engine: &Rc<Engine>, ngx: &mlua::Table) -> mlua::Result<()> {
    let raw = engine.raw();
    let req = raw.lua().create_table()?;
    let own: [(&str, Function); 7] = [
        ("get_method", function(get_method)),
        ("set_method", function(set_method)),
        ("http_version", function(http_version)),
        ("raw_header", function(raw_header)),
        ("is_internal", function(is_internal)),
        ("start_time", function(start_time)),
        ("set_uri", function(set_uri)),
    ];
    for (name, function) in own {
        req.set(name, raw.create_function(function)?)?;
    }
    req_args::install(engine, &req)?;
    req_headers::install(engine, &req)?;
    req_body::install(engine, &req)?;
    req_socket::install(engine, &req)?;
    for (method, number) in METHODS {
        let name = method.name().unwrap_or_default();
        ngx.set(format!("HTTP_{name}"), number)?;
    }
    ngx.set("req", req)
}

/// nginx's numbers of methods.
const METHODS: [(Method, u32); 15] = [
    (Method::Get, 0x2),
    (Method::Head, 0x4),
    (Method::Post, 0x8),
    (Method::Put, 0x10),
    (Method::Delete, 0x20),
    (Method::Mkcol, 0x40),
    (Method::Copy, 0x80),
    (Method::Move, 0x100),
    (Method::Options, 0x200),
    (Method::Propfind, 0x400),
    (Method::Proppatch, 0x800),
    (Method::Lock, 0x1000),
    (Method::Unlock, 0x2000),
    (Method::Patch, 0x4000),
    (Method::Trace, 0x8000),
];

/// `name = ngx.req.get_method()`
fn get_method(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let guest = live(call)?;
    let head = guest.request.head();
    Ok(one(match head.method().name() {
        Some(name) => name.into(),
        None => head.method_name().to_vec().into(),
    }))
}

/// `ngx.req.set_method(ngx.HTTP_X)`
fn set_method(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let guest = live(call)?;
    if call.kind(1) != Kind::Number {
        return Err("bad method number".into());
    }
    let number = call.want_number(1)?;
    let found = METHODS.iter().find(|(_, n)| f64::from(*n) == number);
    let Some((method, _)) = found else {
        let number = String::from_utf8_lossy(&call.tostring(1)).into_owned();
        return Err(format!("unsupported HTTP method: {number}").into());
    };
    guest.request.set_method(*method);
    Ok(nothing())
}

/// `number = ngx.req.http_version()`
fn http_version(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let guest = live(call)?;
    let number = match guest.request.head().version() {
        Version::HTTP_09 => 0.9,
        Version::HTTP_10 => 1.0,
        Version::HTTP_20 => 2.0,
        version if version >= Version::HTTP_11 => 1.1,
        _ => return Ok(one(Value::Nil)),
    };
    Ok(one(Value::Number(number)))
}

/// `text = ngx.req.raw_header(no_request_line?)`
fn raw_header(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let guest = live(call)?;
    let head = guest.request.head();
    let mut text = head.sent();
    if call.boolean(1) {
        let end = text.iter().position(|&byte| byte == b'\n');
        text = end.and_then(|end| text.get(end + 1..)).unwrap_or_default();
    }
    Ok(one(text.to_vec().into()))
}

/// `yes = ngx.req.is_internal()`
fn is_internal(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let guest = live(call)?;
    Ok(one(Value::Boolean(guest.request.is_internal())))
}

/// `seconds = ngx.req.start_time()`: since 1970, with milliseconds.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn start_time(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let guest = live(call)?;
    let seconds = guest.request.started_unix_ms() as f64 / 1000.0;
    Ok(one(Value::Number(seconds)))
}

/// `ngx.req.set_uri(uri, jump?, binary?)`: without `jump` the location stays what it is; with it,
/// the run ends, and the location is looked up anew.
fn set_uri(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let n = call.count();
    if !(1..=3).contains(&n) {
        return Err(format!("expecting 1, 2 or 3 arguments but seen {n}").into());
    }
    let guest = live(call)?;
    let uri = call.want_text(1)?.into_owned();
    if uri.is_empty() {
        return Err("attempt to use zero-length uri".into());
    }
    let flag = |at| match call.kind(at) {
        Kind::None => Ok(false),
        Kind::Boolean => Ok(call.boolean(at)),
        _ => Err(call.expected(at, "boolean")),
    };
    let binary = flag(3)?;
    if let Some(byte) = uri
        .iter()
        .find(|byte| is_unsafe(**byte))
        .filter(|_| !binary)
    {
        let shown = escape_for_log(&uri);
        return Err(format!(
            "unsafe byte \"0x{byte:02x}\" in uri \"{shown}\" (maybe you want to set the 'binary' \
             argument?)"
        )
        .into());
    }
    let jump = flag(2)?;
    if jump {
        allowed(call, &[Phase::Rewrite, Phase::ServerRewrite])?;
        sched::may_wait(call)?;
    }
    let r = &guest.request;
    let args = r.args().to_vec();
    r.change_uri(&uri, &args);
    if jump {
        guest.state.exit.set(Some(0));
        return sched::exit(call);
    }
    r.keep_location();
    Ok(nothing())
}

/// What could end a line, or the string of a C library.
fn is_unsafe(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

fn escape_for_log(text: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for &byte in text {
        if (b' '..0x7f).contains(&byte) && !matches!(byte, b'"' | b'\\') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "\\x{byte:02X}");
        }
    }
    out
}

pub(super) fn one(value: Value) -> Reply {
    Reply::Value(value)
}

pub(super) fn nothing() -> Reply {
    Reply::of(Values::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_show_bytes_that_cannot_be_seen() {
        assert_eq!(escape_for_log(b"/a\tb\"\\\xff"), r"/a\x09b\x22\x5C\xFF");
        assert!(is_unsafe(0) && is_unsafe(0x7f) && is_unsafe(b'\n'));
        assert!(!is_unsafe(b'\t') && !is_unsafe(b' ') && !is_unsafe(0x80));
    }
}
