//! The response header as HTTP/1 bytes.

use std::io::Write as _;

use bytes::BufMut;

use crate::http::core::{self, LocationConf};
use crate::http::parse::{Version, status_line};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::special::SERVER_LINES;
use crate::net::addr::Addr;
use crate::time;

/// Appends status line and fields of the response of `r` to `out`.
pub(crate) fn write(r: &Request, out: &mut Vec<u8>) {
    let response = r.response();
    let conf = r.conf(&core::LOCATION);
    if r.head().version() == Version::HTTP_09 {
        // HTTP/0.9 knows nothing but bodies.
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    let status = response.status();
    response.with_reason(|reason| match (reason, status_line(status)) {
        (Some(reason), _) => out.extend_from_slice(reason),
        (None, Some(line)) => out.extend_from_slice(line.as_bytes()),
        (None, None) => {
            let _ = write!(out, "{status} ");
        }
    });
    out.extend_from_slice(b"\r\n");
    write_own(r, conf, out);
    write_content(response, out);
    // An error page that is a file is not the resource that was asked for.
    let own = matches!(status, 200 | 206 | 304);
    if let Some(at) = response.last_modified()
        && own
        && !response.has_last_modified()
    {
        field(out, b"Last-Modified: ", time::http_date_of(at).as_bytes());
    }
    if let Some(location) = response.location() {
        out.extend_from_slice(b"Location: ");
        write_location(r, &location, out);
        out.extend_from_slice(b"\r\n");
    }
    write_connection(r, conf, out);
    if let Some(etag) = response.etag() {
        field(out, b"ETag: ", &etag);
    }
    for line in response.fields().iter() {
        out.extend_from_slice(&line.name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(&line.value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

#[inline]
fn field<const N: usize>(out: &mut Vec<u8>, name: &[u8; N], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// `Server` and `Date`, unless somebody has set others.
fn write_own(r: &Request, conf: &LocationConf, out: &mut Vec<u8>) {
    let response = r.response();
    if !response.has_server() {
        let [full, short] = SERVER_LINES;
        out.extend_from_slice(if *conf.server_tokens { full } else { short });
    }
    if !response.has_date() {
        field(out, b"Date: ", time::http_date().as_bytes());
    }
}

fn write_content(response: &Response, out: &mut Vec<u8>) {
    response.with_content_type(|media, charset| {
        out.extend_from_slice(b"Content-Type: ");
        out.extend_from_slice(media);
        if let Some(charset) = charset {
            out.extend_from_slice(b"; charset=");
            out.extend_from_slice(charset);
        }
        out.extend_from_slice(b"\r\n");
    });
    if let Some(length) = response.content_length() {
        let mut digits = [0; 20];
        field(out, b"Content-Length: ", decimal(length, &mut digits));
    }
    if response.is_chunked() {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
}

fn write_connection(r: &Request, conf: &LocationConf, out: &mut Vec<u8>) {
    if r.is_detached() {
        return;
    }
    if r.response().status() == 101 {
        out.extend_from_slice(b"Connection: upgrade\r\n");
    } else if r.keeps_alive() {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
        if *conf.keepalive_header > 0 {
            let _ = write!(out, "Keep-Alive: timeout={}\r\n", *conf.keepalive_header);
        }
    } else {
        out.extend_from_slice(b"Connection: close\r\n");
    }
}

/// Redirects name scheme, host and port, as `absolute_redirect` and its like say.
pub(crate) fn write_location(r: &Request, location: &[u8], out: &mut impl BufMut) {
    let conf = r.conf(&core::LOCATION);
    if !location.starts_with(b"/") || location.starts_with(b"//") || !*conf.absolute_redirect {
        out.put_slice(location);
        return;
    }
    out.put_slice(b"http://");
    let head = r.head();
    if *conf.server_name_in_redirect {
        out.put_slice(&r.server().name);
    } else if head.host().is_empty() {
        let local = &r.peer().local;
        let _ = match local.ip() {
            Some(std::net::IpAddr::V6(ip)) => write!((&mut *out).writer(), "[{ip}]"),
            Some(ip) => write!((&mut *out).writer(), "{ip}"),
            None => Ok(()),
        };
    } else {
        out.put_slice(head.host());
    }
    if let Addr::Inet(local) = &r.peer().local
        && *conf.port_in_redirect
        && local.port() != 80
    {
        let _ = write!((&mut *out).writer(), ":{}", local.port());
    }
    out.put_slice(location);
}

/// `value` in decimal digits, in `digits`.
pub(crate) fn decimal(mut value: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return &digits[at..];
        }
    }
}
