//! Lua threads from the outside: filled, resumed, emptied.

use std::cell::Cell;
use std::ffi::c_int;
use std::fmt;
use std::rc::Rc;

use mlua::MultiValue;
use mlua::ffi as lua;

#[cfg(feature = "http")]
use super::Kept;
use super::guard;
use super::value::push_text;
use super::{Exhausted, Lender, RawVm, Value, Values};

/// A Lua thread, kept alive.
pub(crate) struct Thread {
    vm: Rc<RawVm>,
    state: *mut lua::lua_State,
    anchor: c_int,
    /// It may be known to scripts, so that it must not serve another run.
    shown: Cell<bool>,
    /// Nothing runs on it, as is known without a look at its stack: it was not begun, or has
    /// returned.
    idle: Cell<bool>,
    /// It counts among those of the VM that rest.
    resting: Cell<bool>,
}

/// How a resume ended. The thread's stack holds what it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resumed {
    /// It returned; its results are on its stack.
    Finished,
    /// It yielded; what it passed is on its stack.
    Yielded,
    /// It raised; the error object is on top of its stack.
    Failed,
}

/// What a thread could do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has a function to begin with, or has yielded.
    Suspended,
    /// It is in the middle of something.
    Active,
    /// It has returned or raised.
    Dead,
}

impl Thread {
    pub(super) fn from_parts(vm: Rc<RawVm>, state: *mut lua::lua_State, anchor: c_int) -> Self {
        Self {
            vm,
            state,
            anchor,
            shown: Cell::new(false),
            idle: Cell::new(false),
            resting: Cell::new(false),
        }
    }

    /// One that is empty and runs nothing.
    pub(super) fn empty(vm: Rc<RawVm>, state: *mut lua::lua_State, anchor: c_int) -> Self {
        let thread = Self::from_parts(vm, state, anchor);
        thread.idle.set(true);
        thread
    }

    pub(super) fn state(&self) -> *mut lua::lua_State {
        self.state
    }

    /// Tells threads apart while they live.
    pub(crate) fn id(&self) -> usize {
        self.state.addr()
    }

    pub(crate) fn show(&self) {
        self.shown.set(true);
    }

    /// Whether scripts may know it.
    pub(crate) fn is_shown(&self) -> bool {
        self.shown.get()
    }

    pub(crate) fn stage(&self) -> Stage {
        // SAFETY: the state is alive; nothing here raises. `lua_getstack` only writes to `frame`.
        unsafe {
            match lua::lua_status(self.state) {
                lua::LUA_YIELD => Stage::Suspended,
                lua::LUA_OK => {
                    let mut frame = std::mem::zeroed::<lua::lua_Debug>();
                    if lua::lua_getstack(self.state, 0, &raw mut frame) > 0 {
                        Stage::Active
                    } else if lua::lua_gettop(self.state) == 0 {
                        Stage::Dead
                    } else {
                        Stage::Suspended
                    }
                }
                _ => Stage::Dead,
            }
        }
    }

    /// Lets the thread run, with all that is on its stack as arguments.
    pub(crate) fn resume(&self) -> Resumed {
        // SAFETY: the state is alive; nothing is changed.
        let fresh = match unsafe { lua::lua_status(self.state) } {
            lua::LUA_YIELD => false,
            lua::LUA_OK if self.is_ready() => true,
            _ => return Resumed::Failed,
        };
        self.idle.set(false);
        let _depth = guard::begin();
        // SAFETY: the thread is suspended: it has yielded, and its stack holds the arguments, or it
        // is fresh, and they stand behind the function. `lua_resume` catches what is raised.
        let status = unsafe {
            let n = lua::lua_gettop(self.state) - c_int::from(fresh);
            lua::lua_resume_(self.state, n)
        };
        match status {
            lua::LUA_OK => {
                self.idle.set(true);
                Resumed::Finished
            }
            lua::LUA_YIELD => Resumed::Yielded,
            _ => Resumed::Failed,
        }
    }

    /// Whether one that has not yielded has a function to begin with.
    fn is_ready(&self) -> bool {
        if self.idle.get() {
            self.count() > 0
        } else {
            self.stage() == Stage::Suspended
        }
    }

    /// How many values are on the stack.
    pub(crate) fn count(&self) -> usize {
        // SAFETY: the state is alive; nothing is changed.
        usize::try_from(unsafe { lua::lua_gettop(self.state) }).unwrap_or(0)
    }

    /// Drops what is on the stack of a thread that does not run.
    pub(crate) fn clear(&self) {
        // The stack of a thread in the middle of a call is not ours to shorten.
        if self.idle.get() || self.stage() != Stage::Active {
            // SAFETY: shrinking the visible part of the stack does not raise.
            unsafe { lua::lua_settop(self.state, 0) }
        }
    }

    /// Pushes values.
    pub(crate) fn push(&self, values: Values) -> Result<(), Exhausted> {
        let n = c_int::try_from(values.len()).map_err(|_| Exhausted)?;
        // SAFETY: does not raise.
        if unsafe { lua::lua_checkstack(self.state, n + 1) } == 0 {
            return Err(Exhausted);
        }
        // SAFETY: room for all was made above.
        let is_plain = |value: &&Value| unsafe { value.push_plain(self.state) };
        let plain = values.iter().take_while(is_plain).count();
        let rest = values.get(plain..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        let (vm, target) = (&*self.vm, self.state);
        vm.protect(|aux| {
            for value in rest {
                // SAFETY: `aux` has a free slot for each value, as `protect` runs with 20 and each
                // is moved away at once; the target was given room above.
                unsafe {
                    value.push(vm, aux);
                    lua::lua_xmove(aux, target, 1);
                }
            }
        })
    }

    /// Answers the call that waits here: these are its results. False if there is no memory.
    pub(crate) fn answer(&self, values: Values) -> bool {
        self.clear();
        self.push(values).is_ok()
    }

    /// As [`answer`](Self::answer), with a string.
    pub(crate) fn answer_lent(&self, lender: &impl Lender) -> bool {
        self.clear();
        let target = self.state;
        let pushed = self.vm.protect(|aux| {
            lender.lend(&mut |text| {
                // SAFETY: `aux` has a free slot, and so has the target: it was emptied, and a C
                // function that waits has 20.
                unsafe {
                    push_text(aux, text);
                    lua::lua_xmove(aux, target, 1);
                }
            });
        });
        pushed.is_ok()
    }

    /// Puts a boolean at a place, from 1, of the stack.
    pub(crate) fn insert_boolean(&self, at: usize, value: bool) -> Result<(), Exhausted> {
        let at = c_int::try_from(at).map_err(|_| Exhausted)?;
        // SAFETY: room is made by a call that does not raise; the place exists.
        unsafe {
            if at > lua::lua_gettop(self.state) + 1 || lua::lua_checkstack(self.state, 2) == 0 {
                return Err(Exhausted);
            }
            lua::lua_pushboolean(self.state, c_int::from(value));
            lua::lua_insert(self.state, at);
        }
        Ok(())
    }

    /// Moves the `n` values on top to the top of another thread of the VM.
    pub(crate) fn move_to(&self, other: &Self, n: usize) -> Result<(), Exhausted> {
        if !Rc::ptr_eq(&self.vm, &other.vm) || n > self.count() || self.id() == other.id() {
            return Err(Exhausted);
        }
        let n = c_int::try_from(n).map_err(|_| Exhausted)?;
        // SAFETY: same VM, values exist, room is made first by a call that does not raise.
        unsafe {
            if lua::lua_checkstack(other.state, n + 1) == 0 {
                return Err(Exhausted);
            }
            lua::lua_xmove(self.state, other.state, n);
        }
        Ok(())
    }

    /// Copies the value on top to the top of another thread of the VM.
    pub(crate) fn copy_top_to(&self, other: &Self) -> Result<(), Exhausted> {
        // SAFETY: there is a value, and room is made first by a call that does not raise.
        unsafe {
            if self.count() == 0 || lua::lua_checkstack(self.state, 1) == 0 {
                return Err(Exhausted);
            }
            lua::lua_pushvalue(self.state, -1);
        }
        self.move_to(other, 1)
    }

    /// Copies all that is on the stack to the top of another thread of the VM.
    pub(crate) fn copy_all_to(&self, other: &Self) -> Result<(), Exhausted> {
        let n = c_int::try_from(self.count()).map_err(|_| Exhausted)?;
        // SAFETY: the values exist, and room for one more of each is made first, by a call that does
        // not raise; `move_to` checks the rest.
        unsafe {
            if lua::lua_checkstack(self.state, n + 1) == 0 {
                return Err(Exhausted);
            }
            for at in 1..=n {
                lua::lua_pushvalue(self.state, at);
            }
        }
        let copied = self.count() / 2;
        self.move_to(other, copied)
    }

    /// Takes the `n` values on top, for the safe bindings.
    pub(crate) fn take(&self, n: usize) -> mlua::Result<MultiValue> {
        let n = c_int::try_from(n.min(self.count())).unwrap_or(0);
        let from = self.state;
        let mut fits = false;
        // SAFETY: as in `move_to`; `exec_raw` pops what it finds on its state.
        let taken = unsafe {
            self.vm.lua().exec_raw::<MultiValue>((), |state| {
                fits = lua::lua_checkstack(state, n + 1) != 0;
                if fits {
                    lua::lua_xmove(from, state, n);
                }
            })
        };
        if !fits {
            return Err(mlua::Error::StackError);
        }
        taken
    }

    /// The stack of calls, beginning with `stack traceback:`; empty when there is no memory.
    pub(crate) fn traceback(&self) -> String {
        let of = self.state;
        // SAFETY: runs protected; the traced thread is only looked at.
        let text = unsafe {
            self.vm.lua().exec_raw::<mlua::LuaString>((), |state| {
                lua::luaL_traceback(state, of, std::ptr::null(), 0);
            })
        };
        text.map(|text| text.to_string_lossy()).unwrap_or_default()
    }

    /// Gives the thread back after a run that ended well.
    pub(crate) fn recycle(mut self) {
        if self.empty_out() && self.vm.take_back(self.state, self.anchor) {
            self.anchor = lua::LUA_NOREF;
        }
    }

    /// Makes it ready for another run after one that ended well, without giving it back; false if it
    /// cannot serve one, or enough of them rest already.
    #[cfg(feature = "http")]
    #[inline]
    pub(crate) fn rest(&self) -> bool {
        let rests = self.empty_out() && self.vm.rests();
        self.resting.set(rests);
        rests
    }

    /// Puts a function that waits for its first resume on a thread that is empty.
    #[cfg(feature = "http")]
    #[inline]
    pub(crate) fn begin_with(&self, function: &Kept) -> Result<(), Exhausted> {
        self.stop_resting();
        // SAFETY: the thread is empty, and of this VM; LuaJIT has 40 slots for an empty one.
        unsafe {
            if !function.is_of(&self.vm) || lua::lua_gettop(self.state) != 0 {
                return Err(Exhausted);
            }
            function.push(self.state);
        }
        Ok(())
    }

    /// Drops what is left on it; false if it may not serve again.
    #[inline]
    fn empty_out(&self) -> bool {
        if self.shown.get() {
            return false;
        }
        self.clear();
        self.vm.restore_globals(self.state) && (self.idle.get() || self.stage() == Stage::Dead)
    }

    fn stop_resting(&self) {
        if self.resting.replace(false) {
            self.vm.rests_no_more();
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop_resting();
        if self.anchor != lua::LUA_NOREF {
            self.vm.forget(self.anchor);
        }
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Thread").field(&self.state).finish()
    }
}
