//! Arrays as bytes: what `send` makes of them.

use std::ffi::c_int;

use mlua::ffi as lua;

use super::call::{index, type_name};
use super::{Call, Raise, number_text};

impl Call<'_> {
    /// Appends a string, number, boolean, nil, or an array of strings, numbers and such arrays.
    pub(crate) fn append_array(&self, at: usize, out: &mut Vec<u8>) -> Result<(), Raise> {
        self.append(index(at), at, 0, out)
    }

    fn append(&self, i: c_int, at: usize, depth: usize, out: &mut Vec<u8>) -> Result<(), Raise> {
        // SAFETY: looks only.
        match unsafe { lua::lua_type(self.state, i) } {
            lua::LUA_TSTRING => out.extend_from_slice(self.string(i)),
            lua::LUA_TNUMBER => {
                // SAFETY: looks only.
                let number = unsafe { lua::lua_tonumber(self.state, i) };
                out.extend_from_slice(number_text(number).as_bytes());
            }
            lua::LUA_TNIL if depth == 0 => out.extend_from_slice(b"nil"),
            lua::LUA_TBOOLEAN if depth == 0 => {
                // SAFETY: looks only.
                let yes = unsafe { lua::lua_toboolean(self.state, i) } != 0;
                out.extend_from_slice(if yes { b"true" } else { b"false" });
            }
            lua::LUA_TTABLE => return self.append_table(i, at, depth, out),
            other => {
                let message = format!("bad data type {} found", type_name(other));
                return Err(Raise::Argument(at, message.into()));
            }
        }
        Ok(())
    }

    fn append_table(
        &self,
        i: c_int,
        at: usize,
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Raise> {
        // SAFETY: does not raise.
        if depth >= MAX_DEPTH || unsafe { lua::lua_checkstack(self.state, 4) } == 0 {
            return Err(Raise::Argument(at, "table nested too deeply".into()));
        }
        let len = self.array_len(i, at)?;
        for n in 1..=len {
            // SAFETY: raw access; the value is popped again.
            unsafe {
                lua::lua_rawgeti_(self.state, i, n);
                let inner = lua::lua_gettop(self.state);
                let appended = self.append(inner, at, depth + 1, out);
                lua::lua_settop(self.state, inner - 1);
                appended?;
            }
        }
        Ok(())
    }

    /// The greatest key of a table that has only array keys.
    pub(super) fn array_len(&self, i: c_int, at: usize) -> Result<i32, Raise> {
        let mut len = 0;
        // SAFETY: `lua_next` raises for keys that are not in the table alone, and these come from
        // it; the stack is put back on both ways out.
        unsafe {
            let top = lua::lua_gettop(self.state);
            lua::lua_pushnil(self.state);
            while lua::lua_next(self.state, i) != 0 {
                lua::lua_pop(self.state, 1);
                let key = lua::lua_tonumber(self.state, -1);
                let is_number = lua::lua_type(self.state, -1) == lua::LUA_TNUMBER;
                if !is_number || key < 1.0 || key != key.floor() || key > MAX_LEN {
                    lua::lua_settop(self.state, top);
                    return Err(Raise::Argument(at, "non-array table found".into()));
                }
                // Whole and within range, see above.
                #[expect(clippy::cast_possible_truncation, reason = "checked above")]
                let key = key as i32;
                len = len.max(key);
            }
        }
        Ok(len)
    }
}

/// Tables in tables.
pub(super) const MAX_DEPTH: usize = 100;
/// Elements of an array.
const MAX_LEN: f64 = 2_147_483_646.0;
