//! Variables about the connection, the process and the machine.

use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::LazyLock;

use super::{Append, cheap, put, put_number, put_seconds, volatile};
use crate::http::request::Request;
use crate::http::special::NGINX_VERSION;
use crate::net::addr::Addr;
use crate::script::Variable;
use crate::time;

pub(super) fn list() -> Vec<Variable<Request>> {
    let mut list = Vec::from(FIXED.map(|(name, append)| cheap(name, append)));
    list.extend(MOVING.map(|(name, append)| volatile(name, append)));
    list
}

const FIXED: [(&str, Append); 12] = [
    ("remote_addr", |r, out| put_addr(out, &r.peer().addr)),
    ("remote_port", |r, out| put_port(out, &r.peer().addr)),
    ("binary_remote_addr", |r, out| match r.peer().addr.ip() {
        Some(IpAddr::V4(ip)) => put(out, &ip.octets()),
        Some(IpAddr::V6(ip)) => put(out, &ip.octets()),
        None => put(out, b"unix:"),
    }),
    ("server_addr", |r, out| match &r.peer().local {
        Addr::Unix(path) => put(out, b"unix:") && put(out, path.as_os_str().as_bytes()),
        local => put_addr(out, local),
    }),
    ("server_port", |r, out| put_port(out, &r.peer().local)),
    ("connection", |r, out| put_number(out, r.peer().number)),
    ("scheme", |_, out| put(out, b"http")),
    // Empty without TLS, but not missing.
    ("https", |_, _| true),
    ("hostname", |_, out| put(out, HOSTNAME.as_bytes())),
    ("nginx_version", |_, out| put(out, NGINX_VERSION.as_bytes())),
    // A worker is a thread here.
    ("pid", |_, out| {
        write!(out, "{}", rustix::thread::gettid()).is_ok()
    }),
    ("connection_requests", |r, out| {
        put_number(out, r.peer().requests.get())
    }),
];

const MOVING: [(&str, Append); 4] = [
    ("connection_time", |r, out| {
        put_seconds(out, time::now_ms().saturating_sub(r.peer().since))
    }),
    ("msec", |_, out| put_seconds(out, time::unix_ms())),
    ("time_local", |_, out| {
        put(out, time::access_time().as_bytes())
    }),
    ("time_iso8601", |_, out| {
        put(out, time::iso8601().as_bytes())
    }),
];

/// The name of the machine, in lower case; asked for once.
static HOSTNAME: LazyLock<String> = LazyLock::new(|| {
    let name = nix::unistd::gethostname().unwrap_or_default();
    name.to_string_lossy().to_ascii_lowercase()
});

fn put_addr(out: &mut Vec<u8>, addr: &Addr) -> bool {
    match addr.ip() {
        Some(ip) => write!(out, "{ip}").is_ok(),
        None => put(out, b"unix:"),
    }
}

/// A Unix-domain socket has an empty port.
fn put_port(out: &mut Vec<u8>, addr: &Addr) -> bool {
    addr.port()
        .is_none_or(|port| put_number(out, u64::from(port)))
}
