//! Dictionaries in a zone: one operation, by itself, from Lua, and while others use the lock.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that fails has nothing to measure"
)]

mod timing;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use criterion::{Criterion, criterion_group, criterion_main};
use ngx_core::zone::{Dict, End, Init, Store, Value};
use ngx_lua::{Host, Settings};

const KEYS: usize = 10_000;
const ZERO: Init = Init { value: 0.0, ttl: 0 };

fn keys() -> Vec<String> {
    (0..KEYS).map(|n| format!("user:{n:08}")).collect()
}

/// With a text of 100 bytes under each key.
fn filled(keys: &[String]) -> Arc<Dict> {
    let dict = Dict::new("bench", 10 << 20).unwrap();
    for key in keys {
        let text = Value::Text(&[b'x'; 100]);
        dict.set(key.as_bytes(), text, Store::default())
            .result
            .unwrap();
    }
    Arc::new(dict)
}

fn operations(c: &mut Criterion) {
    let keys = keys();
    let dict = filled(&keys);
    let mut next = keys.iter().cycle().map(String::as_bytes);
    let mut next = || next.next().unwrap();
    let mut group = c.benchmark_group("shdict");

    group.bench_function("get, 100 bytes looked at", |b| {
        b.iter(|| dict.get(next(), |found| black_box(found.flags)).unwrap());
    });
    group.bench_function("get of one key", |b| {
        b.iter(|| dict.get(b"user:00000007", |found| black_box(found.flags)));
    });
    group.bench_function("get of nothing", |b| {
        b.iter(|| dict.get(black_box(b"nobody"), |_| ()).unwrap());
    });
    let text = Value::Text(&[b'y'; 100]);
    group.bench_function("set, the same size", |b| {
        b.iter(|| dict.set(next(), text, Store::default()));
    });
    let mut long = false;
    group.bench_function("set, another size", |b| {
        b.iter(|| {
            long = !long;
            let text = if long { &[b'z'; 90] } else { &[b'z'; 80][..] };
            dict.set(b"user:00000007", Value::Text(text), Store::default())
        });
    });
    let minute = Store {
        ttl: 60_000,
        ..Store::default()
    };
    group.bench_function("set with a time to live", |b| {
        b.iter(|| dict.set(next(), text, minute));
    });
    group.bench_function("incr", |b| {
        b.iter(|| dict.incr(black_box(b"hits"), 1.0, Some(ZERO)));
    });
    group.bench_function("push and pop", |b| {
        b.iter(|| {
            dict.push(b"queue", text, End::Right).unwrap();
            dict.pop(b"queue", End::Left)
        });
    });
    group.finish();
}

/// A new key each time, in a dictionary that is full.
fn eviction(c: &mut Criterion) {
    let dict = Dict::new("full", 1 << 20).unwrap();
    let text = Value::Text(&[b'x'; 100]);
    let mut n = 0_u64;
    let mut set = || {
        n += 1;
        dict.set(&n.to_ne_bytes(), text, Store::default())
    };
    while !set().forcible {}
    c.bench_function("shdict/set that evicts", |b| b.iter(&mut set));
}

fn contention(c: &mut Criterion) {
    let keys = keys();
    let dict = filled(&keys);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut keys = keys.iter().cycle();
            while !stop.load(Ordering::Relaxed) {
                let key = keys.next().unwrap();
                let _sum = dict.incr(key.as_bytes(), 1.0, Some(ZERO));
            }
        });
        c.bench_function("shdict/incr beside a thread that does nothing else", |b| {
            b.iter(|| dict.incr(black_box(b"hits"), 1.0, Some(ZERO)));
        });
        stop.store(true, Ordering::Relaxed);
    });
}

fn from_lua(c: &mut Criterion) {
    let keys = keys();
    let dict = filled(&keys);
    let mut settings = Settings::default();
    settings.shared_dicts = vec![("bench".to_owned(), dict)];
    let host = Host::with_settings(settings).unwrap();
    let mut group = c.benchmark_group("shdict/1000 from Lua");
    for (name, call) in [
        ("get", "d:get('user:00000007')"),
        ("set", "d:set('user:00000007', text)"),
        ("incr", "d:incr('hits', 1, 0)"),
    ] {
        let source = format!(
            "local d, text = ngx.shared.bench, ('y'):rep(100)
            for _ = 1, 1000 do {call} end"
        );
        let chunk = host.load("bench", source).unwrap();
        group.bench_function(name, |b| b.iter(|| chunk.run::<_, ()>(()).unwrap()));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = timing::short(500, 2);
    targets = operations, eviction, contention, from_lua
}
criterion_main!(benches);
