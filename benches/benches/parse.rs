//! Heads and bodies of HTTP/1 messages.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that fails has nothing to measure"
)]

mod timing;

use std::hint::black_box;

use benches::http::{BROWSER_REQUEST, RESPONSE, SMALL_REQUEST, chunked_body};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ngx_core::http::parse::{
    ChunkedDecoder, Limits, Progress, RequestOptions, RequestParser, ResponseParser,
};

fn requests(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse/request");
    for (name, input) in [("small", SMALL_REQUEST), ("browser", BROWSER_REQUEST)] {
        group.throughput(Throughput::Bytes(input.len() as u64));
        let mut fields = Vec::new();
        group.bench_function(name, |b| {
            b.iter(|| {
                fields.clear();
                let mut parser = RequestParser::new(RequestOptions::default());
                let parsed = parser.parse(black_box(input), &mut fields).unwrap();
                assert!(matches!(parsed, Progress::Done(_)));
            });
        });
    }

    // The same bytes, a packet at a time: what is parsed is not parsed again.
    let mut fields = Vec::new();
    group.bench_function("browser in pieces of 64 bytes", |b| {
        b.iter(|| {
            fields.clear();
            let mut parser = RequestParser::new(RequestOptions::default());
            for end in (64..BROWSER_REQUEST.len()).step_by(64) {
                let part = black_box(&BROWSER_REQUEST[..end]);
                assert_eq!(parser.parse(part, &mut fields).unwrap(), Progress::More);
            }
            let parsed = parser
                .parse(black_box(BROWSER_REQUEST), &mut fields)
                .unwrap();
            assert!(matches!(parsed, Progress::Done(_)));
        });
    });
    group.finish();
}

fn responses(c: &mut Criterion) {
    let mut fields = Vec::new();
    c.benchmark_group("parse/response")
        .throughput(Throughput::Bytes(RESPONSE.len() as u64))
        .bench_function("application", |b| {
            b.iter(|| {
                fields.clear();
                let mut parser = ResponseParser::new(Limits::single(4096));
                let parsed = parser.parse(black_box(RESPONSE), &mut fields).unwrap();
                assert!(matches!(parsed, Progress::Done(_)));
            });
        });
}

fn chunked(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse/chunked");
    for (chunks, size) in [(1024, 64), (16, 4096)] {
        let body = chunked_body(chunks, size);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("{chunks} chunks of {size} bytes"), |b| {
            b.iter(|| {
                let mut decoder = ChunkedDecoder::new();
                let (mut at, mut data) = (0, 0);
                while !decoder.is_done() {
                    let decoded = decoder.decode(black_box(&body[at..])).unwrap();
                    at += decoded.consumed;
                    data += decoded.data.len();
                }
                assert_eq!(data, chunks * size);
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = timing::short(500, 2);
    targets = requests, responses, chunked
}
criterion_main!(benches);
