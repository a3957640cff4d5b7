//! Variables about the request: its line, its header, its body, its files.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use ngx_buf::Buf;

use super::{Append, cheap, put, put_number, put_some, volatile};
use crate::conf::values;
use crate::error::errno;
use crate::http::head::Head;
use crate::http::parse::{Host, Known};
use crate::http::request::Request;
use crate::script::{Variable, VariableFlags};
use crate::{crit, error};

pub(super) fn list() -> Vec<Variable<Request>> {
    let mut list = Vec::from(LINE.map(|(name, append)| volatile(name, append)));
    list.extend(HEADER.map(|(name, append)| cheap(name, append)));
    list.extend(FILES.map(|(name, append)| volatile(name, append)));
    list.extend(["args", "query_string"].map(|name| {
        let flags = VariableFlags::NOCACHEABLE | VariableFlags::CHANGEABLE;
        let args = Variable::new(name, |r: &Request, out: &mut Vec<u8>| {
            put_some(out, &r.args())
        });
        // nginx lets `set` change the first of the two alone.
        if name == "args" {
            args.with_flags(flags).with_set(Request::set_args)
        } else {
            args.with_flags(VariableFlags::NOCACHEABLE)
        }
    }));
    list.push(
        volatile("limit_rate", |r, out| put_number(out, r.limit_rate()))
            .with_flags(VariableFlags::CHANGEABLE)
            .with_set(|r: &Request, value: &[u8]| match values::size(value) {
                Ok(rate) => r.set_limit_rate(rate as u64),
                Err(_) => error!("invalid $limit_rate \"{}\"", value.escape_ascii()),
            }),
    );
    // One number for the whole request: it is kept.
    list.push(Variable::new(
        "request_id",
        |_: &Request, out: &mut Vec<u8>| write!(out, "{:016x}{:016x}", random(), random()).is_ok(),
    ));
    list
}

/// Changed by rewrites and internal redirects, or growing while the request runs.
const LINE: [(&str, Append); 8] = [
    ("uri", |r, out| put_some(out, &r.path())),
    ("document_uri", |r, out| put_some(out, &r.path())),
    ("is_args", |r, out| {
        put(out, if r.args().is_empty() { b"" } else { b"?" })
    }),
    ("request_method", |r, out| {
        let head = r.head();
        // An error page is asked for with GET, whatever the client has sent.
        match head.method().name() {
            Some(name) if head.method() != head.line().method => put(out, name.as_bytes()),
            _ => put_some(out, head.method_name()),
        }
    }),
    ("request_length", |r, out| {
        let head = r.head().sent_len() as u64;
        put_number(out, head + r.body_received())
    }),
    ("request_completion", |r, out| {
        put(
            out,
            if r.parts().engine.is_complete() {
                b"OK"
            } else {
                b""
            },
        )
    }),
    ("host", |r, out| {
        let head = r.head();
        put(
            out,
            if head.host().is_empty() {
                &r.server().name
            } else {
                head.host()
            },
        )
    }),
    ("server_name", |r, out| put(out, &r.server().name)),
];

/// As the client has sent it.
const HEADER: [(&str, Append); 9] = [
    ("request", |r, out| put_some(out, r.head().request_line())),
    ("request_uri", |r, out| put_some(out, r.head().target())),
    ("server_protocol", |r, out| {
        let head = r.head();
        let protocol = head.line().protocol.of(head.bytes());
        !protocol.is_empty() && put(out, protocol)
    }),
    ("remote_user", |r, out| {
        let head = r.head();
        let credentials = head.get(Known::Authorization).and_then(basic_credentials);
        let user = credentials.as_deref().and_then(|text| {
            let colon = text.iter().position(|&byte| byte == b':')?;
            text.get(..colon)
        });
        user.is_some_and(|user| put_some(out, user))
    }),
    ("content_length", |r, out| {
        known(r, Known::ContentLength, out)
    }),
    ("content_type", |r, out| known(r, Known::ContentType, out)),
    ("request_port", |r, out| {
        port(&r.head()).is_some_and(|port| put_number(out, u64::from(port)))
    }),
    ("is_request_port", |r, out| {
        put(out, if port(&r.head()).is_some() { b":" } else { b"" })
    }),
    ("pipe", |r, out| {
        put(out, if r.is_pipelined() { b"p" } else { b"." })
    }),
];

/// Names of files, and the body.
const FILES: [(&str, Append); 5] = [
    ("request_filename", |r, out| {
        put(out, r.file_name().0.as_os_str().as_bytes())
    }),
    ("document_root", |r, out| {
        put(out, r.document_root().as_os_str().as_bytes())
    }),
    ("realpath_root", |r, out| {
        let root = r.document_root();
        match root.canonicalize() {
            Ok(path) => put(out, path.as_os_str().as_bytes()),
            Err(error) => {
                crit!("realpath() \"{}\" failed {}", root.display(), errno(&error));
                false
            }
        }
    }),
    ("request_body", |r, out| {
        let body = r.body_bufs();
        if body.is_empty() || body.iter().any(Buf::is_file) {
            return false;
        }
        body.iter()
            .filter_map(|buf| buf.as_slice())
            .for_each(|bytes| _ = put(out, bytes));
        true
    }),
    ("request_body_file", |r, out| {
        if let Some(path) = r.body_file() {
            return put(out, path.as_os_str().as_bytes());
        }
        let body = r.body_bufs();
        let Some(file) = body.iter().find_map(|buf| buf.shared_file()) else {
            return false;
        };
        // The file has lost its name when it was made; this one leads to it.
        let name = Path::new("/proc").join(std::process::id().to_string());
        put(out, name.as_os_str().as_bytes());
        write!(out, "/fd/{}", file.file().as_raw_fd()).is_ok()
    }),
];

fn known(r: &Request, name: Known, out: &mut Vec<u8>) -> bool {
    r.head().get(name).is_some_and(|value| put(out, value))
}

/// The port that the client has named with the host.
fn port(head: &Head) -> Option<u16> {
    let in_line = head.line().host.of(head.bytes());
    let text = if in_line.is_empty() {
        head.get(Known::Host)?
    } else {
        in_line
    };
    Host::parse(text).ok()?.port
}

/// User and password of an `Authorization` field (RFC 7617 §2).
pub(super) fn basic_credentials(value: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = value.split_at_checked(5)?;
    if !scheme.eq_ignore_ascii_case(b"basic") || !rest.starts_with(b" ") {
        return None;
    }
    base64(rest.trim_ascii_start())
}

/// Decodes Base64 (RFC 4648 §4) with or without padding.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let end = text
        .iter()
        .position(|&byte| byte == b'=')
        .unwrap_or(text.len());
    let text = text.get(..end)?;
    if text.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.chunks(4) {
        let mut bits = 0_u32;
        for &byte in group {
            bits = bits << 6 | u32::from(sextet(byte)?);
        }
        // What a short group lacks is filled with zeros.
        bits <<= 6 * (4 - group.len());
        let [_, bytes @ ..] = bits.to_be_bytes();
        out.extend_from_slice(bytes.get(..group.len() - 1)?);
    }
    Some(out)
}

fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// A hash of nothing under keys that the system has drawn: cheap, and not to be guessed.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
