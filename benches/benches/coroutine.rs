//! Runs that wait (ngx-lua): yields to the scheduler, coroutines, light threads.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that fails has nothing to measure"
)]

mod timing;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ngx_lua::Host;
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

/// Each does its work 100 times.
const CASES: &[(&str, &str)] = &[
    (
        "sleep(0), which yields to the runtime",
        "for _ = 1, 100 do ngx.sleep(0) end",
    ),
    (
        "resume and yield",
        "local resume, yield = coroutine.resume, coroutine.yield \
         local co = coroutine.create(function() while true do yield(1) end end) \
         for _ = 1, 100 do resume(co) end",
    ),
    (
        "create a coroutine and run it to its end",
        "for n = 1, 100 do coroutine.wrap(function(a) return a end)(n) end",
    ),
    (
        "spawn a light thread and wait for it",
        "for n = 1, 100 do ngx.thread.wait(ngx.thread.spawn(function(a) return a end, n)) end",
    ),
    ("pcall", "for n = 1, 100 do pcall(tostring, n) end"),
];

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn waiting(c: &mut Criterion) {
    let runtime = runtime();
    let tasks = LocalSet::new();
    let host = Host::new().unwrap();

    let mut group = c.benchmark_group("coroutine/call");
    let empty = host.load("empty", "").unwrap();
    group.bench_function("a run that could wait", |b| {
        b.iter(|| tasks.block_on(&runtime, empty.call::<_, ()>(())).unwrap());
    });
    group.finish();

    let mut group = c.benchmark_group("coroutine/100 times");
    group.throughput(Throughput::Elements(100));
    for (name, source) in CASES {
        let chunk = host.load("bench", source).unwrap();
        group.bench_function(*name, |b| {
            b.iter(|| tasks.block_on(&runtime, chunk.call::<_, ()>(())).unwrap());
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = timing::short(500, 2);
    targets = waiting
}
criterion_main!(benches);
