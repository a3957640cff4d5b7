//! In the steady state a response makes no allocation: neither for its chain, nor for the copies of
//! its files, nor on its way into the sink.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::sync::Arc;
use std::task::{Context, Poll};

use allocation_counter::measure;
use bytes::Bytes;
use ngx_buf::testing::Jobs;
use ngx_buf::{
    Buf, Bufs, Chain, ChainWriter, FileBuf, Flags, Flow, OutputChain, OutputContext, Sink, Tag,
};

const TAG: Tag = Tag::new(&"test");

type Failure = Box<dyn std::error::Error>;

/// Takes up to `most` bytes a call, and nothing at all every other time.
struct Slow {
    most: usize,
    sends_files: bool,
    copies: usize,
    blocked: bool,
    taken: u64,
}

impl Slow {
    fn new(most: usize) -> Self {
        Self {
            most,
            sends_files: false,
            copies: 512,
            blocked: false,
            taken: 0,
        }
    }

    fn take(&mut self, offered: usize) -> io::Result<usize> {
        self.blocked = !self.blocked;
        if self.blocked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = offered.min(self.most);
        self.taken += taken as u64;
        Ok(taken)
    }
}

impl Sink for Slow {
    fn try_write_vectored(&mut self, bufs: &[IoSlice<'_>], _more: bool) -> io::Result<usize> {
        self.take(bufs.iter().map(|buf| buf.len()).sum())
    }

    fn copies_up_to(&self) -> usize {
        self.copies
    }

    fn sends_files(&self) -> bool {
        self.sends_files
    }

    fn try_send_file(&mut self, _file: &File, _offset: u64, len: usize) -> io::Result<usize> {
        self.take(len)
    }

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A connection: what its responses go through.
struct Connection {
    output: OutputChain,
    writer: ChainWriter,
    sink: Slow,
    jobs: Option<Arc<Jobs>>,
    /// Whether the filter changes what it gets.
    changes: bool,
}

impl Connection {
    fn new(cx: OutputContext, sink: Slow) -> Self {
        Self {
            output: OutputChain::new(cx),
            writer: ChainWriter::new(),
            sink,
            jobs: None,
            changes: false,
        }
    }

    fn respond(&mut self, response: Chain) {
        let size = response.size();
        let before = self.sink.taken;
        let mut input = response;
        let Self {
            output,
            writer,
            sink,
            jobs,
            changes,
        } = self;
        loop {
            let mut changed = Chain::new();
            let flow = output.send::<Failure>(std::mem::take(&mut input), &mut |run| {
                let mut run = run;
                for buf in run.iter_mut().filter(|buf| *changes && buf.is_memory()) {
                    assert!(buf.change(<[u8]>::make_ascii_uppercase));
                    changed.push(buf.clone());
                }
                writer.push(run);
                Ok(writer.try_write(sink)?)
            });
            output.take_back(changed);
            if flow.unwrap() == Flow::Done && writer.is_empty() {
                break;
            }
            if let Some(jobs) = jobs {
                jobs.run();
            }
        }
        assert_eq!(self.sink.taken - before, size);
    }

    /// The allocations of a response, after some that were like it.
    fn allocations(&mut self, response: impl Fn() -> Chain) -> u64 {
        for _ in 0..3 {
            self.respond(response());
        }
        measure(|| self.respond(response())).count_total
    }
}

fn context(sendfile: bool) -> OutputContext {
    let mut cx = OutputContext::new(TAG);
    cx.sendfile = sendfile;
    cx.bufs = Bufs { num: 2, size: 4096 };
    cx
}

fn file(len: usize) -> Arc<FileBuf> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![b'x'; len]).unwrap();
    Arc::new(FileBuf::new(file, "f"))
}

/// Head, a file and the end.
fn file_response(file: &Arc<FileBuf>, len: u64) -> Chain {
    let mut chain = Chain::from(Buf::from_static(b"HTTP/1.1 200 OK\r\n\r\n"));
    chain.push(Buf::file(Arc::clone(file), 0..len).with_flags(Flags::LAST_BUF));
    chain
}

#[test]
fn the_counter_counts() {
    assert_eq!(measure(|| drop(vec![0u8; 10])).count_total, 1);
}

#[test]
fn memory_in_any_number_of_bufs() {
    let body = Bytes::from(vec![b'x'; 100]);
    for links in [1, 3, 5, 64, 1000] {
        for most in [1000, usize::MAX] {
            let mut connection = Connection::new(context(false), Slow::new(most));
            let response = || {
                let bufs = (0..links).map(|_| Buf::from(body.clone()));
                bufs.chain([Buf::last()]).collect()
            };
            assert_eq!(connection.allocations(response), 0, "{links} links, {most}");
        }
    }
}

#[test]
fn a_file_that_is_copied() {
    for len in [100, 5000, 100_000] {
        let file = file(len);
        let mut connection = Connection::new(context(false), Slow::new(1000));
        let response = || file_response(&file, len as u64);
        assert_eq!(connection.allocations(response), 0, "{len} bytes");
        assert!(connection.output.stats().reused > 0);
    }
}

#[test]
fn an_output_chain_that_starts_over() {
    let file = file(5000);
    let mut connection = Connection::new(context(false), Slow::new(1000));
    for _ in 0..3 {
        connection.respond(file_response(&file, 5000));
        connection.output.reset(context(false));
    }
    let made = measure(|| {
        connection.respond(file_response(&file, 5000));
        connection.output.reset(context(false));
        connection.respond(file_response(&file, 5000));
    });
    assert_eq!(made.count_total, 0);
    assert_eq!(
        measure(|| drop(OutputChain::new(context(true)))).count_total,
        0
    );
}

#[test]
fn a_file_that_somebody_else_reads() {
    let file = file(50_000);
    let mut connection = Connection::new(context(false), Slow::new(3000));
    let jobs = Arc::new(Jobs::new());
    connection.output.set_reader(Some(jobs.clone()));
    connection.jobs = Some(jobs);
    assert_eq!(connection.allocations(|| file_response(&file, 50_000)), 0);
}

#[test]
fn a_file_that_is_sent() {
    let file = file(50_000);
    let mut sink = Slow::new(3000);
    sink.sends_files = true;
    let mut connection = Connection::new(context(true), sink);
    assert_eq!(connection.allocations(|| file_response(&file, 50_000)), 0);
    assert_eq!(connection.output.memory(), 0);
}

#[test]
fn a_file_past_the_page_cache() {
    let mut file = Arc::into_inner(file(50_000)).unwrap();
    file.file().sync_all().unwrap();
    if let Err(error) = file.make_direct(512) {
        println!(
            "skipped: no direct I/O in {}: {error}",
            std::env::temp_dir().display()
        );
        return;
    }
    let file = Arc::new(file);
    let mut connection = Connection::new(context(true), Slow::new(3000));
    assert_eq!(connection.allocations(|| file_response(&file, 50_000)), 0);
}

#[test]
fn copies_that_are_changed() {
    let file = file(20_000);
    let mut cx = context(false);
    cx.need_in_temp = true;
    let mut connection = Connection::new(cx, Slow::new(3000));
    connection.changes = true;
    let shared = Bytes::from(vec![b'x'; 5000]);
    let response = || {
        let mut chain = file_response(&file, 20_000);
        chain.push_front(shared.clone());
        chain
    };
    assert_eq!(connection.allocations(response), 0);
    let stats = connection.output.stats();
    assert!(stats.peak <= 2 && stats.reused > 20, "{stats:?}");
}

#[test]
fn many_small_pieces_and_small_files() {
    let (file, piece) = (file(9000), Bytes::from(vec![b'x'; 100]));
    for copies in [0, 512] {
        let mut sink = Slow::new(3000);
        (sink.sends_files, sink.copies) = (true, copies);
        let mut connection = Connection::new(context(true), sink);
        let response = || {
            let mut chain: Chain = (0..100).map(|_| Buf::from(piece.clone())).collect();
            for from in [0, 2, 5000] {
                chain.push(Buf::file(Arc::clone(&file), from..from + 1000));
                chain.push(Bytes::clone(&piece));
            }
            chain.push(Buf::last());
            chain
        };
        assert_eq!(connection.allocations(response), 0, "{copies}");
    }
}

#[test]
fn a_writer_that_reads_files_itself() {
    let file = file(100_000);
    let mut connection = Connection::new(context(true), Slow::new(3000));
    assert_eq!(connection.allocations(|| file_response(&file, 100_000)), 0);
}
