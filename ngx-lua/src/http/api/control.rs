//! `ngx.exit`, `ngx.redirect`, `ngx.exec`, `ngx.on_abort`, `ngx.get_phase`, and the numbers that go
//! with them.

use std::rc::Rc;

use bytes::Bytes;
use ngx_core::http::parse::parse_unsafe;
use ngx_core::{error, warn};

use super::{WAITING, allowed, done, live, nothing, refuse};
use crate::api::encode::encode_args_table;
use crate::ffi::{Call, Kind, Raise, Reply, function};
use crate::http::conf::LUA;
use crate::http::state::Exec;
use crate::phase::Phase;
use crate::sched::{self, Engine};

pub(super) fn install(engine: &Rc<Engine>, ngx: &mlua::Table) -> mlua::Result<()> {
    for (name, number) in METHODS.iter().chain(STATUSES) {
        ngx.set(format!("HTTP_{name}"), *number)?;
    }
    let raw = engine.raw();
    ngx.set("exit", raw.create_function(function(exit))?)?;
    ngx.set("redirect", raw.create_function(function(redirect))?)?;
    ngx.set("exec", raw.create_function(function(exec))?)?;
    ngx.set("on_abort", raw.create_function(function(on_abort))?)?;
    ngx.set("get_phase", raw.create_function(function(get_phase))?)
}

/// nginx's bits of methods.
const METHODS: &[(&str, i32)] = &[
    ("GET", 0x2),
    ("HEAD", 0x4),
    ("POST", 0x8),
    ("PUT", 0x10),
    ("DELETE", 0x20),
    ("MKCOL", 0x40),
    ("COPY", 0x80),
    ("MOVE", 0x100),
    ("OPTIONS", 0x200),
    ("PROPFIND", 0x400),
    ("PROPPATCH", 0x800),
    ("LOCK", 0x1000),
    ("UNLOCK", 0x2000),
    ("PATCH", 0x4000),
    ("TRACE", 0x8000),
];

const STATUSES: &[(&str, i32)] = &[
    ("CONTINUE", 100),
    ("SWITCHING_PROTOCOLS", 101),
    ("OK", 200),
    ("CREATED", 201),
    ("ACCEPTED", 202),
    ("NO_CONTENT", 204),
    ("PARTIAL_CONTENT", 206),
    ("SPECIAL_RESPONSE", 300),
    ("MOVED_PERMANENTLY", 301),
    ("MOVED_TEMPORARILY", 302),
    ("SEE_OTHER", 303),
    ("NOT_MODIFIED", 304),
    ("TEMPORARY_REDIRECT", 307),
    ("PERMANENT_REDIRECT", 308),
    ("BAD_REQUEST", 400),
    ("UNAUTHORIZED", 401),
    ("PAYMENT_REQUIRED", 402),
    ("FORBIDDEN", 403),
    ("NOT_FOUND", 404),
    ("NOT_ALLOWED", 405),
    ("NOT_ACCEPTABLE", 406),
    ("REQUEST_TIMEOUT", 408),
    ("CONFLICT", 409),
    ("GONE", 410),
    ("UPGRADE_REQUIRED", 426),
    ("TOO_MANY_REQUESTS", 429),
    ("CLOSE", 444),
    ("ILLEGAL", 451),
    ("INTERNAL_SERVER_ERROR", 500),
    ("NOT_IMPLEMENTED", 501),
    ("METHOD_NOT_IMPLEMENTED", 501),
    ("BAD_GATEWAY", 502),
    ("SERVICE_UNAVAILABLE", 503),
    ("GATEWAY_TIMEOUT", 504),
    ("VERSION_NOT_SUPPORTED", 505),
    ("INSUFFICIENT_STORAGE", 507),
];

const EXITING: &[Phase] = &[
    Phase::ServerRewrite,
    Phase::Rewrite,
    Phase::Access,
    Phase::Content,
    Phase::HeaderFilter,
];

/// `ngx.AGAIN` and `ngx.DONE`
const AGAIN: i32 = -2;
const DONE: i32 = -4;

/// `ngx.exit(status)`: ends the run; in a header filter it only notes the status.
fn exit(call: &mut Call<'_>) -> Result<Reply, Raise> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates: no such status is sent"
    )]
    let mut status = call.want_number(1)? as i32;
    if matches!(status, AGAIN | DONE) {
        let why = "bad argument to 'ngx.exit': does not accept NGX_AGAIN or NGX_DONE";
        return Err(why.into());
    }
    let phase = call.lane().run().phase();
    if phase == Phase::Timer {
        return sched::exit(call);
    }
    let guest = allowed(call, EXITING)?;
    let r = &guest.request;
    if r.header_sent() && status >= 300 && !matches!(status, 408 | 444 | 499) {
        let sent = r.status();
        if status != i32::from(sent) {
            error!(
                "attempt to set status {status} via ngx.exit after sending out the response \
                 status {sent}"
            );
        }
        status = 200;
    }
    if phase == Phase::HeaderFilter {
        guest.state.exit.set(Some(status));
        return nothing();
    }
    let reply = sched::exit(call)?;
    guest.state.exit.set(Some(status));
    Ok(reply)
}

/// `ngx.redirect(uri, status?)`
fn redirect(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let count = call.count();
    if !(1..=2).contains(&count) {
        return Err("expecting one or two arguments".into());
    }
    let uri = call.want_text(1)?;
    let status = if count == 2 {
        let wanted = call.want_number(2)?.trunc();
        [301u16, 302, 303, 307, 308]
            .into_iter()
            .find(|status| f64::from(*status) == wanted)
            .ok_or(
                "only ngx.HTTP_MOVED_TEMPORARILY, ngx.HTTP_MOVED_PERMANENTLY, \
                 ngx.HTTP_PERMANENT_REDIRECT, ngx.HTTP_SEE_OTHER, and \
                 ngx.HTTP_TEMPORARY_REDIRECT are allowed",
            )?
    } else {
        302
    };
    let guest = allowed(call, WAITING)?;
    let r = &guest.request;
    if r.header_sent() {
        return Err("attempt to call ngx.redirect after sending out the headers".into());
    }
    if let Some(byte) = uri.iter().find(|byte| is_unsafe(**byte)) {
        let shown = escape_for_log(&uri);
        return Err(format!("unsafe byte \"0x{byte:02x}\" in redirect uri \"{shown}\"").into());
    }
    let uri = Bytes::copy_from_slice(&uri);
    let reply = sched::exit(call)?;
    r.response().set_status(status);
    super::header::set_location(r.response(), "Location".into(), uri);
    guest.state.exit.set(Some(status.into()));
    Ok(reply)
}

/// A control character, which a header line must not have; tabs may stand there.
fn is_unsafe(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

fn escape_for_log(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text {
        match byte {
            b' '..=b'~' if byte != b'"' && byte != b'\\' => out.push(byte.into()),
            _ => out.push_str(&format!("\\x{byte:02X}")),
        }
    }
    out
}

/// `ngx.exec(uri, args?)`
fn exec(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let count = call.count();
    if !(1..=2).contains(&count) {
        return Err(format!("expecting one or two arguments, but got {count}").into());
    }
    let uri = call.want_text(1)?;
    if uri.is_empty() {
        return Err("The uri argument is empty".into());
    }
    let guest = allowed(call, WAITING)?;
    let Some((path, mut args)) = parse_unsafe(&uri) else {
        error!(
            "unsafe URI \"{}\" was detected",
            String::from_utf8_lossy(&uri)
        );
        return Err("unsafe uri".into());
    };
    let more = arguments(call)?;
    if !more.is_empty() {
        if !args.is_empty() {
            args.push(b'&');
        }
        args.extend_from_slice(&more);
    }
    if guest.has_answered() {
        return Err("attempt to call ngx.exec after sending out response headers".into());
    }
    if path.starts_with(b"@") && !args.is_empty() {
        warn!(
            "query strings {} ignored when exec'ing named location {}",
            String::from_utf8_lossy(&args),
            String::from_utf8_lossy(&path)
        );
    }
    let reply = sched::exit(call)?;
    let exec = Exec { uri: path, args };
    guest.state.exec.replace(Some(Box::new(exec)));
    Ok(reply)
}

/// The second argument of `ngx.exec`.
fn arguments(call: &Call<'_>) -> Result<Vec<u8>, Raise> {
    match call.kind(2) {
        Kind::None | Kind::Nil => Ok(Vec::new()),
        Kind::Table => encode_args_table(call, 2),
        _ => call
            .text(2)
            .map(std::borrow::Cow::into_owned)
            .ok_or_else(|| {
                let wanted = "string, number, or table expected";
                let message = format!("{wanted}, but got {}", call.type_name(2));
                Raise::Argument(2, message.into())
            }),
    }
}

/// `ok, err = ngx.on_abort(callback)`
fn on_abort(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let guest = live(call)?;
    let run = Rc::clone(call.lane().run());
    if run.has_on_abort() {
        return refuse("duplicate call");
    }
    if !*guest.request.conf(&LUA).check_client_abort {
        return refuse("lua_check_client_abort is off");
    }
    if !call.is_lua_function(1) {
        return Err(Raise::Argument(1, "Lua function expected".into()));
    }
    let raw = run.engine().raw();
    let thread = raw.thread().map_err(|_| "not enough memory")?;
    call.move_arguments(1, &thread)?;
    run.set_on_abort(thread, call.thread_id());
    done(call)
}

/// `ngx.get_phase()`
fn get_phase(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let name = call.lane().run().phase().name();
    Ok(Reply::Value(name.into()))
}
