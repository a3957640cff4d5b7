//! Finding the server by its name and the location by the path (ngx-core): whole requests in a
//! process, 64 in a pipeline, that differ in what is looked up.

mod timing;

use std::fmt::Write as _;
use std::hint::black_box;

use benches::worker::{PIPELINED, Worker, get, pipeline};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Measures pipelines of one request under a configuration.
fn requests(c: &mut Criterion, group: &str, name: &str, http: &str, request: &[u8]) {
    let mut worker = Worker::new(http, &[]);
    let bytes = worker.measure(request, 204) * PIPELINED;
    let requests = pipeline(request);
    c.benchmark_group(group)
        .throughput(Throughput::Elements(PIPELINED as u64))
        .bench_function(name, |b| {
            b.iter(|| black_box(worker.ask(&requests, bytes)).len());
        });
}

fn server(contents: &str) -> String {
    format!("access_log off;\nserver {{\nlisten 127.0.0.1:80;\n{contents}}}\n")
}

fn locations(c: &mut Criterion) {
    let group = "lookup/location";
    let one = server("location / { return 204; }\n");
    requests(c, group, "1 prefix", &one, &get("a", "/index.html"));

    let mut many = String::new();
    for n in 0..1000 {
        let _ = writeln!(many, "location /path/{n}/ {{ return 204; }}");
    }
    let many = server(&many);
    let deep = get("a", "/path/617/index.html");
    requests(c, group, "1000 prefixes", &many, &deep);

    let mut exact = String::new();
    for n in 0..1000 {
        let _ = writeln!(exact, "location = /path/{n} {{ return 204; }}");
    }
    let exact = server(&exact);
    requests(c, group, "1000 exact names", &exact, &get("a", "/path/617"));

    let mut regexes = String::from("location / { return 404; }\n");
    for n in 0..20 {
        let _ = writeln!(regexes, "location ~ \\.ext{n}$ {{ return 204; }}");
    }
    let regexes = server(&regexes);
    let last = get("a", "/some/where/file.ext19");
    requests(c, group, "the last of 20 expressions", &regexes, &last);
}

fn servers(c: &mut Criterion) {
    let group = "lookup/server";
    let with_names = |names: &dyn Fn(usize) -> String| {
        let mut text = String::from("access_log off;\n");
        for n in 0..3000 {
            let _ = writeln!(
                text,
                "server {{ listen 127.0.0.1:80; server_name {}; return 204; }}",
                names(n)
            );
        }
        text
    };
    let exact = with_names(&|n| format!("host{n}.example.com"));
    let asked = get("host1729.example.com", "/");
    requests(c, group, "3000 exact names", &exact, &asked);

    let wild = with_names(&|n| format!("*.host{n}.example.com"));
    let asked = get("www.host1729.example.com", "/");
    requests(c, group, "3000 wildcards", &wild, &asked);

    let mut regexes = String::from("access_log off;\n");
    for n in 0..20 {
        let _ = writeln!(
            regexes,
            "server {{ listen 127.0.0.1:80; server_name ~^www{n}\\.(?<domain>.+)$; return 204; }}"
        );
    }
    let asked = get("www19.example.com", "/");
    requests(c, group, "the last of 20 expressions", &regexes, &asked);
}

criterion_group! {
    name = benches;
    config = timing::short(1000, 2);
    targets = locations, servers
}
criterion_main!(benches);
