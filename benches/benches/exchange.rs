//! Exchanges with backends, without sockets (ngx-upstream): one request and its response for each
//! protocol.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that fails has nothing to measure"
)]

mod timing;

use std::hint::black_box;

use benches::http::{RESPONSE, chunked_body};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ngx_buf::{Buf, Chain};
use ngx_upstream::exchange::{Event, Exchange, Limits};
use ngx_upstream::proto::http1::{Body, Http1, Request};
use ngx_upstream::proto::memcached::Memcached;
use ngx_upstream::{Protocol, Reuse};

/// Runs one exchange to its end, fed in pieces of `most` bytes; says how long its body was.
fn exchange<P: Protocol>(protocol: P, response: &[u8], most: usize) -> u64 {
    let mut exchange = Exchange::new(protocol, Limits::default());
    exchange.begin().unwrap();
    black_box(exchange.take_output());
    let mut body = 0;
    for piece in response.chunks(most) {
        exchange.feed(piece);
        loop {
            match exchange.poll().unwrap() {
                Event::Again => break,
                Event::Body(chain) => body += chain.size(),
                Event::Done(reuse) => {
                    assert_eq!(reuse, Reuse::Keep);
                    return body;
                }
                Event::Head(_) | Event::Interim(_) | Event::Trailers(_) => {}
                Event::Upgrade(_) => unreachable!("nobody asked for that"),
            }
        }
    }
    unreachable!("the response is not complete")
}

fn http1(c: &mut Criterion) {
    let head = Bytes::from_static(
        b"GET /articles HTTP/1.1\r\nHost: backend\r\nX-Real-IP: 127.0.0.1\r\n\r\n",
    );
    let protocol = || {
        Http1::new(Request {
            head: Chain::from(Buf::from(head.clone())),
            body: Body::None,
            is_head: false,
            upgrade: false,
        })
    };
    let mut group = c.benchmark_group("exchange/http1");

    let small = [RESPONSE, &[b'x'; 1024]].concat();
    group.throughput(Throughput::Bytes(small.len() as u64));
    group.bench_function("1 KiB with a length", |b| {
        b.iter(|| assert_eq!(exchange(protocol(), black_box(&small), usize::MAX), 1024));
    });

    let chunked = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        chunked_body(16, 4096).as_slice(),
    ]
    .concat();
    group.throughput(Throughput::Bytes(chunked.len() as u64));
    for (name, most) in [("whole", usize::MAX), ("in reads of 4 KiB", 4096)] {
        group.bench_function(format!("64 KiB in 16 chunks, {name}"), |b| {
            b.iter(|| assert_eq!(exchange(protocol(), black_box(&chunked), most), 65_536));
        });
    }
    group.finish();
}

fn memcached(c: &mut Criterion) {
    let mut response = b"VALUE key 0 1024\r\n".to_vec();
    response.resize(response.len() + 1024, b'x');
    response.extend_from_slice(b"\r\nEND\r\n");
    c.benchmark_group("exchange/memcached")
        .throughput(Throughput::Bytes(response.len() as u64))
        .bench_function("get of 1 KiB", |b| {
            b.iter(|| {
                let protocol = Memcached::get(b"key").unwrap();
                assert_eq!(exchange(protocol, black_box(&response), usize::MAX), 1024);
            });
        });
}

criterion_group! {
    name = benches;
    config = timing::short(500, 2);
    targets = http1, memcached
}
criterion_main!(benches);
