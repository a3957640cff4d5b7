//! Values as output: what `ngx.say` makes of its arguments.

use std::ffi::c_int;

use bytes::BufMut;
use mlua::ffi as lua;

use super::array::MAX_DEPTH;
use super::call::{index, type_name};
use super::{Call, Raise, number_text};

impl Call<'_> {
    /// The only argument, if it is a string.
    #[inline]
    pub(crate) fn only_string(&self) -> Option<&[u8]> {
        // SAFETY: looks only.
        let is_it = unsafe {
            lua::lua_gettop(self.state) == 1 && lua::lua_type(self.state, 1) == lua::LUA_TSTRING
        };
        is_it.then(|| self.string(1))
    }

    /// How long the strings among the arguments are together.
    pub(crate) fn text_len(&self) -> usize {
        (1..=self.count())
            .map(index)
            .map(|i| {
                // SAFETY: looks only; the length of a string is asked for without converting it.
                unsafe {
                    match lua::lua_type(self.state, i) {
                        lua::LUA_TSTRING => lua::lua_objlen(self.state, i),
                        _ => 0,
                    }
                }
            })
            .sum()
    }

    /// Appends the argument at `at` as `ngx.say` writes it: strings, numbers, booleans, nil,
    /// `ngx.null`, and arrays of all these.
    pub(crate) fn append_output(&self, at: usize, out: &mut impl BufMut) -> Result<(), Raise> {
        if self.append_plain(index(at), out) {
            return Ok(());
        }
        // SAFETY: looks only.
        match unsafe { lua::lua_type(self.state, index(at)) } {
            lua::LUA_TTABLE => self.append_items(index(at), at, 0, out),
            other => {
                let wanted = "string, number, boolean, nil, ngx.null, or array table expected";
                let message = format!("{wanted}, but got {}", type_name(other));
                Err(Raise::Argument(at, message.into()))
            }
        }
    }

    /// Appends what needs no look inside.
    fn append_plain(&self, i: c_int, out: &mut impl BufMut) -> bool {
        // SAFETY: looks only.
        match unsafe { lua::lua_type(self.state, i) } {
            lua::LUA_TSTRING => out.put_slice(self.string(i)),
            lua::LUA_TNUMBER => {
                // SAFETY: looks only.
                let number = unsafe { lua::lua_tonumber(self.state, i) };
                append_number(number, out);
            }
            lua::LUA_TNIL => out.put_slice(b"nil"),
            lua::LUA_TBOOLEAN => {
                // SAFETY: looks only.
                let yes = unsafe { lua::lua_toboolean(self.state, i) } != 0;
                out.put_slice(if yes { b"true" } else { b"false" });
            }
            lua::LUA_TLIGHTUSERDATA => {
                // SAFETY: looks only.
                if unsafe { lua::lua_touserdata(self.state, i) }.is_null() {
                    out.put_slice(b"null");
                }
            }
            _ => return false,
        }
        true
    }

    fn append_items(
        &self,
        i: c_int,
        at: usize,
        depth: usize,
        out: &mut impl BufMut,
    ) -> Result<(), Raise> {
        // SAFETY: does not raise.
        if depth >= MAX_DEPTH || unsafe { lua::lua_checkstack(self.state, 4) } == 0 {
            return Err(Raise::Argument(at, "table nested too deeply".into()));
        }
        for n in 1..=self.array_len(i, at)? {
            // SAFETY: raw access; the value is popped again on every way out.
            unsafe {
                lua::lua_rawgeti_(self.state, i, n);
                let inner = lua::lua_gettop(self.state);
                let kind = lua::lua_type(self.state, inner);
                let appended = if self.append_plain(inner, out) {
                    Ok(())
                } else if kind == lua::LUA_TTABLE {
                    self.append_items(inner, at, depth + 1, out)
                } else {
                    let message = format!("bad data type {} found", type_name(kind));
                    Err(Raise::Argument(at, message.into()))
                };
                lua::lua_settop(self.state, inner - 1);
                appended?;
            }
        }
        Ok(())
    }
}

/// Appends a number as Lua writes it; whole ones, which most are, without a detour.
fn append_number(number: f64, out: &mut impl BufMut) {
    const WHOLE: f64 = 1e14;
    if number.fract() != 0.0
        || number.abs() >= WHOLE
        || (number == 0.0 && number.is_sign_negative())
    {
        out.put_slice(number_text(number).as_bytes());
        return;
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole and within range")]
    let mut rest = (number as i64).unsigned_abs();
    let mut digits = [0; 20];
    let mut from = digits.len();
    while let Some(place) = from.checked_sub(1).and_then(|at| digits.get_mut(at)) {
        *place = b'0' + (rest % 10) as u8;
        from -= 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0.0 {
        out.put_u8(b'-');
    }
    out.put_slice(digits.get(from..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_lua_writes() {
        for number in [
            0.0,
            -0.0,
            1.0,
            -1.0,
            10.0,
            -305.0,
            1.5,
            99_999_999_999_999.0,
            1e14,
            -1e14,
            1e300,
            f64::INFINITY,
        ] {
            let mut out = Vec::new();
            append_number(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), number_text(number));
        }
    }
}
