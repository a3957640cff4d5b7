//! Bounds the native stack.
//!
//! LuaJIT counts its own stack, not that of the thread: functions of its library that call back
//! (`string.gsub` needs 8 KiB for each level) can use it up, and the process ends. Those functions
//! are put behind one of ours, which looks how deep the stack has become since the last resume.
//! Nested coroutines need no such care: the scheduler resumes all of them from its own level.

use std::cell::Cell;
use std::ffi::{CStr, c_int};

use mlua::ffi as lua;
use mlua::{Function as LuaFunction, Lua, Table};

/// What calls from Lua to C and back may use: threads have 2 MiB as a rule.
const MOST: usize = 768 * 1024;

/// Remembers where the stack is; until the guard is dropped, depth counts from here unless an outer
/// call has begun already.
pub(super) fn begin() -> Depth {
    let outer = BASE.get();
    if outer == 0 {
        BASE.set(here());
    }
    Depth { outer }
}

pub(super) struct Depth {
    outer: usize,
}

impl Drop for Depth {
    fn drop(&mut self) {
        BASE.set(self.outer);
    }
}

/// Puts the functions that call back, and that no trace of the compiler contains, behind the guard.
pub(crate) fn guard_libraries(lua: &Lua) -> mlua::Result<()> {
    let globals = lua.globals();
    for (library, names) in LIBRARIES {
        let table: Table = if library.is_empty() {
            globals.clone()
        } else {
            globals.get(*library)?
        };
        for name in *names {
            let Ok(original) = table.get::<LuaFunction>(*name) else {
                continue;
            };
            let mut made = None;
            // SAFETY: runs protected; `guarded` finds the original in its first upvalue.
            unsafe {
                made.replace(lua.exec_raw::<LuaFunction>(original, |state| {
                    lua::lua_pushcclosure(state, guarded, 1);
                })?);
            }
            table.set(*name, made)?;
        }
    }
    Ok(())
}

const LIBRARIES: &[(&str, &[&str])] = &[
    ("", &["require", "load", "loadstring", "dofile"]),
    ("string", &["gsub", "format"]),
    ("table", &["sort"]),
];

/// Calls its upvalue if the native stack has room.
unsafe extern "C-unwind" fn guarded(state: *mut lua::lua_State) -> c_int {
    // SAFETY: an ordinary C function: its own stack, one upvalue, and no Rust value that a Lua error
    // would leave undropped.
    unsafe {
        if is_deep() {
            lua::luaL_where(state, 1);
            lua::lua_pushstring(state, MESSAGE.as_ptr());
            lua::lua_concat(state, 2);
            lua::lua_error(state);
        }
        let n = lua::lua_gettop(state);
        lua::luaL_checkstack(state, 2, c"arguments".as_ptr());
        lua::lua_pushvalue(state, lua::lua_upvalueindex(1));
        lua::lua_insert(state, 1);
        lua::lua_call(state, n, lua::LUA_MULTRET);
        lua::lua_gettop(state)
    }
}

const MESSAGE: &CStr = c"stack overflow (C stack)";

fn is_deep() -> bool {
    let base = BASE.get();
    base != 0 && base.abs_diff(here()) > MOST
}

/// An address in the frame of the caller, or nearly.
#[inline(never)]
fn here() -> usize {
    let mark = 0u8;
    (&raw const mark).addr()
}

thread_local! {
    /// Where the outermost resume of this thread stands; 0 outside of any.
    static BASE: Cell<usize> = const { Cell::new(0) };
}
