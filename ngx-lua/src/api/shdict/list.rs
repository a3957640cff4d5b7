//! Lists by key.

use ngx_core::zone::{self, End, Item, Refusal};

use super::{answer, count, is_replay, refuse, text_key, zone};
use crate::ffi::{Call, Kind, Raise, Reply, Value};

/// `length, err = dict:lpush(key, value)`
pub(super) fn lpush(call: &mut Call<'_>) -> Result<Reply, Raise> {
    push(call, End::Left)
}

/// `length, err = dict:rpush(key, value)`
pub(super) fn rpush(call: &mut Call<'_>) -> Result<Reply, Raise> {
    push(call, End::Right)
}

/// `value, err = dict:lpop(key)`
pub(super) fn lpop(call: &mut Call<'_>) -> Result<Reply, Raise> {
    pop(call, End::Left)
}

/// `value, err = dict:rpop(key)`
pub(super) fn rpop(call: &mut Call<'_>) -> Result<Reply, Raise> {
    pop(call, End::Right)
}

/// `length, err = dict:llen(key)`
pub(super) fn llen(call: &mut Call<'_>) -> Result<Reply, Raise> {
    want_arguments(call, 2)?;
    let dict = zone(call)?;
    let key = match text_key(call)? {
        Ok(key) => key,
        Err(why) => return Ok(refuse(why)),
    };
    Ok(length(dict.list_len(&key)))
}

fn push(call: &Call<'_>, end: End) -> Result<Reply, Raise> {
    want_arguments(call, 3)?;
    let dict = zone(call)?;
    let key = match text_key(call)? {
        Ok(key) => key,
        Err(why) => return Ok(refuse(why)),
    };
    let text;
    let value = match call.kind(3) {
        Kind::String => {
            text = call.text(3).unwrap_or_default();
            zone::Value::Text(&text)
        }
        Kind::Number => zone::Value::Number(call.number(3).unwrap_or(0.0)),
        _ => return Ok(refuse("bad value type")),
    };
    if is_replay(call) {
        return Ok(length(dict.list_len(&key)));
    }
    Ok(length(dict.push(&key, value, end)))
}

fn pop(call: &Call<'_>, end: End) -> Result<Reply, Raise> {
    want_arguments(call, 2)?;
    let dict = zone(call)?;
    let key = match text_key(call)? {
        Ok(key) => key,
        Err(why) => return Ok(refuse(why)),
    };
    if is_replay(call) {
        // Somebody has what was there.
        return Ok(answer(Value::Nil));
    }
    Ok(match dict.pop(&key, end) {
        Ok(None) => answer(Value::Nil),
        Ok(Some(Item::Text(text))) => answer(text.into_vec().into()),
        Ok(Some(Item::Number(number))) => answer(Value::Number(number)),
        Err(why) => refuse(why.to_string()),
    })
}

fn length(length: Result<usize, Refusal>) -> Reply {
    length.map_or_else(|why| refuse(why.to_string()), count)
}

fn want_arguments(call: &Call<'_>, wanted: usize) -> Result<(), Raise> {
    let n = call.count();
    if n == wanted {
        return Ok(());
    }
    Err(format!("expecting {wanted} arguments, but only seen {n}").into())
}
