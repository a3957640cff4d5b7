//! The response header as HTTP/1 bytes.

use std::cell::RefCell;
use std::io::Write as _;

use bytes::BufMut;

use crate::http::core::LocationConf;
use crate::http::parse::{Version, status_line};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::special::SERVER_LINES;
use crate::net::addr::Addr;
use crate::time;

/// Appends status line and fields of the response of `r` to `out`.
pub(crate) fn write(r: &Request, out: &mut Vec<u8>) {
    let response = r.response();
    let conf = r.core();
    if r.head().version() == Version::HTTP_09 {
        // HTTP/0.9 knows nothing but bodies.
        return;
    }
    let status = response.status();
    write_start(response, status, *conf.server_tokens, out);
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

/// Status line, `Server` and `Date`, the lines unless somebody has set others.
fn write_start(response: &Response, status: u16, tokens: bool, out: &mut Vec<u8>) {
    let usual = !response.has_server() && !response.has_date();
    if status == 200 && usual && response.with_reason(|reason| reason.is_none()) {
        return Start::with(tokens, |start| out.extend_from_slice(start.whole()));
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    response.with_reason(|reason| match (reason, status_line(status)) {
        (Some(reason), _) => out.extend_from_slice(reason),
        (None, Some(line)) => out.extend_from_slice(line.as_bytes()),
        (None, None) => {
            let _ = write!(out, "{status} ");
        }
    });
    out.extend_from_slice(b"\r\n");
    if usual {
        return Start::with(tokens, |start| out.extend_from_slice(start.lines()));
    }
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

/// What most responses of one second start with.
struct Start {
    /// When that second began, in milliseconds since 1970.
    since: u64,
    len: usize,
    bytes: [u8; START_MAX],
}

const STATUS_OK: &[u8] = b"HTTP/1.1 200 OK\r\n";
/// Bytes for [`STATUS_OK`], `Server` and `Date`.
const START_MAX: usize = 128;

thread_local! {
    /// Without a version of the server, and with it.
    static STARTS: RefCell<[Start; 2]> = const {
        RefCell::new([Start::NONE, Start::NONE])
    };
}

impl Start {
    const NONE: Self = Self {
        since: 0,
        len: 0,
        bytes: [0; START_MAX],
    };

    /// Hands the start of this second to `f`.
    #[inline]
    fn with(tokens: bool, f: impl FnOnce(&Self)) {
        let now = time::unix_ms();
        STARTS.with_borrow_mut(|[short, full]| {
            let start = if tokens { full } else { short };
            if now.wrapping_sub(start.since) >= 1000 {
                start.render(now, tokens);
            }
            f(start);
        });
    }

    #[cold]
    fn render(&mut self, now: u64, tokens: bool) {
        let second = now / 1000;
        self.since = second * 1000;
        let date = time::http_date_of(i64::try_from(second).unwrap_or(i64::MAX));
        let mut rest = self.bytes.as_mut_slice();
        for part in [
            STATUS_OK,
            server_line(tokens),
            b"Date: ",
            date.as_bytes(),
            b"\r\n",
        ] {
            // All of it fits: a test looks.
            let _ = rest.write_all(part);
        }
        self.len = START_MAX - rest.len();
    }

    fn whole(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The lines behind the status line.
    fn lines(&self) -> &[u8] {
        self.whole().get(STATUS_OK.len()..).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_that_of_its_second() {
        let _still = time::hold();
        for tokens in [true, false] {
            let mut want = STATUS_OK.to_vec();
            want.extend_from_slice(server_line(tokens));
            field(&mut want, b"Date: ", time::http_date().as_bytes());
            Start::with(tokens, |start| {
                assert_eq!(start.whole(), want);
                assert!(start.len < START_MAX, "nothing was cut");
                assert_eq!(start.lines(), &want[STATUS_OK.len()..]);
            });
        }
        let mut start = Start::NONE;
        start.render(784_111_777_999, true);
        assert_eq!(start.since, 784_111_777_000);
        let end = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        assert!(start.whole().ends_with(end));
    }

    #[test]
    fn numbers_are_decimal() {
        for value in [0, 9, 10, 12_345_678, u64::MAX] {
            assert_eq!(decimal(value, &mut [0; 20]), value.to_string().as_bytes());
        }
    }
}
