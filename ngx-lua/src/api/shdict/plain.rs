//! Strings, numbers and booleans by key, and how long they live.

use ngx_core::zone::{self, Found, Init, Only, Refusal, Store, Stored, TimeToLive};

use super::{answer, any_key, is_replay, refuse, zone};
use crate::ffi::{Call, Kind, Raise, Reply, Value, Values, values};

/// `value, flags = dict:get(key)`
pub(super) fn get(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let dict = zone(call)?;
    let key = match any_key(call) {
        Ok(key) => key,
        Err(why) => return Ok(refuse(why)),
    };
    let read = |found: Found<'_>| match found.flags {
        0 => values([value_of(found)]),
        flags => values([value_of(found), Value::Number(flags.into())]),
    };
    Ok(shown(dict.get(&key, read)))
}

/// `value, flags, stale = dict:get_stale(key)`
pub(super) fn get_stale(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let dict = zone(call)?;
    let key = match any_key(call) {
        Ok(key) => key,
        Err(why) => return Ok(refuse(why)),
    };
    let read = |found: Found<'_>| {
        let flags = match found.flags {
            0 => Value::Nil,
            flags => Value::Number(flags.into()),
        };
        values([value_of(found), flags, Value::Boolean(found.is_stale)])
    };
    Ok(shown(dict.get_stale(&key, read)))
}

/// `ok, err, forcible = dict:set(key, value, exptime?, flags?)`
pub(super) fn set(call: &mut Call<'_>) -> Result<Reply, Raise> {
    store(call, Only::Always, false)
}

/// `ok, err, forcible = dict:safe_set(key, value, exptime?, flags?)`
pub(super) fn safe_set(call: &mut Call<'_>) -> Result<Reply, Raise> {
    store(call, Only::Always, true)
}

/// `ok, err, forcible = dict:add(key, value, exptime?, flags?)`
pub(super) fn add(call: &mut Call<'_>) -> Result<Reply, Raise> {
    store(call, Only::IfAbsent, false)
}

/// `ok, err, forcible = dict:safe_add(key, value, exptime?, flags?)`
pub(super) fn safe_add(call: &mut Call<'_>) -> Result<Reply, Raise> {
    store(call, Only::IfAbsent, true)
}

/// `ok, err, forcible = dict:replace(key, value, exptime?, flags?)`
pub(super) fn replace(call: &mut Call<'_>) -> Result<Reply, Raise> {
    store(call, Only::IfPresent, false)
}

/// `dict:delete(key)`
pub(super) fn delete(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let dict = zone(call)?;
    let key = match any_key(call) {
        Ok(key) => key,
        Err(why) => return Ok(refuse(why)),
    };
    if !is_replay(call) {
        dict.delete(&key);
    }
    Ok(stored(Ok(()), false))
}

/// `new, err, forcible = dict:incr(key, value, init?, init_ttl?)`
pub(super) fn incr(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let dict = zone(call)?;
    let key = match any_key(call) {
        Ok(key) => key,
        Err(why) => return Ok(refuse(why)),
    };
    let by = call.number(3).ok_or("cannot convert 'nil' to 'double'")?;
    let init = init(call)?;
    let outcome = if is_replay(call) {
        counted(&dict, &key, init.map(|init| init.value + by))
    } else {
        dict.incr(&key, by, init)
    };
    Ok(match (outcome.result, init) {
        (Err(why), _) => refuse(why.to_string()),
        (Ok(sum), None) => answer(Value::Number(sum)),
        (Ok(sum), Some(_)) => Reply::of(values([
            Value::Number(sum),
            Value::Nil,
            Value::Boolean(outcome.forcible),
        ])),
    })
}

/// `ttl, err = dict:ttl(key)`
pub(super) fn ttl(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let dict = zone(call)?;
    let key = match any_key(call) {
        Ok(key) => key,
        Err(why) => return Ok(refuse(why)),
    };
    #[expect(clippy::cast_precision_loss, reason = "2^53 ms are long enough")]
    let left = |ms: i64| ms as f64 / 1000.0;
    Ok(match dict.ttl(&key) {
        None => refuse("not found"),
        Some(TimeToLive::Forever) => answer(Value::Number(0.0)),
        Some(TimeToLive::Left(ms)) => answer(Value::Number(left(ms))),
    })
}

/// `ok, err = dict:expire(key, exptime)`
pub(super) fn expire(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let dict = zone(call)?;
    let Some(seconds) = optional_number(call, 3)? else {
        return Err("bad \"exptime\" argument".into());
    };
    let key = match any_key(call) {
        Ok(key) => key,
        Err(why) => return Ok(refuse(why)),
    };
    if is_replay(call) || dict.expire(&key, millis(seconds)) {
        return Ok(answer(Value::Boolean(true)));
    }
    Ok(refuse("not found"))
}

fn store(call: &Call<'_>, only: Only, safe: bool) -> Result<Reply, Raise> {
    let dict = zone(call)?;
    let seconds = optional_number(call, 4)?.unwrap_or(0.0);
    if seconds < 0.0 {
        return Err("bad \"exptime\" argument".into());
    }
    let key = match any_key(call) {
        Ok(key) => key,
        Err(why) => return Ok(refuse(why)),
    };
    let text;
    let value = match call.kind(3) {
        Kind::String => {
            text = call.text(3).unwrap_or_default();
            Some(zone::Value::Text(&text))
        }
        Kind::Number => Some(zone::Value::Number(call.number(3).unwrap_or(0.0))),
        Kind::Boolean => Some(zone::Value::Boolean(call.boolean(3))),
        Kind::None | Kind::Nil => None,
        _ => return Ok(refuse("bad value type")),
    };
    let flags = flags(call)?;
    if value.is_none() && only != Only::Always {
        let why = "attempt to add or replace nil values";
        return Ok(stored(Err(why.into()), false));
    }
    if is_replay(call) {
        return Ok(stored(Ok(()), false));
    }
    let Some(value) = value else {
        dict.delete(&key);
        return Ok(stored(Ok(()), false));
    };
    let ttl = millis(seconds);
    let how = Store {
        ttl,
        flags,
        only,
        safe,
    };
    let outcome = dict.set(&key, value, how);
    let result = outcome.result.map_err(|why| why.to_string().into());
    Ok(stored(result, outcome.forcible))
}

/// `true, nil, forcible`, or `false, why, forcible`
fn stored(result: Result<(), Value>, forcible: bool) -> Reply {
    let is_ok = result.is_ok();
    Reply::of(values([
        Value::Boolean(is_ok),
        result.err().unwrap_or(Value::Nil),
        Value::Boolean(forcible),
    ]))
}

fn value_of(found: Found<'_>) -> Value {
    match found.value {
        zone::Value::Text(text) => text.to_vec().into(),
        zone::Value::Number(number) => Value::Number(number),
        zone::Value::Boolean(yes) => Value::Boolean(yes),
    }
}

fn shown(found: Result<Option<Values>, Refusal>) -> Reply {
    match found {
        Ok(Some(values)) => Reply::of(values),
        Ok(None) => answer(Value::Nil),
        Err(why) => refuse(why.to_string()),
    }
}

/// What counting up gave when it was done: the number that is there.
fn counted(dict: &zone::Dict, key: &[u8], fresh: Option<f64>) -> Stored<f64> {
    let there = dict.get(key, |found| match found.value {
        zone::Value::Number(number) => Ok(number),
        _ => Err(Refusal::NotANumber),
    });
    let missing = fresh.ok_or(Refusal::NotFound);
    Stored {
        result: match there {
            Ok(Some(number)) => number,
            Ok(None) => missing,
            Err(_) => Err(Refusal::NotANumber),
        },
        forcible: false,
    }
}

fn init(call: &Call<'_>) -> Result<Option<Init>, Raise> {
    let number = |at, name| {
        call.number(at).ok_or_else(|| {
            let got = call.type_name(at);
            Raise::from(format!("bad {name} arg: number expected, got {got}"))
        })
    };
    let value = match call.boolean(4) {
        true => Some(number(4, "init")?),
        false => None,
    };
    let mut seconds = 0.0;
    if call.is_given(5) {
        seconds = number(5, "init_ttl")?;
        if seconds < 0.0 {
            return Err("bad \"init_ttl\" argument".into());
        }
        if value.is_none() {
            return Err("must provide \"init\" when providing \"init_ttl\"".into());
        }
    }
    let ttl = millis(seconds);
    Ok(value.map(|value| Init { value, ttl }))
}

fn flags(call: &Call<'_>) -> Result<i32, Raise> {
    let number = optional_number(call, 5)?.unwrap_or(0.0);
    let bounds = f64::from(i32::MIN)..=f64::from(i32::MAX);
    #[expect(clippy::cast_possible_truncation, reason = "within the bounds")]
    let whole = |number: f64| number as i32;
    // What the conversion of the processor makes of others.
    Ok(if bounds.contains(&number.trunc()) {
        whole(number)
    } else {
        i32::MIN
    })
}

/// A number; nothing if it is nil or false.
fn optional_number(call: &Call<'_>, at: usize) -> Result<Option<f64>, Raise> {
    if !call.boolean(at) {
        return Ok(None);
    }
    match call.kind(at) {
        Kind::Number => Ok(call.number(at)),
        _ => Err(call.expected(at, "number")),
    }
}

/// Seconds as milliseconds. What is no time that could come is for ever.
fn millis(seconds: f64) -> u64 {
    const LONGEST: f64 = 9_007_199_254_740_992.0;
    let millis = seconds * 1000.0;
    if !(1.0..LONGEST).contains(&millis) {
        return 0;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the bounds"
    )]
    let whole = millis as u64;
    whole
}
