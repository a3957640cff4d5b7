//! Objects with methods: tables with a Rust value or a number in their first place.

use std::rc::Rc;

use mlua::ffi as lua;

use super::call::index;
use super::vm::held;
use super::{Call, Kind, Raise};

/// What is inside an object.
pub(crate) enum Inside<T> {
    /// The number of something that is kept elsewhere; scripts may have put any there.
    Number(f64),
    Value(Rc<T>),
}

impl Call<'_> {
    /// The Rust value inside an object, with its methods' `self` at `at`.
    pub(crate) fn object<T: 'static>(&self, at: usize) -> Result<Rc<T>, Raise> {
        if self.kind(at) != Kind::Table {
            return Err(self.expected(at, "table"));
        }
        // SAFETY: raw access to a table; a free slot is among every C function's 20, and is given
        // back.
        let held = unsafe {
            lua::lua_rawgeti_(self.state, index(at), 1);
            let held = held(self.state, -1);
            lua::lua_settop(self.state, -2);
            held
        };
        held.and_then(|held| held.downcast().ok())
            .ok_or_else(|| Raise::Argument(at, "socket expected".into()))
    }

    /// The number inside an object, with its methods' `self` at `at`; 0 if there is none.
    #[inline]
    pub(crate) fn number_inside(&self, at: usize) -> f64 {
        // SAFETY: raw access to what was seen to be a table; a free slot is among every C function's
        // 20, and is given back. The call neither changes the value nor allocates; what is no number
        // is 0 for it.
        unsafe {
            if lua::lua_type(self.state, index(at)) != lua::LUA_TTABLE {
                return 0.0;
            }
            lua::lua_rawgeti_(self.state, index(at), 1);
            let number = lua::lua_tonumber(self.state, -1);
            lua::lua_settop(self.state, -2);
            number
        }
    }

    /// What is inside an object, with its methods' `self` at `at`: a Rust value, or its number.
    pub(crate) fn inside<T: 'static>(&self, at: usize) -> Result<Inside<T>, Raise> {
        let number = self.number_inside(at);
        if number != 0.0 {
            return Ok(Inside::Number(number));
        }
        self.object(at).map(Inside::Value)
    }

    /// Puts another number in an object at `at` that has one inside.
    pub(crate) fn set_inside(&self, at: usize, number: f64) {
        // SAFETY: a slot of every C function's 20; the place in the table is there, so that nothing
        // is allocated, and no metamethod is asked.
        unsafe {
            lua::lua_pushnumber(self.state, number);
            lua::lua_rawseti_(self.state, index(at), 1);
        }
    }
}
