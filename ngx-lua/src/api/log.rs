//! `ngx.log`, its levels, and `print`.

use std::rc::Rc;

use ngx_core::log::{Level, write};

use crate::ffi::{Call, Kind, Raise, Reply, function, values};
use crate::sched::Engine;

pub(super) fn install(engine: &Rc<Engine>, ngx: &mlua::Table) -> mlua::Result<()> {
    let raw = engine.raw();
    for (name, level) in LEVELS {
        ngx.set(*name, *level)?;
    }
    ngx.set("log", raw.create_function(function(log))?)?;
    let globals = raw.lua().globals();
    globals.set("print", raw.create_function(function(print))?)
}

const LEVELS: &[(&str, u8)] = &[
    ("STDERR", 0),
    ("EMERG", 1),
    ("ALERT", 2),
    ("CRIT", 3),
    ("ERR", 4),
    ("WARN", 5),
    ("NOTICE", 6),
    ("INFO", 7),
    ("DEBUG", 8),
];

/// `ngx.log(level, ...)`: the arguments in a row, behind the place of the call.
fn log(call: &mut Call<'_>) -> Result<Reply, Raise> {
    if call.count() == 0 {
        return Err(Raise::Argument(1, "number expected, got no value".into()));
    }
    let number = call.want_number(1)?;
    let level = LEVELS
        .iter()
        .find(|(_, code)| f64::from(*code) == number.trunc())
        .ok_or_else(|| Raise::Argument(1, format!("bad log level: {number}").into()))?;
    line(call, level.1, 2)
}

/// `print(...)`: `ngx.log` at the level of notices.
fn print(call: &mut Call<'_>) -> Result<Reply, Raise> {
    line(call, 6, 1)
}

fn line(call: &Call<'_>, level: u8, first: usize) -> Result<Reply, Raise> {
    if call.lane().engine().is_replay() {
        return Ok(Reply::of(values([])));
    }
    let mut message = b"[lua] ".to_vec();
    if let Some((source, line)) = call.place() {
        message.extend_from_slice(format!("{source}:{line}: ").as_bytes());
    }
    for at in first..=call.count() {
        match call.to_text(at) {
            Some(text) => message.extend_from_slice(&text),
            None if call.kind(at) == Kind::Table => {
                let why = "expected table to have __tostring metamethod";
                return Err(Raise::Argument(at, why.into()));
            }
            None => {
                let why = "string, number, boolean, or nil expected, got ";
                let why = format!("{why}{}", call.type_name(at));
                return Err(Raise::Argument(at, why.into()));
            }
        }
    }
    let message = String::from_utf8_lossy(&message);
    if level == 0 {
        // nginx gives this level no name that a configuration could filter by.
        eprintln!("{message}");
    } else {
        let level = Level::ALL.get(usize::from(level) - 1).copied();
        write(level.unwrap_or(Level::Error), format_args!("{message}"));
    }
    Ok(Reply::of(values([])))
}
