//! Threads that read files.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::{FileReader, ReadJob};

/// A bounded number of threads that read files (nginx: `thread_pool NAME threads=N max_queue=N`).
///
/// A thread is started when there is a job and no other thread is free, so that a pool that nobody
/// uses costs nothing. When as many jobs wait as may, the next is run by whoever submits it: that is
/// slow, but nothing is lost. Dropping the pool ends its threads when all that was submitted is
/// done.
///
/// ```
/// use std::sync::Arc;
/// use ngx_buf::{Buf, Chain, FileBuf, Flow, OutputChain, OutputContext, OutputError, ReadThreads, Tag};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let threads = Arc::new(ReadThreads::new("default", 32, 65536));
/// let mut output = OutputChain::new(OutputContext::new(Tag::new(&"example")));
/// output.set_reader(Some(threads.clone()));
///
/// let file = Arc::new(FileBuf::open(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"))?);
/// let len = file.file().metadata()?.len();
/// let mut chain = Chain::from(Buf::file(file, 0..len));
/// let mut read = 0;
/// while output.send::<OutputError>(std::mem::take(&mut chain), &mut |run| {
///     read += run.size();
///     Ok(Flow::Done)
/// })? == Flow::Again {
///     // Others run on this thread in the meantime.
///     std::future::poll_fn(|cx| output.poll_read(cx)).await;
/// }
/// assert_eq!(read, len);
/// # Ok(())
/// # }
/// ```
pub struct ReadThreads {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    threads: usize,
    max_queue: usize,
    state: Mutex<State>,
    job: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<ReadJob>,
    /// `idle <= started <= threads`
    started: usize,
    idle: usize,
    closed: bool,
}

impl ReadThreads {
    /// Up to `threads` threads (at least one), called `name`, and up to `max_queue` jobs that wait
    /// for one of them.
    #[must_use]
    pub fn new(name: impl Into<String>, threads: usize, max_queue: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                name: name.into(),
                threads: threads.max(1),
                max_queue,
                state: Mutex::default(),
                job: Condvar::new(),
            }),
        }
    }

    /// What the threads are called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// How many threads run now, busy or not.
    #[must_use]
    pub fn started(&self) -> usize {
        self.shared.state().started
    }

    /// How many jobs wait now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.state().queue.len()
    }
}

impl FileReader for ReadThreads {
    fn submit(&self, job: ReadJob) -> Result<(), ReadJob> {
        let mut state = self.shared.state();
        let lacks_thread = state.idle <= state.queue.len();
        if lacks_thread && state.started < self.shared.threads {
            let shared = Arc::clone(&self.shared);
            let builder = thread::Builder::new().name(self.shared.name.clone());
            // A system that has no thread to spare: others may be running, or nobody reads.
            if builder.spawn(move || shared.work()).is_ok() {
                state.started += 1;
            } else if state.started == 0 {
                return Err(job);
            }
        } else if state.queue.len() >= self.shared.max_queue.max(state.idle) {
            return Err(job);
        }
        state.queue.push_back(job);
        drop(state);
        self.shared.job.notify_one();
        Ok(())
    }
}

impl Drop for ReadThreads {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.job.notify_all();
    }
}

impl fmt::Debug for ReadThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ReadThreads({}, {})",
            self.shared.name, self.shared.threads
        )
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does, until the pool is gone and nothing waits.
    fn work(&self) {
        let mut state = self.state();
        loop {
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                job.run();
                state = self.state();
            } else if state.closed {
                state.started -= 1;
                return;
            } else {
                state.idle += 1;
                state = self.job.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Buf, Bufs, Chain, FileBuf, Flow, OutputChain, OutputContext, OutputError, Tag};
    use std::io::Write;
    use std::task::{Context, Wake, Waker};
    use std::time::{Duration, Instant};

    struct Unpark(thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    /// Every read is a job, as under direct I/O.
    struct Always(Arc<ReadThreads>);

    impl FileReader for Always {
        fn submit(&self, job: ReadJob) -> Result<(), ReadJob> {
            self.0.submit(job)
        }

        fn skips_cached(&self) -> bool {
            false
        }
    }

    fn file(len: usize) -> Arc<FileBuf> {
        let mut file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        file.write_all(&content).unwrap();
        Arc::new(FileBuf::new(file, "f"))
    }

    /// Sends the file and waits where it has to; says how often that was.
    fn send(reader: Arc<dyn FileReader>, file: &Arc<FileBuf>, len: u64) -> (Vec<u8>, usize) {
        let mut output = OutputChain::new(OutputContext {
            bufs: Bufs { num: 1, size: 1000 },
            ..OutputContext::new(Tag::new(&"test"))
        });
        output.set_reader(Some(reader));
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut cx = Context::from_waker(&waker);
        let (mut out, mut waits) = (Vec::new(), 0);
        let mut input = Chain::from(Buf::file(Arc::clone(file), 0..len));
        loop {
            let flow = output.send::<OutputError>(std::mem::take(&mut input), &mut |run| {
                out.extend(run.to_vec());
                Ok(Flow::Done)
            });
            if flow.unwrap() == Flow::Done {
                return (out, waits);
            }
            assert!(output.is_reading());
            waits += 1;
            while output.poll_read(&mut cx).is_pending() {
                thread::park();
            }
        }
    }

    fn eventually(what: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(10);
        while !what() {
            assert!(Instant::now() < end, "it never was");
            thread::yield_now();
        }
    }

    #[test]
    fn many_chains_share_few_threads() {
        let threads = Arc::new(ReadThreads::new("few", 2, 100));
        assert_eq!((threads.started(), threads.name()), (0, "few"));
        let len = if cfg!(miri) { 1000 } else { 20_000 };
        let file = file(len);
        thread::scope(|scope| {
            for _ in 0..8 {
                let reader = Arc::new(Always(Arc::clone(&threads)));
                scope.spawn(|| {
                    let (out, waits) = send(reader, &file, len as u64);
                    assert!(out.iter().enumerate().all(|(i, b)| *b == (i % 251) as u8));
                    assert!(out.len() == len && waits <= 20);
                });
            }
        });
        assert!((1..=2).contains(&threads.started()));
        let shared = Arc::downgrade(&threads.shared);
        drop(threads);
        eventually(|| shared.strong_count() == 0);
    }

    #[test]
    fn what_is_cached_needs_no_thread() {
        let file = file(5000);
        let plan = crate::output::align::Plan::new(1, &(0..5000), 0..5000, 0);
        if file.read_cached(&plan, &mut [0; 5000]).is_none() {
            println!("skipped: the system cannot read from its cache alone here");
            return;
        }
        let threads = Arc::new(ReadThreads::new("idle", 2, 100));
        let (out, waits) = send(threads.clone(), &file, 5000);
        assert_eq!((out.len(), waits, threads.started()), (5000, 0, 0));
    }

    #[test]
    fn jobs_that_find_no_room_are_done_at_once() {
        let threads = Arc::new(ReadThreads::new("full", 1, 0));
        let file = file(10);
        let jobs = Arc::new(crate::testing::Jobs::new());
        assert_eq!(send_once(jobs.clone(), &file), Flow::Again);
        let job = jobs.take().unwrap();
        // As if the only thread had a job that takes long.
        threads.shared.state().started = 1;
        assert!(threads.submit(job).is_err());
        let (out, waits) = send(Arc::new(Always(threads.clone())), &file, 10);
        assert_eq!((out.len(), waits), (10, 0));
        assert_eq!(threads.waiting(), 0);
    }

    fn send_once(reader: Arc<dyn FileReader>, file: &Arc<FileBuf>) -> Flow {
        let mut output = OutputChain::new(OutputContext::new(Tag::NONE));
        output.set_reader(Some(reader));
        let input = Buf::file(Arc::clone(file), 0..10).into();
        let flow = output.send::<OutputError>(input, &mut |_| Ok(Flow::Done));
        flow.unwrap()
    }
}
