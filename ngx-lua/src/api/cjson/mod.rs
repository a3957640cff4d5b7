//! `require "cjson"` and `require "cjson.safe"`: JSON as OpenResty's lua-cjson reads and writes it.
//!
//! One thing differs: a table whose metatable has `__len` and is none of cjson's is written by what it
//! holds itself.

mod config;
mod decode;
mod encode;

use std::rc::Rc;

use mlua::{LightUserData, Value as LuaValue};

use self::config::Config;
use super::libraries::run_half;
use crate::ffi::{Call, Function, Meta, Raise, Reply, TableValue, Value, function, values};
use crate::sched::Engine;

/// What the functions of one module share.
struct Json {
    config: Config,
    metas: Rc<Metas>,
    /// Errors are returned (`cjson.safe`).
    safe: bool,
}

/// The metatables that all modules share.
struct Metas {
    array: Meta,
    empty_array: Meta,
}

/// What `cjson.empty_array` points to.
static EMPTY_ARRAY: u8 = 0;

pub(super) fn install(engine: &Rc<Engine>) -> mlua::Result<()> {
    let (raw, lua) = (engine.raw(), engine.raw().lua());
    let (array, empty_array) = (lua.create_table()?, lua.create_table()?);
    let metas = Metas {
        array: raw.meta(array.clone())?,
        empty_array: raw.meta(empty_array.clone())?,
    };
    engine.set_json_metas(Rc::new(metas));
    let pointer =
        |pointer: *const u8| LuaValue::LightUserData(LightUserData(pointer.cast_mut().cast()));
    run_half(
        lua,
        "cjson",
        include_str!("../../lua/cjson.lua"),
        (
            raw.create_function(function(create))?,
            pointer(std::ptr::null()),
            array,
            empty_array,
            pointer(&raw const EMPTY_ARRAY),
        ),
    )
}

/// A table of functions, with settings of their own.
fn create(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let metas = call.lane().engine().json_metas().ok_or("no memory")?;
    let json = Rc::new(Json {
        config: Config::default(),
        metas: metas.downcast().map_err(|_| "no memory")?,
        safe: call.boolean(1),
    });
    let functions: [(&'static str, Function); 15] = [
        ("encode", function(encode)),
        ("decode", function(decode)),
        ("encode_sparse_array", function(config::encode_sparse_array)),
        ("encode_max_depth", function(config::encode_max_depth)),
        ("decode_max_depth", function(config::decode_max_depth)),
        (
            "encode_number_precision",
            function(config::encode_number_precision),
        ),
        ("encode_keep_buffer", function(config::encode_keep_buffer)),
        (
            "encode_invalid_numbers",
            function(config::encode_invalid_numbers),
        ),
        (
            "decode_invalid_numbers",
            function(config::decode_invalid_numbers),
        ),
        (
            "encode_empty_table_as_object",
            function(config::encode_empty_table_as_object),
        ),
        (
            "decode_array_with_array_mt",
            function(config::decode_array_with_array_mt),
        ),
        (
            "decode_allow_comment",
            function(config::decode_allow_comment),
        ),
        (
            "encode_escape_forward_slash",
            function(config::encode_escape_forward_slash),
        ),
        ("encode_indent", function(config::encode_indent)),
        (
            "encode_skip_unsupported_value_types",
            function(config::encode_skip_unsupported_value_types),
        ),
    ];
    let field = |(name, function): (&'static str, Function)| {
        let own: Rc<dyn std::any::Any> = json.clone();
        (Value::from(name), Value::Closure(function, own))
    };
    let module = TableValue {
        items: Vec::new(),
        fields: functions.into_iter().map(field).collect(),
    };
    Ok(Reply::of(values([module.into()])))
}

/// `str = cjson.encode(value)`
fn encode(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let json = prepare(call)?;
    let encoded = encode::encode(call, &json);
    answer(&json, encoded.map(Value::from))
}

/// `value = cjson.decode(str)`
fn decode(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let json = prepare(call)?;
    let Some(text) = call.text(1) else {
        let why = call.expected(1, "string");
        if !json.safe {
            return Err(why);
        }
        let why = format!(
            "bad argument #1 to '?' (string expected, got {})",
            call.type_name(1)
        );
        return answer(&json, Err(why));
    };
    let decoded = decode::decode(&text, &json);
    answer(&json, decoded)
}

fn prepare(call: &Call<'_>) -> Result<Rc<Json>, Raise> {
    if call.count() != 1 {
        return Err(Raise::Argument(1, "expected 1 argument".into()));
    }
    this(call)
}

fn this(call: &Call<'_>) -> Result<Rc<Json>, Raise> {
    call.own().ok_or_else(|| "not a function of cjson".into())
}

fn answer(json: &Json, result: Result<Value, String>) -> Result<Reply, Raise> {
    match result {
        Ok(value) => Ok(Reply::of(values([value]))),
        Err(why) if json.safe => Ok(Reply::of(values([Value::Nil, why.into()]))),
        Err(why) => Err(why.into()),
    }
}
