//! The header of a request on its way to the backend.

use std::io::Write as _;
use std::ops::Range;

use bytes::Bytes;
use ngx_core::http::Request;
use ngx_core::http::parse::{Escape, Known, Version, escape_uri};
use ngx_core::script::{Part, Template};

use super::headers::Names;
use super::target::Place;
use crate::proto::http1::Framing;

/// `proxy_set_header` and what it stands instead of.
#[derive(Clone, Default)]
pub(super) struct Sending {
    /// The lines that are set, but for `Host`, `Content-Length` and `Transfer-Encoding`.
    pub(super) lines: Lines,
    pub(super) host: Option<Template>,
    /// `Content-Length` or `Transfer-Encoding`, for requests whose body is not sent.
    pub(super) framing: Vec<(Bytes, Template)>,
    /// All from behind the URI up to the lines that are set, if no request changes it.
    pub(super) begin: Option<Vec<u8>>,
    /// Fields of the client that are not passed on: of one hop, or set.
    pub(super) replaced: Names,
}

/// Lines that are set, as far as they are known before any request.
#[derive(Clone, Default)]
pub(super) struct Lines {
    list: Vec<Line>,
    /// One of those without variables asks for an upgrade.
    upgrade: bool,
}

#[derive(Clone)]
enum Line {
    /// Whole lines without variables.
    Text(Vec<u8>),
    /// Name and value.
    Computed(Bytes, Template),
}

impl Lines {
    pub(super) fn push(&mut self, name: &Bytes, value: &Template) {
        let mut text = Vec::new();
        for part in value.parts() {
            let Part::Literal(literal) = part else {
                self.list.push(Line::Computed(name.clone(), value.clone()));
                return;
            };
            text.extend_from_slice(&literal);
        }
        // A line without a value is not sent.
        if text.is_empty() {
            return;
        }
        keep_one_line(&mut text, 0);
        self.upgrade |= asks_upgrade(name);
        let line = [name, &b": "[..], &text, b"\r\n"].concat();
        match self.list.last_mut() {
            Some(Line::Text(before)) => before.extend(line),
            _ => self.list.push(Line::Text(line)),
        }
    }
}

fn asks_upgrade(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"Upgrade")
}

/// Fields of one hop, and those that say how long the body is.
pub(super) const OF_ONE_HOP: [&str; 9] = [
    "Host",
    "Connection",
    "Proxy-Connection",
    "Content-Length",
    "Transfer-Encoding",
    "TE",
    "Keep-Alive",
    "Expect",
    "Upgrade",
];

/// What one request asks for.
pub(super) struct Asking<'a> {
    pub(super) place: &'a Place,
    /// The name of the location that the URI part replaces; `None` if the URI part is all.
    pub(super) location: Option<&'a [u8]>,
    /// `proxy_method`
    pub(super) method: Option<&'a Template>,
    pub(super) version: Version,
    /// `proxy_pass_request_headers`
    pub(super) client_fields: bool,
    pub(super) framing: Option<Framing>,
}

/// What is to be known of a header that was put together.
pub(super) struct Built {
    /// Where in it the URI is.
    pub(super) uri: Range<usize>,
    pub(super) is_head: bool,
    pub(super) upgrade: bool,
}

impl Sending {
    /// Puts the header together in `out`, which is empty.
    pub(super) fn build(&self, r: &Request, asking: &Asking<'_>, out: &mut Vec<u8>) -> Built {
        write_method(r, asking, out);
        let is_head = out.eq_ignore_ascii_case(b"HEAD");
        out.push(b' ');
        let start = out.len();
        write_uri(r, asking, out);
        let uri = start..out.len();
        let upgrade = if let Some(begin) = &self.begin {
            out.extend_from_slice(begin);
            self.lines.upgrade
        } else {
            out.extend_from_slice(version(asking.version));
            self.write_host(r, asking, out);
            self.write_lines(r, out)
        };
        self.write_framing(r, asking.framing, out);
        if asking.client_fields {
            self.write_client_fields(r, out);
        }
        out.extend_from_slice(b"\r\n");
        Built {
            uri,
            is_head,
            upgrade,
        }
    }

    /// Writes what is the same for all requests that go to `place`.
    pub(super) fn fix(&mut self, place: &Place, asked: Version) {
        let lines: &[u8] = match &self.lines.list[..] {
            [] => &[],
            [Line::Text(lines)] => lines,
            _ => return,
        };
        if self.host.is_none() {
            let host = &place.site.host;
            self.begin = Some([version(asked), b"Host: ", host, b"\r\n", lines].concat());
        }
    }

    fn write_host(&self, r: &Request, asking: &Asking<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(b"Host: ");
        let value = out.len();
        if let Some(host) = &self.host {
            host.eval(r, out);
            keep_one_line(out, value);
        }
        let empty = out.len() == value;
        // HTTP/1.1 cannot do without (RFC 9112 §3.2).
        if empty && (self.host.is_none() || asking.version >= Version::HTTP_11) {
            out.extend_from_slice(&asking.place.site.host);
        } else if empty {
            out.truncate(start);
            return;
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Writes the lines that are set and says whether they ask for an upgrade.
    fn write_lines(&self, r: &Request, out: &mut Vec<u8>) -> bool {
        let mut upgrade = self.lines.upgrade;
        for line in &self.lines.list {
            match line {
                Line::Text(lines) => out.extend_from_slice(lines),
                Line::Computed(name, value) => {
                    upgrade |= write_line(r, name, value, out) && asks_upgrade(name);
                }
            }
        }
        upgrade
    }

    /// What is sent as a body is announced as such, whatever was set.
    fn write_framing(&self, r: &Request, framing: Option<Framing>, out: &mut Vec<u8>) {
        match framing {
            Some(Framing::Length(length)) => {
                let _ = write!(out, "Content-Length: {length}\r\n");
            }
            Some(Framing::Chunked) => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            None => {
                for (name, value) in &self.framing {
                    write_line(r, name, value, out);
                }
            }
        }
    }

    fn write_client_fields(&self, r: &Request, out: &mut Vec<u8>) {
        let head = r.head();
        for (known, name, value) in head.fields() {
            if self.replaced.contains(known, name) {
                continue;
            }
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// The end of a request line.
fn version(version: Version) -> &'static [u8] {
    if version >= Version::HTTP_11 {
        b" HTTP/1.1\r\n"
    } else {
        b" HTTP/1.0\r\n"
    }
}

/// Writes a line unless its value is empty.
fn write_line(r: &Request, name: &[u8], value: &Template, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    let before = out.len();
    value.eval(r, out);
    keep_one_line(out, before);
    if out.len() == before {
        out.truncate(start);
        return false;
    }
    out.extend_from_slice(b"\r\n");
    true
}

fn write_method(r: &Request, asking: &Asking<'_>, out: &mut Vec<u8>) {
    if let Some(method) = asking.method {
        method.eval(r, out);
        out.retain(u8::is_ascii_graphic);
        return;
    }
    let head = r.head();
    match head.method().name() {
        // An error page has made it GET.
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => out.extend_from_slice(head.method_name()),
    }
}

fn write_uri(r: &Request, asking: &Asking<'_>, out: &mut Vec<u8>) {
    let uri = &asking.place.uri;
    let Some(location) = asking.location else {
        write_computed(uri, out);
        return;
    };
    if uri.is_empty() && !r.uri_changed() {
        let head = r.head();
        if head.target_has_no_path() {
            out.push(b'/');
        }
        out.extend_from_slice(head.target());
        return;
    }
    let path = r.path();
    let mut rest = &path[..];
    if !uri.is_empty() && !r.path_left_location() {
        out.extend_from_slice(uri);
        rest = rest.get(location.len()..).unwrap_or_default();
    }
    escape_uri(rest, Escape::Uri, out);
    let args = r.args();
    if !args.is_empty() {
        out.push(b'?');
        out.extend_from_slice(&args);
    }
}

/// What variables have put into a field's value cannot end the field: `$uri` and its like are
/// decoded, and hold whatever a client has written in escapes.
fn keep_one_line(out: &mut [u8], from: usize) {
    for byte in out.iter_mut().skip(from) {
        if matches!(byte, b'\r' | b'\n' | b'\0') {
            *byte = b' ';
        }
    }
}

/// A URI that variables have made, with what would end it in the request line escaped.
fn write_computed(uri: &[u8], out: &mut Vec<u8>) {
    for &byte in uri {
        if byte.is_ascii_control() || byte == b' ' {
            let _ = write!(out, "%{byte:02X}");
        } else {
            out.push(byte);
        }
    }
}

/// Whether a field of this name tells how a body is framed.
pub(super) fn is_framing(name: &[u8]) -> bool {
    matches!(
        Known::from_name(name),
        Known::ContentLength | Known::TransferEncoding
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_without_variables_are_written_once() {
        let mut lines = Lines::default();
        for (name, value) in [("A", "1"), ("Connection", ""), ("B", "2\r\nX: y")] {
            lines.push(&Bytes::from(name), &Template::from_literal(value));
        }
        assert!(!lines.upgrade);
        lines.push(&Bytes::from("upgrade"), &Template::from_literal("h2c"));
        let [Line::Text(text)] = &lines.list[..] else {
            panic!("all of it is one text");
        };
        assert_eq!(
            String::from_utf8_lossy(text),
            "A: 1\r\nB: 2  X: y\r\nupgrade: h2c\r\n"
        );
        assert!(lines.upgrade);
    }
}
