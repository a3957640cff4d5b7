//! Cosockets (ngx-lua) against a peer in another thread, over a Unix-domain socket: what a wait
//! costs, and what each way to receive costs when the bytes are there already.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that fails has nothing to measure"
)]

mod timing;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ngx_lua::Host;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

/// For every line it gets, the peer sends so many lines of 63 characters.
fn serve(stream: UnixStream) {
    let mut writer = stream.try_clone().unwrap();
    let line = format!("{}\n", "x".repeat(63));
    for asked in BufReader::new(stream).lines() {
        // The other side goes away when its benchmark is over.
        let Ok(asked) = asked else { return };
        let count = asked.parse().unwrap_or(1);
        if writer.write_all(line.repeat(count).as_bytes()).is_err() {
            return;
        }
    }
}

fn peer(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
}

const CONNECT: &str = "local sock = ngx.socket.tcp() assert(sock:connect(...))\n";
const KEEP: &str = "\nassert(sock:setkeepalive(60000, 10))";

/// Each of these is done with a connection from the pool.
const ROUND_TRIPS: &[(&str, &str)] = &[
    ("connect and keep, nothing else", ""),
    (
        "send a string, receive a line",
        "assert(sock:send('1\\n')) assert(sock:receive())",
    ),
    (
        "send a table, receive a size",
        "assert(sock:send({'1', {'\\n'}})) assert(sock:receive(64))",
    ),
];

/// How the 1024 lines of one answer are received.
const PATTERNS: &[(&str, &str)] = &[
    ("lines", "for _ = 1, 1024 do assert(sock:receive()) end"),
    (
        "64 bytes each",
        "for _ = 1, 1024 do assert(sock:receive(64)) end",
    ),
    ("in one piece", "assert(sock:receive(65536))"),
    (
        "whatever is there",
        "local left = 65536 \
         while left > 0 do left = left - #assert(sock:receiveany(8192)) end",
    ),
    (
        "receiveuntil",
        "local next = sock:receiveuntil('x\\n') for _ = 1, 1024 do assert(next()) end",
    ),
];

fn cosockets(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("peer.sock");
    peer(&path);
    let address = format!("unix:{}", path.display());
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let tasks = LocalSet::new();
    let host = Host::new().unwrap();
    let mut bench = |group: &str, name: &str, bytes: u64, work: &str| {
        let chunk = host
            .load("bench", format!("{CONNECT}{work}{KEEP}"))
            .unwrap();
        let mut group = c.benchmark_group(group);
        if bytes > 0 {
            group.throughput(Throughput::Bytes(bytes));
        }
        group.bench_function(name, |b| {
            b.iter(|| {
                let run = chunk.call::<_, ()>(address.as_str());
                tasks.block_on(&runtime, run).unwrap();
            });
        });
    };
    for (name, work) in ROUND_TRIPS {
        bench("cosocket/round trip", name, 0, work);
    }
    for (name, work) in PATTERNS {
        let work = format!("assert(sock:send('1024\\n')) {work}");
        bench("cosocket/receive 64 KiB", name, 65_536, &work);
    }
}

criterion_group! {
    name = benches;
    config = timing::short(500, 2);
    targets = cosockets
}
criterion_main!(benches);
