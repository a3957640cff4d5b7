//! `ngx.config`.

use std::rc::Rc;

use crate::ffi::{Call, Raise, Reply, Value, function, values};
use crate::sched::Engine;

/// The version of lua-nginx-module whose API this is: 0.10.32.
const LUA_VERSION: u32 = 10_032;

pub(super) fn install(engine: &Rc<Engine>, ngx: &mlua::Table) -> mlua::Result<()> {
    let (raw, settings) = (engine.raw(), engine.settings());
    let config = raw.lua().create_table()?;
    config.set("subsystem", "http")?;
    config.set("debug", settings.debug)?;
    config.set("nginx_version", settings.nginx_version)?;
    config.set("ngx_lua_version", LUA_VERSION)?;
    config.set("prefix", raw.create_function(function(prefix))?)?;
    config.set(
        "nginx_configure",
        raw.create_function(function(nginx_configure))?,
    )?;
    ngx.set("config", config)
}

/// `ngx.config.prefix()`
fn prefix(call: &mut Call<'_>) -> Result<Reply, Raise> {
    Ok(one(&call.lane().engine().settings().prefix))
}

/// `ngx.config.nginx_configure()`
fn nginx_configure(call: &mut Call<'_>) -> Result<Reply, Raise> {
    Ok(one(&call.lane().engine().settings().nginx_configure))
}

fn one(text: &str) -> Reply {
    Reply::of(values([Value::from(text.to_owned())]))
}
