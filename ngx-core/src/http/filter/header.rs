//! The response header as HTTP/1 bytes.

use std::io::Write as _;

use bytes::{BufMut, BytesMut};

use crate::http::core;
use crate::http::parse::{Version, status_line};
use crate::http::request::Request;
use crate::http::special::{SERVER, SERVER_SHORT};
use crate::net::addr::Addr;
use crate::time;

/// Appends status line and fields of the response of `r` to `out`.
pub(crate) fn write(r: &Request, out: &mut BytesMut) {
    let response = r.response();
    let conf = r.conf(&core::LOCATION);
    if r.head().version() == Version::HTTP_09 {
        // HTTP/0.9 knows nothing but bodies.
        return;
    }
    let status = response.status();
    out.put_slice(b"HTTP/1.1 ");
    match (response.reason(), status_line(status)) {
        (Some(reason), _) => out.put_slice(&reason),
        (None, Some(line)) => out.put_slice(line.as_bytes()),
        (None, None) => {
            let _ = write!(out.writer(), "{status} ");
        }
    }
    out.put_slice(b"\r\n");
    if !response.has_server() {
        field(
            out,
            "Server",
            if *conf.server_tokens {
                SERVER
            } else {
                SERVER_SHORT
            }
            .as_bytes(),
        );
    }
    if !response.has_date() {
        time::with_http_date(|date| field(out, "Date", date.as_bytes()));
    }
    write_content(r, out);
    // An error page that is a file is not the resource that was asked for.
    let own = matches!(status, 200 | 206 | 304);
    if let Some(at) = response.last_modified()
        && own
        && !response.has_last_modified()
    {
        field(out, "Last-Modified", time::http_date_of(at).as_bytes());
    }
    if let Some(location) = response.location() {
        out.put_slice(b"Location: ");
        write_location(r, &location, out);
        out.put_slice(b"\r\n");
    }
    write_connection(r, out);
    if let Some(etag) = response.etag() {
        field(out, "ETag", &etag);
    }
    for line in response.fields().iter() {
        out.put_slice(&line.name);
        out.put_slice(b": ");
        out.put_slice(&line.value);
        out.put_slice(b"\r\n");
    }
    out.put_slice(b"\r\n");
}

fn field(out: &mut BytesMut, name: &str, value: &[u8]) {
    out.put_slice(name.as_bytes());
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

fn write_content(r: &Request, out: &mut BytesMut) {
    let response = r.response();
    if let Some(media) = response.content_type() {
        out.put_slice(b"Content-Type: ");
        out.put_slice(&media);
        if let Some(charset) = response.charset() {
            out.put_slice(b"; charset=");
            out.put_slice(&charset);
        }
        out.put_slice(b"\r\n");
    }
    if let Some(length) = response.content_length() {
        let mut digits = [0; 20];
        field(out, "Content-Length", decimal(length, &mut digits));
    }
    if response.is_chunked() {
        out.put_slice(b"Transfer-Encoding: chunked\r\n");
    }
}

fn write_connection(r: &Request, out: &mut BytesMut) {
    let conf = r.conf(&core::LOCATION);
    let Some(downstream) = r.downstream() else {
        return;
    };
    if r.response().status() == 101 {
        out.put_slice(b"Connection: upgrade\r\n");
    } else if downstream.keeps_alive() {
        out.put_slice(b"Connection: keep-alive\r\n");
        if *conf.keepalive_header > 0 {
            let _ = write!(
                out.writer(),
                "Keep-Alive: timeout={}\r\n",
                *conf.keepalive_header
            );
        }
    } else {
        out.put_slice(b"Connection: close\r\n");
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
