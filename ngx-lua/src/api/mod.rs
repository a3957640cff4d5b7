//! The `ngx` table.

mod log;
mod shdict;
mod time;

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
    shdict::install(engine, &ngx)?;
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
