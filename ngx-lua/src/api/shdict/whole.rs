//! What concerns a dictionary as a whole.

use std::rc::Rc;

use super::{Shared, answer, count, is_replay, zone};
use crate::ffi::{Call, Kind, Raise, Reply, TableValue, Value, values};

/// `dict:flush_all()`
pub(super) fn flush_all(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let dict = zone(call)?;
    if !is_replay(call) {
        dict.flush_all();
    }
    Ok(Reply::of(values([])))
}

/// `flushed = dict:flush_expired(max?)`
pub(super) fn flush_expired(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let (dict, max) = bounded(call, usize::MAX)?;
    if is_replay(call) {
        return Ok(count(0));
    }
    Ok(count(dict.flush_expired(max)))
}

/// `keys = dict:get_keys(max?)`
pub(super) fn get_keys(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let (dict, max) = bounded(call, 1024)?;
    let mut items = Vec::new();
    dict.keys(max, |key| items.push(Value::from(key.to_vec())));
    let fields = Vec::new();
    Ok(answer(TableValue { items, fields }.into()))
}

/// `bytes = dict:capacity()`
pub(super) fn capacity(call: &mut Call<'_>) -> Result<Reply, Raise> {
    Ok(count(zone(call)?.capacity()))
}

/// `bytes = dict:free_space()`
pub(super) fn free_space(call: &mut Call<'_>) -> Result<Reply, Raise> {
    Ok(count(zone(call)?.free_space()))
}

/// The dictionary, and how many entries to look for, of which 0 is all.
fn bounded(call: &Call<'_>, default: usize) -> Result<(Rc<Shared>, usize), Raise> {
    let n = call.count();
    if n != 1 && n != 2 {
        return Err(format!("expecting 1 or 2 argument(s), but saw {n}").into());
    }
    if call.kind(1) != Kind::Table {
        return Err(call.expected(1, "table"));
    }
    let dict = call
        .object(1)
        .map_err(|_| "bad user data for the ngx_shm_zone_t pointer")?;
    if n == 1 {
        return Ok((dict, default));
    }
    let max = call.want_number(2)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it saturates, and what is below 1 means all"
    )]
    let max = max as usize;
    Ok((dict, if max == 0 { usize::MAX } else { max }))
}
