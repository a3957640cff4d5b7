//! Lua values that Rust keeps.

use std::ffi::c_int;
use std::fmt;
use std::rc::Rc;

use mlua::ffi as lua;

use super::call::index;
use super::{Call, Raise, RawVm};

/// A Lua value, such as the table of `ngx.ctx`, kept alive until this is dropped.
pub(crate) struct Kept {
    vm: Rc<RawVm>,
    anchor: c_int,
}

impl Kept {
    /// What stands at `anchor` in the registry, which is given back with it.
    pub(super) fn at(vm: &Rc<RawVm>, anchor: c_int) -> Rc<Self> {
        Rc::new(Self {
            vm: Rc::clone(vm),
            anchor,
        })
    }

    /// A new, empty table.
    pub(crate) fn new_table(vm: &Rc<RawVm>) -> Result<Rc<Self>, Raise> {
        let mut anchor = lua::LUA_NOREF;
        vm.protect(|aux| {
            // SAFETY: `aux` has free slots; raising is allowed here.
            unsafe {
                lua::lua_createtable(aux, 0, 4);
                anchor = lua::luaL_ref(aux, lua::LUA_REGISTRYINDEX);
            }
        })
        .map_err(|_| "not enough memory")?;
        Ok(Self::at(vm, anchor))
    }

    /// Whether it is a value of this VM.
    pub(super) fn is_of(&self, vm: &Rc<RawVm>) -> bool {
        Rc::ptr_eq(&self.vm, vm)
    }

    /// Pushes the value. Does not raise.
    ///
    /// # Safety
    /// `state` belongs to the VM and has a free slot.
    pub(super) unsafe fn push(&self, state: *mut lua::lua_State) {
        // SAFETY: raw access to the registry, at a place that is ours.
        unsafe { lua::lua_rawgeti_(state, lua::LUA_REGISTRYINDEX, self.anchor) };
    }
}

impl Call<'_> {
    /// Keeps the value at `at`.
    pub(crate) fn keep(&self, at: usize) -> Result<Rc<Kept>, Raise> {
        let mut anchor = lua::LUA_NOREF;
        let (from, at) = (self.state, index(at));
        self.vm()
            .protect(|aux| {
                // SAFETY: one value is copied to the auxiliary stack, which has free slots.
                unsafe {
                    lua::lua_pushvalue(from, at);
                    lua::lua_xmove(from, aux, 1);
                    anchor = lua::luaL_ref(aux, lua::LUA_REGISTRYINDEX);
                }
            })
            .map_err(|_| "not enough memory")?;
        Ok(Kept::at(self.vm(), anchor))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.vm.forget(self.anchor);
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kept").field(&self.anchor).finish()
    }
}
