//! Pools of connections to backends (ngx-upstream): one is taken and given back.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that fails has nothing to measure"
)]

mod timing;

use std::hint::black_box;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use criterion::{Criterion, criterion_group, criterion_main};
use ngx_core::net::Transport;
use ngx_upstream::connect::{Connect, Connection, Sockets, Stream};
use ngx_upstream::peer::{Addr, Peer};
use ngx_upstream::pool::{Pool, PoolSettings};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

/// A connection on which nothing comes: leaves the cost of the pool alone.
struct Silent;

impl AsyncRead for Silent {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Silent {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Stream for Silent {}

struct Nothing;

impl Connect for Nothing {
    type Stream = Silent;

    async fn connect(&self, _: &Peer, _: bool) -> io::Result<Connection<Silent>> {
        Ok(Connection::new(Silent))
    }
}

fn peers(count: u16) -> Vec<Peer> {
    let peer = |n| Peer::new(Addr::from(SocketAddr::from(([10, 0, 0, 1], n))));
    (1..=count).map(peer).collect()
}

fn settings() -> PoolSettings {
    PoolSettings {
        size: 10_000,
        requests: u64::MAX,
        ..PoolSettings::default()
    }
}

fn idle_connections(c: &mut Criterion) {
    let mut group = c.benchmark_group("pool/take and keep");
    for (of, each) in [(1, 64), (1000, 4)] {
        let pool = Pool::new(Nothing, settings());
        let peers = peers(of);
        for peer in peers.iter().cycle().take(usize::from(of) * each) {
            pool.keep(peer, Connection::new(Silent));
        }
        let asked = peers.last().unwrap();
        group.bench_function(format!("{each} connections to each of {of} peers"), |b| {
            b.iter(|| {
                let connection = pool.take(black_box(asked)).unwrap();
                pool.keep(asked, connection);
            });
        });
    }
    group.finish();
}

/// What the probe of a real connection adds.
fn sockets(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let pool = Pool::new(Sockets, settings());
    let peers = peers(1);
    let peer = peers.first().unwrap();
    let (ours, _theirs) = runtime.block_on(async {
        let (ours, theirs) = UnixStream::pair().unwrap();
        // So that readiness is known, as it is of a connection that has served.
        ours.writable().await.unwrap();
        (ours, theirs)
    });
    pool.keep(peer, Connection::new(Transport::from(ours)));
    c.bench_function("pool/take and keep/a socket", |b| {
        b.iter(|| {
            let connection = pool.take(black_box(peer)).unwrap();
            pool.keep(peer, connection);
        });
    });
}

criterion_group! {
    name = benches;
    config = timing::short(500, 1);
    targets = idle_connections, sockets
}
criterion_main!(benches);
