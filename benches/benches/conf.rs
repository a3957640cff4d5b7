//! Reading a configuration: words, directives, setters, scopes.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that fails has nothing to measure"
)]

use std::hint::black_box;
use std::path::Path;

use benches::conf::{MODULE, text};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ngx_core::conf::MemorySource;
use ngx_core::module::{LoadOptions, Registry, load};

fn load_configurations(c: &mut Criterion) {
    let registry = Registry::new(&[&MODULE]).unwrap();
    let options = LoadOptions::default();
    let mut group = c.benchmark_group("conf/load");
    for (servers, locations) in [(1, 10), (100, 10)] {
        let text = text(servers, locations);
        group.throughput(Throughput::Bytes(text.len() as u64));
        let source = MemorySource::new().with_file("/ngx.conf", text);
        group.bench_function(format!("{servers} servers x {locations} locations"), |b| {
            b.iter(|| {
                load(
                    &registry,
                    black_box(&source),
                    Path::new("/ngx.conf"),
                    &options,
                )
                .unwrap()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, load_configurations);
criterion_main!(benches);
