//! The response header as HTTP/1 bytes.

mod start;

use std::io::Write as _;

use bytes::BufMut;

use self::start::{Framing, Rest};
use crate::http::core::LocationConf;
use crate::http::parse::{Version, status_line};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::special::SERVER_LINES;
use crate::net::addr::Addr;
use crate::time;

/// Appends status line and fields of the response of `r` to `out`, and whether the connection
/// `stays` open.
pub(crate) fn write(r: &Request, stays: bool, out: &mut Vec<u8>) {
    if r.head().version() == Version::HTTP_09 {
        // HTTP/0.9 knows nothing but bodies.
        return;
    }
    let (response, conf) = (r.response(), r.core());
    let fields = response.fields();
    let ends = fields.is_empty();
    if write_kept(response, conf, (stays, ends), out) {
        if ends {
            return;
        }
    } else {
        write_lines(r, stays, out);
    }
    for line in fields.iter() {
        out.extend_from_slice(&line.name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(&line.value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// All that stands in front of the fields that somebody has set, at once, if there is nothing
/// unusual in it; and the end of the header if that `ends` there.
#[inline]
fn write_kept(
    response: &Response,
    conf: &LocationConf,
    (stays, ends): (bool, bool),
    out: &mut Vec<u8>,
) -> bool {
    let framing = match response.content_length() {
        Some(_) if response.is_chunked() => return false,
        Some(length) => Framing::Length(length),
        None if response.is_chunked() => Framing::Chunked,
        None => return false,
    };
    let tokens = *conf.server_tokens;
    stays
        && response.status() == 200
        && response.has_usual_start()
        && response.last_modified().is_none()
        && *conf.keepalive_header == 0
        && start::append(
            tokens,
            response.media().as_deref(),
            Some(Rest { framing, ends }),
            out,
        )
}

/// The same line by line.
fn write_lines(r: &Request, stays: bool, out: &mut Vec<u8>) {
    let (response, conf) = (r.response(), r.core());
    let status = response.status();
    if !write_start(response, *conf.server_tokens, out) {
        write_status(response, status, out);
        write_own(response, *conf.server_tokens, out);
        write_type(response, out);
    }
    if let Some(length) = response.content_length() {
        write_length(length, out);
    }
    if response.is_chunked() {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    // An error page that is a file is not the resource that was asked for.
    let own = matches!(status, 200 | 206 | 304);
    if let Some(at) = response.last_modified()
        && own
        && !response.has_last_modified()
    {
        field(out, b"Last-Modified: ", time::http_date_of(at).as_bytes());
    }
    response.with_location(|location| {
        out.extend_from_slice(b"Location: ");
        write_location(r, location, out);
        out.extend_from_slice(b"\r\n");
    });
    write_connection(status, conf, stays, out);
    response.with_etag(|etag| field(out, b"ETag: ", etag));
}

#[inline]
fn field<const N: usize>(out: &mut Vec<u8>, name: &[u8; N], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Status line, `Server`, `Date` and `Content-Type` at once, if they are the usual ones.
fn write_start(response: &Response, tokens: bool, out: &mut Vec<u8>) -> bool {
    response.status() == 200
        && !response.has_own_start()
        && response.with_content_type(|media| start::append(tokens, media, None, out))
}

fn write_status(response: &Response, status: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    response.with_reason(|reason| match (reason, status_line(status)) {
        (Some(reason), _) => out.extend_from_slice(reason),
        (None, Some(line)) => out.extend_from_slice(line.as_bytes()),
        (None, None) => {
            let _ = write!(out, "{status} ");
        }
    });
    out.extend_from_slice(b"\r\n");
}

/// `Server` and `Date`, unless somebody has set others.
fn write_own(response: &Response, tokens: bool, out: &mut Vec<u8>) {
    if !response.has_server() {
        out.extend_from_slice(server_line(tokens));
    }
    if !response.has_date() {
        field(out, b"Date: ", time::http_date().as_bytes());
    }
}

fn server_line(tokens: bool) -> &'static [u8] {
    let [full, short] = SERVER_LINES;
    if tokens { full } else { short }
}

fn write_type(response: &Response, out: &mut Vec<u8>) {
    response.with_content_type(|media| {
        let Some(media) = media else { return };
        out.extend_from_slice(b"Content-Type: ");
        out.extend_from_slice(media);
        if let Some(charset) = response.charset() {
            out.extend_from_slice(b"; charset=");
            out.extend_from_slice(&charset);
        }
        out.extend_from_slice(b"\r\n");
    });
}

fn write_length(length: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    field(out, b"Content-Length: ", decimal(length, &mut digits));
}

/// `value` in decimal digits, in `digits`.
#[inline]
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

fn write_connection(status: u16, conf: &LocationConf, stays: bool, out: &mut Vec<u8>) {
    if status == 101 {
        out.extend_from_slice(b"Connection: upgrade\r\n");
    } else if stays {
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
    let conf = r.core();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal() {
        for value in [0, 9, 10, 12_345_678, u64::MAX] {
            let mut out = Vec::new();
            write_length(value, &mut out);
            assert_eq!(out, format!("Content-Length: {value}\r\n").as_bytes());
        }
    }

    #[test]
    fn what_is_written_at_once_is_what_is_written_in_parts() {
        let _still = time::hold();
        let response = Response::default();
        response.set_status(200);
        let media = [None, Some("text/plain"), Some("text/html"), Some("a/b")];
        for media in media.into_iter().cycle().take(12) {
            response.set_content_type(media.map(Into::into));
            for tokens in [true, false] {
                let (mut whole, mut parts) = (Vec::new(), Vec::new());
                assert!(write_start(&response, tokens, &mut whole));
                write_status(&response, 200, &mut parts);
                write_own(&response, tokens, &mut parts);
                write_type(&response, &mut parts);
                assert_eq!(whole, parts);
            }
        }
    }

    #[test]
    fn what_is_not_usual_is_written_in_parts() {
        let changes: [fn(&Response); 6] = [
            |response| response.set_status(404),
            |response| response.set_reason(Some("200 Fine".into())),
            |response| response.push_field("Server", "mine"),
            |response| response.suppress_field(b"Date"),
            |response| response.set_charset(Some("utf-8".into())),
            |response| response.set_content_type(Some("x/".repeat(200).into())),
        ];
        for change in changes {
            let response = Response::default();
            response.set_status(200);
            response.set_content_type(Some("text/plain".into()));
            assert!(write_start(&response, true, &mut Vec::new()));
            change(&response);
            let mut out = Vec::new();
            assert!(!write_start(&response, true, &mut out) && out.is_empty());
        }
    }
}
