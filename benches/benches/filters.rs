//! The run of header filters (ngx-core): whole requests in a process, 64 in a pipeline, that differ
//! in what filters have to do.

mod timing;

use std::hint::black_box;

use benches::worker::{PIPELINED, Worker, get, pipeline};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// What stands in the location, and the status that comes of it.
const CASES: &[(&str, &str)] = &[
    ("none has anything to do", ""),
    ("add_header, 1 constant", "add_header X-One one;\n"),
    (
        "add_header, 5 with variables",
        "add_header X-One $host;\nadd_header X-Two $uri;\nadd_header X-Three $request_method;\n\
         add_header X-Four $remote_addr;\nadd_header X-Five $server_protocol;\n",
    ),
    ("expires", "expires 1h;\n"),
];

fn header_filters(c: &mut Criterion) {
    let mut group = c.benchmark_group("filters/header");
    group.throughput(Throughput::Elements(PIPELINED as u64));
    for (name, contents) in CASES {
        let http = format!(
            "access_log off;\nserver {{\nlisten 127.0.0.1:80;\n\
             location / {{\n{contents}return 200 hello;\n}}\n}}\n"
        );
        let mut worker = Worker::new(&http, &[]);
        let request = get("www.example.com", "/articles/2026/light");
        let bytes = worker.measure(&request, 200) * PIPELINED;
        let requests = pipeline(&request);
        group.bench_function(*name, |b| {
            b.iter(|| black_box(worker.ask(&requests, bytes)).len());
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = timing::short(1000, 2);
    targets = header_filters
}
criterion_main!(benches);
