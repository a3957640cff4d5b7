//! Tables: made of Rust values, filled, gone through.

use std::ffi::c_int;

use mlua::ffi as lua;

use super::call::index;
use super::{Call, Kind, Raise, RawVm, Reply, Value};

/// A table to be made.
#[derive(Default)]
pub(crate) struct TableValue {
    /// What stands at 1, 2, and so on.
    pub(crate) items: Vec<Value>,
    /// Everything else: keys, which are neither nil nor NaN, and values.
    pub(crate) fields: Vec<(Value, Value)>,
}

impl From<TableValue> for Value {
    fn from(table: TableValue) -> Self {
        Self::Table(Box::new(table))
    }
}

impl TableValue {
    /// Pushes a new table. May raise.
    ///
    /// # Safety
    /// As for [`Value::push`].
    pub(super) unsafe fn push(&self, vm: &RawVm, state: *mut lua::lua_State) {
        // SAFETY: as the caller promises; the table takes one of the slots.
        unsafe {
            lua::lua_createtable(state, size(self.items.len()), size(self.fields.len()));
            self.push_into(vm, state);
        }
    }

    /// Sets what there is in the table on top, without metamethods. May raise.
    ///
    /// # Safety
    /// As for [`Value::push`], and there is a table on top.
    unsafe fn push_into(&self, vm: &RawVm, state: *mut lua::lua_State) {
        // SAFETY: as the caller promises; values of values ask for slots of their own.
        unsafe {
            lua::luaL_checkstack(state, 8, c"table".as_ptr());
            for (at, item) in (1..).zip(&self.items) {
                item.push(vm, state);
                lua::lua_rawseti(state, -2, at);
            }
            for (key, value) in &self.fields {
                key.push(vm, state);
                value.push(vm, state);
                lua::lua_rawset(state, -3);
            }
        }
    }
}

impl Call<'_> {
    /// Shows `f` every key and value of the table at `at`, by the places where they stand until it
    /// returns. Metamethods are not asked.
    pub(crate) fn each(
        &self,
        at: usize,
        mut f: impl FnMut(usize, usize) -> Result<(), Raise>,
    ) -> Result<(), Raise> {
        if self.kind(at) != Kind::Table {
            return Err(self.expected(at, "table"));
        }
        // SAFETY: does not raise.
        if unsafe { lua::lua_checkstack(self.state, 6) } == 0 {
            return Err("stack overflow".into());
        }
        let top = self.count();
        // SAFETY: `lua_next` raises for keys that are not in the table alone; these come from it, and
        // nothing can change it meanwhile, for no Lua runs. The stack is put back on every way out.
        unsafe {
            lua::lua_pushnil(self.state);
            while lua::lua_next(self.state, index(at)) != 0 {
                let shown = f(top + 1, top + 2);
                lua::lua_settop(self.state, index(top + 1));
                if shown.is_err() {
                    lua::lua_settop(self.state, index(top));
                    return shown;
                }
            }
        }
        Ok(())
    }

    /// Sets fields of the table at `at`, without metamethods.
    pub(crate) fn fill(&self, at: usize, with: &TableValue) -> Result<(), Raise> {
        if self.kind(at) != Kind::Table {
            return Err(self.expected(at, "table"));
        }
        let (vm, from, at) = (self.vm(), self.state, index(at));
        vm.protect(|aux| {
            // SAFETY: the table is copied to the auxiliary stack, which has free slots and is put
            // back whatever happens there.
            unsafe {
                lua::lua_pushvalue(from, at);
                lua::lua_xmove(from, aux, 1);
                with.push_into(vm, aux);
            }
        })
        .map_err(|_| "not enough memory".into())
    }

    /// Sets the field of the table at 1 that 2 names to 3, without metamethods; the arguments are
    /// gone then.
    #[cfg(feature = "http")]
    pub(crate) fn raw_set(&mut self) -> Result<(), Raise> {
        if self.kind(1) != Kind::Table || !self.is_given(2) || self.count() < 3 {
            return Err("a table, a key and a value expected".into());
        }
        if self.number(2).is_some_and(f64::is_nan) {
            return Err("table index is NaN".into());
        }
        let from = self.state;
        self.vm()
            .protect(|aux| {
                // SAFETY: three values, which exist, move to the auxiliary stack, which has free slots;
                // the key is neither nil nor NaN.
                unsafe {
                    lua::lua_settop(from, 3);
                    lua::lua_xmove(from, aux, 3);
                    lua::lua_rawset(aux, 1);
                }
            })
            .map_err(|_| "not enough memory".into())
    }

    /// Answers with one of the arguments.
    pub(crate) fn give_back(&mut self, at: usize) -> Reply {
        // SAFETY: one of the 20 slots that every C function has.
        unsafe { lua::lua_pushvalue(self.state, index(at)) };
        Reply::Stack(1)
    }
}

/// A hint for the allocation of a table.
fn size(n: usize) -> c_int {
    c_int::try_from(n).unwrap_or(0)
}
