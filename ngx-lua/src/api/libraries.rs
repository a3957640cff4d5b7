//! What `require` finds without a file, and where it looks for files.

use std::rc::Rc;

use mlua::{Function, IntoLuaMulti, Lua, Table};

use crate::sched::Engine;

pub(super) fn install(engine: &Rc<Engine>) -> mlua::Result<()> {
    let lua = engine.raw().lua();
    run_half(lua, "tables", include_str!("../lua/tables.lua"), ())?;
    let package: Table = lua.globals().get("package")?;
    let settings = engine.settings();
    if let Some(environment) = &settings.environment {
        let known = environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let known = lua.create_table_from(known)?;
        run_half(lua, "env", include_str!("../lua/env.lua"), known)?;
    }
    for (field, wanted) in [
        ("path", &settings.package_path),
        ("cpath", &settings.package_cpath),
    ] {
        if let Some(wanted) = wanted {
            let own: String = package.get(field)?;
            package.set(field, with_default(wanted, &own))?;
        }
    }
    Ok(())
}

/// Runs a piece of the Lua half of this crate.
pub(super) fn run_half(
    lua: &Lua,
    name: &str,
    source: &str,
    arguments: impl IntoLuaMulti,
) -> mlua::Result<()> {
    lua.load(source)
        .set_name(format!("=[ngx.{name}]"))
        .into_function()?
        .call(arguments)
}

/// Lets `require` find `module` without a file.
pub(super) fn preload(lua: &Lua, name: &str, module: Table) -> mlua::Result<()> {
    let loader: Function = lua
        .load("local module = ... return function() return module end")
        .set_name("=[ngx.preload]")
        .into_function()?
        .call(module)?;
    lua.preload_module(name, loader)
}

/// Puts the path `own` in the place of `;;`.
fn with_default(wanted: &str, own: &str) -> String {
    let path = wanted.replace(";;", &format!(";{own};"));
    path.trim_matches(';').to_owned()
}

#[cfg(test)]
mod tests {
    use super::with_default;

    #[test]
    fn two_semicolons_are_the_default_path() {
        for (wanted, path) in [
            ("/a/?.lua;;", "/a/?.lua;./?.lua"),
            (";;/a/?.lua", "./?.lua;/a/?.lua"),
            ("/a/?.lua;;/b/?.lua", "/a/?.lua;./?.lua;/b/?.lua"),
            (";;", "./?.lua"),
            ("/a/?.lua", "/a/?.lua"),
        ] {
            assert_eq!(with_default(wanted, "./?.lua"), path, "{wanted}");
        }
    }
}
