//! `ngx-buf` and what a Rust author would otherwise use, on the same work.
//!
//! Every case begins with parts that a handler has (refcounted memory, an open file) and ends when
//! the sink has taken the last byte. Rows of one group do the same:
//!
//! * `ngx-buf`: a `ChainWriter`, which a connection has for all its responses;
//! * `Buf::chain`: `bytes::Buf::chain`, as deep as it takes, and `write_vectored`;
//! * `Vec`: everything into one `Vec<u8>` of the right capacity, and `write`;
//! * `http-body-util`: a body of frames, collected and aggregated, and `write_vectored`.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that fails has nothing to measure"
)]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs::File;
use std::hint::black_box;
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Collected};
use ngx_buf::{
    Buf, Bufs, Chain, ChainWriter, FileBuf, Flags, Flow, OutputChain, OutputContext, OutputError,
    Sink, Tag, WriteError,
};

/// Takes up to `most` bytes a call, or gives all to a file that keeps nothing.
struct Drain {
    most: usize,
    /// `/dev/null`, where system calls are to be part of what is measured.
    null: Option<File>,
}

impl Drain {
    fn new(most: usize) -> Self {
        Self { most, null: None }
    }

    fn null() -> Self {
        Self {
            most: usize::MAX,
            null: Some(File::options().write(true).open("/dev/null").unwrap()),
        }
    }
}

impl Write for Drain {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match &mut self.null {
            Some(null) => null.write_vectored(bufs),
            None => {
                let bufs = black_box(bufs);
                Ok(bufs.iter().map(|b| b.len()).sum::<usize>().min(self.most))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Drain {
    fn try_write_vectored(&mut self, bufs: &[IoSlice<'_>], _more: bool) -> io::Result<usize> {
        self.write_vectored(bufs)
    }

    fn sends_files(&self) -> bool {
        self.null.is_some()
    }

    fn try_send_file(&mut self, file: &File, offset: u64, len: usize) -> io::Result<usize> {
        let Some(null) = &self.null else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let mut offset = offset;
        Ok(rustix::fs::sendfile(null, file, Some(&mut offset), len)?)
    }

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

// === the four ways ===

fn by_chain(writer: &mut ChainWriter, parts: &[Bytes], sink: &mut Drain) {
    let mut flow = writer.try_write_bytes(sink, parts).unwrap();
    while flow != Flow::Done {
        flow = writer.try_write(sink).unwrap();
    }
}

fn by_buf_chain(parts: &[Bytes], sink: &mut Drain) {
    match parts {
        [only] => drain(only.clone(), sink),
        [head, body] => drain(head.clone().chain(body.clone()), sink),
        _ => {
            let mut all: Box<dyn bytes::Buf> = Box::new(Bytes::new());
            for part in parts.iter().rev() {
                all = Box::new(part.clone().chain(all));
            }
            drain(all, sink);
        }
    }
}

fn by_vec(parts: &[Bytes], sink: &mut Drain) {
    let mut all = Vec::with_capacity(parts.iter().map(Bytes::len).sum());
    parts.iter().for_each(|part| all.extend_from_slice(part));
    write_all(&all, sink);
}

fn by_body(parts: &[Bytes], sink: &mut Drain) {
    let frames = parts.iter().cloned().collect();
    drain(collect(Frames(frames)).aggregate(), sink);
}

fn drain(mut buf: impl bytes::Buf, sink: &mut Drain) {
    while buf.has_remaining() {
        let mut pieces = [IoSlice::new(&[]); 64];
        let n = buf.chunks_vectored(&mut pieces);
        let written = sink.write_vectored(&pieces[..n]).unwrap();
        buf.advance(written);
    }
}

fn write_all(bytes: &[u8], sink: &mut Drain) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let n = sink.write(rest).unwrap();
        rest = &rest[n..];
    }
}

/// What `http-body-util` makes of a body whose frames are all there.
fn collect<B: Body<Error = Infallible> + Unpin>(body: B) -> Collected<B::Data> {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(body.collect()).poll(&mut cx) {
        Poll::Ready(Ok(collected)) => collected,
        _ => unreachable!("all frames are there"),
    }
}

/// A body that has its frames already.
struct Frames(VecDeque<Bytes>);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// A body that reads a file piece by piece, as those of common servers do.
struct FileFrames<'a> {
    file: &'a File,
    at: u64,
    memory: BytesMut,
}

impl<'a> FileFrames<'a> {
    fn new(file: &'a File) -> Self {
        Self {
            file,
            at: 0,
            memory: BytesMut::new(),
        }
    }
}

impl Body for FileFrames<'_> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = read_piece(self.file, self.at, &mut self.memory);
        self.at += piece.len() as u64;
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }
}

/// Reads a piece into memory that is used again when nobody holds it.
fn read_piece(file: &File, at: u64, memory: &mut BytesMut) -> Bytes {
    memory.reserve(PIECE);
    memory.resize(PIECE, 0);
    let n = file.read_at(memory, at).unwrap();
    memory.truncate(n);
    memory.split().freeze()
}

// === cases ===

fn memory(c: &mut Criterion) {
    let cases = [
        ("1 buf of 200 B", 1, 200, usize::MAX),
        ("64 bufs of 64 B", 64, 64, usize::MAX),
        ("64 bufs of 1 KiB", 64, 1024, usize::MAX),
        ("16 bufs of 64 KiB", 16, 64 * 1024, usize::MAX),
        ("64 bufs of 1 KiB, 1 KiB a call", 64, 1024, 1024),
        ("16 bufs of 64 KiB, 1 KiB a call", 16, 64 * 1024, 1024),
    ];
    for (name, num, size, most) in cases {
        let parts: Vec<Bytes> = (0..num).map(|_| Bytes::from(vec![b'x'; size])).collect();
        let mut group = group(c, name, num * size);
        let mut sink = Drain::new(most);
        let mut writer = ChainWriter::new();
        group.bench_function("ngx-buf", |b| {
            b.iter(|| by_chain(&mut writer, black_box(&parts), &mut sink));
        });
        group.bench_function("Buf::chain", |b| {
            b.iter(|| by_buf_chain(black_box(&parts), &mut sink));
        });
        group.bench_function("Vec", |b| b.iter(|| by_vec(black_box(&parts), &mut sink)));
        group.bench_function("http-body-util", |b| {
            b.iter(|| by_body(black_box(&parts), &mut sink));
        });
        group.finish();
    }
}

/// Head and file, system calls included.
fn head_and_file(c: &mut Criterion) {
    let head = Bytes::from(vec![b'h'; 200]);
    let size = 16 * 1024;
    let file = file(size);
    let mut sink = Drain::null();
    let mut group = group(c, "a head of 200 B and a file of 16 KiB", head.len() + size);
    let mut writer = ChainWriter::new();
    group.bench_function("ngx-buf", |b| {
        b.iter(|| {
            writer.push_buf(head.clone());
            let body = Buf::file(Arc::clone(&file), 0..size as u64);
            writer.push_buf(body.with_flags(Flags::LAST_BUF));
            assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
        });
    });
    let body = || read_piece(file.file(), 0, &mut BytesMut::new());
    group.bench_function("Buf::chain", |b| {
        b.iter(|| drain(head.clone().chain(body()), &mut sink));
    });
    group.bench_function("Vec", |b| {
        b.iter(|| {
            let mut all = Vec::with_capacity(head.len() + size);
            all.extend_from_slice(&head);
            all.resize(head.len() + size, 0);
            let n = file.file().read_at(&mut all[head.len()..], 0).unwrap();
            write_all(&all[..head.len() + n], &mut sink);
        });
    });
    group.bench_function("http-body-util", |b| {
        b.iter(|| {
            let body = collect(FileFrames::new(file.file()));
            drain(head.clone().chain(body.aggregate()), &mut sink);
        });
    });
    group.finish();
}

/// A file that does not fit into the memory one wants to spend, system calls included.
fn large_file(c: &mut Criterion) {
    let size = 10 << 20;
    let file = file(size);
    let mut sink = Drain::null();
    let mut group = group(c, "a file of 10 MiB", size);
    for (name, sendfile) in [("ngx-buf, copied", false), ("ngx-buf, sent", true)] {
        let mut cx = OutputContext::new(Tag::new(&"benches"));
        cx.sendfile = sendfile;
        cx.bufs = Bufs {
            num: 2,
            size: PIECE,
        };
        let mut output = OutputChain::new(cx);
        let mut writer = ChainWriter::new();
        group.bench_function(name, |b| {
            b.iter(|| {
                let body = Buf::file(Arc::clone(&file), 0..size as u64);
                let mut chain = Chain::from(body.with_flags(Flags::LAST_BUF));
                // A turn is 2 MiB at most.
                while output
                    .send::<Failure>(std::mem::take(&mut chain), &mut |run| {
                        writer.push(run);
                        Ok(writer.try_write(&mut sink)?)
                    })
                    .unwrap()
                    == Flow::Again
                {}
            });
        });
    }
    group.bench_function("Buf::chain", |b| {
        b.iter(|| {
            let (mut memory, mut at) = (BytesMut::new(), 0);
            while at < size as u64 {
                let piece = read_piece(file.file(), at, &mut memory);
                at += piece.len() as u64;
                drain(piece.chain(&b""[..]), &mut sink);
            }
        });
    });
    group.bench_function("Vec", |b| {
        b.iter(|| {
            let (mut memory, mut at) = (vec![0; PIECE], 0);
            while at < size as u64 {
                let n = file.file().read_at(&mut memory, at).unwrap();
                at += n as u64;
                write_all(&memory[..n], &mut sink);
            }
        });
    });
    group.bench_function("http-body-util", |b| {
        b.iter(|| {
            let mut body = FileFrames::new(file.file());
            let mut cx = Context::from_waker(Waker::noop());
            while let Poll::Ready(Some(frame)) = Pin::new(&mut body).poll_frame(&mut cx) {
                drain(frame.unwrap().into_data().unwrap(), &mut sink);
            }
        });
    });
    group.finish();
}

fn group<'c>(c: &'c mut Criterion, name: &str, bytes: usize) -> BenchmarkGroup<'c, WallTime> {
    let mut group = c.benchmark_group(format!("compare/{name}"));
    group.throughput(Throughput::Bytes(bytes as u64));
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(2));
    group
}

fn file(size: usize) -> Arc<FileBuf> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![b'x'; size]).unwrap();
    Arc::new(FileBuf::new(file, "file"))
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// How much of a file is in memory at once.
const PIECE: usize = 64 * 1024;

criterion_group!(benches, memory, head_and_file, large_file);
criterion_main!(benches);
