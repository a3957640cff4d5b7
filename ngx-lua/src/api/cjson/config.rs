//! How to read and write JSON.

use std::cell::{Cell, RefCell};

use super::this;
use crate::ffi::{Call, Kind, Raise, Reply, Value, Values, values};

/// The settings of a module.
pub(super) struct Config {
    pub(super) sparse_convert: Cell<bool>,
    pub(super) sparse_ratio: Cell<u32>,
    pub(super) sparse_safe: Cell<u32>,
    pub(super) encode_max_depth: Cell<u32>,
    pub(super) decode_max_depth: Cell<u32>,
    pub(super) precision: Cell<u32>,
    keep_buffer: Cell<bool>,
    pub(super) encode_invalid: Cell<Invalid>,
    pub(super) decode_invalid: Cell<bool>,
    pub(super) empty_as_object: Cell<bool>,
    pub(super) decode_with_array_mt: Cell<bool>,
    pub(super) allow_comment: Cell<bool>,
    pub(super) escape_slash: Cell<bool>,
    pub(super) skip_unsupported: Cell<bool>,
    /// Nothing means no line breaks, either.
    pub(super) indent: RefCell<Vec<u8>>,
}

/// What becomes of numbers that JSON has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    Refuse,
    Write,
    Null,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sparse_convert: Cell::new(false),
            sparse_ratio: Cell::new(2),
            sparse_safe: Cell::new(10),
            encode_max_depth: Cell::new(1000),
            decode_max_depth: Cell::new(1000),
            precision: Cell::new(14),
            keep_buffer: Cell::new(true),
            encode_invalid: Cell::new(Invalid::Refuse),
            decode_invalid: Cell::new(true),
            empty_as_object: Cell::new(true),
            decode_with_array_mt: Cell::new(false),
            allow_comment: Cell::new(false),
            escape_slash: Cell::new(true),
            skip_unsupported: Cell::new(false),
            indent: RefCell::default(),
        }
    }
}

/// The greatest number that is taken.
const MAX: u32 = i32::MAX.unsigned_abs();

/// `convert, ratio, safe = cjson.encode_sparse_array(convert?, ratio?, safe?)`
pub(super) fn encode_sparse_array(call: &mut Call<'_>) -> Result<Reply, Raise> {
    at_most(call, 3)?;
    let json = this(call)?;
    let convert = flag(call, &json.config.sparse_convert)?;
    let ratio = number(call, 2, &json.config.sparse_ratio, (0, MAX))?;
    let safe = number(call, 3, &json.config.sparse_safe, (0, MAX))?;
    Ok(Reply::of(values([convert, ratio, safe])))
}

/// `depth = cjson.encode_max_depth(depth?)`
pub(super) fn encode_max_depth(call: &mut Call<'_>) -> Result<Reply, Raise> {
    set_number(call, |config| &config.encode_max_depth, (1, MAX))
}

/// `depth = cjson.decode_max_depth(depth?)`
pub(super) fn decode_max_depth(call: &mut Call<'_>) -> Result<Reply, Raise> {
    set_number(call, |config| &config.decode_max_depth, (1, MAX))
}

/// `precision = cjson.encode_number_precision(precision?)`
pub(super) fn encode_number_precision(call: &mut Call<'_>) -> Result<Reply, Raise> {
    set_number(call, |config| &config.precision, (1, 16))
}

/// `keep = cjson.encode_keep_buffer(keep?)`: remembered; a buffer is never shared between calls.
pub(super) fn encode_keep_buffer(call: &mut Call<'_>) -> Result<Reply, Raise> {
    set_flag(call, |config| &config.keep_buffer)
}

/// `setting = cjson.encode_invalid_numbers(setting?)`
pub(super) fn encode_invalid_numbers(call: &mut Call<'_>) -> Result<Reply, Raise> {
    at_most(call, 1)?;
    let json = this(call)?;
    let setting = &json.config.encode_invalid;
    match call.kind(1) {
        Kind::None | Kind::Nil => {}
        Kind::Boolean if call.boolean(1) => setting.set(Invalid::Write),
        Kind::Boolean => setting.set(Invalid::Refuse),
        _ => setting.set(match &*call.want_text(1)? {
            b"off" => Invalid::Refuse,
            b"on" => Invalid::Write,
            b"null" => Invalid::Null,
            other => return Err(invalid_option(other)),
        }),
    }
    Ok(one(match setting.get() {
        Invalid::Refuse => Value::Boolean(false),
        Invalid::Write => Value::Boolean(true),
        Invalid::Null => "null".into(),
    }))
}

/// `setting = cjson.decode_invalid_numbers(setting?)`
pub(super) fn decode_invalid_numbers(call: &mut Call<'_>) -> Result<Reply, Raise> {
    set_flag(call, |config| &config.decode_invalid)
}

/// `setting = cjson.encode_empty_table_as_object(setting?)`
pub(super) fn encode_empty_table_as_object(call: &mut Call<'_>) -> Result<Reply, Raise> {
    set_flag(call, |config| &config.empty_as_object)
}

/// `setting = cjson.decode_array_with_array_mt(setting?)`
pub(super) fn decode_array_with_array_mt(call: &mut Call<'_>) -> Result<Reply, Raise> {
    set_flag(call, |config| &config.decode_with_array_mt)
}

/// `setting = cjson.decode_allow_comment(setting?)`
pub(super) fn decode_allow_comment(call: &mut Call<'_>) -> Result<Reply, Raise> {
    set_flag(call, |config| &config.allow_comment)
}

/// `setting = cjson.encode_escape_forward_slash(setting?)`
pub(super) fn encode_escape_forward_slash(call: &mut Call<'_>) -> Result<Reply, Raise> {
    set_flag(call, |config| &config.escape_slash)
}

/// `setting = cjson.encode_skip_unsupported_value_types(setting?)`
pub(super) fn encode_skip_unsupported_value_types(call: &mut Call<'_>) -> Result<Reply, Raise> {
    set_flag(call, |config| &config.skip_unsupported)
}

/// `indent = cjson.encode_indent(indent?)`
pub(super) fn encode_indent(call: &mut Call<'_>) -> Result<Reply, Raise> {
    at_most(call, 1)?;
    let json = this(call)?;
    if call.is_given(1) {
        *json.config.indent.borrow_mut() = call.want_text(1)?.into_owned();
    }
    let indent = json.config.indent.borrow().clone();
    Ok(one(indent.into()))
}

fn at_most(call: &Call<'_>, most: usize) -> Result<(), Raise> {
    if call.count() > most {
        return Err(Raise::Argument(most + 1, "found too many arguments".into()));
    }
    Ok(())
}

fn set_flag(call: &Call<'_>, of: fn(&Config) -> &Cell<bool>) -> Result<Reply, Raise> {
    at_most(call, 1)?;
    let json = this(call)?;
    Ok(one(flag(call, of(&json.config))?))
}

fn set_number(
    call: &Call<'_>,
    of: fn(&Config) -> &Cell<u32>,
    range: (u32, u32),
) -> Result<Reply, Raise> {
    at_most(call, 1)?;
    let json = this(call)?;
    Ok(one(number(call, 1, of(&json.config), range)?))
}

/// The flag at 1, as a boolean, `on` or `off`.
fn flag(call: &Call<'_>, setting: &Cell<bool>) -> Result<Value, Raise> {
    match call.kind(1) {
        Kind::None | Kind::Nil => {}
        Kind::Boolean => setting.set(call.boolean(1)),
        _ => setting.set(match &*call.want_text(1)? {
            b"off" => false,
            b"on" => true,
            other => return Err(invalid_option(other)),
        }),
    }
    Ok(Value::Boolean(setting.get()))
}

fn number(
    call: &Call<'_>,
    at: usize,
    setting: &Cell<u32>,
    (min, max): (u32, u32),
) -> Result<Value, Raise> {
    if call.is_given(at) {
        let wanted = call.want_number(at)?.trunc();
        if !(f64::from(min)..=f64::from(max)).contains(&wanted) {
            let why = format!("expected integer between {min} and {max}");
            return Err(Raise::Argument(1, why.into()));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, and within range"
        )]
        setting.set(wanted as u32);
    }
    Ok(Value::Number(setting.get().into()))
}

fn invalid_option(option: &[u8]) -> Raise {
    let option = String::from_utf8_lossy(option);
    Raise::Argument(1, format!("invalid option '{option}'").into())
}

fn one(value: Value) -> Reply {
    let mut list = Values::new();
    list.push(value);
    Reply::of(list)
}
