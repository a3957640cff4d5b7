//! Reading a configuration (ngx-core): words, directives, setters and scopes with a module that does
//! nothing else; then everything, merging included, with the modules of the server.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that fails has nothing to measure"
)]

mod timing;

use std::hint::black_box;
use std::path::Path;

use benches::conf::{MODULE, http, text};
use benches::worker::origin;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ngx_core::conf::MemorySource;
use ngx_core::module::{LoadOptions, Registry, load};

/// What was made is dropped before the next is, and not measured: a server drops it long after.
const ALONE: BatchSize = BatchSize::PerIteration;

/// A small file, a large one, and a very large one.
const SIZES: &[(usize, usize)] = &[(1, 10), (100, 10), (3000, 10)];

fn load_configurations(c: &mut Criterion) {
    let registry = Registry::new(&[&MODULE]).unwrap();
    let options = LoadOptions::default();
    let mut group = c.benchmark_group("conf/load");
    group.sample_size(10);
    for &(servers, locations) in SIZES {
        let text = text(servers, locations);
        group.throughput(Throughput::Bytes(text.len() as u64));
        let source = MemorySource::new().with_file("/ngx.conf", text);
        group.bench_function(format!("{servers} servers x {locations} locations"), |b| {
            let read = || {
                load(
                    &registry,
                    black_box(&source),
                    Path::new("/ngx.conf"),
                    &options,
                )
                .unwrap()
            };
            b.iter_batched(|| (), |()| read(), ALONE);
        });
    }
    group.finish();
}

fn build_servers(c: &mut Criterion) {
    let mut group = c.benchmark_group("conf/build and merge");
    group.sample_size(10);
    for &(servers, locations) in SIZES {
        let text = http(servers, locations);
        group.throughput(Throughput::Bytes(text.len() as u64));
        let origin = origin(&text, &[]);
        group.bench_function(format!("{servers} servers x {locations} locations"), |b| {
            let build = || black_box(&origin).build(None).unwrap();
            b.iter_batched(|| (), |()| build(), ALONE);
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = timing::short(1000, 3);
    targets = load_configurations, build_servers
}
criterion_main!(benches);
