//! Choosing a peer (ngx-upstream): one session with one try.

mod timing;

use std::hint::black_box;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};

use criterion::{Criterion, criterion_group, criterion_main};
use ngx_upstream::peer::{Addr, Balancer, Peer, PeerOutcome, RoundRobin, Server, Session};

fn servers(count: u16, weight: impl Fn(u16) -> u32) -> Vec<Server> {
    let server = |n: u16| Server {
        weight: weight(n),
        ..Server::new(Peer::new(Addr::from(SocketAddr::from(([127, 0, 0, 1], n)))))
    };
    (1..=count).map(server).collect()
}

fn choose<B: Balancer>(balancer: &B, outcome: PeerOutcome) -> Peer {
    let mut session = balancer.session(b"key");
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(peer)) = session.poll_next(&mut cx) else {
        unreachable!("there are live peers");
    };
    session.done(outcome);
    peer
}

fn round_robin(c: &mut Criterion) {
    let mut group = c.benchmark_group("balancers/round robin");
    for count in [1, 8, 100] {
        let balancer = RoundRobin::new(servers(count, |_| 1));
        group.bench_function(format!("{count} servers"), |b| {
            b.iter(|| choose(black_box(&balancer), PeerOutcome::Served));
        });
    }
    let weighted = RoundRobin::new(servers(8, u32::from));
    group.bench_function("8 servers with weights", |b| {
        b.iter(|| choose(black_box(&weighted), PeerOutcome::Served));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = timing::short(500, 1);
    targets = round_robin
}
criterion_main!(benches);
