//! `ngx.worker`.

use std::rc::Rc;

use crate::ffi::{Call, Raise, Reply, Value, function, values};
use crate::sched::Engine;

pub(super) fn install(engine: &Rc<Engine>, ngx: &mlua::Table) -> mlua::Result<()> {
    let raw = engine.raw();
    let worker = raw.lua().create_table()?;
    worker.set("pid", raw.create_function(function(pid))?)?;
    worker.set("id", raw.create_function(function(id))?)?;
    worker.set("count", raw.create_function(function(count))?)?;
    worker.set("exiting", raw.create_function(function(exiting))?)?;
    ngx.set("worker", worker)
}

/// `ngx.worker.pid()`: the thread's number, for that is what a worker is here. Scripts seed random
/// numbers with it.
fn pid(_call: &mut Call<'_>) -> Result<Reply, Raise> {
    let tid = rustix::thread::gettid().as_raw_nonzero().get();
    Ok(one(Value::Number(tid.into())))
}

/// `ngx.worker.id()`: from 0, or nil outside of workers.
fn id(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let id = (call.lane().engine().settings().worker_id)();
    Ok(one(id.map_or(Value::Nil, number)))
}

/// `ngx.worker.count()`
fn count(call: &mut Call<'_>) -> Result<Reply, Raise> {
    Ok(one(number(call.lane().engine().settings().worker_count)))
}

/// `ngx.worker.exiting()`
fn exiting(call: &mut Call<'_>) -> Result<Reply, Raise> {
    Ok(one(Value::Boolean(call.lane().engine().is_exiting())))
}

fn number(n: usize) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let n = n as f64;
    Value::Number(n)
}

fn one(value: Value) -> Reply {
    Reply::of(values([value]))
}
