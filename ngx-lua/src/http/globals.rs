//! Globals that requests write: shared by all requests of a thread, which is rarely meant.

use std::rc::Rc;

use ngx_core::warn;

use crate::ffi::{Call, Raise, Reply, Values, function};
use crate::phase::Phase;
use crate::sched::Engine;

/// From now on new globals are logged.
pub(super) fn guard(engine: &Rc<Engine>) -> mlua::Result<()> {
    let raw = engine.raw();
    let globals = raw.lua().globals();
    // One that a script has set, in `init_by_lua` for instance, stays.
    if globals.metatable().is_some() {
        return Ok(());
    }
    let meta = raw.lua().create_table()?;
    meta.set("__newindex", raw.create_function(function(new_global))?)?;
    globals.set_metatable(Some(meta))
}

/// `_G.name = value`
fn new_global(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let phase = call.lane().run().phase();
    if !matches!(phase, Phase::Init | Phase::InitWorker) {
        let (source, line) = call.place().unwrap_or_else(|| ("?".to_owned(), 0));
        let name = call.tostring(2);
        warn!(
            "[lua] {source}:{line}: writing a global Lua variable ('{}') which may lead to race \
             conditions between concurrent requests, so prefer the use of 'local' variables",
            String::from_utf8_lossy(&name)
        );
    }
    call.raw_set()?;
    Ok(Reply::of(Values::new()))
}
