//! Byte ranges (RFC 9110 §14): `206 Partial Content` and `416 Range Not Satisfiable`.
//!
//! The header filter decides, the body filter cuts. Bufs are cut without copying: memory is
//! sliced, ranges of files are narrowed.

mod cut;
mod parse;

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use ngx_buf::{Buf, Chain, Flags};

use self::cut::{Cutter, Part};
use self::parse::Asked;
use super::not_modified::seconds_of;
use crate::error;
use crate::http::core;
use crate::http::ctx::CtxSlot;
use crate::http::module::{HttpModule, Ordered};
use crate::http::parse::{Known, Version};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::step::Step;
use crate::module::Module;

/// The filter that answers with parts.
pub(in crate::http) static MODULE: HttpModule = HttpModule {
    header_filters: &[Ordered {
        name: "range",
        before: &["chunked"],
        after: &["not_modified", "headers"],
        run: header,
    }],
    body_filters: &[Ordered {
        name: "range",
        before: &["copy"],
        after: &[],
        run: body,
    }],
    filters_at: Some(|slots| *core::LOCATION.of(slots).max_ranges > 0),
    body_wanted: Some(|r| r.ctx(&CTX).is_some_and(|state| state.0.borrow().is_some())),
    ..HttpModule::new(&DESCRIPTOR)
};

static DESCRIPTOR: Module = Module {
    name: "ngx_http_range_filter_module",
    directives: &[],
};

/// What the body filter cuts; nothing for a response that goes out whole.
#[derive(Default)]
struct State(RefCell<Option<Cutter>>);

static CTX: CtxSlot<State> = CtxSlot::new();

/// Whether the filter has anything to do.
#[inline(always)]
pub(super) fn acts(r: &Request) -> bool {
    let response = r.response();
    response.ranges_allowed() && response.status() == 200 || r.has_ctx() && r.ctx(&CTX).is_some()
}

fn header(r: &Request) -> Step<()> {
    if let Some(state) = r.ctx(&CTX) {
        // Another response has taken the place of one that was to be cut.
        state.0.take();
    }
    let response = r.response();
    if !response.ranges_allowed() || response.status() != 200 {
        return Step::Next(());
    }
    let Some(length) = response.content_length() else {
        return Step::Next(());
    };
    if r.head().version() < Version::HTTP_10 {
        return Step::Next(());
    }
    let max = *r.core().max_ranges;
    match asked(r, length, max) {
        Asked::Whole => {
            response.push_field("Accept-Ranges", "bytes");
            Step::Next(())
        }
        Asked::Nothing => {
            response.remove_field(b"Content-Range");
            response.push_field("Content-Range", format!("bytes */{length}"));
            response.set_content_length(None);
            Step::Finish(416)
        }
        Asked::Ranges(ranges) => {
            response.set_status(206);
            response.set_reason(None);
            response.remove_field(b"Content-Range");
            let cutter = match <[_; 1]>::try_from(ranges) {
                Ok([range]) => single(response, range, length),
                Err(ranges) => multiple(response, ranges, length),
            };
            r.set_ctx(&CTX, Rc::new(State(RefCell::new(Some(cutter)))));
            Step::Next(())
        }
    }
}

/// What the request asks for, if it asks for ranges of this very content.
fn asked(r: &Request, length: u64, max: u64) -> Asked {
    let head = r.head();
    let Some(ranges) = head.get(Known::Range).and_then(parse::ranges_of) else {
        return Asked::Whole;
    };
    let response = r.response();
    if let Some(validator) = head.get(Known::IfRange)
        && !is_same(
            validator,
            response.etag().as_deref(),
            response.last_modified(),
        )
    {
        return Asked::Whole;
    }
    parse::parse(ranges, length, max)
}

/// Whether `If-Range` names this content.
fn is_same(validator: &[u8], etag: Option<&[u8]>, last_modified: Option<i64>) -> bool {
    if validator.len() >= 2 && validator.ends_with(b"\"") {
        return etag == Some(validator);
    }
    last_modified.is_some() && seconds_of(validator) == last_modified
}

fn single(response: &Response, range: Range<u64>, length: u64) -> Cutter {
    let (first, last) = (range.start, range.end.saturating_sub(1));
    response.push_field("Content-Range", format!("bytes {first}-{last}/{length}"));
    response.set_content_length(Some(range.end.saturating_sub(range.start)));
    Cutter::new(
        vec![Part {
            head: Bytes::new(),
            range,
        }],
        Bytes::new(),
    )
}

fn multiple(response: &Response, ranges: Vec<Range<u64>>, length: u64) -> Cutter {
    let boundary = next_boundary();
    let mut media = String::new();
    if let Some(own) = response.content_type() {
        media = format!("Content-Type: {}", String::from_utf8_lossy(&own));
        if let Some(charset) = response.charset() {
            media.push_str("; charset=");
            media.push_str(&String::from_utf8_lossy(&charset));
        }
        media.push_str("\r\n");
    }
    let head = |range: &Range<u64>| {
        let (first, last) = (range.start, range.end.saturating_sub(1));
        Bytes::from(format!(
            "\r\n--{boundary:020}\r\n{media}Content-Range: bytes {first}-{last}/{length}\r\n\r\n"
        ))
    };
    let parts = ranges
        .into_iter()
        .map(|range| Part {
            head: head(&range),
            range,
        })
        .collect();
    let cutter = Cutter::new(parts, Bytes::from(format!("\r\n--{boundary:020}--\r\n")));
    response.set_content_length(cutter.length());
    let media = format!("multipart/byteranges; boundary={boundary:020}");
    response.set_content_type(Some(Bytes::from(media)));
    response.set_charset(None);
    cutter
}

/// A number that the content will hardly have between two line breaks and behind dashes.
fn next_boundary() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    // An odd factor: numbers are scattered, and none comes twice.
    number
        .wrapping_add(crate::time::unix_ms())
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn body(r: &Request, chain: Chain) -> Step<Chain> {
    let Some(state) = r.ctx(&CTX) else {
        return Step::Next(chain);
    };
    let mut state = state.0.borrow_mut();
    let Some(cutter) = state.as_mut() else {
        return Step::Next(chain);
    };
    let last = chain.has_last_buf();
    let mut out = cutter.cut(chain);
    if last && !cutter.is_done() {
        error!("the response has ended before the ranges that were promised of it");
        if let Some(downstream) = r.downstream() {
            downstream.forbid_keepalive();
        }
        out.push(Buf::special(Flags::LAST_BUF | Flags::LAST_IN_CHAIN));
    }
    if out.is_empty() {
        Step::Done
    } else {
        Step::Next(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_range_compares_exactly() {
        let tag: &[u8] = b"\"a\"";
        assert!(is_same(tag, Some(tag), None));
        assert!(!is_same(tag, Some(b"\"b\""), Some(0)));
        assert!(!is_same(tag, None, Some(0)));
        let date = b"Sun, 06 Nov 1994 08:49:37 GMT";
        assert!(is_same(date, Some(tag), Some(784_111_777)));
        assert!(!is_same(date, Some(tag), Some(784_111_778)));
        assert!(!is_same(date, None, None));
        assert!(!is_same(b"rubbish", None, None));
    }

    #[test]
    fn one_range_is_told_in_the_header() {
        let response = Response::default();
        let cutter = single(&response, 2..5, 10);
        assert_eq!(
            response.field(b"content-range").as_deref(),
            Some(&b"bytes 2-4/10"[..])
        );
        assert_eq!(response.content_length(), Some(3));
        assert_eq!(cutter.length(), Some(3));
    }

    #[test]
    fn several_ranges_are_told_in_the_body() {
        let response = Response::default();
        response.set_content_type(Some("text/plain".into()));
        response.set_charset(Some("utf-8".into()));
        let mut cutter = multiple(&response, vec![0..2, 8..10], 10);
        let media = response.content_type().unwrap();
        let media = std::str::from_utf8(&media).unwrap();
        let boundary = media
            .strip_prefix("multipart/byteranges; boundary=")
            .unwrap();
        assert_eq!(boundary.len(), 20);
        assert_eq!(response.charset(), None);
        let mut body = Chain::from(Buf::from("0123456789"));
        body.push(Buf::last());
        let out = cutter.cut(body);
        let part = "Content-Type: text/plain; charset=utf-8\r\nContent-Range: bytes ";
        let want = format!(
            "\r\n--{boundary}\r\n{part}0-1/10\r\n\r\n01\
             \r\n--{boundary}\r\n{part}8-9/10\r\n\r\n89\
             \r\n--{boundary}--\r\n"
        );
        assert_eq!(String::from_utf8(out.to_vec()).unwrap(), want);
        assert_eq!(response.content_length(), Some(want.len() as u64));
        assert!(out.has_last_buf());
    }

    #[test]
    fn boundaries_differ() {
        let seen: std::collections::HashSet<u64> = (0..100).map(|_| next_boundary()).collect();
        assert_eq!(seen.len(), 100);
    }
}
