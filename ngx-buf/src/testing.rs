//! For tests: a sink that takes as much as it is told to and remembers what it was given, and a
//! reader of files that reads when it is told to.

#[cfg(feature = "file")]
mod jobs;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use crate::Sink;
use crate::file::read_some_at;
#[cfg(feature = "file")]
pub use jobs::Jobs;

/// A sink that follows a script.
///
/// Every call takes one [`Step`]; when the script is over every call takes up to `portion` bytes.
///
/// ```
/// use ngx_buf::testing::{Step, TestSink};
/// use ngx_buf::{Chain, ChainWriter, Flow};
///
/// # fn main() -> Result<(), ngx_buf::WriteError> {
/// let mut sink = TestSink::new().script([Step::Accept(3), Step::WouldBlock]);
/// let mut writer = ChainWriter::new();
/// writer.push(Chain::from_iter(["hello, ".into(), "world".into()]));
/// assert_eq!(writer.try_write(&mut sink)?, Flow::Again);
/// assert_eq!(sink.received, b"hel");
/// assert_eq!(writer.try_write(&mut sink)?, Flow::Done);
/// assert_eq!(sink.received, b"hello, world");
/// assert_eq!(sink.calls.len(), 3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct TestSink {
    /// All bytes that were taken.
    pub received: Vec<u8>,
    /// All calls that reached the sink, in order.
    pub calls: Vec<Call>,
    script: VecDeque<Step>,
    portion: Option<usize>,
    copies: Option<usize>,
    reads: usize,
    files: bool,
    waiting: bool,
}

/// What a [`TestSink`] does when it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Takes up to so many bytes.
    Accept(usize),
    /// Takes nothing now.
    WouldBlock,
    /// Fails.
    Error(io::ErrorKind),
}

/// A call that a [`TestSink`] has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Memory: in how many pieces, how many bytes of it were taken, and whether more was announced.
    Write {
        /// Pieces offered.
        pieces: usize,
        /// Bytes taken.
        taken: usize,
        /// The hint that a file follows.
        more: bool,
    },
    /// A part of a file.
    File {
        /// Where the part begins.
        offset: u64,
        /// Bytes offered.
        len: usize,
        /// Bytes taken.
        taken: usize,
    },
    /// The sink said that it would block.
    WouldBlock,
    /// The sink failed.
    Error(io::ErrorKind),
}

impl TestSink {
    /// Takes everything at once, memory only.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes up to `bytes` per call.
    #[must_use]
    pub fn portion(mut self, bytes: usize) -> Self {
        self.portion = Some(bytes);
        self
    }

    /// Does these steps first, one per call.
    #[must_use]
    pub fn script(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.script.extend(steps);
        self
    }

    /// Wants pieces of up to `bytes` copied together ([`Sink::copies_up_to`]); 512 if this is not
    /// called.
    #[must_use]
    pub fn copies_up_to(mut self, bytes: usize) -> Self {
        self.copies = Some(bytes);
        self
    }

    /// Wants file ranges of up to `bytes` read ([`Sink::reads_up_to`]); none if this is not called.
    #[must_use]
    pub fn reads_up_to(mut self, bytes: usize) -> Self {
        self.reads = bytes;
        self
    }

    /// Can send files itself.
    #[must_use]
    pub fn with_files(mut self) -> Self {
        self.files = true;
        self
    }

    fn step(&mut self) -> io::Result<usize> {
        match self.script.pop_front() {
            None => Ok(self.portion.unwrap_or(usize::MAX)),
            Some(Step::Accept(n)) => Ok(n),
            Some(Step::WouldBlock) => {
                self.waiting = true;
                self.calls.push(Call::WouldBlock);
                Err(io::ErrorKind::WouldBlock.into())
            }
            Some(Step::Error(kind)) => {
                self.calls.push(Call::Error(kind));
                Err(kind.into())
            }
        }
    }
}

impl Sink for TestSink {
    fn try_write_vectored(&mut self, bufs: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        let mut left = self.step()?;
        let mut taken = 0;
        for buf in bufs {
            let part = buf.get(..left).unwrap_or(buf);
            self.received.extend_from_slice(part);
            taken += part.len();
            left -= part.len();
        }
        self.calls.push(Call::Write {
            pieces: bufs.len(),
            taken,
            more,
        });
        Ok(taken)
    }

    fn copies_up_to(&self) -> usize {
        self.copies.unwrap_or(512)
    }

    fn reads_up_to(&self) -> usize {
        self.reads
    }

    fn sends_files(&self) -> bool {
        self.files
    }

    fn try_send_file(&mut self, file: &File, offset: u64, len: usize) -> io::Result<usize> {
        let before = self.received.len();
        let there = file.metadata()?.len().saturating_sub(offset);
        let most = self.step()?.min(len);
        let most = usize::try_from(there).map_or(most, |there| there.min(most));
        self.received.resize(before + most, 0);
        let read = read_some_at(
            file,
            self.received.get_mut(before..).unwrap_or_default(),
            offset,
        );
        let taken = *read.as_ref().unwrap_or(&0);
        self.received.truncate(before + taken);
        self.calls.push(Call::File { offset, len, taken });
        read
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.waiting) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}
