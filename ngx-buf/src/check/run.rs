//! Running a script on the real thing.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::model::{Model, STATIC};
use super::{Op, Part, Script, Setting, file};
use crate::testing::{Jobs, Step, TestSink};
use crate::{
    Buf, Bufs, Chain, ChainWriter, FileBuf, Flags, Flow, OutputChain, OutputContext, OutputError,
    Tag, WriteError,
};

const TAG: Tag = Tag::new(&"check");

impl Script {
    /// Runs it, and compares with the model.
    pub(crate) fn run(&self) {
        let Ok(file) = file(self.setting.alignment) else {
            return;
        };
        let mut run = Run::new(&self.setting, file, self.sink.clone());
        for op in &self.ops {
            if let Err(failure) = run.step(op) {
                run.ended(&failure);
                return;
            }
            run.check();
        }
        match run.finish() {
            Ok(()) => run.complete(),
            Err(failure) => run.ended(&failure),
        }
    }
}

struct Run {
    output: OutputChain,
    way: Way,
    file: Arc<FileBuf>,
    jobs: Arc<Jobs>,
    expected: Model,
    /// Shared memory that the producer holds.
    sources: Vec<Bytes>,
    /// The end of the last file range that was sent.
    file_last: u64,
    bound: u64,
    sink_fails: bool,
}

/// What stands behind the output chain.
struct Way {
    writer: ChainWriter,
    sink: TestSink,
    seen: Model,
    last_seen: bool,
    setting: Setting,
    /// Copies that somebody keeps, with what was in them.
    held: VecDeque<(Buf, Vec<u8>)>,
    /// Changed copies that are to be given back.
    changed: Chain,
    holds: bool,
}

/// Why a script ended before its end.
#[derive(Debug)]
enum Failure {
    Output(OutputError),
    Write(WriteError),
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Self {
        Self::Output(error)
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

impl Run {
    fn new(setting: &Setting, file: Arc<FileBuf>, sink: Vec<Step>) -> Self {
        let sink_fails = sink
            .iter()
            .any(|step| matches!(step, Step::Error(_) | Step::Accept(0)));
        let mut output = OutputChain::new(OutputContext {
            sendfile: setting.sendfile,
            need_in_memory: setting.need_in_memory,
            need_in_temp: setting.need_in_temp,
            alignment: setting.boundary,
            bufs: Bufs {
                num: setting.num,
                size: setting.size,
            },
            ..OutputContext::new(TAG)
        });
        let jobs = Arc::new(Jobs::new());
        if setting.reader {
            output.set_reader(Some(jobs.clone()));
        }
        let mut writer = ChainWriter::new();
        writer.set_postpone(setting.postpone);
        writer.set_turn(setting.turn);
        let mut sink = TestSink::new()
            .script(sink)
            .copies_up_to(setting.copies)
            .reads_up_to(setting.reads);
        if setting.sink_sends_files {
            sink = sink.with_files();
        }
        let quarter = if setting.num == 1 {
            setting.size / 4
        } else {
            0
        };
        let aligned = if setting.alignment > 1 {
            setting.alignment
        } else {
            0
        };
        Self {
            output,
            way: Way {
                writer,
                sink,
                seen: Model::default(),
                last_seen: false,
                setting: setting.clone(),
                held: VecDeque::new(),
                changed: Chain::new(),
                holds: false,
            },
            file,
            jobs,
            expected: Model::default(),
            sources: Vec::new(),
            file_last: 0,
            bound: (setting.num * setting.size + quarter + aligned) as u64,
            sink_fails,
        }
    }

    fn step(&mut self, op: &Op) -> Result<(), Failure> {
        match op {
            Op::Send(parts) => {
                let mut chain = Chain::new();
                for part in parts {
                    self.expected.push(part);
                    chain.push(self.buf(part));
                }
                self.send(chain).map(drop)?;
            }
            Op::Resume => self.send(Chain::new()).map(drop)?,
            Op::Hold(holds) => self.way.holds = *holds,
            Op::Release(n) => self.way.release(*n),
            Op::Read => self.read(),
        }
        Ok(())
    }

    fn send(&mut self, chain: Chain) -> Result<Flow, Failure> {
        let Self { output, way, .. } = self;
        let flow = output.send::<Failure>(chain, &mut |run| way.take(run));
        output.take_back(std::mem::take(&mut way.changed));
        let flow = flow?;
        if flow == Flow::Done {
            assert!(output.is_empty() && !output.is_reading());
        }
        Ok(flow)
    }

    /// Does the oldest read, which has no business behind the end of a range.
    fn read(&mut self) {
        if let Some(job) = self.jobs.take() {
            let last = self
                .file_last
                .next_multiple_of(self.file.alignment() as u64);
            assert!(job.offset() + job.size() as u64 <= last);
            job.run();
        }
    }

    fn buf(&mut self, part: &Part) -> Buf {
        match part {
            Part::Memory {
                bytes,
                shared,
                flags,
            } => {
                let bytes = Bytes::from(bytes.clone());
                if *shared {
                    self.sources.push(bytes.clone());
                }
                Buf::from(bytes).with_flags(*flags)
            }
            Part::Static(flags) => Buf::from_static(STATIC).with_flags(*flags),
            Part::File { from, to, flags } => {
                self.file_last = self.file_last.max(*to);
                Buf::file(Arc::clone(&self.file), *from..*to).with_flags(*flags)
            }
            Part::Special(flags) => Buf::special(*flags),
            Part::Empty(flags) => Buf::from("").with_flags(*flags),
        }
    }

    /// Sends the end, and does what it takes until all is out.
    fn finish(&mut self) -> Result<(), Failure> {
        self.step(&Op::Send(vec![Part::Special(Flags::LAST_BUF)]))?;
        self.step(&Op::Hold(false))?;
        // Every turn moves something: a byte, a step of the sink, or a read.
        for _ in 0..SPARE_TURNS + 2 * self.expected.bytes.len() {
            self.way.release(usize::MAX);
            self.read();
            self.send(Chain::new()).map(drop)?;
            self.check();
            if self.output.is_empty() && self.way.writer.is_empty() {
                return Ok(());
            }
        }
        assert!(self.output.is_empty(), "the output chain is stuck");
        assert!(self.way.writer.is_empty(), "the writer is stuck");
        Ok(())
    }

    /// What holds at any time.
    fn check(&self) {
        assert!(self.output.memory() <= self.bound, "{:?}", self.output);
        assert!(self.output.stats().peak <= self.way.setting.num);
        assert!(self.expected.bytes.starts_with(&self.way.seen.bytes));
        assert!(self.way.seen.bytes.starts_with(&self.way.sink.received));
        let out = self.way.seen.bytes.len() as u64;
        let sent = self.way.writer.sent();
        assert_eq!(sent, self.way.sink.received.len() as u64);
        assert_eq!(sent + self.way.writer.pending(), out);
        assert_eq!(
            out + self.output.pending(),
            self.expected.bytes.len() as u64
        );
        assert!(self.output.is_reading() || self.jobs.is_empty());
    }

    /// What holds when all is out.
    fn complete(&mut self) {
        assert_eq!(self.way.seen, {
            let mut seen = Model::default();
            std::mem::swap(&mut seen, &mut self.expected);
            seen.alerts = 0;
            seen
        });
        assert_eq!(self.way.sink.received, self.way.seen.bytes);
        assert!(self.way.last_seen);
        // The last turn has taken back what the sink took before it.
        assert!(matches!(self.send(Chain::new()), Ok(Flow::Done)));
        let stats = self.output.stats();
        assert_eq!(stats.in_use, 0, "{:?}", self.output);
    }

    /// What holds when the sink has failed: it is told once.
    fn ended(&mut self, failure: &Failure) {
        let (told, error): (bool, &dyn std::error::Error) = match failure {
            Failure::Output(error) => (false, error),
            Failure::Write(error) => (!matches!(error, WriteError::Ended), error),
        };
        assert!(told && self.sink_fails, "{error}");
        assert!(self.way.writer.has_ended() && self.way.writer.is_empty());
        let again = self.way.writer.try_write(&mut self.way.sink);
        assert!(matches!(again, Err(WriteError::Ended)));
        assert!(self.expected.bytes.starts_with(&self.way.sink.received));
    }
}

impl Way {
    fn take(&mut self, run: Chain) -> Result<Flow, Failure> {
        let mut run = run;
        for buf in &mut run {
            self.look_at(buf);
            if self.setting.need_in_temp && buf.is_memory() {
                self.change(buf);
            }
        }
        self.writer.push(run);
        Ok(self.writer.try_write(&mut self.sink)?)
    }

    fn look_at(&mut self, buf: &Buf) {
        let setting = &self.setting;
        assert!(!self.last_seen, "something follows the end");
        assert!(!buf.is_empty() || buf.is_special());
        if buf.is_file() {
            assert!(setting.sendfile && setting.alignment <= 1);
            assert!(!setting.need_in_memory && !setting.need_in_temp);
        }
        if setting.need_in_temp && buf.is_memory() {
            assert!(
                buf.is_unique(),
                "changeable memory that somebody else holds"
            );
        }
        self.last_seen |= buf.flags().contains(Flags::LAST_BUF);
        self.seen.push_buf(buf);
        if let (true, Some(bytes)) = (self.holds, buf.as_slice()) {
            self.held.push_back((buf.clone(), bytes.to_vec()));
        }
    }

    /// Changes the bytes and changes them back, unless somebody has begun to hold them.
    fn change(&mut self, buf: &mut Buf) {
        let invert = |bytes: &mut [u8]| bytes.iter_mut().for_each(|byte| *byte = !*byte);
        let changed = buf.change(invert) && buf.change(invert);
        assert!(changed || self.holds);
        if self.setting.gives_back {
            self.changed.push(buf.clone());
        }
    }

    fn release(&mut self, n: usize) {
        for (buf, bytes) in self.held.drain(..n.min(self.held.len())) {
            assert_eq!(buf.as_slice(), Some(&bytes[..]), "used while it was held");
        }
    }
}

/// Turns beside those that move bytes: the longest script has fewer steps.
const SPARE_TURNS: usize = 50_000;
