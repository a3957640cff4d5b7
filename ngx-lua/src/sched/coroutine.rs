//! The `coroutine` library, with the scheduler in the place of LuaJIT's own resume.

use std::rc::Rc;

use super::light::State;
use super::{Engine, Op, RunKind, may_yield};
use crate::ffi::{Call, Raise, Reply, Stage, Value, function, values};

pub(super) fn install(engine: &Rc<Engine>) -> mlua::Result<()> {
    let raw = engine.raw();
    let lua = raw.lua();
    let library: mlua::Table = lua.globals().get("coroutine")?;
    library.set("resume", raw.create_function(function(resume))?)?;
    library.set("yield", raw.create_function(function(yield_))?)?;
    library.set("status", raw.create_function(function(status))?)?;
    // `create` and `isyieldable` are LuaJIT's: they switch no stacks.
    let running: mlua::Function = library.get("running")?;
    let show = raw.create_function(function(show))?;
    lua.load(WRAP)
        .set_name("=coroutine")
        .call::<()>((library, running, show))
}

/// What is plain Lua. An error goes through `wrap` as the object that it is.
const WRAP: &str = "
local library, running, show = ...
local create, resume, error = library.create, library.resume, error
local function pass(ok, ...)
    if ok then return ... end
    return error((...), 0)
end
function library.wrap(f)
    local co = create(f)
    return function(...) return pass(resume(co, ...)) end
end
function library.running()
    show()
    return running()
end
";

/// `ok, ... = coroutine.resume(co, ...)`
fn resume(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let id = call
        .thread_id_at(1)
        .ok_or_else(|| Raise::Argument(1, "coroutine expected".into()))?;
    let thread = call.thread(1)?.ok_or("no memory")?;
    let what = match name_of(call, id, thread.stage()) {
        "suspended" => None,
        other => Some(other),
    };
    if let Some(what) = what {
        return Ok(refuse(format!("cannot resume {what} coroutine")));
    }
    may_yield(call)?;
    if call.lane().is_full() {
        return Ok(refuse("stack overflow (nested coroutines)".to_owned()));
    }
    call.lane().ask(Op::Resume(Rc::new(thread)));
    Ok(Reply::Yield)
}

/// `... = coroutine.yield(...)`; outside of a coroutine it lets others run.
fn yield_(call: &mut Call<'_>) -> Result<Reply, Raise> {
    may_yield(call)?;
    let lane = call.lane();
    if lane.is_bottom() && lane.run().kind() == RunKind::Blocking {
        return Err("attempt to yield outside a coroutine".into());
    }
    lane.ask(Op::Yield);
    Ok(Reply::Yield)
}

/// `coroutine.status(co)`: the words of Lua, and `zombie` for a light thread that has ended and was
/// not waited for.
fn status(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let id = call
        .thread_id_at(1)
        .ok_or_else(|| Raise::Argument(1, "coroutine expected".into()))?;
    let thread = call.thread(1)?.ok_or("no memory")?;
    let name = name_of(call, id, thread.stage());
    Ok(Reply::Value(name.into()))
}

/// Notes that a script has the thread that runs.
fn show(call: &mut Call<'_>) -> Result<Reply, Raise> {
    call.lane().show_top();
    Ok(Reply::of(values([])))
}

fn name_of(call: &Call<'_>, id: usize, stage: Stage) -> &'static str {
    if let Some(lane) = call.lane().engine().lane_of(id) {
        return if lane.top_id() == id {
            "running"
        } else {
            "normal"
        };
    }
    let lights = call.lane().run().lights.borrow();
    if lights.get(&id).is_some_and(|l| l.state() == State::Zombie) {
        return "zombie";
    }
    match stage {
        Stage::Suspended => "suspended",
        Stage::Active => "running",
        Stage::Dead => "dead",
    }
}

fn refuse(why: String) -> Reply {
    Reply::of(values([Value::Boolean(false), why.into()]))
}
