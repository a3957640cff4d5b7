//! Going through tables in tables, without a level of the native stack for each.

use mlua::ffi as lua;

use super::call::index;
use super::{Call, Kind, Meta};

/// A way through tables. While it is there, no Lua must run; metamethods are not asked.
pub(crate) struct Walk<'a, 'c> {
    call: &'a Call<'c>,
    /// The stack before it began.
    base: usize,
    levels: Vec<Level>,
}

struct Level {
    /// Where the table stands.
    table: usize,
    kind: Steps,
}

enum Steps {
    Pairs,
    Items { at: usize, len: usize },
}

/// Where the next value stands, and its key, in a table of pairs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Option<usize>,
    pub(crate) value: usize,
}

impl<'a, 'c> Walk<'a, 'c> {
    pub(crate) fn new(call: &'a Call<'c>) -> Self {
        Self {
            call,
            base: call.count(),
            levels: Vec::new(),
        }
    }

    /// Goes into the table at `at`: an argument, or the value of the last [`Entry`]. With a length, its
    /// first so many places are visited, otherwise all keys. `false` if it is no table or the stack
    /// is full.
    pub(crate) fn enter(&mut self, at: usize, len: Option<usize>) -> bool {
        let state = self.call.state;
        // SAFETY: does not raise.
        if self.call.kind(at) != Kind::Table || unsafe { lua::lua_checkstack(state, 4) } == 0 {
            return false;
        }
        let kind = match len {
            Some(len) => Steps::Items { at: 0, len },
            None => Steps::Pairs,
        };
        // SAFETY: there is room; a copy of the table stands below what its level pushes.
        unsafe {
            lua::lua_pushvalue(state, index(at));
            let table = self.call.count();
            if len.is_none() {
                lua::lua_pushnil(state);
            }
            self.levels.push(Level { table, kind });
        }
        true
    }

    /// The next value of the innermost table, or `None` at its end: it is left then.
    pub(crate) fn step(&mut self) -> Option<Entry> {
        let level = self.levels.last_mut()?;
        let (state, table) = (self.call.state, level.table);
        match &mut level.kind {
            Steps::Items { at, len } if *at < *len => {
                *at += 1;
                // SAFETY: raw access to a table; the slot is one of those asked for.
                unsafe {
                    lua::lua_settop(state, index(table));
                    lua::lua_rawgeti(state, index(table), index(*at).into());
                }
                return Some(Entry {
                    key: None,
                    value: table + 1,
                });
            }
            Steps::Items { .. } => {}
            Steps::Pairs => {
                // SAFETY: above the table there is nil or the key that `lua_next` left there, and no Lua
                // has run since that could have changed the table, so it does not raise.
                unsafe {
                    lua::lua_settop(state, index(table + 1));
                    if lua::lua_next(state, index(table)) != 0 {
                        return Some(Entry {
                            key: Some(table + 1),
                            value: table + 2,
                        });
                    }
                }
            }
        }
        self.levels.pop();
        // SAFETY: shrinks.
        unsafe { lua::lua_settop(state, index(table - 1)) };
        None
    }
}

impl Drop for Walk<'_, '_> {
    fn drop(&mut self) {
        // SAFETY: everything above is ours.
        unsafe { lua::lua_settop(self.call.state, index(self.base)) }
    }
}

impl Call<'_> {
    /// The address in a light userdata.
    pub(crate) fn light(&self, at: usize) -> Option<usize> {
        // SAFETY: looks only.
        unsafe {
            (lua::lua_type(self.state, index(at)) == lua::LUA_TLIGHTUSERDATA)
                .then(|| lua::lua_touserdata(self.state, index(at)).addr())
        }
    }

    /// Whether the value at `at` has this metatable.
    pub(crate) fn has_meta(&self, at: usize, meta: Meta) -> bool {
        // SAFETY: raw lookups; two of the slots that were made free or that every C function has.
        unsafe {
            if lua::lua_checkstack(self.state, 2) == 0
                || lua::lua_getmetatable(self.state, index(at)) == 0
            {
                return false;
            }
            lua::lua_rawgeti(self.state, lua::LUA_REGISTRYINDEX, meta.0.into());
            let same = lua::lua_rawequal(self.state, -1, -2) != 0;
            lua::lua_pop(self.state, 2);
            same
        }
    }

    /// The raw length of the table or string at `at`.
    pub(crate) fn len(&self, at: usize) -> usize {
        // SAFETY: looks only.
        unsafe { lua::lua_objlen(self.state, index(at)) }
    }
}
