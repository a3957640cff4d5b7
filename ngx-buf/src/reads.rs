//! Reads from files that somebody else does.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;

use crate::output::align::Plan;
use crate::{FileBuf, FileError};

/// Has reads from files done where waiting for a disk holds nobody up (nginx: `aio threads`).
///
/// ```text
///   OutputChain::send --submit(job)--> FileReader       a thread that may wait
///        |                                 '---------------> job.run()
///      Again                                                    |
///        |  poll_read <------------- wakes ---------------------'
///   OutputChain::send goes on with what was read
/// ```
///
/// An output chain that has one ([`set_reader`](crate::OutputChain::set_reader)) never waits for a
/// disk itself. [`ReadThreads`](crate::ReadThreads) is one with threads of its own; another one
/// only has to see to it that [`ReadJob::run`] is called:
///
/// ```
/// use ngx_buf::{FileReader, ReadJob};
///
/// struct TokioReader(tokio::runtime::Handle);
///
/// impl FileReader for TokioReader {
///     fn submit(&self, job: ReadJob) -> Result<(), ReadJob> {
///         self.0.spawn_blocking(move || job.run());
///         Ok(())
///     }
/// }
/// ```
pub trait FileReader: Send + Sync {
    /// Takes a job, to be [run](ReadJob::run) soon, on another thread or later on this one.
    ///
    /// # Errors
    ///
    /// The job, if there is no room for it: it is then run by whoever submitted it, at once.
    fn submit(&self, job: ReadJob) -> Result<(), ReadJob>;

    /// Whether what lies in the page cache is to be read without a job, which is much quicker than
    /// any job. Under direct I/O nothing does.
    fn skips_cached(&self) -> bool {
        true
    }
}

impl<R: FileReader + ?Sized> FileReader for Arc<R> {
    fn submit(&self, job: ReadJob) -> Result<(), ReadJob> {
        (**self).submit(job)
    }

    fn skips_cached(&self) -> bool {
        (**self).skips_cached()
    }
}

/// One read from a file, with the memory that it goes to.
///
/// A job that is dropped without having been run fails the chain that waits for it, with
/// [`FileError::Abandoned`].
pub struct ReadJob {
    file: Arc<FileBuf>,
    plan: Plan,
    /// Up to where in the memory it has been done.
    done: usize,
    memory: BytesMut,
    /// Taken when the outcome has been put there.
    slot: Option<Arc<Slot>>,
}

impl ReadJob {
    /// Reads, waits for the disk if need be, and wakes whoever waits for the outcome, be it bytes
    /// or an error.
    pub fn run(mut self) {
        let result = self.file.read(&self.plan, self.done, &mut self.memory);
        self.finish(result);
    }

    /// The file that is read.
    #[must_use]
    pub fn file(&self) -> &Arc<FileBuf> {
        &self.file
    }

    /// Where in the file the read begins.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.plan.offset + (self.done - self.plan.into.start) as u64
    }

    /// How many bytes it wants, the file permitting.
    #[must_use]
    pub fn size(&self) -> usize {
        self.plan.into.end - self.done
    }

    fn finish(&mut self, result: Result<(), FileError>) {
        if let Some(slot) = self.slot.take() {
            let memory = std::mem::take(&mut self.memory);
            slot.put(Outcome { memory, result });
        }
    }
}

impl Drop for ReadJob {
    fn drop(&mut self) {
        if self.slot.is_some() {
            self.finish(Err(FileError::Abandoned {
                name: self.file.name().to_owned(),
                offset: self.offset(),
            }));
        }
    }
}

impl fmt::Debug for ReadJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.offset(), self.offset() + self.size() as u64);
        write!(f, "ReadJob({:?}, {from}..{to})", self.file)
    }
}

/// What has become of a read: the memory comes back in any case.
pub(crate) struct Outcome {
    pub(crate) memory: BytesMut,
    pub(crate) result: Result<(), FileError>,
}

/// The reads of one output chain: one at a time.
#[derive(Default)]
pub(crate) struct Reads {
    reader: Option<Arc<dyn FileReader>>,
    /// Made with the first job, and used for all.
    slot: Option<Arc<Slot>>,
    busy: bool,
    /// The system cannot tell what is in its cache.
    blind: bool,
}

impl Reads {
    pub(crate) fn set_reader(&mut self, reader: Option<Arc<dyn FileReader>>) {
        self.reader = reader;
    }

    /// What is being read is of no interest any more.
    pub(crate) fn reset(&mut self) {
        if self.busy {
            self.busy = false;
            self.slot = None;
        }
    }

    /// Reads, or has somebody read, and then there is no outcome yet.
    pub(crate) fn begin(
        &mut self,
        file: &Arc<FileBuf>,
        plan: &Plan,
        mut memory: BytesMut,
    ) -> Option<Outcome> {
        let mut done = plan.into.start;
        let Some(reader) = &self.reader else {
            let result = file.read(plan, done, &mut memory);
            return Some(Outcome { memory, result });
        };
        if !self.blind && !file.is_direct() && reader.skips_cached() {
            match file.read_cached(plan, &mut memory) {
                Some(n) => done = n,
                None => self.blind = true,
            }
        }
        if done >= plan.window.end {
            return Some(Outcome {
                memory,
                result: Ok(()),
            });
        }
        let slot = self.slot.get_or_insert_default();
        let job = ReadJob {
            file: Arc::clone(file),
            plan: plan.clone(),
            done,
            memory,
            slot: Some(Arc::clone(slot)),
        };
        if let Err(refused) = reader.submit(job) {
            refused.run();
        }
        self.busy = true;
        self.take()
    }

    /// The outcome of the read, if it is there.
    pub(crate) fn take(&mut self) -> Option<Outcome> {
        let outcome = self.slot.as_ref()?.state().outcome.take();
        self.busy &= outcome.is_none();
        outcome
    }

    /// Whether an outcome has not been taken yet.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Ready when there is an outcome to be taken, or none to wait for.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        match &self.slot {
            Some(slot) if self.busy => slot.poll(cx),
            _ => Poll::Ready(()),
        }
    }
}

impl fmt::Debug for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reads")
            .field("reader", &self.reader.is_some())
            .field("busy", &self.busy)
            .finish_non_exhaustive()
    }
}

/// Where a job puts its outcome.
#[derive(Default)]
struct Slot(Mutex<State>);

#[derive(Default)]
struct State {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, outcome: Outcome) {
        let mut state = self.state();
        state.outcome = Some(outcome);
        let waker = state.waker.take();
        // The woken may run at once, and wants the lock.
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.outcome.is_some() {
            return Poll::Ready(());
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => state.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}
