//! Which libraries a VM begins with.

use mlua::{Lua, LuaOptions, StdLib};

/// Makes a VM: with the libraries that no script can break memory safety with, or, for scripts that
/// are `trusted`, with all of them and with modules written in C.
pub(crate) fn open(trusted: bool) -> mlua::Result<Lua> {
    if !trusted {
        return Lua::new_with(StdLib::ALL_SAFE, LuaOptions::default());
    }
    // SAFETY: with `debug`, `ffi` and C modules, scripts can do whatever this process can. Who sets
    // `Settings::trusted` says that they are as trusted as the program: those that a server's
    // configuration names, written by whoever may also choose which binary runs. Text of peers
    // never becomes a chunk here.
    let lua = unsafe { Lua::unsafe_new_with(StdLib::ALL, LuaOptions::default()) };
    // Scripts get it by `require "ffi"`, as everywhere.
    lua.globals().raw_remove("ffi")?;
    Ok(lua)
}
