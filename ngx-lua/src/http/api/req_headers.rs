//! `ngx.req`: the fields of the request header.

use std::collections::HashMap;
use std::rc::Rc;

use ngx_core::debug;

use super::live;
use super::req::nothing;
use super::req_args::limit;
use crate::ffi::{Call, Function, Kind, Raise, Reply, TableValue, Value, function, values};
use crate::sched::Engine;

pub(super) fn install(engine: &Rc<Engine>, req: &mlua::Table) -> mlua::Result<()> {
    let raw = engine.raw();
    let functions: [(&str, Function); 4] = [
        ("get_headers", function(get_headers)),
        ("set_header", function(set_header)),
        ("add_header", function(add_header)),
        ("clear_header", function(clear_header)),
    ];
    for (name, function) in functions {
        req.set(name, raw.create_function(function)?)?;
    }
    let meta: mlua::Table = raw.lua().load(ANY_CASE).set_name("=ngx.req").eval()?;
    engine.fields_meta.set(Some(raw.meta(meta)?));
    Ok(())
}

/// Names of fields as people write them, in any case of letters and with `_` for `-`.
const ANY_CASE: &str = "
local lower, gsub, rawget = string.lower, string.gsub, rawget
return {
    __index = function(fields, name)
        name = lower(name)
        local value = rawget(fields, name)
        if value ~= nil then return value end
        return rawget(fields, (gsub(name, '_', '-')))
    end,
}
";

/// `headers, err = ngx.req.get_headers(max?, raw?)`
fn get_headers(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let guest = live(call)?;
    let max = limit(call, 1)?;
    let raw = call.boolean(2);
    let head = guest.request.head();
    let count = head.iter().count();
    let most = if max == 0 { count } else { max };
    let fields = head.iter().take(most).map(|(name, value)| {
        let mut name = name.to_vec();
        if !raw {
            name.make_ascii_lowercase();
        }
        (name, value.to_vec())
    });
    let table = Box::new(fields_table(fields));
    let meta = call.lane().engine().fields_meta.get().filter(|_| !raw);
    let table = match meta {
        Some(meta) => Value::Dressed(table, meta),
        None => Value::Table(table),
    };
    Ok(Reply::of(if count > most {
        debug!("lua exceeding request header limit {count} > {most}");
        values([table, "truncated".into()])
    } else {
        values([table])
    }))
}

/// A table of fields; a name that occurs several times has an array.
fn fields_table(fields: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> TableValue {
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut found: Vec<(Vec<u8>, Vec<Value>)> = Vec::new();
    for (name, value) in fields {
        match places.get(&name).and_then(|place| found.get_mut(*place)) {
            Some((_, list)) => list.push(value.into()),
            None => {
                places.insert(name.clone(), found.len());
                found.push((name, vec![value.into()]));
            }
        }
    }
    let value = |mut list: Vec<Value>| match list.pop() {
        Some(only) if list.is_empty() => only,
        last => {
            list.extend(last);
            let items = list;
            TableValue {
                items,
                ..TableValue::default()
            }
            .into()
        }
    };
    let fields = found.into_iter();
    TableValue {
        fields: fields
            .map(|(name, list)| (name.into(), value(list)))
            .collect(),
        ..TableValue::default()
    }
}

/// `ngx.req.set_header(name, value)`: a string, or a table of them; nil removes the field.
fn set_header(call: &mut Call<'_>) -> Result<Reply, Raise> {
    change(call, true)
}

/// `ngx.req.add_header(name, value)`, of lua-resty-core.
fn add_header(call: &mut Call<'_>) -> Result<Reply, Raise> {
    change(call, false)
}

/// `ngx.req.clear_header(name)`
fn clear_header(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let guest = live(call)?;
    guest
        .request
        .clear_header(&escape(&call.tostring(1), is_no_name));
    Ok(nothing())
}

fn change(call: &Call<'_>, replace: bool) -> Result<Reply, Raise> {
    let guest = live(call)?;
    let r = &guest.request;
    if !call.is_given(1) {
        return Err("bad 'name' argument: string expected, got nil".into());
    }
    if !call.is_given(2) && !replace {
        return Err("bad 'value' argument: string or table expected, got nil".into());
    }
    let name = escape(&call.tostring(1), is_no_name);
    let mut list = Vec::new();
    if call.kind(2) == Kind::Table {
        elements(call, &mut list)?;
        if list.is_empty() && !replace {
            return Err("bad 'value' argument: non-empty table expected".into());
        }
    } else if call.is_given(2) {
        list.push(escape(&call.tostring(2), is_control));
    }
    if list.is_empty() {
        r.clear_header(&name);
    }
    for (at, value) in list.iter().enumerate() {
        let changed = if replace && at == 0 {
            r.set_header(&name, value)
        } else {
            r.add_header(&name, value)
        };
        changed.map_err(|_| "failed to set header")?;
    }
    Ok(nothing())
}

/// The values of an array, in their order.
fn elements(call: &Call<'_>, list: &mut Vec<Vec<u8>>) -> Result<(), Raise> {
    let mut found = Vec::new();
    call.each(2, |key, value| {
        if let (Kind::Number, Some(at)) = (call.kind(key), call.number(key)) {
            found.push((at, escape(&call.tostring(value), is_control)));
        }
        Ok(())
    })?;
    found.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    // As `#` has it: up to the first hole.
    let in_row = (1u32..).map(f64::from).zip(found);
    let in_row = in_row.take_while(|(want, (at, _))| want == at);
    list.extend(in_row.map(|(_, (_, value))| value));
    Ok(())
}

/// Bytes that cannot stand in a value.
fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

/// Bytes that cannot stand in a name (RFC 9110 §5.6.2).
fn is_no_name(byte: u8) -> bool {
    byte <= b' ' || byte >= 0x7f || b"\"(),/:;<=>?@[\\]{}".contains(&byte)
}

/// Writes what `must` says as `%XX`.
fn escape(text: &[u8], must: impl Fn(u8) -> bool) -> Vec<u8> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(text.len());
    for &byte in text {
        if must(byte) {
            let [high, low] = [byte >> 4, byte & 15].map(|half| HEX[usize::from(half)]);
            out.extend_from_slice(&[b'%', high, low]);
        } else {
            out.push(byte);
        }
    }
    out
}
