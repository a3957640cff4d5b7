//! The workers, as the main thread sees them.

use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::rights::ThreadRights;
use super::worker::{End, Event, Worker};
use super::{Command, Service};
use crate::cycle::Cycle;
use crate::error::errno;
use crate::{alert, notice};

/// The threads that serve, under one generation after the other.
///
/// It does nothing by itself: [`Workers::watch`] must be awaited for threads that die to be
/// started again, and for generations that were replaced to end.
pub struct Workers<S> {
    cycle: Arc<Cycle>,
    /// Generations that some thread may still accept for.
    replaced: Vec<Arc<Cycle>>,
    threads: Vec<Worker>,
    /// Threads that end when their connections do.
    leaving: Vec<Worker>,
    events: UnboundedSender<Event>,
    inbox: UnboundedReceiver<Event>,
    next_id: u64,
    processors: usize,
    wanted: bool,
    /// The calling thread may be the next worker, if that is the only one.
    here: bool,
    service: PhantomData<fn() -> S>,
}

impl<S: Service> Workers<S> {
    /// Starts as many threads as `cycle` says (`worker_processes`).
    ///
    /// # Errors
    ///
    /// The system refuses a thread; those that were started end.
    pub fn start(cycle: Arc<Cycle>) -> io::Result<Self> {
        Self::begin(cycle, false)
    }

    /// The same, but without a thread if one worker is enough and wants nothing that a thread sets
    /// for itself (another user, processors, a priority): the calling thread is the worker then,
    /// within its [`LocalRuntime`](tokio::runtime::LocalRuntime). System calls cost less in a
    /// process of one thread. Workers that come later, or in its place, are threads.
    ///
    /// A connection waits for whatever else the thread does, and the other way round: Lua that
    /// never ends keeps [`watch`](Self::watch) from being polled.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    ///
    /// # Panics
    ///
    /// When it is called outside of a `LocalRuntime`.
    pub fn start_here(cycle: Arc<Cycle>) -> io::Result<Self> {
        Self::begin(cycle, true)
    }

    fn begin(cycle: Arc<Cycle>, here: bool) -> io::Result<Self> {
        let (events, inbox) = unbounded_channel();
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut workers = Self {
            cycle,
            replaced: Vec::new(),
            threads: Vec::new(),
            leaving: Vec::new(),
            events,
            inbox,
            next_id: 1,
            processors,
            wanted: true,
            here,
            service: PhantomData,
        };
        for index in 0..workers.cycle.core().workers() {
            workers.add(index)?;
        }
        Ok(workers)
    }

    /// The generation that new connections get.
    #[must_use]
    pub fn cycle(&self) -> &Arc<Cycle> {
        &self.cycle
    }

    /// How many threads run, those on their way out included.
    #[must_use]
    pub fn running(&self) -> usize {
        self.threads.len() + self.leaving.len()
    }

    /// Whether all threads serve the current generation.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let number = self.cycle.number();
        self.threads.iter().all(|worker| worker.serves >= number)
    }

    /// Gives all threads the next generation. There are more or fewer of them then, and new ones
    /// in place of those whose rights are to change, if it says so.
    ///
    /// The old generation gives up its listening sockets when every thread has taken the new one.
    pub fn swap(&mut self, cycle: Arc<Cycle>) {
        let old = std::mem::replace(&mut self.cycle, cycle);
        self.replaced.push(old);
        self.wanted = true;
        let count = self.cycle.core().workers();
        let mut indices: Vec<usize> = (0..count).collect();
        for worker in std::mem::take(&mut self.threads) {
            let rights = ThreadRights::of(&self.cycle, worker.index, self.processors);
            if worker.index < count && worker.rights == rights {
                indices.retain(|index| *index != worker.index);
                worker.tell(Command::Swap(Arc::clone(&self.cycle)));
                self.threads.push(worker);
            } else {
                let rights_stay = worker.rights == rights;
                worker.tell(if rights_stay {
                    Command::Leave
                } else {
                    Command::Quit
                });
                self.leaving.push(worker);
            }
        }
        for index in indices {
            self.add_or_retry(index);
        }
        self.retire_replaced();
    }

    /// Tells all threads to end when their connections have.
    pub fn quit(&mut self) {
        for worker in self.threads.iter().chain(&self.leaving) {
            worker.tell(Command::Quit);
        }
        self.dismiss();
    }

    /// Tells all threads to end now.
    pub fn terminate(&mut self) {
        for worker in self.threads.iter().chain(&self.leaving) {
            worker.tell(Command::Terminate);
        }
        self.dismiss();
    }

    /// Waits for something to happen to a thread, and does what is to be done about it.
    ///
    /// Must be called within a runtime that has timers.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn watch(&mut self) {
        // The channel stays open: one of its senders is here.
        let Some(event) = self.inbox.recv().await else {
            return;
        };
        match event {
            Event::Serves { id, number } => {
                let mut threads = self.threads.iter_mut();
                if let Some(worker) = threads.find(|worker| worker.id == id) {
                    worker.serves = number;
                }
            }
            Event::Ended { id, end } => self.ended(id, end),
            Event::Restart { index } => {
                let vacant = self.threads.iter().all(|worker| worker.index != index);
                if self.wanted && vacant && index < self.cycle.core().workers() {
                    self.add_or_retry(index);
                }
            }
        }
        self.retire_replaced();
    }

    fn dismiss(&mut self) {
        self.wanted = false;
        self.leaving.append(&mut self.threads);
        self.retire_replaced();
    }

    fn ended(&mut self, id: u64, end: End) {
        self.leaving.retain(|worker| worker.id != id);
        let place = self.threads.iter().position(|worker| worker.id == id);
        match end {
            End::Told => notice!("worker thread {id} exited with code 0"),
            End::Failed => alert!("worker thread {id} exited with code 2"),
            End::Panic => alert!("worker thread {id} exited by a panic"),
        }
        if let Some(place) = place {
            let worker = self.threads.remove(place);
            self.retry(worker.index);
        }
    }

    fn add_or_retry(&mut self, index: usize) {
        if let Err(error) = self.add(index) {
            alert!("clone() failed {}", errno(&error));
            self.retry(index);
        }
    }

    /// Starts a thread for this place in a while.
    fn retry(&self, index: usize) {
        let events = self.events.clone();
        tokio::spawn(async move {
            tokio::time::sleep(PAUSE).await;
            let _workers_are_gone = events.send(Event::Restart { index });
        });
    }

    fn add(&mut self, index: usize) -> io::Result<()> {
        let id = self.next_id;
        self.next_id += 1;
        let rights = ThreadRights::of(&self.cycle, index, self.processors);
        let (cycle, events) = (Arc::clone(&self.cycle), self.events.clone());
        let alone = self.cycle.core().workers() == 1 && rights.are_none();
        let worker = if std::mem::take(&mut self.here) && alone {
            Worker::start_here::<S>(id, rights, cycle, events)
        } else {
            Worker::start::<S>(id, index, rights, cycle, events)?
        };
        notice!("start worker thread {id}");
        self.threads.push(worker);
        Ok(())
    }

    /// Closes the sockets of generations for which nobody accepts any more.
    fn retire_replaced(&mut self) {
        if self.is_settled() {
            self.replaced.drain(..).for_each(|cycle| cycle.retire());
        }
    }
}

/// How soon a thread that died is started again: at once to those who wait, and yet not as a
/// busy loop when it keeps dying.
const PAUSE: Duration = Duration::from_millis(300);
