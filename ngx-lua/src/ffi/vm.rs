//! The VM as raw code sees it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};
use std::rc::Rc;

use mlua::ffi as lua;
use mlua::{Function as LuaFunction, Lua, MultiValue};

#[cfg(feature = "http")]
use super::Kept;
use super::{Function, Meta, Thread, Value};

/// The VM is out of memory, or of stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exhausted;

/// One VM, and what raw code needs of it at hand.
pub(crate) struct RawVm {
    lua: Lua,
    /// A thread that runs no Lua: values are made on its stack, under protection.
    aux: *mut lua::lua_State,
    /// The registry's place of the metatable of Rust values.
    holder_ref: c_int,
    /// The string `__tostring` in the registry.
    to_string_ref: c_int,
    /// `run_protected` in the registry.
    runner_ref: c_int,
    /// The table of globals that threads begin with; for comparison.
    globals: *const c_void,
    /// Threads at rest, empty, with their anchors.
    cache: RefCell<Vec<(*mut lua::lua_State, c_int)>>,
    /// Threads at rest that somebody else keeps.
    resting: Cell<usize>,
    /// How many of both are kept (`lua_thread_cache_max_entries`).
    cache_max: usize,
}

impl RawVm {
    pub(crate) fn new(lua: Lua, cache_max: usize) -> mlua::Result<Rc<Self>> {
        let mut vm = Self {
            lua,
            aux: ptr::null_mut(),
            holder_ref: lua::LUA_NOREF,
            to_string_ref: lua::LUA_NOREF,
            runner_ref: lua::LUA_NOREF,
            globals: ptr::null(),
            cache: RefCell::new(Vec::new()),
            resting: Cell::new(0),
            cache_max,
        };
        // SAFETY: the closure runs protected on a state with 20 free slots and leaves it as it was;
        // what it raises is caught by `exec_raw`, and it owns nothing that would be lost.
        unsafe {
            vm.lua.exec_raw::<()>((), |state| {
                vm.aux = lua::lua_newthread(state);
                lua::luaL_ref(state, lua::LUA_REGISTRYINDEX);
                lua::lua_createtable(state, 0, 2);
                lua::lua_pushcclosure(state, drop_holder, 0);
                lua::lua_setfield(state, -2, c"__gc".as_ptr());
                // What getmetatable shows of it to scripts.
                lua::lua_pushboolean(state, 0);
                lua::lua_setfield(state, -2, c"__metatable".as_ptr());
                vm.holder_ref = lua::luaL_ref(state, lua::LUA_REGISTRYINDEX);
                lua::lua_pushstring(state, c"__tostring".as_ptr());
                vm.to_string_ref = lua::luaL_ref(state, lua::LUA_REGISTRYINDEX);
                lua::lua_pushcclosure(state, run_protected, 0);
                vm.runner_ref = lua::luaL_ref(state, lua::LUA_REGISTRYINDEX);
                vm.globals = lua::lua_topointer(vm.aux, lua::LUA_GLOBALSINDEX);
            })?;
        }
        Ok(Rc::new(vm))
    }

    /// The safe bindings of the same VM.
    pub(crate) fn lua(&self) -> &Lua {
        &self.lua
    }

    /// Makes a Lua function of one of ours.
    pub(crate) fn create_function(&self, function: Function) -> mlua::Result<LuaFunction> {
        // SAFETY: a trampoline keeps the rules of a Lua C function: it takes its arguments from the
        // state it is given and raises with nothing left to drop.
        unsafe { self.lua.create_c_function(function.pointer()) }
    }

    /// Makes a value, for the safe bindings.
    pub(crate) fn create(&self, value: &Value) -> mlua::Result<mlua::Value> {
        // SAFETY: as in `new`; one value is left, which is returned.
        unsafe {
            self.lua
                .exec_raw::<mlua::Value>((), |state| value.push(self, state))
        }
    }

    /// A place in the registry that metatables of wrapped values are found by.
    pub(crate) fn meta(&self, table: mlua::Table) -> mlua::Result<Meta> {
        let mut place = lua::LUA_NOREF;
        // SAFETY: as in `new`; the table is the only value on the stack, and is consumed.
        unsafe {
            self.lua.exec_raw::<()>(table, |state| {
                place = lua::luaL_ref(state, lua::LUA_REGISTRYINDEX);
            })?;
        }
        Ok(Meta(place))
    }

    /// An empty thread: one at rest, or a new one.
    pub(crate) fn thread(self: &Rc<Self>) -> Result<Thread, Exhausted> {
        if let Some((state, anchor)) = self.cache.borrow_mut().pop() {
            return Ok(Thread::empty(Rc::clone(self), state, anchor));
        }
        let (mut state, mut anchor) = (ptr::null_mut(), lua::LUA_NOREF);
        self.protect(|aux| {
            // SAFETY: `aux` is a valid state with free slots; raising is allowed here.
            unsafe {
                state = lua::lua_newthread(aux);
                anchor = lua::luaL_ref(aux, lua::LUA_REGISTRYINDEX);
            }
        })?;
        Ok(Thread::empty(Rc::clone(self), state, anchor))
    }

    /// A thread on which `function` waits for its first resume with `arguments`.
    pub(crate) fn launch(
        self: &Rc<Self>,
        function: &LuaFunction,
        mut arguments: MultiValue,
    ) -> mlua::Result<Thread> {
        let thread = self.thread().map_err(|_| out_of_memory())?;
        arguments.push_front(mlua::Value::Function(function.clone()));
        let target = thread.state();
        let mut fits = false;
        // SAFETY: both states belong to this VM; the target is empty and has room for what moves,
        // which is checked by a call that does not raise.
        unsafe {
            self.lua.exec_raw::<()>(arguments, |state| {
                let n = lua::lua_gettop(state);
                fits = lua::lua_checkstack(target, n + 1) != 0;
                if fits {
                    lua::lua_xmove(state, target, n);
                } else {
                    lua::lua_settop(state, 0);
                }
            })?;
        }
        if fits {
            Ok(thread)
        } else {
            Err(out_of_memory())
        }
    }

    /// Keeps a function.
    #[cfg(feature = "http")]
    pub(crate) fn keep_function(self: &Rc<Self>, function: LuaFunction) -> mlua::Result<Rc<Kept>> {
        let mut anchor = lua::LUA_NOREF;
        // SAFETY: as in `new`; the function is the only value on the stack, and is consumed.
        unsafe {
            self.lua.exec_raw::<()>(function, |state| {
                anchor = lua::luaL_ref(state, lua::LUA_REGISTRYINDEX);
            })?;
        }
        Ok(Kept::at(self, anchor))
    }

    /// Runs `body`, which may raise, on an auxiliary stack that is empty before and after.
    ///
    /// `body` must own nothing that has to be dropped when it is left by an error, and must not
    /// panic.
    pub(super) fn protect<F: FnMut(*mut lua::lua_State)>(&self, body: F) -> Result<(), Exhausted> {
        unsafe fn call<F: FnMut(*mut lua::lua_State)>(
            body: *mut c_void,
            state: *mut lua::lua_State,
        ) {
            // SAFETY: `protect` passes a pointer to its `F`, which lives until it returns and is
            // borrowed by nobody else.
            unsafe { (*body.cast::<F>())(state) }
        }
        let mut body = body;
        let task = Task {
            body: (&raw mut body).cast(),
            call: call::<F>,
        };
        // SAFETY: `aux` is alive as long as the VM, and room is made by a call that does not raise.
        // What is called is `run_protected`, which takes the task before anything else can leave
        // one; a call inside a finalizer nests properly, for each has its own frame.
        unsafe {
            let top = lua::lua_gettop(self.aux);
            // An empty stack has 40 free slots.
            if top != 0 && lua::lua_checkstack(self.aux, 4) == 0 {
                return Err(Exhausted);
            }
            lua::lua_rawgeti_(self.aux, lua::LUA_REGISTRYINDEX, self.runner_ref);
            TASK.set(Some(task));
            let status = lua::lua_pcall(self.aux, 0, 0, 0);
            TASK.set(None);
            lua::lua_settop(self.aux, top);
            if status == lua::LUA_OK {
                Ok(())
            } else {
                Err(Exhausted)
            }
        }
    }

    /// Undoes what `setfenv(0, ...)` did to an idle thread; false if there is no memory for it.
    pub(super) fn restore_globals(&self, state: *mut lua::lua_State) -> bool {
        // SAFETY: both states belong to this VM and run nothing; one slot each is asked for by calls
        // that do not raise. A thread's globals are a table, and no script runs on `aux`.
        unsafe {
            if lua::lua_topointer(state, lua::LUA_GLOBALSINDEX) == self.globals {
                return true;
            }
            if lua::lua_checkstack(self.aux, 1) == 0 || lua::lua_checkstack(state, 1) == 0 {
                return false;
            }
            lua::lua_pushvalue(self.aux, lua::LUA_GLOBALSINDEX);
            lua::lua_xmove(self.aux, state, 1);
            lua::lua_replace(state, lua::LUA_GLOBALSINDEX);
            true
        }
    }

    /// Takes back an empty, idle thread.
    pub(super) fn take_back(&self, state: *mut lua::lua_State, anchor: c_int) -> bool {
        if !self.has_room() {
            return false;
        }
        self.cache.borrow_mut().push((state, anchor));
        true
    }

    /// Whether one more thread may be kept.
    fn has_room(&self) -> bool {
        self.cache.borrow().len() + self.resting.get() < self.cache_max
    }

    /// Counts a thread that somebody keeps at rest; false if there are enough of them.
    #[cfg(feature = "http")]
    pub(super) fn rests(&self) -> bool {
        let has_room = self.has_room();
        if has_room {
            self.resting.set(self.resting.get() + 1);
        }
        has_room
    }

    /// One that somebody kept no longer rests.
    pub(super) fn rests_no_more(&self) {
        self.resting.set(self.resting.get().saturating_sub(1));
    }

    pub(super) fn forget(&self, anchor: c_int) {
        // SAFETY: the anchor was made by `luaL_ref` and is given back once; freeing a slot that
        // exists allocates nothing.
        unsafe { lua::luaL_unref(self.aux, lua::LUA_REGISTRYINDEX, anchor) }
    }

    pub(super) fn to_string_ref(&self) -> c_int {
        self.to_string_ref
    }

    /// Pushes a userdata that holds `value`. May raise, with `value` unwound.
    ///
    /// # Safety
    /// `state` belongs to this VM and has three free slots.
    pub(super) unsafe fn push_holder(&self, state: *mut lua::lua_State, value: &Rc<dyn Any>) {
        // SAFETY: the userdata is large enough and aligned to 8 as all of LuaJIT's are; it is
        // written before it gets the metatable whose finalizer reads it.
        unsafe {
            let place = lua::lua_newuserdata(state, size_of::<Holder>()).cast::<Holder>();
            place.write(Holder {
                tag: tag_of(place),
                value: Some(Rc::clone(value)),
            });
            lua::lua_rawgeti_(state, lua::LUA_REGISTRYINDEX, self.holder_ref);
            lua::lua_setmetatable(state, -2);
        }
    }
}

/// What the value at `index` holds if it is a userdata of ours. Never raises.
///
/// # Safety
/// `state` is alive.
pub(super) unsafe fn held(state: *mut lua::lua_State, index: c_int) -> Option<Rc<dyn Any>> {
    // SAFETY: the value is on the stack or an upvalue, so that its memory stays while it is looked
    // at; what is copied is ours as well.
    unsafe { holder(state, index)?.as_ref().value.clone() }
}

/// The memory of the value at `index` if it is a userdata of ours. Never raises.
///
/// # Safety
/// As for [`held`]. What is returned lives as long as the value does.
unsafe fn holder(state: *mut lua::lua_State, index: c_int) -> Option<NonNull<Holder>> {
    // SAFETY: both calls look only, as the length is that of a userdata: one of another kind than
    // ours is read as a number at most, if it is of the same size, and a light one has no length.
    unsafe {
        let place = NonNull::new(lua::lua_touserdata(state, index).cast::<Holder>())?;
        let is_ours = lua::lua_objlen(state, index) == size_of::<Holder>()
            && (&raw const (*place.as_ptr()).tag).read() == tag_of(place.as_ptr());
        is_ours.then_some(place)
    }
}

/// What [`RawVm::protect`] is to do.
#[derive(Clone, Copy)]
struct Task {
    body: *mut c_void,
    call: unsafe fn(*mut c_void, *mut lua::lua_State),
}

thread_local! {
    /// The task that was begun last and is not taken up yet. It goes this way for no function has to
    /// be made then, as `lua_cpcall` makes one each time.
    static TASK: Cell<Option<Task>> = const { Cell::new(None) };
}

/// What [`RawVm::protect`] calls.
unsafe extern "C-unwind" fn run_protected(state: *mut lua::lua_State) -> c_int {
    if let Some(task) = TASK.take() {
        // SAFETY: `protect` has left it for this call, and waits for its end.
        unsafe { (task.call)(task.body, state) }
    }
    0
}

/// What a userdata of ours holds. It is told by its tag: no look at its metatable is as quick, and
/// `debug` lets scripts change that of any value.
#[repr(C)]
struct Holder {
    /// [`tag_of`] its place.
    tag: usize,
    /// Until it is collected.
    value: Option<Rc<dyn Any>>,
}

const _: () = assert!(align_of::<Holder>() <= 8);

/// What stands at the beginning of a holder at `place`, and nowhere else: scripts cannot write to
/// the memory of userdata, nor see where it is and bring anything of theirs there.
fn tag_of(place: *const Holder) -> usize {
    place.addr() ^ TAG
}

/// No address, nor near one.
const TAG: usize = 0x9d3f_71c6_b5a8_42e7;

/// `__gc` of the holders.
unsafe extern "C-unwind" fn drop_holder(state: *mut lua::lua_State) -> c_int {
    // SAFETY: `debug` lets scripts call this with anything, so that it looks whether it was given a
    // holder; one that is empty already stays so.
    let value = unsafe { holder(state, 1).and_then(|mut holder| holder.as_mut().value.take()) };
    // A panic must not go through the collector; its message has been printed already.
    let _ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || drop(value)));
    0
}

fn out_of_memory() -> mlua::Error {
    mlua::Error::MemoryError("not enough memory".to_owned())
}
