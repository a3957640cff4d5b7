//! Lua by way of the host: what a run costs before any API is added.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that fails has nothing to measure"
)]

mod timing;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ngx_lua::Host;

const COMPILED: &str = "local name = ... return 'hello, ' .. name";

fn host(c: &mut Criterion) {
    let host = Host::new().unwrap();
    let mut group = c.benchmark_group("lua/host");
    group.bench_function("start a VM", |b| b.iter(|| Host::new().unwrap()));
    group.bench_function("load a chunk", |b| {
        b.iter(|| host.load("bench", black_box(COMPILED)).unwrap());
    });
    group.finish();
}

fn runs(c: &mut Criterion) {
    let host = Host::new().unwrap();
    let mut group = c.benchmark_group("lua/run");

    let empty = host.load("empty", "").unwrap();
    group.bench_function("empty", |b| b.iter(|| empty.run::<_, ()>(()).unwrap()));

    let greet = host.load("greet", COMPILED).unwrap();
    group.bench_function("a string in, a string out", |b| {
        b.iter(|| greet.run::<_, String>(black_box("world")).unwrap());
    });

    let sum = host
        .load(
            "sum",
            "local s = 0 for i = 1, 1000 do s = s + i end return s",
        )
        .unwrap();
    group.bench_function("a loop of 1000", |b| {
        b.iter(|| sum.run::<_, i64>(()).unwrap());
    });

    let callback = host.lua().create_function(|_, n: i64| Ok(n + 1)).unwrap();
    host.lua().globals().set("callback", callback).unwrap();
    let calls = host.load(
        "calls",
        "local n = 0 for _ = 1, 100 do n = callback(n) end return n",
    );
    let calls = calls.unwrap();
    group.bench_function("100 calls of a Rust function", |b| {
        b.iter(|| calls.run::<_, i64>(()).unwrap());
    });

    let fails = host.load("fails", "error('no luck')").unwrap();
    group.bench_function("an error with its traceback", |b| {
        b.iter(|| fails.run::<_, ()>(()).unwrap_err());
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = timing::short(500, 2);
    targets = host, runs
}
criterion_main!(benches);
