//! The header of a response on its way from the backend to the client.

use std::time::UNIX_EPOCH;

use bytes::Bytes;
use ngx_core::http::parse::{Known, KnownSet, ResponseFraming, parse_date, status_line};
use ngx_core::http::{Request, Response};
use ngx_core::warn;

use super::redirect::Redirects;
use crate::proto::http1::{Field, Head};

/// Names of fields: a set of well-known ones and a list of others.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    known: KnownSet,
    others: Vec<Bytes>,
}

impl Names {
    pub(super) fn insert(&mut self, name: &Bytes) {
        match Known::from_name(name) {
            Known::Other if self.contains(Known::Other, name) => {}
            Known::Other => self.others.push(name.clone()),
            known => {
                self.known.insert(known);
            }
        }
    }

    /// Whether it is a well-known name of the set.
    fn contains_known(&self, known: Known) -> bool {
        self.known.contains(known)
    }

    pub(super) fn contains(&self, known: Known, name: &[u8]) -> bool {
        match known {
            Known::Other => self.others.iter().any(|own| own.eq_ignore_ascii_case(name)),
            known => self.known.contains(known),
        }
    }
}

/// How fields of responses are passed on.
#[derive(Clone, Default)]
pub(super) struct Passing {
    /// `proxy_hide_header`, what is hidden unless `proxy_pass_header` names it, and what is about
    /// the connection to the backend.
    pub(super) hidden: Names,
    pub(super) redirects: Redirects,
    /// `proxy_force_ranges`
    pub(super) force_ranges: bool,
}

/// Hidden by default.
pub(super) const HIDDEN: [&str; 8] = [
    "Date",
    "Server",
    "X-Pad",
    "X-Accel-Expires",
    "X-Accel-Redirect",
    "X-Accel-Limit-Rate",
    "X-Accel-Buffering",
    "X-Accel-Charset",
];

/// Fields about the connection to the backend (RFC 9110 §7.6.1).
pub(super) const STAY_HERE: [&str; 3] = ["Connection", "Keep-Alive", "Transfer-Encoding"];

impl Passing {
    /// Makes the header of the response to `r` out of the backend's.
    pub(super) fn pass(&self, r: &Request, head: &Head, upgrade: bool) {
        let response = r.response();
        response.set_status(head.code());
        if status_line(head.code()).is_none_or(|line| line.as_bytes() != head.status_text()) {
            response.set_reason(Some(head.status()));
        }
        let mut seen = KnownSet::EMPTY;
        // The length is known all the same, so hiding it would not keep it from the client.
        let wanted = |known| known == Known::ContentLength || !self.hidden.contains_known(known);
        for field in head.fields_of(wanted) {
            if field.known == Known::ContentLength {
                response.set_content_length(match head.framing() {
                    ResponseFraming::Length(length) => Some(length),
                    _ => length_of(field.value),
                });
                continue;
            }
            if field.known == Known::Other && self.hidden.contains(field.known, field.name) {
                continue;
            }
            if SINGLE.contains(field.known) && !seen.insert(field.known) {
                let (name, value) = (field.name.escape_ascii(), field.value.escape_ascii());
                warn!("upstream sent duplicate header line: \"{name}: {value}\", ignored");
                continue;
            }
            self.pass_field(r, head, &field, upgrade);
        }
        if self.force_ranges {
            response.allow_ranges(true);
        }
    }

    fn pass_field(&self, r: &Request, head: &Head, field: &Field<'_>, upgrade: bool) {
        let response = r.response();
        let value = head.value_of(field);
        match field.known {
            Known::ContentType => response.set_content_type(Some(value)),
            Known::Upgrade if !upgrade => {}
            // Conditions were passed on to the backend, who has answered them: they are not
            // looked at again, so the validators are lines like others.
            Known::ETag if self.force_ranges => response.set_etag(Some(value)),
            Known::LastModified if self.force_ranges => {
                let since =
                    parse_date(&value).and_then(|time| time.duration_since(UNIX_EPOCH).ok());
                let seconds = since.and_then(|since| i64::try_from(since.as_secs()).ok());
                response.set_last_modified(seconds);
            }
            Known::Location => match self.redirects.rewrite(r, &value) {
                Some(rewritten) => response.set_location(Some(rewritten)),
                None => response.push_field(head.name_of(field), value),
            },
            Known::Refresh => {
                let rewritten = self.redirects.rewrite_refresh(r, &value);
                response.push_field(head.name_of(field), rewritten.unwrap_or(value));
            }
            _ => response.push_field(head.name_of(field), value),
        }
    }
}

/// What goes with the request when `X-Accel-Redirect` sends it elsewhere.
pub(super) fn pass_redirected(response: &Response, head: &Head) {
    for field in head.fields() {
        let value = || head.value_of(&field);
        let travels = matches!(
            field.known,
            Known::SetCookie | Known::CacheControl | Known::Expires | Known::AcceptRanges
        );
        if field.known == Known::ContentType {
            response.set_content_type(Some(value()));
        } else if travels || field.name.eq_ignore_ascii_case(b"Content-Disposition") {
            response.push_field(head.name_of(&field), value());
        }
    }
}

/// Fields of which the first one counts.
const SINGLE: KnownSet = {
    let mut set = KnownSet::EMPTY;
    set.insert(Known::AcceptRanges);
    set.insert(Known::ContentType);
    set.insert(Known::Date);
    set.insert(Known::ETag);
    set.insert(Known::Expires);
    set.insert(Known::LastModified);
    set.insert(Known::Location);
    set.insert(Known::Refresh);
    set.insert(Known::Server);
    set
};

fn length_of(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_of_letters() {
        let mut names = Names::default();
        for name in ["Server", "X-Mine", "x-mine"] {
            names.insert(&Bytes::from_static(name.as_bytes()));
        }
        assert_eq!(names.others.len(), 1);
        let has = |name: &[u8]| names.contains(Known::from_name(name), name);
        assert!(has(b"server") && has(b"X-MINE"));
        assert!(!has(b"Date") && !has(b"X-Min"));
    }
}
