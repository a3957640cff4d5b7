//! `ngx.header`, `ngx.resp.get_headers`, and the module `ngx.resp`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use ngx_core::http::Response;
use ngx_core::http::parse::parse_date;
use ngx_core::{debug, error, time};
use smallvec::SmallVec;

use super::ctx::change_status;
use super::{header_is_out, live, nothing};
use crate::ffi::{Call, Kind, Raise, Reply, TableValue, Value, function, values};
use crate::http::Guest;
use crate::http::conf::LUA;
use crate::sched::Engine;

pub(super) fn install(engine: &Rc<Engine>, ngx: &mlua::Table) -> mlua::Result<()> {
    let raw = engine.raw();
    let lua = raw.lua();
    let meta = lua.create_table()?;
    meta.set("__index", raw.create_function(function(get))?)?;
    meta.set("__newindex", raw.create_function(function(set))?)?;
    let header = lua.create_table()?;
    header.set_metatable(Some(meta))?;
    ngx.set("header", header)?;

    let resp = lua.create_table()?;
    let get_headers = raw.create_function(function(get_headers))?;
    let wrapped: mlua::Function = lua
        .load(BY_ANY_NAME)
        .set_name("=ngx.resp")
        .call(get_headers)?;
    resp.set("get_headers", wrapped)?;
    ngx.set("resp", resp)?;

    let module = lua.create_table()?;
    module.set("add_header", raw.create_function(function(add))?)?;
    module.set("set_status", raw.create_function(function(set_status))?)?;
    let loader = lua.load("local module = ... return function() return module end");
    lua.preload_module("ngx.resp", loader.call(module)?)
}

/// Lets a table of headers be asked for `content_type` and `Content-Type`.
const BY_ANY_NAME: &str = r#"
local get_headers = ...
local lower, gsub, rawget, setmetatable = string.lower, string.gsub, rawget, setmetatable
local meta = {
    __index = function(headers, name)
        local usual = gsub(lower(name), "_", "-")
        if usual ~= name then return rawget(headers, usual) end
    end,
}
return function(max, raw)
    local headers, err = get_headers(max, raw)
    if not raw then setmetatable(headers, meta) end
    return headers, err
end
"#;

/// The values of a header: most have one.
type Texts = SmallVec<[Bytes; 2]>;

/// How many lines of a name are told.
const LINES_MAX: usize = 100;

/// `value = ngx.header.NAME`
fn get(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let guest = live(call)?;
    let key = call.tostring(2);
    let name = real_name(guest, &key);
    let mut found = lines(guest.request.response(), &name)
        .into_iter()
        .map(|line| Value::from(line.to_vec()));
    let value = match (found.next(), found.len()) {
        (None, _) => Value::Nil,
        (Some(one), 0) => one,
        (Some(first), _) => TableValue {
            items: std::iter::once(first).chain(found).collect(),
            fields: Vec::new(),
        }
        .into(),
    };
    Ok(Reply::Value(value))
}

fn lines(response: &Response, name: &[u8]) -> Texts {
    if name.eq_ignore_ascii_case(b"content-length")
        && let Some(length) = response.content_length()
    {
        return SmallVec::from_iter([length.to_string().into()]);
    }
    let apart = if name.eq_ignore_ascii_case(b"content-type") {
        response.content_type()
    } else if name.eq_ignore_ascii_case(b"last-modified") {
        if let Some(seconds) = response.last_modified() {
            let date = time::http_date_of(seconds);
            return SmallVec::from_iter([Bytes::copy_from_slice(date.as_bytes())]);
        }
        None
    } else if name.eq_ignore_ascii_case(b"location") {
        response.location()
    } else if name.eq_ignore_ascii_case(b"etag") {
        response.etag()
    } else {
        None
    };
    let fields = response.fields();
    let listed = fields.iter().filter(|f| f.name.eq_ignore_ascii_case(name));
    let listed = listed.map(|field| field.value.clone());
    apart.into_iter().chain(listed).take(LINES_MAX).collect()
}

/// `ngx.header.NAME = value`
fn set(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let guest = live(call)?;
    change(call, guest, (2, 3), true)
}

/// `add_header(name, value)` of the module `ngx.resp`.
fn add(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let guest = live(call)?;
    if !call.is_given(2) {
        return Err("invalid header value".into());
    }
    change(call, guest, (1, 2), false)
}

/// Sets or adds the lines of the value for the name, which stand at these places.
fn change(
    call: &Call<'_>,
    guest: &Guest,
    (name, value): (usize, usize),
    replace: bool,
) -> Result<Reply, Raise> {
    let r = &guest.request;
    if header_is_out(call, guest) {
        error!("attempt to set ngx.header.HEADER after sending out response headers");
        return nothing();
    }
    let texts = texts(call, value)?;
    if texts.is_empty() && !replace {
        return nothing();
    }
    let key = call.tostring(name);
    let name = Bytes::from(escaped_name(&real_name(guest, &key)));
    guest.state.answer.fields_set.set(true);
    if name.eq_ignore_ascii_case(b"content-type") {
        guest.state.answer.type_set.set(true);
    }
    apply(r.response(), name, texts, replace)?;
    nothing()
}

/// The value at `at` as the lines it stands for: none of nil.
fn texts(call: &Call<'_>, at: usize) -> Result<Texts, Raise> {
    match call.kind(at) {
        Kind::None | Kind::Nil => return Ok(Texts::new()),
        Kind::Table => {}
        _ => return Ok(SmallVec::from_iter([escaped_value(&call.tostring(at))])),
    }
    let mut items: Vec<(f64, Bytes)> = Vec::new();
    call.each(at, |key, item| {
        if call.kind(key) == Kind::Number {
            let place = call.number(key).unwrap_or_default();
            items.push((place, escaped_value(&call.tostring(item))));
        }
        Ok(())
    })?;
    items.sort_by(|a, b| a.0.total_cmp(&b.0));
    let from_one = items.into_iter().skip_while(|(place, _)| *place < 1.0);
    let mut next = 1.0;
    Ok(from_one
        .take_while(|(place, _)| {
            let follows = *place == next;
            next += 1.0;
            follows
        })
        .map(|(_, text)| text)
        .collect())
}

/// Changes the response. Of a header that can have one line alone, the last value counts.
fn apply(response: &Response, name: Bytes, texts: Texts, replace: bool) -> Result<(), Raise> {
    let lower = name.to_ascii_lowercase();
    let last = texts.last().filter(|text| !text.is_empty()).cloned();
    match (&*lower, last) {
        (b"content-type", last) => {
            // A type that comes with parameters is complete.
            if last.as_ref().is_some_and(|last| last.contains(&b';')) {
                response.set_charset(None);
            }
            response.set_content_type(last);
        }
        (b"content-length", None) => response.set_content_length(None),
        (b"content-length", Some(text)) => {
            let length = std::str::from_utf8(&text)
                .ok()
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|text| text.parse().ok())
                .ok_or("failed to set header")?;
            response.set_content_length(Some(length));
        }
        (b"location", Some(text)) => set_location(response, name, text),
        (b"location", None) => {
            response.set_location(None);
            response.remove_field(&name);
        }
        (b"last-modified", Some(text)) => {
            let at = parse_date(&text).and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let seconds = at.and_then(|at| i64::try_from(at.as_secs()).ok());
            response.set_last_modified(seconds);
            response.set_field(name, text);
        }
        (b"last-modified", None) => {
            response.set_last_modified(None);
            response.remove_field(&name);
        }
        (b"etag", last) => {
            response.remove_field(&name);
            response.set_etag(last);
        }
        (b"server" | b"date", None) => response.suppress_field(&name),
        (
            b"server" | b"date" | b"content-encoding" | b"refresh" | b"content-range"
            | b"accept-ranges" | b"expires",
            Some(text),
        ) => response.set_field(name, text),
        _ => set_lines(response, &name, texts, replace),
    }
    Ok(())
}

/// The target of a redirect. A path stays one: `absolute_redirect` is for nginx's own redirects.
pub(super) fn set_location(response: &Response, name: Bytes, target: Bytes) {
    if target.starts_with(b"/") {
        response.set_location(None);
        response.set_field(name, target);
    } else {
        response.remove_field(&name);
        response.set_location(Some(target));
    }
}

fn set_lines(response: &Response, name: &Bytes, texts: Texts, replace: bool) {
    let mut texts = texts.into_iter();
    if replace {
        match texts.next() {
            Some(first) if !first.is_empty() => response.set_field(name.clone(), first),
            _ => {
                response.remove_field(name);
            }
        }
    }
    for text in texts.filter(|text| !text.is_empty()) {
        response.push_field(name.clone(), text);
    }
}

/// The name that is meant: `content_type` is `content-type`, unless the location says otherwise.
fn real_name<'a>(guest: &Guest, name: &'a [u8]) -> Cow<'a, [u8]> {
    if !name.contains(&b'_') || !*guest.request.conf(&LUA).transform_underscores {
        return Cow::Borrowed(name);
    }
    let dashed = name
        .iter()
        .map(|&byte| if byte == b'_' { b'-' } else { byte });
    Cow::Owned(dashed.collect())
}

/// A name with what cannot stand in one (RFC 9110 §5.6.2) written as `%XX`.
fn escaped_name(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for &byte in name {
        if !byte.is_ascii_graphic() || b"\"(),/:;?<=>@[]\\{}".contains(&byte) {
            push_escaped(byte, &mut out);
        } else {
            out.push(byte);
        }
    }
    out
}

/// A value without control characters, which are written as `%XX`; tabs may stand there.
fn escaped_value(text: &[u8]) -> Bytes {
    let is_control = |byte: u8| byte.is_ascii_control() && byte != b'\t';
    if !text.iter().any(|&byte| is_control(byte)) {
        return Bytes::copy_from_slice(text);
    }
    let mut out = Vec::with_capacity(text.len() + 8);
    for &byte in text {
        if is_control(byte) {
            push_escaped(byte, &mut out);
        } else {
            out.push(byte);
        }
    }
    out.into()
}

fn push_escaped(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("%{byte:02X}").as_bytes());
}

/// `headers, err = ngx.resp.get_headers(max?, raw?)`, without the metatable.
fn get_headers(call: &mut Call<'_>) -> Result<Reply, Raise> {
    const USUAL_MAX: f64 = 100.0;
    let max = match call.kind(1) {
        Kind::None | Kind::Nil => USUAL_MAX,
        _ => call.want_number(1)?.trunc(),
    };
    let raw = call.boolean(2);
    let guest = live(call)?;
    let mut found = own_lines(guest);
    let response = guest.request.response();
    let listed = response.fields();
    let apart = [("ETag", response.etag()), ("Location", response.location())];
    let apart = apart
        .into_iter()
        .filter_map(|(name, value)| Some((Bytes::from_static(name.as_bytes()), value?)));
    let listed = listed.iter().map(|f| (f.name.clone(), f.value.clone()));
    found.extend(apart.chain(listed).map(|(name, value)| {
        let name = if raw {
            name.to_vec()
        } else {
            name.to_ascii_lowercase()
        };
        (name, value)
    }));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive; more than there can be is no limit"
    )]
    let most = if max > 0.0 { max as usize } else { usize::MAX };
    let truncated = found.len() > most;
    if truncated {
        let count = found.len();
        debug!("lua exceeding response header limit {count} > {most}");
    }
    found.truncate(most);
    let table = by_name(found).into();
    Ok(Reply::of(if truncated {
        values([table, "truncated".into()])
    } else {
        values([table])
    }))
}

/// The lines that the server writes itself.
fn own_lines(guest: &Guest) -> Vec<(Vec<u8>, Bytes)> {
    let r = &guest.request;
    let response = r.response();
    let mut found = Vec::new();
    let mut add = |name: &str, value: Bytes| found.push((name.as_bytes().to_vec(), value));
    if let Some(media) = response.content_type() {
        add("content-type", media);
    }
    if let Some(length) = response.content_length() {
        add("content-length", length.to_string().into());
    }
    let connection = if response.status() == 101 {
        "upgrade"
    } else if r.keeps_alive() {
        "keep-alive"
    } else {
        "close"
    };
    add("connection", Bytes::from_static(connection.as_bytes()));
    if response.is_chunked() {
        add("transfer-encoding", Bytes::from_static(b"chunked"));
    }
    found
}

/// A table of the lines; several of a name are an array.
fn by_name(lines: Vec<(Vec<u8>, Bytes)>) -> TableValue {
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut names: Vec<(Vec<u8>, Vec<Bytes>)> = Vec::new();
    for (name, value) in lines {
        let at = *places.entry(name.clone()).or_insert(names.len());
        match names.get_mut(at) {
            Some((_, known)) => known.push(value),
            None => names.push((name, vec![value])),
        }
    }
    let fields = names.into_iter().map(|(name, list)| {
        let mut list: Vec<Value> = list.iter().map(|v| Value::from(v.to_vec())).collect();
        let value = match (list.len(), list.pop()) {
            (1, Some(one)) => one,
            (_, last) => {
                list.extend(last);
                TableValue {
                    items: list,
                    fields: Vec::new(),
                }
                .into()
            }
        };
        (Value::from(name), value)
    });
    TableValue {
        items: Vec::new(),
        fields: fields.collect(),
    }
}

/// `set_status(status, reason)` of the module `ngx.resp`.
fn set_status(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let guest = live(call)?;
    let status = call.want_number(1)?.trunc();
    let reason = call.want_text(2)?;
    change_status(call, guest, status, Some(&reason));
    nothing()
}
