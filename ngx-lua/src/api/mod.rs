//! The `ngx` table.

mod cjson;
mod config;
mod date;
pub(crate) mod encode;
mod libraries;
mod log;
mod modules;
pub(crate) mod re;
mod shdict;
mod time;
mod worker;

use std::rc::Rc;

use mlua::{LightUserData, Value};

use crate::cosocket;
use crate::sched::{self, Engine};

/// Puts the `ngx` table into the VM.
pub(crate) fn install(engine: &Rc<Engine>) -> mlua::Result<()> {
    let lua = engine.raw().lua();
    let ngx = lua.create_table()?;
    for (name, code) in CODES {
        ngx.set(*name, *code)?;
    }
    ngx.set(
        "null",
        Value::LightUserData(LightUserData(std::ptr::null_mut())),
    )?;
    log::install(engine, &ngx)?;
    time::install(engine, &ngx)?;
    date::install(engine, &ngx)?;
    encode::install(engine, &ngx)?;
    re::install(engine, &ngx)?;
    worker::install(engine, &ngx)?;
    config::install(engine, &ngx)?;
    libraries::install(engine)?;
    modules::install(engine)?;
    shdict::install(engine, &ngx)?;
    cjson::install(engine)?;
    sched::install(engine, &ngx)?;
    cosocket::install(engine, &ngx)?;
    lua.globals().set("ngx", ngx)
}

/// nginx's return codes.
const CODES: &[(&str, i32)] = &[
    ("OK", 0),
    ("ERROR", -1),
    ("AGAIN", -2),
    ("DONE", -4),
    ("DECLINED", -5),
];

#[cfg(test)]
mod tests;
