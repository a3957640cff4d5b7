//! Conditional requests (RFC 9110 §13): `304 Not Modified` and `412 Precondition Failed`.

use std::time::UNIX_EPOCH;

use crate::http::core::IfModifiedSince;
use crate::http::module::{HttpModule, Ordered};
use crate::http::parse::{Known, KnownSet, parse_date};
use crate::http::request::Request;
use crate::http::step::Step;
use crate::module::Module;

/// The filter that answers conditional requests.
pub(in crate::http) static MODULE: HttpModule = HttpModule {
    header_filters: &[Ordered {
        name: "not_modified",
        before: &["headers", "range", "chunked"],
        after: &[],
        run: header,
    }],
    ..HttpModule::new(&DESCRIPTOR)
};

static DESCRIPTOR: Module = Module {
    name: "ngx_http_not_modified_filter_module",
    directives: &[],
};

/// Whether the filter has anything to do.
#[inline(always)]
pub(super) fn acts(r: &Request) -> bool {
    r.response().status() == 200 && r.head().has_any(CONDITIONS)
}

fn header(r: &Request) -> Step<()> {
    if !acts(r) {
        return Step::Next(());
    }
    let response = r.response();
    let outcome = {
        let head = r.head();
        let etag = response.etag();
        let conditions = Conditions {
            if_modified_since: head.get(Known::IfModifiedSince),
            if_unmodified_since: head.get(Known::IfUnmodifiedSince),
            if_match: head.get(Known::IfMatch),
            if_none_match: head.get(Known::IfNoneMatch),
        };
        let mode = *r.core().if_modified_since;
        conditions.check(response.last_modified(), etag.as_deref(), mode)
    };
    match outcome {
        Outcome::Usual => Step::Next(()),
        Outcome::Failed => {
            response.clear_header();
            Step::Finish(412)
        }
        Outcome::NotModified => {
            response.set_status(304);
            response.set_reason(None);
            response.set_content_type(None);
            response.set_content_length(None);
            response.allow_ranges(false);
            response.remove_field(b"Accept-Ranges");
            response.remove_field(b"Content-Encoding");
            Step::Next(())
        }
    }
}

/// The fields of conditions.
const CONDITIONS: KnownSet = KnownSet::of(&[
    Known::IfModifiedSince,
    Known::IfUnmodifiedSince,
    Known::IfMatch,
    Known::IfNoneMatch,
]);

/// The conditions that a request may come with.
#[derive(Clone, Copy, Default)]
struct Conditions<'a> {
    if_modified_since: Option<&'a [u8]>,
    if_unmodified_since: Option<&'a [u8]>,
    if_match: Option<&'a [u8]>,
    if_none_match: Option<&'a [u8]>,
}

/// What the conditions ask for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    /// The response as it is.
    Usual,
    /// `304`
    NotModified,
    /// `412`
    Failed,
}

impl Conditions<'_> {
    fn check(
        &self,
        last_modified: Option<i64>,
        etag: Option<&[u8]>,
        mode: IfModifiedSince,
    ) -> Outcome {
        if let Some(date) = self.if_unmodified_since
            && !is_unmodified(date, last_modified)
        {
            return Outcome::Failed;
        }
        if let Some(list) = self.if_match
            && !matches_one(list, etag, Compare::Strong)
        {
            return Outcome::Failed;
        }
        if self.if_modified_since.is_none() && self.if_none_match.is_none() {
            return Outcome::Usual;
        }
        if let Some(date) = self.if_modified_since
            && is_modified(date, last_modified, mode)
        {
            return Outcome::Usual;
        }
        if let Some(list) = self.if_none_match
            && !matches_one(list, etag, Compare::Weak)
        {
            return Outcome::Usual;
        }
        Outcome::NotModified
    }
}

/// A date of a header field in seconds since 1970.
pub(super) fn seconds_of(date: &[u8]) -> Option<i64> {
    let since = parse_date(date)?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

fn is_unmodified(date: &[u8], last_modified: Option<i64>) -> bool {
    last_modified.is_some_and(|at| seconds_of(date).is_some_and(|date| date >= at))
}

fn is_modified(date: &[u8], last_modified: Option<i64>, mode: IfModifiedSince) -> bool {
    let (Some(at), Some(date)) = (last_modified, seconds_of(date)) else {
        return true;
    };
    match mode {
        IfModifiedSince::Off => true,
        IfModifiedSince::Exact => date != at,
        IfModifiedSince::Before => date < at,
    }
}

/// How entity tags are compared (RFC 9110 §8.8.3.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Compare {
    /// Weak tags are equal to nothing but the very same text.
    Strong,
    /// `W/` does not count.
    Weak,
}

/// Whether a list of entity tags, or `*`, has this one. A tag may hold commas: it is the text in
/// the list that is compared, up to the length of the tag.
fn matches_one(list: &[u8], etag: Option<&[u8]>, compare: Compare) -> bool {
    if list == b"*" {
        return true;
    }
    let Some(etag) = etag else { return false };
    let opaque = |tag| match compare {
        Compare::Strong => tag,
        Compare::Weak => strip_weak(tag),
    };
    let etag = opaque(etag);
    let mut rest = list.trim_ascii_start();
    while !rest.is_empty() {
        if let Some(behind) = opaque(rest).strip_prefix(etag)
            && matches!(behind.trim_ascii_start(), [] | [b',', ..])
        {
            return true;
        }
        let comma = rest
            .iter()
            .position(|&byte| byte == b',')
            .unwrap_or(rest.len());
        rest = rest.get(comma..).unwrap_or_default();
        let next = rest
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\t' | b','));
        rest = next.and_then(|at| rest.get(at..)).unwrap_or_default();
    }
    false
}

fn strip_weak(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEN: &[u8] = b"Sun, 06 Nov 1994 08:49:37 GMT";
    const THEN_SECONDS: i64 = 784_111_777;

    #[test]
    fn tags_are_found_in_lists() {
        let cases: &[(&str, &str, bool, bool)] = &[
            // list, tag, weak, strong
            ("*", "\"a\"", true, true),
            ("\"a\"", "\"a\"", true, true),
            ("\"b\", \"a\"", "\"a\"", true, true),
            ("\"b\" ,\t\"a\" , \"c\"", "\"a\"", true, true),
            (",, \"b\",,\"a\"", "\"a\"", true, true),
            ("W/\"a\"", "\"a\"", true, false),
            ("\"a\"", "W/\"a\"", true, false),
            ("W/\"b\", W/\"a\"", "W/\"a\"", true, true),
            ("\"ab\"", "\"a\"", false, false),
            ("\"a\"x", "\"a\"", false, false),
            ("\"a", "\"a\"", false, false),
            ("\"a,b\"", "\"a,b\"", true, true),
            ("", "\"a\"", false, false),
            ("x, \"a\"", "\"a\"", true, true),
        ];
        for (list, tag, weak, strong) in cases {
            let (list, etag) = (list.as_bytes(), Some(tag.as_bytes()));
            let shown = format!("{} in {}", tag, list.escape_ascii());
            assert_eq!(
                matches_one(list, etag, Compare::Weak),
                *weak,
                "{shown}, weak"
            );
            assert_eq!(
                matches_one(list, etag, Compare::Strong),
                *strong,
                "{shown}, strong"
            );
        }
        assert!(matches_one(b"*", None, Compare::Weak));
        assert!(!matches_one(b"\"a\"", None, Compare::Weak));
    }

    #[test]
    fn if_modified_since_has_three_modes() {
        use IfModifiedSince::{Before, Exact, Off};
        let conditions = Conditions {
            if_modified_since: Some(THEN),
            ..Conditions::default()
        };
        let cases = [
            (Off, THEN_SECONDS, Outcome::Usual),
            (Exact, THEN_SECONDS, Outcome::NotModified),
            (Exact, THEN_SECONDS - 1, Outcome::Usual),
            (Exact, THEN_SECONDS + 1, Outcome::Usual),
            (Before, THEN_SECONDS, Outcome::NotModified),
            (Before, THEN_SECONDS - 1, Outcome::NotModified),
            (Before, THEN_SECONDS + 1, Outcome::Usual),
        ];
        for (mode, at, outcome) in cases {
            assert_eq!(
                conditions.check(Some(at), None, mode),
                outcome,
                "{mode:?} {at}"
            );
        }
        assert_eq!(conditions.check(None, None, Before), Outcome::Usual);
        let odd = Conditions {
            if_modified_since: Some(b"yesterday"),
            ..Conditions::default()
        };
        assert_eq!(odd.check(Some(0), None, Before), Outcome::Usual);
    }

    #[test]
    fn preconditions_fail_first() {
        let check = |conditions: Conditions<'_>| {
            conditions.check(Some(THEN_SECONDS), Some(b"\"a\""), IfModifiedSince::Exact)
        };
        let none = Conditions::default();
        assert_eq!(check(none), Outcome::Usual);
        let unmodified = Conditions {
            if_unmodified_since: Some(THEN),
            ..none
        };
        assert_eq!(check(unmodified), Outcome::Usual);
        let earlier: &[u8] = b"Sun, 06 Nov 1994 08:49:36 GMT";
        assert_eq!(
            check(Conditions {
                if_unmodified_since: Some(earlier),
                ..none
            }),
            Outcome::Failed
        );
        assert_eq!(
            unmodified.check(None, None, IfModifiedSince::Exact),
            Outcome::Failed,
            "what has no date may have changed"
        );
        assert_eq!(
            check(Conditions {
                if_match: Some(b"\"a\""),
                ..none
            }),
            Outcome::Usual
        );
        let other = Conditions {
            if_match: Some(b"\"b\""),
            if_none_match: Some(b"*"),
            ..none
        };
        assert_eq!(check(other), Outcome::Failed);
    }

    #[test]
    fn both_conditions_must_say_that_nothing_changed() {
        let check = |date: &'static [u8], tag: &'static [u8]| {
            let conditions = Conditions {
                if_modified_since: Some(date),
                if_none_match: Some(tag),
                ..Conditions::default()
            };
            conditions.check(Some(THEN_SECONDS), Some(b"W/\"a\""), IfModifiedSince::Exact)
        };
        assert_eq!(check(THEN, b"\"a\""), Outcome::NotModified);
        assert_eq!(check(THEN, b"\"b\""), Outcome::Usual);
        assert_eq!(
            check(b"Sun, 06 Nov 1994 08:49:36 GMT", b"\"a\""),
            Outcome::Usual
        );
    }
}
