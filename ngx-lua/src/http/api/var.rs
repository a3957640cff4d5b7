//! `ngx.var`: the variables of the configuration, and what its regular expressions have captured.

use std::rc::Rc;

use ngx_core::http::Request;
use ngx_core::script::{Context as _, VarId};
use ngx_core::warn;

use super::live;
use crate::ffi::{Call, Kind, Raise, Reply, Value, Values, function};
use crate::sched::Engine;

pub(super) fn install(engine: &Rc<Engine>, ngx: &mlua::Table) -> mlua::Result<()> {
    let raw = engine.raw();
    let meta = raw.lua().create_table()?;
    meta.set("__index", raw.create_function(function(get))?)?;
    meta.set("__newindex", raw.create_function(function(set))?)?;
    let var = raw.lua().create_table()?;
    var.set_metatable(Some(meta))?;
    ngx.set("var", var)
}

/// `ngx.var.name`, `ngx.var[1]`
fn get(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let guest = live(call)?;
    let r = &guest.request;
    let value = match call.kind(2) {
        Kind::Number => capture(r, call.want_number(2)?),
        Kind::String => {
            let name = call.want_text(2)?;
            std::str::from_utf8(&name)
                .ok()
                .and_then(|name| read(r, name))
        }
        _ => return Err("bad variable name".into()),
    };
    Ok(Reply::Value(value.map_or(Value::Nil, Value::from)))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "there are no groups of such numbers"
)]
fn capture(r: &Request, number: f64) -> Option<Vec<u8>> {
    let n = number as usize;
    if n == 0 { None } else { r.captured(n) }
}

fn read(r: &Request, name: &str) -> Option<Vec<u8>> {
    let table = r.http().variables();
    let mut value = Vec::new();
    let Some(id) = table.find(name) else {
        return table.eval_name(name, r, &mut value).then_some(value);
    };
    if r.variable(id, &mut value) {
        return Some(value);
    }
    if table.is_cell(id) && !r.is_variable_unset(id) {
        warn!("using uninitialized \"{}\" variable", table.name(id));
        return Some(value);
    }
    None
}

/// `ngx.var.name = value`
fn set(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let guest = live(call)?;
    let r = &guest.request;
    if call.kind(2) != Kind::String {
        return Err("bad variable name".into());
    }
    let id = {
        let name = call.want_text(2)?;
        writable(r, &String::from_utf8_lossy(&name))?
    };
    if call.is_given(3) {
        r.set_variable(id, &call.tostring(3));
    } else {
        r.unset_variable(id);
    }
    Ok(Reply::of(Values::new()))
}

/// The variable of this name, if values can be given to it.
fn writable(r: &Request, name: &str) -> Result<VarId, Raise> {
    let table = r.http().variables();
    if let Some(id) = table.find(name) {
        if table.is_changeable(id) {
            return Ok(id);
        }
        let name = table.name(id);
        return Err(format!("variable \"{name}\" not changeable").into());
    }
    let name = name.to_ascii_lowercase();
    Err(format!(
        "variable \"{name}\" not found for writing; maybe it is a built-in variable that is not \
         changeable or you forgot to use \"set ${name} '';\" in the config file to define it first"
    )
    .into())
}
