//! `ngx.encode_args`, `ngx.decode_args`, and what requests need of them.

use std::borrow::Cow;
use std::collections::HashMap;

use ngx_core::debug;

use super::one;
use super::uri::{escape_component, unescape};
use crate::ffi::{Call, Kind, Raise, Reply, TableValue, Value, values};

/// Arguments that are read unless scripts say otherwise.
const MAX_ARGS: usize = 100;

/// The value of an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arg {
    /// `a`, which Lua sees as true.
    Flag,
    /// `a=text`
    Text(Vec<u8>),
}

/// Arguments, in their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) list: Vec<(Vec<u8>, Arg)>,
    /// There were more than was asked for.
    pub(crate) truncated: bool,
}

/// Takes `a=1&b&c=2` apart, up to `max` arguments (0: all of them); those without a name count, but
/// are left out. As `ngx.decode_args` and `ngx.req.get_post_args` have it, an `&` behind the last
/// that may be taken is enough to be `truncated`.
pub(crate) fn decode_args(bytes: &[u8], max: usize) -> Args {
    let mut args = Args::default();
    let mut rest = bytes;
    let mut count = 0;
    while let Some(end) = memchr(rest) {
        args.add(&rest[..end]);
        rest = &rest[end + 1..];
        count += 1;
        if count == max {
            debug!("lua hit query args limit {max}");
            args.truncated = true;
            return args;
        }
    }
    args.add(rest);
    args
}

/// As [`decode_args`], for `ngx.req.get_uri_args`: `truncated` when something is left.
#[cfg_attr(
    not(any(test, feature = "http")),
    expect(dead_code, reason = "for the arguments of requests")
)]
pub(crate) fn uri_args(bytes: &[u8], max: usize) -> Args {
    let mut args = decode_args(bytes, max);
    if args.truncated {
        let mut ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'&');
        args.truncated = max
            .checked_sub(1)
            .and_then(|last| ends.nth(last))
            .is_some_and(|(at, _)| at + 1 < bytes.len());
    }
    args
}

impl Args {
    fn add(&mut self, pair: &[u8]) {
        let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => (&pair[..at], Arg::Text(unescape(&pair[at + 1..]))),
            None => (pair, Arg::Flag),
        };
        if !name.is_empty() {
            self.list.push((unescape(name), value));
        }
    }
}

/// A table of names and values; what occurs several times becomes an array.
pub(crate) fn args_table(list: Vec<(Vec<u8>, Arg)>) -> Value {
    let mut places: HashMap<Cow<'static, [u8]>, usize> = HashMap::with_capacity(list.len());
    let mut found: Vec<Vec<Value>> = Vec::with_capacity(list.len());
    for (name, arg) in list {
        let value = match arg {
            Arg::Flag => Value::Boolean(true),
            Arg::Text(text) => text.into(),
        };
        match places.get(name.as_slice()) {
            Some(place) => found[*place].push(value),
            None => {
                places.insert(name.into(), found.len());
                found.push(vec![value]);
            }
        }
    }
    let mut fields: Vec<(Value, Value)> = Vec::with_capacity(found.len());
    for (name, place) in places {
        let mut values = std::mem::take(&mut found[place]);
        let value = match values.pop() {
            Some(only) if values.is_empty() => only,
            last => {
                values.extend(last);
                TableValue {
                    items: values,
                    fields: Vec::new(),
                }
                .into()
            }
        };
        fields.push((Value::Text(name), value));
    }
    TableValue {
        items: Vec::new(),
        fields,
    }
    .into()
}

/// `table, err = ngx.decode_args(str, max_args?)`
pub(super) fn decode(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let n = call.count();
    if n != 1 && n != 2 {
        return Err(format!("expecting 1 or 2 arguments but seen {n}").into());
    }
    let max = if n == 2 {
        let number = call.want_number(2)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "what is below zero means no limit, as zero does"
        )]
        let max = number as usize;
        max
    } else {
        MAX_ARGS
    };
    let args = decode_args(&call.want_text(1)?, max);
    let table = args_table(args.list);
    Ok(Reply::of(if args.truncated {
        values([table, "truncated".into()])
    } else {
        values([table])
    }))
}

/// `str = ngx.encode_args(table)`
pub(super) fn encode(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let n = call.count();
    if n != 1 {
        return Err(format!("expecting 1 argument but seen {n}").into());
    }
    Ok(one(encode_args_table(call, 1)?))
}

/// Writes the table at `at` as arguments: true as a name alone, nothing of false, and each of an
/// array's elements.
pub(crate) fn encode_args_table(call: &Call<'_>, at: usize) -> Result<Vec<u8>, Raise> {
    let mut out = Vec::new();
    call.each(at, |key, value| {
        if call.kind(key) != Kind::String {
            return Err("attempt to use a non-string key in the \"args\" option table".into());
        }
        let name = call.want_text(key)?;
        if call.kind(value) == Kind::Table {
            call.each(value, |_, element| add_pair(call, &name, element, &mut out))
        } else {
            add_pair(call, &name, value, &mut out)
        }
    })?;
    Ok(out)
}

fn add_pair(call: &Call<'_>, name: &[u8], value: usize, out: &mut Vec<u8>) -> Result<(), Raise> {
    let text = match call.kind(value) {
        Kind::Boolean if !call.boolean(value) => return Ok(()),
        Kind::Boolean => None,
        _ => Some(call.text(value).ok_or_else(|| {
            let kind = call.type_name(value);
            Raise::from(format!("attempt to use {kind} as query arg value"))
        })?),
    };
    if !out.is_empty() {
        out.push(b'&');
    }
    escape_component(name, out);
    if let Some(text) = text {
        out.push(b'=');
        escape_component(&text, out);
    }
    Ok(())
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'&')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Arg {
        Arg::Text(value.as_bytes().to_vec())
    }

    fn list(args: Args) -> Vec<(String, Arg)> {
        let name = |name| String::from_utf8(name).unwrap();
        args.list.into_iter().map(|(n, v)| (name(n), v)).collect()
    }

    #[test]
    fn arguments_are_taken_apart() {
        let args = decode_args(b"a=1&b&c=&=x&&a=%2B+=&d%20", 0);
        assert!(!args.truncated);
        assert_eq!(
            list(args),
            [
                ("a".to_owned(), text("1")),
                ("b".to_owned(), Arg::Flag),
                ("c".to_owned(), text("")),
                ("a".to_owned(), text("+ =")),
                ("d ".to_owned(), Arg::Flag),
            ]
        );
        assert_eq!(decode_args(b"", 5), Args::default());
    }

    #[test]
    fn too_many_are_cut_off() {
        for (bytes, max, taken, decoded, uri) in [
            ("a&b&c", 2, 2, true, true),
            ("a&b", 2, 2, false, false),
            // Where the two do not agree.
            ("a&b&", 2, 2, true, false),
            // Nameless ones count.
            ("&&a", 2, 0, true, true),
            ("a&b&c", 0, 3, false, false),
        ] {
            let args = decode_args(bytes.as_bytes(), max);
            assert_eq!(
                (args.list.len(), args.truncated),
                (taken, decoded),
                "{bytes}"
            );
            let args = uri_args(bytes.as_bytes(), max);
            assert_eq!((args.list.len(), args.truncated), (taken, uri), "{bytes}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_arguments(bytes: Vec<u8>, max in 0usize..5) {
            let args = decode_args(&bytes, max);
            proptest::prop_assert!(max == 0 || args.list.len() <= max);
            proptest::prop_assert!(args.list.iter().all(|(name, _)| !name.is_empty()));
        }
    }
}
