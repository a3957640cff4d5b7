//! Families of variables with a common beginning: `$http_*`, `$sent_http_*`, `$arg_*`,
//! `$cookie_*`.

use super::{put, put_number, put_some};
use crate::http::filter::header;
use crate::http::head::Head;
use crate::http::parse;
use crate::http::request::Request;
use crate::script::{Variable, VariableFlags, Variables};
use crate::time;

pub(super) fn register(variables: &mut Variables<Request>) {
    family(variables, "http_", |r, name, out| {
        let separator = if name == b"cookie" { b';' } else { b',' };
        join(r.head().iter(), name, separator, out)
    });
    family(variables, "arg_", |r, name, out| {
        parse::arg(&r.args(), name).is_some_and(|value| put(out, value))
    });
    family(variables, "cookie_", |r, name, out| {
        cookie(&r.head(), name).is_some_and(|value| put(out, value))
    });
    family(variables, "sent_http_", sent);
}

/// The variables whose names begin with `prefix`; `append` gets the rest of the name, in lower
/// case.
fn family(
    variables: &mut Variables<Request>,
    prefix: &'static str,
    append: fn(&Request, &[u8], &mut Vec<u8>) -> bool,
) {
    variables.register_prefix(prefix, move |rest: &str| {
        let name: Box<[u8]> = rest.as_bytes().into();
        Variable::new(
            format!("{prefix}{rest}"),
            move |r: &Request, out: &mut Vec<u8>| append(r, &name, out),
        )
        .with_flags(VariableFlags::CHEAP)
    });
}

/// Whether a field is the one that a variable names: `user_agent` is `User-Agent`.
fn is_named(field: &[u8], name: &[u8]) -> bool {
    let same = |(a, b): (&u8, &u8)| match a {
        b'-' => *b == b'_',
        a => a.to_ascii_lowercase() == *b,
    };
    field.len() == name.len() && field.iter().zip(name).all(same)
}

/// Appends the values of all fields of this name, with `separator` and a space between.
pub(super) fn join<'a>(
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    name: &[u8],
    separator: u8,
    out: &mut Vec<u8>,
) -> bool {
    let mut found = false;
    for (_, value) in fields.filter(|(field, _)| is_named(field, name)) {
        if found {
            out.extend_from_slice(&[separator, b' ']);
        }
        out.extend_from_slice(value);
        found = true;
    }
    found
}

/// The value of the first cookie of this name, in any case of letters.
pub(super) fn cookie<'a>(head: &'a Head, name: &[u8]) -> Option<&'a [u8]> {
    let known = |(known, _, value)| (known == parse::Known::Cookie).then_some(value);
    head.fields()
        .filter_map(known)
        .flat_map(|value: &[u8]| value.split(|&b| b == b';'))
        .find_map(|pair| {
            let at = pair.iter().position(|&byte| byte == b'=')?;
            let (key, value) = pair.split_at(at);
            let found = key.trim_ascii().eq_ignore_ascii_case(name);
            found.then(|| value.get(1..).unwrap_or_default().trim_ascii_start())
        })
}

/// A field of the response as the client gets it, wherever the response keeps it.
fn sent(r: &Request, name: &[u8], out: &mut Vec<u8>) -> bool {
    let response = r.response();
    match name {
        b"content_type" => {
            let Some(media) = response.content_type() else {
                return false;
            };
            put(out, &media);
            if let Some(charset) = response.charset() {
                put(out, b"; charset=");
                put(out, &charset);
            }
            true
        }
        b"content_length" => response
            .content_length()
            .is_some_and(|len| put_number(out, len)),
        b"last_modified" => response
            .last_modified()
            .is_some_and(|at| put(out, time::http_date_of(at).as_bytes())),
        b"location" => match response.location() {
            Some(location) => {
                header::write_location(r, &location, out);
                true
            }
            None => join_sent(r, name, out),
        },
        b"etag" => match response.etag() {
            Some(etag) => put(out, &etag),
            None => join_sent(r, name, out),
        },
        b"connection" => put(
            out,
            match response.status() {
                101 => b"upgrade",
                _ if r.keeps_alive() => b"keep-alive",
                _ => b"close",
            },
        ),
        b"keep_alive" => {
            let seconds = *r.core().keepalive_header;
            seconds > 0 && r.keeps_alive() && put(out, b"timeout=") && put_number(out, seconds)
        }
        b"transfer_encoding" => put_some(
            out,
            if response.is_chunked() {
                b"chunked"
            } else {
                b""
            },
        ),
        _ => join_sent(r, name, out),
    }
}

fn join_sent(r: &Request, name: &[u8], out: &mut Vec<u8>) -> bool {
    let fields = r.response().fields();
    join(
        fields
            .iter()
            .map(|field| (&field.name[..], &field.value[..])),
        name,
        b',',
        out,
    )
}
