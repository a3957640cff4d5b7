//! Values on their way into Lua.

use std::any::Any;
use std::borrow::Cow;
use std::ffi::c_int;
use std::rc::Rc;

use mlua::ffi as lua;
use smallvec::SmallVec;

#[cfg(feature = "http")]
use super::Kept;
use super::{Function, RawVm, TableValue, Thread};

/// What functions return; three are the most that is common.
pub(crate) type Values = SmallVec<[Value; 3]>;

/// Gathers values.
#[inline]
pub(crate) fn values<const N: usize>(list: [Value; N]) -> Values {
    let mut all = Values::with_capacity(N);
    for value in list {
        all.push(value);
    }
    all
}

/// A value to be pushed.
pub(crate) enum Value {
    Nil,
    Boolean(bool),
    Number(f64),
    /// A string.
    Text(Cow<'static, [u8]>),
    /// A Rust value in the first place of a table that has a metatable: an object with methods.
    Wrapped(Rc<dyn Any>, Meta),
    /// The same of a number, by which something is known that is kept elsewhere.
    Numbered(f64, Meta),
    /// A function with a Rust value as its own.
    Closure(Function, Rc<dyn Any>),
    /// A coroutine.
    Thread(Rc<Thread>),
    /// A new table.
    Table(Box<TableValue>),
    /// A new table with a metatable.
    Dressed(Box<TableValue>, Meta),
    /// `ngx.null`.
    Null,
    /// A value that was kept.
    #[cfg(feature = "http")]
    Kept(Rc<Kept>),
    /// A string that lies still elsewhere until it is pushed, which has to be at once.
    Lent(Rc<dyn Lender>),
}

/// Who has the bytes of a [`Value::Lent`].
pub(crate) trait Lender {
    /// Hands them to `take`, which may unwind.
    fn lend(&self, take: &mut dyn FnMut(&[u8]));
}

/// The registry's place of a metatable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meta(pub(super) c_int);

/// A field of a table of options.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar {
    Nil,
    Boolean(bool),
    Number(f64),
    Text(Vec<u8>),
    /// Something else, by the name of its type.
    Other(&'static str),
}

impl Scalar {
    /// The name of its type in Lua.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Boolean(_) => "boolean",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::Other(name) => name,
        }
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text.as_bytes()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text.into_bytes()))
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Text(Cow::Owned(bytes))
    }
}

impl Value {
    /// Pushes the value if that cannot raise; false if it could.
    ///
    /// # Safety
    /// `state` has a free slot.
    #[inline]
    pub(super) unsafe fn push_plain(&self, state: *mut lua::lua_State) -> bool {
        // SAFETY: as the caller promises; these allocate nothing.
        unsafe {
            match self {
                Self::Nil => lua::lua_pushnil(state),
                Self::Boolean(yes) => lua::lua_pushboolean(state, c_int::from(*yes)),
                Self::Number(number) => lua::lua_pushnumber(state, *number),
                _ => return false,
            }
        }
        true
    }

    /// Pushes the value. May raise.
    ///
    /// # Safety
    /// `state` belongs to `vm` and has four free slots; nothing between here and the next protected
    /// call catches panics.
    pub(super) unsafe fn push(&self, vm: &RawVm, state: *mut lua::lua_State) {
        // SAFETY: as the caller promises; each arm leaves one value.
        unsafe {
            match self {
                Self::Nil => lua::lua_pushnil(state),
                Self::Boolean(yes) => lua::lua_pushboolean(state, c_int::from(*yes)),
                Self::Number(number) => lua::lua_pushnumber(state, *number),
                Self::Text(text) => push_text(state, text),
                Self::Wrapped(value, meta) => {
                    lua::lua_createtable(state, 1, 0);
                    vm.push_holder(state, value);
                    lua::lua_rawseti_(state, -2, 1);
                    lua::lua_rawgeti_(state, lua::LUA_REGISTRYINDEX, meta.0);
                    lua::lua_setmetatable(state, -2);
                }
                Self::Numbered(number, meta) => {
                    lua::lua_createtable(state, 1, 0);
                    lua::lua_pushnumber(state, *number);
                    lua::lua_rawseti_(state, -2, 1);
                    lua::lua_rawgeti_(state, lua::LUA_REGISTRYINDEX, meta.0);
                    lua::lua_setmetatable(state, -2);
                }
                Self::Closure(function, value) => {
                    vm.push_holder(state, value);
                    lua::lua_pushcclosure(state, function.pointer(), 1);
                }
                Self::Table(table) => table.push(vm, state),
                Self::Dressed(table, meta) => {
                    table.push(vm, state);
                    lua::lua_rawgeti_(state, lua::LUA_REGISTRYINDEX, meta.0);
                    lua::lua_setmetatable(state, -2);
                }
                Self::Null => lua::lua_pushlightuserdata(state, std::ptr::null_mut()),
                #[cfg(feature = "http")]
                Self::Kept(kept) => kept.push(state),
                Self::Lent(lender) => lender.lend(&mut |text| push_text(state, text)),
                Self::Thread(thread) => {
                    // A thread can push itself alone.
                    if lua::lua_checkstack(thread.state(), 1) == 0 {
                        lua::lua_pushnil(state);
                        return;
                    }
                    lua::lua_pushthread(thread.state());
                    if thread.state() != state {
                        lua::lua_xmove(thread.state(), state, 1);
                    }
                }
            }
        }
    }
}

/// Pushes a string. May raise.
///
/// # Safety
/// `state` has a free slot.
pub(super) unsafe fn push_text(state: *mut lua::lua_State, text: &[u8]) {
    // SAFETY: Lua copies the bytes.
    unsafe {
        lua::lua_pushlstring_(state, text.as_ptr().cast(), text.len());
    }
}

/// A number as Lua writes it (`%.14g`).
pub(crate) fn number_text(number: f64) -> String {
    number_digits(number, 14)
}

/// A number with at most so many digits, from 1 on (`%.*g`).
pub(crate) fn number_digits(number: f64, digits: u8) -> String {
    if number.is_nan() {
        return if number.is_sign_negative() {
            "-nan"
        } else {
            "nan"
        }
        .to_owned();
    }
    if number.is_infinite() {
        return if number < 0.0 { "-inf" } else { "inf" }.to_owned();
    }
    if number == number.trunc() && number.abs() < 10f64.powi(digits.into()) {
        return if number == 0.0 && number.is_sign_negative() {
            "-0".to_owned()
        } else {
            format!("{number:.0}")
        };
    }
    let scientific = format!("{number:.*e}", usize::from(digits.saturating_sub(1)));
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = i32::from(digits);
    if (-4..digits).contains(&exponent) {
        let decimals = usize::try_from(digits - 1 - exponent).unwrap_or(0);
        return without_zeros(&format!("{number:.decimals$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", without_zeros(mantissa), exponent.abs())
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_lua_writes_them() {
        let lua = mlua::Lua::new();
        let tostring: mlua::Function = lua.globals().get("tostring").unwrap();
        for number in [
            0.0,
            -0.0,
            1.0,
            -1.0,
            3.25,
            0.1,
            1e14,
            1e15,
            -1e15,
            99_999_999_999_999.0,
            1e100,
            1e-5,
            1.5e-4,
            123_456.789,
            1.0 / 3.0,
            2e300,
            5e-324,
            123_456_789_012_345.6,
            f64::INFINITY,
            f64::NEG_INFINITY,
            9.999_999_999_999_99e13,
            0.099_999_999_999_999_99,
        ] {
            let theirs: String = tostring.call(number).unwrap();
            assert_eq!(number_text(number), theirs, "{number:e}");
            for digits in 1..=17 {
                let format: mlua::Function = lua.load("return string.format").eval().unwrap();
                let theirs: String = format.call((format!("%.{digits}g"), number)).unwrap();
                assert_eq!(
                    number_digits(number, digits),
                    theirs,
                    "{number:e}, {digits}"
                );
            }
        }
    }
}
