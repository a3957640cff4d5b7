//! Chains, the output chain, the chain writer.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that fails has nothing to measure"
)]

mod timing;

use std::hint::black_box;
use std::io::{self, IoSlice, Write};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ngx_buf::{
    Buf, Chain, ChainWriter, FileBuf, Flow, OutputChain, OutputContext, OutputError, Sink, Tag,
};

/// Takes whatever comes, `most` bytes at a time: leaves the cost of the chain alone.
struct Drain {
    most: usize,
}

impl Sink for Drain {
    fn try_write_vectored(&mut self, bufs: &[IoSlice<'_>], _more: bool) -> io::Result<usize> {
        let offered: usize = bufs.iter().map(|buf| buf.len()).sum();
        Ok(offered.min(self.most))
    }

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A response as the header filter and a handler leave it.
fn response(body: &Bytes) -> Chain {
    let head = Buf::from_static(b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n");
    Chain::from_iter([head, body.clone().into(), Buf::last()])
}

fn chains(c: &mut Criterion) {
    let body = Bytes::from(vec![b'x'; 1024]);
    let mut group = c.benchmark_group("buf/chain");
    group.bench_function("build a response of 3 bufs", |b| {
        b.iter(|| response(black_box(&body)));
    });
    group.bench_function("build 64 bufs", |b| {
        b.iter(|| Chain::from_iter((0..64).map(|_| Buf::from(black_box(&body).clone()))));
    });
    let long = Chain::from_iter((0..64).map(|_| Buf::from(body.clone())));
    group.bench_function("split 64 bufs in the middle of one", |b| {
        let copy = || {
            let mut chain = Chain::new();
            chain.add_copy(&long);
            chain
        };
        b.iter_batched(
            copy,
            |mut chain| chain.split_to(33_000),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn output(c: &mut Criterion) {
    const TAG: Tag = Tag::new(&"benches");
    let mut group = c.benchmark_group("buf/output");

    let body = Bytes::from(vec![b'x'; 1024]);
    let mut memory = OutputChain::new(OutputContext::new(TAG));
    group.bench_function("a response in memory, as it is", |b| {
        b.iter_batched(
            || response(&body),
            |chain| memory.send::<OutputError>(chain, &mut drop_run).unwrap(),
            BatchSize::SmallInput,
        );
    });

    let size = 256 * 1024;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&vec![b'x'; size]).unwrap();
    let file = Arc::new(FileBuf::open(file.path()).unwrap());
    let mut copies = OutputChain::new(OutputContext::new(TAG));
    group.throughput(Throughput::Bytes(size as u64));
    group.bench_function("a file of 256 KiB, read into 2 buffers of 32 KiB", |b| {
        b.iter(|| {
            let chain = Chain::from(Buf::file(Arc::clone(&file), 0..size as u64));
            let flow = copies.send::<OutputError>(chain, &mut drop_run).unwrap();
            assert_eq!(flow, Flow::Done);
        });
    });
    group.finish();
}

/// A receiver that is faster than any client.
fn drop_run(run: Chain) -> Result<Flow, OutputError> {
    drop(black_box(run));
    Ok(Flow::Done)
}

fn writer(c: &mut Criterion) {
    let body = Bytes::from(vec![b'x'; 1024]);
    let mut group = c.benchmark_group("buf/writer");
    group.bench_function("a response in one write", |b| {
        let mut writer = ChainWriter::new();
        let mut sink = Drain { most: usize::MAX };
        b.iter_batched(
            || response(&body),
            |chain| {
                // A writer ends with the last buf, so each response has its own.
                writer = ChainWriter::new();
                writer.push(chain);
                assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
            },
            BatchSize::SmallInput,
        );
    });

    let blocks = 64;
    group.throughput(Throughput::Bytes(blocks as u64 * body.len() as u64));
    for most in [usize::MAX, 1000] {
        let name = if most == usize::MAX {
            "at once"
        } else {
            "1000 bytes at a time"
        };
        group.bench_function(format!("64 KiB in {blocks} bufs, {name}"), |b| {
            let mut sink = Drain { most };
            b.iter_batched(
                || Chain::from_iter((0..blocks).map(|_| Buf::from(body.clone()))),
                |chain| {
                    let mut writer = ChainWriter::new();
                    writer.push(chain);
                    while writer.try_write(&mut sink).unwrap() != Flow::Done {}
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = timing::short(500, 2);
    targets = chains, output, writer
}
criterion_main!(benches);
