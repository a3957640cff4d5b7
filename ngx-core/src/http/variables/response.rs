//! Variables about the response.

use super::{Append, put_number, put_padded, put_seconds, volatile};
use crate::http::parse::Version;
use crate::http::request::Request;
use crate::script::Variable;

pub(super) fn list() -> Vec<Variable<Request>> {
    Vec::from(LIST.map(|(name, append)| volatile(name, append)))
}

const LIST: [(&str, Append); 4] = [
    ("status", |r, out| put_padded(out, u64::from(status(r)))),
    ("bytes_sent", |r, out| put_number(out, r.bytes_sent())),
    ("body_bytes_sent", |r, out| {
        put_number(out, r.body_bytes_sent())
    }),
    ("request_time", |r, out| put_seconds(out, r.elapsed_ms())),
];

/// What the client was told, or was about to be told.
fn status(r: &Request) -> u16 {
    let head = r.head();
    match (r.parts().engine.error_status(), r.response().status()) {
        (0, 0) if head.version() == Version::HTTP_09 => 9,
        (0, status) | (status, _) => status,
    }
}
