//! `ngx.shared`: dictionaries that all threads share.
//!
//! `ngx.shared.NAME` is a table with the dictionary in its first place and the methods in its
//! metatable, so that `dict:get(key)` and `dict.get(dict, key)` are the same.
//!
//! While `init_by_lua` runs once more, to fill the tables of another VM, what it does to
//! dictionaries has been done: functions that change one answer as if they had done it.

mod list;
mod plain;
mod whole;

use std::borrow::Cow;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use ngx_core::zone::Dict;

use crate::ffi::{Call, Kind, Raise, Reply, Value, function, values};
use crate::sched::Engine;

pub(super) fn install(engine: &Rc<Engine>, ngx: &mlua::Table) -> mlua::Result<()> {
    let raw = engine.raw();
    let lua = raw.lua();
    let shared = lua.create_table()?;
    let dicts = &engine.settings().shared_dicts;
    if !dicts.is_empty() {
        let meta = lua.create_table()?;
        for (name, method) in [
            ("get", function(plain::get)),
            ("get_stale", function(plain::get_stale)),
            ("set", function(plain::set)),
            ("safe_set", function(plain::safe_set)),
            ("add", function(plain::add)),
            ("safe_add", function(plain::safe_add)),
            ("replace", function(plain::replace)),
            ("delete", function(plain::delete)),
            ("incr", function(plain::incr)),
            ("lpush", function(list::lpush)),
            ("rpush", function(list::rpush)),
            ("lpop", function(list::lpop)),
            ("rpop", function(list::rpop)),
            ("llen", function(list::llen)),
            ("ttl", function(plain::ttl)),
            ("expire", function(plain::expire)),
            ("flush_all", function(whole::flush_all)),
            ("flush_expired", function(whole::flush_expired)),
            ("get_keys", function(whole::get_keys)),
            ("capacity", function(whole::capacity)),
            ("free_space", function(whole::free_space)),
        ] {
            meta.set(name, raw.create_function(method)?)?;
        }
        meta.set("__index", &meta)?;
        let meta = raw.meta(meta)?;
        for (name, dict) in dicts {
            let dict = Rc::new(Shared(Arc::clone(dict)));
            shared.set(&**name, raw.create(&Value::Wrapped(dict, meta))?)?;
        }
    }
    ngx.set("shared", shared)
}

/// A dictionary as Lua holds it.
struct Shared(Arc<Dict>);

impl Deref for Shared {
    type Target = Dict;

    fn deref(&self) -> &Dict {
        &self.0
    }
}

/// The dictionary of a call.
fn zone(call: &Call<'_>) -> Result<Rc<Shared>, Raise> {
    call.object(1).map_err(|_| "bad \"zone\" argument".into())
}

/// The key of a call, whatever it is, as text; or why it is none.
fn any_key<'a>(call: &'a Call<'_>) -> Result<Cow<'a, [u8]>, &'static str> {
    match call.kind(2) {
        Kind::None | Kind::Nil => Err("nil key"),
        Kind::String => fitting(call.text(2).unwrap_or_default()),
        _ => fitting(call.tostring(2)),
    }
}

/// The key of a call, which has to be a string or a number.
fn text_key<'a>(call: &'a Call<'_>) -> Result<Result<Cow<'a, [u8]>, &'static str>, Raise> {
    if call.is_given(2) {
        call.want_text(2).map(fitting)
    } else {
        Ok(Err("nil key"))
    }
}

fn fitting(key: Cow<'_, [u8]>) -> Result<Cow<'_, [u8]>, &'static str> {
    match key.len() {
        0 => Err("empty key"),
        1..=65_535 => Ok(key),
        _ => Err("key too long"),
    }
}

/// Whether what runs has changed dictionaries before.
fn is_replay(call: &Call<'_>) -> bool {
    call.lane().engine().is_replay()
}

/// `nil, why`
fn refuse(why: impl Into<Value>) -> Reply {
    Reply::of(values([Value::Nil, why.into()]))
}

/// One value.
fn answer(value: Value) -> Reply {
    Reply::of(values([value]))
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn count(n: usize) -> Reply {
    answer(Value::Number(n as f64))
}

#[cfg(test)]
mod tests;
