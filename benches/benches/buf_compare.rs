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

mod timing;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs::File;
use std::hint::black_box;
use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes, BytesMut};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Collected};
use ngx_buf::{
    Buf, Bufs, Chain, ChainWriter, FileBuf, Flags, Flow, OutputChain, OutputContext, OutputError,
    Sink, Tag, WriteError,
};
use rustix::fs::sendfile;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

/// Where the bytes go.
enum Drain {
    /// Into nothing, up to so many bytes a call. It costs next to nothing, however many pieces come.
    Memory(usize),
    /// `/dev/null`, where system calls are to be part of what is measured.
    Null(File),
    /// A socket, as what is sent goes in practice.
    Tcp(TcpStream),
}

impl Drain {
    fn null() -> Self {
        Self::Null(File::options().write(true).open("/dev/null").unwrap())
    }

    /// A connection over the loopback, and its other end.
    fn tcp() -> (Self, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let reader = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        socket.set_nodelay(true).unwrap();
        (Self::Tcp(socket), reader)
    }
}

impl Write for Drain {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.try_write_vectored(&[IoSlice::new(buf)], false)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_write_vectored(bufs, false)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Drain {
    fn try_write_vectored(&mut self, bufs: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        match self {
            Self::Memory(most) => {
                let bufs = black_box(bufs);
                Ok(bufs.iter().map(|b| b.len()).sum::<usize>().min(*most))
            }
            Self::Null(null) => null.write_vectored(bufs),
            Self::Tcp(socket) => {
                let mut flags = SendFlags::NOSIGNAL;
                flags.set(SendFlags::MORE, more);
                let mut control = SendAncillaryBuffer::default();
                Ok(sendmsg(socket, bufs, &mut control, flags)?)
            }
        }
    }

    fn copies_up_to(&self) -> usize {
        match self {
            Self::Memory(_) => 0,
            Self::Null(_) | Self::Tcp(_) => 512,
        }
    }

    fn reads_up_to(&self) -> usize {
        match self {
            // As measured: to send 16 KiB to it takes 0.55 us, to read and write them 0.48 us.
            Self::Null(_) => 16 * 1024,
            Self::Memory(_) | Self::Tcp(_) => 8 * 1024,
        }
    }

    fn sends_files(&self) -> bool {
        !matches!(self, Self::Memory(_))
    }

    fn try_send_file(&mut self, file: &File, offset: u64, len: usize) -> io::Result<usize> {
        let mut offset = offset;
        match self {
            Self::Memory(_) => Err(io::ErrorKind::Unsupported.into()),
            Self::Null(null) => Ok(sendfile(null, file, Some(&mut offset), len)?),
            Self::Tcp(socket) => Ok(sendfile(socket, file, Some(&mut offset), len)?),
        }
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
        let mut sink = Drain::Memory(most);
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

/// Memory over a socket: what the sender pays. The reader takes everything before the next turn, and
/// is not counted.
fn memory_over_tcp(c: &mut Criterion) {
    for (name, num, size) in [
        ("1 buf of 200 B, TCP", 1, 200),
        ("64 bufs of 64 B, TCP", 64, 64),
        ("64 bufs of 1 KiB, TCP", 64, 1024),
    ] {
        let parts: Vec<Bytes> = (0..num).map(|_| Bytes::from(vec![b'x'; size])).collect();
        let mut group = group(c, name, num * size);
        let (mut sink, mut reader) = Drain::tcp();
        let mut bench = |way, send: &mut dyn FnMut(&mut Drain)| {
            group.bench_function(way, |b| {
                b.iter_custom(|turns| {
                    turn_by_turn(turns, &mut sink, &mut reader, num * size, send)
                });
            });
        };
        let mut writer = ChainWriter::new();
        bench("ngx-buf", &mut |sink| {
            by_chain(&mut writer, black_box(&parts), sink);
        });
        bench("Buf::chain", &mut |sink| {
            by_buf_chain(black_box(&parts), sink);
        });
        bench("Vec", &mut |sink| by_vec(black_box(&parts), sink));
        bench("http-body-util", &mut |sink| {
            by_body(black_box(&parts), sink);
        });
        group.finish();
    }
}

/// The time that `send` takes for so many turns, while `reader` takes `len` bytes behind each.
fn turn_by_turn(
    turns: u64,
    sink: &mut Drain,
    reader: &mut TcpStream,
    len: usize,
    send: &mut dyn FnMut(&mut Drain),
) -> Duration {
    let mut into = vec![0; len];
    let mut time = Duration::ZERO;
    for _ in 0..turns {
        let start = Instant::now();
        send(sink);
        time += start.elapsed();
        reader.read_exact(&mut into).unwrap();
    }
    time
}

/// Head and file, system calls included.
fn head_and_file(c: &mut Criterion) {
    let name = "a head of 200 B and a file of 16 KiB";
    head_and_file_to(c, name, 16 * 1024, &mut Drain::null(), None);
    for (name, size) in [
        ("a head of 200 B and a file of 4 KiB, TCP", 4 * 1024),
        ("a head of 200 B and a file of 16 KiB, TCP", 16 * 1024),
        ("a head of 200 B and a file of 64 KiB, TCP", 64 * 1024),
    ] {
        let (mut sink, mut reader) = Drain::tcp();
        head_and_file_to(c, name, size, &mut sink, Some(&mut reader));
    }
}

fn head_and_file_to(
    c: &mut Criterion,
    name: &str,
    size: usize,
    sink: &mut Drain,
    mut reader: Option<&mut TcpStream>,
) {
    let head = Bytes::from(vec![b'h'; 200]);
    let file = file(size);
    let mut group = group(c, name, head.len() + size);
    let mut bench = |way, send: &mut dyn FnMut(&mut Drain)| {
        group.bench_function(way, |b| match &mut reader {
            Some(reader) => {
                b.iter_custom(|turns| turn_by_turn(turns, sink, reader, head.len() + size, send));
            }
            None => b.iter(|| send(sink)),
        });
    };
    let mut writer = ChainWriter::new();
    bench("ngx-buf", &mut |sink| {
        let body = Buf::file(Arc::clone(&file), 0..size as u64);
        let body = body.with_flags(Flags::LAST_BUF);
        let flow = writer.try_write_head(sink, &head, body).unwrap();
        assert_eq!(flow, Flow::Done);
    });
    let body = || {
        let mut memory = BytesMut::zeroed(size);
        let n = file.file().read_at(&mut memory, 0).unwrap();
        memory.truncate(n);
        memory.freeze()
    };
    bench("Buf::chain", &mut |sink| {
        drain(head.clone().chain(body()), sink);
    });
    bench("Vec", &mut |sink| {
        let mut all = Vec::with_capacity(head.len() + size);
        all.extend_from_slice(&head);
        all.resize(head.len() + size, 0);
        let n = file.file().read_at(&mut all[head.len()..], 0).unwrap();
        write_all(&all[..head.len() + n], sink);
    });
    bench("http-body-util", &mut |sink| {
        let body = collect(FileFrames::new(file.file()));
        drain(head.clone().chain(body.aggregate()), sink);
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

criterion_group! {
    name = benches;
    config = timing::short(500, 2);
    targets = memory, memory_over_tcp, head_and_file, large_file
}
criterion_main!(benches);
