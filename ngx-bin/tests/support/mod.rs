//! What the tests of the running binary share.
//!
//! * [`Server`]: a prefix folder, a configuration, a child process.
//! * [`Client`]: raw bytes over a blocking socket, and a strict reader of responses.
//! * [`Backend`]: a scripted peer on its own threads.
//! * [`Load`]: clients that ask without pause; [`websocket`]: an echo, and its client.
//! * [`Dns`], [`Memcached`], [`Redis`], [`Syslog`]: the other neighbours of a server.
//!
//! `NGX_TEST_BINARY` names another binary to put under test: run the whole set against an nginx to
//! check that an expectation is nginx's. Where the two differ on purpose, a test asks [`ours`].
//! With `NGX_TEST_REQUIRE=1` a test that would skip for want of a tool fails instead.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "each test binary uses its own part, and a helper may stop at the first surprise"
)]

mod backend;
mod client;
mod dns;
mod load;
mod memcached;
mod message;
mod ports;
pub mod processes;
mod redis;
mod server;
mod syslog;
pub mod websocket;

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

pub use backend::{Backend, Conn};
pub use client::Client;
pub use dns::Dns;
pub use load::{Load, Tally};
pub use memcached::Memcached;
pub use message::{Request, Response};
pub use ports::Port;
pub use redis::Redis;
pub use server::{Ran, Server, Setup};
pub use syslog::Syslog;

/// No wait of a test is longer than this.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The binary under test.
pub fn binary() -> PathBuf {
    env::var_os("NGX_TEST_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_ngx").into(), PathBuf::from)
}

/// False, with a note, when a foreign binary is under test: `what` is a difference of ours.
pub fn ours(what: &str) -> bool {
    let ours = env::var_os("NGX_TEST_BINARY").is_none();
    if !ours {
        println!("skipped: {what}: a difference of ours, and a foreign binary is under test");
    }
    ours
}

/// Where `name` is installed; a note, and a failure under `NGX_TEST_REQUIRE=1`, when it is not.
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        let required = env::var_os("NGX_TEST_REQUIRE").is_some_and(|value| value == "1");
        assert!(!required, "no {name}, and NGX_TEST_REQUIRE=1");
        println!("skipped: no {name}");
    }
    found
}

/// Runs curl with these arguments: whether it succeeded, and what it printed; nothing, with a note,
/// where it is not installed.
#[track_caller]
pub fn curl(args: &[&str]) -> Option<(bool, Vec<u8>)> {
    let program = tool("curl")?;
    let output = Command::new(program)
        .args(["-sS", "--max-time", "10", "--noproxy", "*"])
        .args(args)
        .output()
        .expect("run curl");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.is_empty(), "{complaint}");
    Some((output.status.success(), output.stdout))
}

/// Asks `condition` until it is true; fails with `what` after [`PATIENCE`].
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Sleeps for `millis` milliseconds.
pub fn pause(millis: u64) {
    thread::sleep(Duration::from_millis(millis));
}

/// `len` bytes in which every position tells itself apart from its neighbours.
pub fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
