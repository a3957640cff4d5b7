//! A reader of files that reads when the test wants it to.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{FileReader, ReadJob};

/// Keeps the reads that it is given until the test runs them, one by one.
///
/// ```
/// use std::sync::Arc;
/// use ngx_buf::testing::Jobs;
/// use ngx_buf::{Buf, Chain, FileBuf, Flow, OutputChain, OutputContext, OutputError, Tag};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let jobs = Arc::new(Jobs::new());
/// let mut output = OutputChain::new(OutputContext::new(Tag::new(&"test")));
/// output.set_reader(Some(jobs.clone()));
///
/// let file = Arc::new(FileBuf::open(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"))?);
/// let mut filter = |_: Chain| Ok::<_, OutputError>(Flow::Done);
/// assert_eq!(output.send(Buf::file(file, 0..9).into(), &mut filter)?, Flow::Again);
/// assert!(output.is_reading());
///
/// assert!(jobs.run());
/// assert_eq!(output.send(Chain::new(), &mut filter)?, Flow::Done);
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct Jobs(Mutex<VecDeque<ReadJob>>);

impl Jobs {
    /// No jobs yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list().len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list().is_empty()
    }

    /// Runs the oldest; says whether there was one.
    pub fn run(&self) -> bool {
        let job = self.list().pop_front();
        job.map(ReadJob::run).is_some()
    }

    /// Takes the oldest.
    pub fn take(&self) -> Option<ReadJob> {
        self.list().pop_front()
    }

    fn list(&self) -> MutexGuard<'_, VecDeque<ReadJob>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FileReader for Jobs {
    fn submit(&self, job: ReadJob) -> Result<(), ReadJob> {
        self.list().push_back(job);
        Ok(())
    }

    /// Every read is a job: a test must not depend on what is in the cache.
    fn skips_cached(&self) -> bool {
        false
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list().iter()).finish()
    }
}
