//! Modules of lua-resty-core that scripts require, where there is something behind them.

use std::rc::Rc;

use mlua::{Function, Table};
use ngx_core::log::{Level, write};

use super::encode::{decode_url, encode_url};
use super::libraries::{preload, run_half};
use crate::ffi::{Call, Kind, Raise, Reply, Value, function, values};
use crate::sched::{Engine, semaphore};

/// The version of lua-resty-core whose API this is.
const VERSION: &str = "0.1.33";

/// Parts of resty.core whose functions the `ngx` table has from the beginning.
const BUILT_IN: &[&str] = &[
    "resty.core",
    "resty.core.base64",
    "resty.core.hash",
    "resty.core.regex",
    "resty.core.uri",
    "resty.core.worker",
];

pub(super) fn install(engine: &Rc<Engine>) -> mlua::Result<()> {
    let raw = engine.raw();
    let lua = raw.lua();
    for name in BUILT_IN {
        preload(lua, name, versioned(engine)?)?;
    }
    let time = versioned(engine)?;
    time.set("monotonic_msec", raw.create_function(function(msec))?)?;
    time.set("monotonic_time", raw.create_function(function(seconds))?)?;
    preload(lua, "resty.core.time", time)?;

    let base64 = versioned(engine)?;
    base64.set("encode_base64url", raw.create_function(function(encode))?)?;
    base64.set("decode_base64url", raw.create_function(function(decode))?)?;
    preload(lua, "ngx.base64", base64)?;

    let errlog = versioned(engine)?;
    errlog.set("raw_log", raw.create_function(function(raw_log))?)?;
    preload(lua, "ngx.errlog", errlog)?;

    let semaphore = semaphore::module(engine)?;
    semaphore.set("version", VERSION)?;
    semaphore.set("_VERSION", VERSION)?;
    preload(lua, "ngx.semaphore", semaphore)?;

    let re = versioned(engine)?;
    re.set("opt", raw.create_function(function(super::re::opt))?)?;
    let start: Function = raw.create_function(function(super::re::start))?;
    let half = include_str!("../lua/split.lua");
    run_half(lua, "re.split", half, (&re, start))?;
    preload(lua, "ngx.re", re)?;

    // lua-resty-string's own reaches for symbols of nginx.
    let string = lua.create_table()?;
    string.set("_VERSION", "0.17")?;
    run_half(
        lua,
        "resty.string",
        include_str!("../lua/string.lua"),
        &string,
    )?;
    preload(lua, "resty.string", string)
}

fn versioned(engine: &Rc<Engine>) -> mlua::Result<Table> {
    let module = engine.raw().lua().create_table()?;
    module.set("version", VERSION)?;
    module.set("_VERSION", VERSION)?;
    Ok(module)
}

/// Milliseconds on a clock that never goes back.
fn msec(_call: &mut Call<'_>) -> Result<Reply, Raise> {
    Ok(one(Value::Number(monotonic())))
}

/// Seconds on a clock that never goes back.
fn seconds(_call: &mut Call<'_>) -> Result<Reply, Raise> {
    Ok(one(Value::Number(monotonic() / 1000.0)))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn monotonic() -> f64 {
    ngx_core::time::now_ms() as f64
}

/// `encoded, err = base64.encode_base64url(input)`
fn encode(call: &mut Call<'_>) -> Result<Reply, Raise> {
    if call.kind(1) != Kind::String {
        return Ok(failed("must provide a string"));
    }
    let encoded = encode_url(&call.want_text(1)?);
    Ok(one(encoded.into()))
}

/// `decoded, err = base64.decode_base64url(input)`
fn decode(call: &mut Call<'_>) -> Result<Reply, Raise> {
    if call.kind(1) != Kind::String {
        return Ok(failed("must provide a string"));
    }
    let decoded = decode_url(&call.want_text(1)?);
    Ok(decoded.map_or_else(|| failed("invalid input"), |bytes| one(bytes.into())))
}

/// `log_module.raw_log(log_level, msg)`: nothing is put before the message.
fn raw_log(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let wrong = |n: usize, what: &str| {
        Err(format!("bad argument #{n} to 'raw_log' (must be a {what})").into())
    };
    if call.kind(1) != Kind::Number {
        return wrong(1, "number");
    }
    if call.kind(2) != Kind::String {
        return wrong(2, "string");
    }
    let number = call.want_number(1)?;
    let message = call.want_text(2)?;
    let message = String::from_utf8_lossy(&message);
    if number.trunc() == 0.0 {
        eprintln!("{message}");
        return Ok(Reply::of(values([])));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within range"
    )]
    let level = (1.0..9.0)
        .contains(&number)
        .then(|| Level::ALL.get(number as usize - 1).copied())
        .flatten()
        .ok_or("bad log level")?;
    write(level, format_args!("{message}"));
    Ok(Reply::of(values([])))
}

fn one(value: Value) -> Reply {
    Reply::of(values([value]))
}

fn failed(why: &'static str) -> Reply {
    Reply::of(values([Value::Nil, why.into()]))
}
