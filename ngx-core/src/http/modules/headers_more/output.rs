//! `more_set_headers` and `more_clear_headers`.

use std::time::UNIX_EPOCH;

use bytes::Bytes;

use super::CONF;
use super::command::{Command, Field};
use crate::error;
use crate::http::filter::headers::without_breaks;
use crate::http::parse::parse_date;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::step::Step;

/// Runs the commands on the response header.
pub(super) fn filter(r: &Request) -> Step<()> {
    for command in &r.conf(&CONF).output {
        if is_for(command, r.response()) {
            for field in &command.fields {
                let value = without_breaks(field.value_for(r));
                if let Err(InvalidLength) = apply(r.response(), command, field, value) {
                    error!("more_set_headers: the value of Content-Length is no number");
                    return Step::Finish(500);
                }
            }
        }
    }
    Step::Next(())
}

fn is_for(command: &Command, response: &Response) -> bool {
    let status = response.status();
    let media = response.content_type();
    (command.statuses.is_empty() || command.statuses.contains(&status))
        && command.is_for_type(media.as_deref().map(essence))
}

/// A media type without its parameters.
fn essence(media: &[u8]) -> &[u8] {
    let end = media.iter().position(|&byte| byte == b';');
    media
        .get(..end.unwrap_or(media.len()))
        .unwrap_or(media)
        .trim_ascii_end()
}

struct InvalidLength;

fn apply(
    response: &Response,
    command: &Command,
    field: &Field,
    value: Bytes,
) -> Result<(), InvalidLength> {
    if field.wildcard {
        apply_to_all(response, field, &value);
        return Ok(());
    }
    if command.append {
        if !value.is_empty() {
            response.push_field(field.name.clone(), value);
        }
        return Ok(());
    }
    let name = &field.name;
    let given = Some(value.clone()).filter(|value| !value.is_empty());
    match &*name.to_ascii_lowercase() {
        b"content-type" => {
            if value.contains(&b';') {
                response.set_charset(None);
            }
            response.set_content_type(given);
        }
        b"content-length" => response.set_content_length(match given {
            None => None,
            Some(text) => Some(length(&text).ok_or(InvalidLength)?),
        }),
        b"last-modified" => {
            let at = parse_date(&value).and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let seconds = at.and_then(|at| i64::try_from(at.as_secs()).ok());
            response.set_last_modified(seconds);
            set_or_suppress(response, name, value);
        }
        b"location" => {
            response.remove_field(name);
            response.set_location(given);
        }
        b"etag" => {
            response.remove_field(name);
            response.set_etag(given);
        }
        b"accept-ranges" => {
            if value.is_empty() {
                response.allow_ranges(false);
            }
            set_or_suppress(response, name, value);
        }
        _ => set_or_suppress(response, name, value),
    }
    Ok(())
}

fn set_or_suppress(response: &Response, name: &Bytes, value: Bytes) {
    if value.is_empty() {
        response.suppress_field(name);
    } else {
        response.set_field(name.clone(), value);
    }
}

/// What is in the list of header lines and begins so; what is kept apart from it is not meant, as
/// in the original.
fn apply_to_all(response: &Response, field: &Field, value: &Bytes) {
    let names: Vec<Bytes> = response
        .fields()
        .iter()
        .filter(|line| field.covers(&line.name))
        .map(|line| line.name.clone())
        .collect();
    let mut first = true;
    for name in names {
        if value.is_empty() || !first {
            response.remove_field(&name);
        } else {
            response.set_field(name, value.clone());
        }
        first = false;
    }
    // Of what is kept apart here, these are lines like others in nginx.
    if value.is_empty() && field.covers(b"ETag") {
        response.set_etag(None);
    }
    if value.is_empty() && field.covers(b"Location") {
        response.set_location(None);
    }
}

fn length(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
