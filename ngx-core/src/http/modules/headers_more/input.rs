//! `more_set_input_headers` and `more_clear_input_headers`.

use bytes::Bytes;

use super::CONF;
use super::command::{Command, Field};
use crate::error;
use crate::http::filter::headers::without_breaks;
use crate::http::parse::{Known, Version};
use crate::http::request::Request;
use crate::http::step::{PhaseStep, Step};

/// Runs the commands on the request header, behind the directives of rewriting.
pub(super) fn handler(r: &Request) -> PhaseStep {
    let commands = &r.conf(&CONF).input;
    if commands.is_empty() || r.head().version() == Version::HTTP_09 {
        return PhaseStep::DECLINED;
    }
    for command in commands {
        let is_meant = command.is_for_type(r.head().get(Known::ContentType));
        if !is_meant {
            continue;
        }
        for field in &command.fields {
            let value = without_breaks(field.value_for(r));
            if let Err(status) = apply(r, command, field, &value) {
                return Step::Finish(status);
            }
        }
    }
    PhaseStep::DECLINED
}

fn apply(r: &Request, command: &Command, field: &Field, value: &[u8]) -> Result<(), u16> {
    if field.wildcard {
        if value.is_empty() {
            clear_all(r, field);
        }
        return Ok(());
    }
    let is_there = r.head().find(&field.name).is_some();
    if command.replace && !is_there {
        return Ok(());
    }
    r.set_header(&field.name, value).map_err(|_| {
        error!(
            "more_set_input_headers: invalid value \"{}\" of {}",
            value.escape_ascii(),
            field.name.escape_ascii()
        );
        500
    })
}

fn clear_all(r: &Request, field: &Field) {
    let names: Vec<Bytes> = r
        .head()
        .iter()
        .filter(|(name, _)| field.covers(name))
        .map(|(name, _)| Bytes::copy_from_slice(name))
        .collect();
    for name in names {
        r.clear_header(&name);
    }
}
