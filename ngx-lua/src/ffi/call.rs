//! A call from Lua into Rust: the trampoline, and what a function sees of it.

use std::borrow::Cow;
use std::ffi::{CStr, c_int};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use mlua::ffi as lua;

use super::current::current;
use super::value::push_text;
use super::vm::held;
use super::{Lender, RawVm, Scalar, Thread, Value, Values, number_text};
use crate::sched::Lane;

/// One of ours, in the shape that Lua calls.
#[derive(Clone, Copy)]
pub(crate) struct Function(lua::lua_CFunction);

impl Function {
    pub(super) fn pointer(self) -> lua::lua_CFunction {
        self.0
    }
}

/// What a function answers.
pub(crate) enum Reply {
    /// This is the only result.
    Value(Value),
    /// A string that lies still elsewhere is the only result.
    Lent(Rc<dyn Lender>),
    /// These are the results; see [`of`](Self::of).
    Values(Box<Values>),
    /// The results are on top of the stack already.
    Stack(usize),
    /// The coroutine yields to the scheduler, all its arguments still on its stack; what it asked
    /// for is in its lane.
    Yield,
}

impl Reply {
    /// These are the results.
    pub(crate) fn of(mut results: Values) -> Self {
        match results.len() {
            0 => Self::Stack(0),
            1 => results.pop().map_or(Self::Stack(0), Self::Value),
            _ => Self::Values(Box::new(results)),
        }
    }
}

/// Why a function raises.
#[derive(Debug)]
pub(crate) enum Raise {
    /// A message, which gets the place of the call before it.
    Message(Cow<'static, str>),
    /// `bad argument #1 to 'sleep' (…)`.
    Argument(usize, Cow<'static, str>),
}

impl From<&'static str> for Raise {
    fn from(message: &'static str) -> Self {
        Self::Message(message.into())
    }
}

impl From<String> for Raise {
    fn from(message: String) -> Self {
        Self::Message(message.into())
    }
}

/// The type of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    None,
    Nil,
    Boolean,
    Number,
    String,
    Table,
    Function,
    Thread,
    Other,
}

/// The arguments of a call, counted from 1, and whose call it is.
pub(crate) struct Call<'a> {
    pub(super) state: *mut lua::lua_State,
    lane: &'a Rc<Lane>,
}

/// Makes a function that Lua can call of one that captures nothing.
pub(crate) fn function<F>(_function: F) -> Function
where
    F: Fn(&mut Call<'_>) -> Result<Reply, Raise> + Copy + 'static,
{
    const { assert!(size_of::<F>() == 0, "a captured value would be lost") }
    Function(trampoline::<F>)
}

/// Instead of the number of results.
const UNKNOWN: c_int = -1;

/// What Lua calls. Outside of a run of the scheduler there is nobody to work for: it raises.
unsafe extern "C-unwind" fn trampoline<F>(state: *mut lua::lua_State) -> c_int
where
    F: Fn(&mut Call<'_>) -> Result<Reply, Raise> + Copy + 'static,
{
    // SAFETY: Lua calls this while the scheduler resumes it, if at all; the lane is used until this
    // returns, and not behind what leaves it for good.
    let lane = unsafe { current() };
    // What is left to do, if it is anything.
    let mut left = None;
    let count = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: `F` has no size, and `function` was given a value of it: any place holds one.
        let function = unsafe { std::ptr::NonNull::<F>::dangling().read() };
        let answer = match lane {
            Some(lane) => function(&mut Call { state, lane }),
            None => Err("no request found".into()),
        };
        // As a rule, the results are there; then nothing has to be dropped.
        let answer = ManuallyDrop::new(answer);
        if let Ok(Reply::Stack(n)) = *answer {
            return c_int::try_from(n).unwrap_or(0);
        }
        left = Some(answer);
        UNKNOWN
    }));
    let count = count.unwrap_or(UNKNOWN);
    if count != UNKNOWN {
        return count;
    }
    let answer = match left {
        Some(answer) => ManuallyDrop::into_inner(answer),
        None => Err(Raise::Message("panic in a function of ngx".into())),
    };
    // SAFETY: the state is the one Lua called with, and nothing here catches panics any more.
    unsafe { reply(state, lane, answer) }
}

/// Gives Lua the answer of a function.
///
/// # Safety
/// `state` is running a C function and belongs to the VM of `lane`; no frame up to Lua's owns
/// anything or catches panics.
#[inline(never)]
unsafe fn reply(
    state: *mut lua::lua_State,
    lane: Option<&Rc<Lane>>,
    answer: Result<Reply, Raise>,
) -> c_int {
    // SAFETY: as the caller promises; each path pushes what it counts, into the 20 slots that a C
    // function has beyond its arguments or behind a request for more. Values are dropped before
    // `lua_error`; where pushing them raises, they are unwound.
    unsafe {
        match answer {
            Ok(Reply::Stack(n)) => c_int::try_from(n).unwrap_or(0),
            Ok(Reply::Yield) => lua::lua_yield(state, lua::lua_gettop(state)),
            Ok(Reply::Lent(lender)) => {
                lender.lend(&mut |text| push_text(state, text));
                1
            }
            Ok(Reply::Value(value)) => {
                if !value.push_plain(state)
                    && let Some(lane) = lane
                {
                    value.push(lane.vm(), state);
                }
                1
            }
            Ok(Reply::Values(values)) => {
                let n = c_int::try_from(values.len()).unwrap_or(0);
                if n > MOST_AT_ONCE {
                    lua::luaL_checkstack(state, n + 4, c"results".as_ptr());
                }
                if let Some(lane) = lane {
                    let vm = lane.vm();
                    for value in &*values {
                        value.push(vm, state);
                    }
                }
                n
            }
            Err(raise) => throw(state, raise),
        }
    }
}

/// So many values, with the slots that they need meanwhile, fit what every C function has.
const MOST_AT_ONCE: c_int = 12;

/// Raises.
///
/// # Safety
/// `state` is running a C function, and no frame up to Lua's owns anything or catches panics.
unsafe fn throw(state: *mut lua::lua_State, raise: Raise) -> ! {
    // SAFETY: as the caller promises; the message is dropped once Lua has its copy.
    unsafe {
        lua::lua_settop(state, 0);
        match raise {
            Raise::Message(message) => {
                lua::luaL_where(state, 1);
                push_text(state, message.as_bytes());
                drop(message);
                lua::lua_concat(state, 2);
            }
            Raise::Argument(at, message) => {
                push_text(state, message.as_bytes());
                drop(message);
                let text = lua::lua_tolstring(state, -1, std::ptr::null_mut());
                lua::luaL_argerror(state, c_int::try_from(at).unwrap_or(0), text);
            }
        }
        lua::lua_error(state)
    }
}

impl<'a> Call<'a> {
    /// Whose call it is.
    pub(crate) fn lane(&self) -> &'a Rc<Lane> {
        self.lane
    }

    pub(super) fn vm(&self) -> &'a Rc<RawVm> {
        self.lane.vm()
    }

    /// Tells which thread calls; compare with [`Thread::id`].
    pub(crate) fn thread_id(&self) -> usize {
        self.state.addr()
    }

    /// How many arguments there are.
    pub(crate) fn count(&self) -> usize {
        // SAFETY: the state is in the middle of this call.
        usize::try_from(unsafe { lua::lua_gettop(self.state) }).unwrap_or(0)
    }

    /// Whether no C function stands between the scheduler and this call.
    pub(crate) fn can_yield(&self) -> bool {
        // SAFETY: looks only.
        unsafe { lua_isyieldable(self.state) != 0 }
    }

    pub(crate) fn kind(&self, at: usize) -> Kind {
        match self.raw_type(at) {
            lua::LUA_TNONE => Kind::None,
            lua::LUA_TNIL => Kind::Nil,
            lua::LUA_TBOOLEAN => Kind::Boolean,
            lua::LUA_TNUMBER => Kind::Number,
            lua::LUA_TSTRING => Kind::String,
            lua::LUA_TTABLE => Kind::Table,
            lua::LUA_TFUNCTION => Kind::Function,
            lua::LUA_TTHREAD => Kind::Thread,
            _ => Kind::Other,
        }
    }

    /// Whether it is there and not nil.
    pub(crate) fn is_given(&self, at: usize) -> bool {
        !matches!(self.kind(at), Kind::None | Kind::Nil)
    }

    /// The name of the type in error messages.
    pub(crate) fn type_name(&self, at: usize) -> &'static str {
        if self.kind(at) == Kind::None {
            return "no value";
        }
        type_name(self.raw_type(at))
    }

    /// Is it one of Lua's own functions, no C function?
    pub(crate) fn is_lua_function(&self, at: usize) -> bool {
        // SAFETY: looks only.
        self.kind(at) == Kind::Function
            && unsafe { lua::lua_iscfunction(self.state, index(at)) } == 0
    }

    pub(crate) fn boolean(&self, at: usize) -> bool {
        // SAFETY: looks only.
        unsafe { lua::lua_toboolean(self.state, index(at)) != 0 }
    }

    /// A number, or a string that reads as one.
    pub(crate) fn number(&self, at: usize) -> Option<f64> {
        let mut is_number = 0;
        // SAFETY: the call neither changes the value nor allocates.
        let number = unsafe { lua_tonumberx(self.state, index(at), &raw mut is_number) };
        (is_number != 0).then_some(number)
    }

    /// A number that has to be there.
    pub(crate) fn want_number(&self, at: usize) -> Result<f64, Raise> {
        self.number(at).ok_or_else(|| self.expected(at, "number"))
    }

    /// A string or a number, as bytes.
    pub(crate) fn text(&self, at: usize) -> Option<Cow<'_, [u8]>> {
        match self.kind(at) {
            Kind::String => Some(Cow::Borrowed(self.string(index(at)))),
            Kind::Number => {
                let text = number_text(self.number(at).unwrap_or(0.0));
                Some(Cow::Owned(text.into_bytes()))
            }
            _ => None,
        }
    }

    /// A string, as bytes.
    #[inline]
    pub(crate) fn plain_text(&self, at: usize) -> Option<&[u8]> {
        (self.kind(at) == Kind::String).then(|| self.string(index(at)))
    }

    /// A string or number that has to be there.
    pub(crate) fn want_text(&self, at: usize) -> Result<Cow<'_, [u8]>, Raise> {
        self.text(at).ok_or_else(|| self.expected(at, "string"))
    }

    /// `bad argument #1 to 'x' (string expected, got nil)`.
    pub(crate) fn expected(&self, at: usize, wanted: &str) -> Raise {
        let got = self.type_name(at);
        Raise::Argument(at, format!("{wanted} expected, got {got}").into())
    }

    /// Answers with a number.
    #[inline]
    pub(crate) fn number_back(&self, number: f64) -> Reply {
        // SAFETY: a slot of every C function's 20.
        unsafe { lua::lua_pushnumber(self.state, number) };
        Reply::Stack(1)
    }

    /// The Rust value of a closure that was pushed with one.
    pub(crate) fn own<T: 'static>(&self) -> Option<Rc<T>> {
        // SAFETY: the state is in the middle of this call; an index beyond the upvalues is a none.
        let held = unsafe { held(self.state, lua::lua_upvalueindex(1)) };
        held.and_then(|held| held.downcast().ok())
    }

    /// The coroutine at `at`, kept alive from now on.
    pub(crate) fn thread(&self, at: usize) -> Result<Option<Thread>, Raise> {
        if self.kind(at) != Kind::Thread {
            return Ok(None);
        }
        let mut anchor = lua::LUA_NOREF;
        let (from, at) = (self.state, index(at));
        // SAFETY: the thread is on the stack, so it lives; copying it needs one slot. What may raise
        // runs protected.
        let state = unsafe { lua::lua_tothread(from, at) };
        self.vm()
            .protect(|aux| {
                // SAFETY: both are states of this VM with free slots.
                unsafe {
                    lua::lua_pushvalue(from, at);
                    lua::lua_xmove(from, aux, 1);
                    anchor = lua::luaL_ref(aux, lua::LUA_REGISTRYINDEX);
                }
            })
            .map_err(|_| "not enough memory")?;
        Ok(Some(Thread::from_parts(
            Rc::clone(self.vm()),
            state,
            anchor,
        )))
    }

    /// The id of the coroutine at `at`.
    pub(crate) fn thread_id_at(&self, at: usize) -> Option<usize> {
        // SAFETY: looks only.
        let state = unsafe { lua::lua_tothread(self.state, index(at)) };
        (!state.is_null()).then(|| state.addr())
    }

    /// Moves the arguments from `first` on to another thread.
    pub(crate) fn move_arguments(&mut self, first: usize, to: &Thread) -> Result<(), Raise> {
        let n = (self.count() + 1).saturating_sub(first);
        let n = c_int::try_from(n).unwrap_or(0);
        // SAFETY: the values exist; room is made by a call that does not raise; the thread is
        // another one of this VM, as those that run are never empty and at rest.
        unsafe {
            if to.state() == self.state || lua::lua_checkstack(to.state(), n + 1) == 0 {
                return Err("not enough memory".into());
            }
            lua::lua_xmove(self.state, to.state(), n);
        }
        Ok(())
    }

    /// Moves all that is on another thread's stack here, as results.
    pub(crate) fn take_results(&mut self, from: &Thread) -> Result<Reply, Raise> {
        let count = from.count();
        let n = c_int::try_from(count).unwrap_or(0);
        // SAFETY: as in `move_arguments`, the other way.
        unsafe {
            if from.state() == self.state || lua::lua_checkstack(self.state, n + 1) == 0 {
                return Err("not enough memory".into());
            }
            lua::lua_xmove(from.state(), self.state, n);
        }
        Ok(Reply::Stack(count))
    }

    /// A field of the table at `at`, without metamethods.
    pub(crate) fn field(&self, at: usize, name: &'static CStr) -> Result<Scalar, Raise> {
        if self.kind(at) != Kind::Table {
            return Ok(Scalar::Nil);
        }
        let (from, at) = (self.state, index(at));
        let mut found = (lua::LUA_TNIL, 0.0, std::ptr::null(), 0usize);
        self.vm()
            .protect(|aux| {
                // SAFETY: one value is copied to the auxiliary stack, where the field is asked for.
                unsafe {
                    lua::lua_pushvalue(from, at);
                    lua::lua_xmove(from, aux, 1);
                    lua::lua_pushstring(aux, name.as_ptr());
                    lua::lua_rawget(aux, 1);
                    found.0 = lua::lua_type(aux, -1);
                    match found.0 {
                        lua::LUA_TNUMBER => found.1 = lua::lua_tonumber(aux, -1),
                        lua::LUA_TBOOLEAN => found.1 = lua::lua_toboolean(aux, -1).into(),
                        lua::LUA_TSTRING => found.2 = lua::lua_tolstring(aux, -1, &raw mut found.3),
                        _ => {}
                    }
                }
            })
            .map_err(|_| "not enough memory")?;
        Ok(match found.0 {
            lua::LUA_TNIL => Scalar::Nil,
            lua::LUA_TNUMBER => Scalar::Number(found.1),
            lua::LUA_TBOOLEAN => Scalar::Boolean(found.1 != 0.0),
            lua::LUA_TSTRING => {
                // SAFETY: the string lives as long as the table holds it, and nothing has run since.
                let bytes = unsafe { std::slice::from_raw_parts(found.2.cast::<u8>(), found.3) };
                Scalar::Text(bytes.to_vec())
            }
            other => Scalar::Other(type_name(other)),
        })
    }

    /// Any value as text, as `tostring` makes it of plain ones; of a table what its `__tostring`
    /// says. `None` if there is no such thing.
    pub(crate) fn to_text(&self, at: usize) -> Option<Cow<'_, [u8]>> {
        match self.kind(at) {
            Kind::Nil => Some(Cow::Borrowed(b"nil")),
            Kind::Boolean if self.boolean(at) => Some(Cow::Borrowed(b"true")),
            Kind::Boolean => Some(Cow::Borrowed(b"false")),
            Kind::Table => self.call_to_string(at).map(Cow::Owned),
            Kind::Other if self.raw_type(at) == lua::LUA_TLIGHTUSERDATA => {
                // SAFETY: looks only.
                let pointer = unsafe { lua::lua_touserdata(self.state, index(at)) };
                if pointer.is_null() {
                    return Some(Cow::Borrowed(b"null"));
                }
                Some(Cow::Owned(format!("{pointer:p}").into_bytes()))
            }
            _ => self.text(at),
        }
    }

    fn call_to_string(&self, at: usize) -> Option<Vec<u8>> {
        // SAFETY: the lookups are raw; the metamethod runs in a protected call. The stack is put
        // back at the end.
        unsafe {
            let top = lua::lua_gettop(self.state);
            if lua::lua_getmetatable(self.state, index(at)) == 0 {
                return None;
            }
            let name = self.vm().to_string_ref();
            lua::lua_rawgeti_(self.state, lua::LUA_REGISTRYINDEX, name);
            lua::lua_rawget(self.state, -2);
            lua::lua_pushvalue(self.state, index(at));
            let status = lua::lua_pcall(self.state, 1, 1, 0);
            let answered =
                status == lua::LUA_OK && lua::lua_type(self.state, -1) == lua::LUA_TSTRING;
            let text = answered.then(|| self.string(lua::lua_gettop(self.state)).to_vec());
            lua::lua_settop(self.state, top);
            text
        }
    }

    /// Where the caller stands: name of the chunk and line.
    pub(crate) fn place(&self) -> Option<(String, i32)> {
        // SAFETY: `frame` is written by `lua_getstack` before it is read; names are NUL-terminated
        // arrays inside of it. Nothing raises.
        unsafe {
            let mut frame = std::mem::zeroed::<lua::lua_Debug>();
            if lua::lua_getstack(self.state, 1, &raw mut frame) == 0
                || lua::lua_getinfo(self.state, c"Sl".as_ptr(), &raw mut frame) == 0
            {
                return None;
            }
            let name = CStr::from_ptr(frame.short_src.as_ptr());
            Some((name.to_string_lossy().into_owned(), frame.currentline))
        }
    }

    fn raw_type(&self, at: usize) -> c_int {
        // SAFETY: looks only; an index beyond the top is allowed.
        unsafe { lua::lua_type(self.state, index(at)) }
    }

    /// The bytes of a string, which stay where they are while it is on the stack.
    pub(super) fn string(&self, i: c_int) -> &[u8] {
        let mut len = 0;
        // SAFETY: callers have seen that it is a string, so that nothing is converted; arguments
        // stay on the stack for the whole call, others until the caller pops them.
        unsafe {
            let bytes = lua::lua_tolstring(self.state, i, &raw mut len);
            if bytes.is_null() {
                return &[];
            }
            std::slice::from_raw_parts(bytes.cast(), len)
        }
    }
}

pub(super) fn index(at: usize) -> c_int {
    c_int::try_from(at).unwrap_or(c_int::MAX / 2)
}

pub(super) fn type_name(kind: c_int) -> &'static str {
    match kind {
        lua::LUA_TNIL => "nil",
        lua::LUA_TBOOLEAN => "boolean",
        lua::LUA_TNUMBER => "number",
        lua::LUA_TSTRING => "string",
        lua::LUA_TTABLE => "table",
        lua::LUA_TFUNCTION => "function",
        lua::LUA_TTHREAD => "thread",
        lua::LUA_TLIGHTUSERDATA | lua::LUA_TUSERDATA => "userdata",
        _ => "cdata",
    }
}

unsafe extern "C-unwind" {
    // LuaJIT's own; the bindings do not name them.
    fn lua_isyieldable(state: *mut lua::lua_State) -> c_int;
    fn lua_tonumberx(
        state: *mut lua::lua_State,
        index: c_int,
        is_number: *mut c_int,
    ) -> lua::lua_Number;
}
