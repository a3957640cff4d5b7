//! The tasks of a reactor.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::places::Places;
use super::{Remote, here, is_home};

pub(super) use super::places::Key as TaskId;

/// The future of a task.
pub(super) type Boxed = Pin<Box<dyn Future<Output = ()>>>;

/// A task while it is not polled, or while it is.
pub(super) struct Task {
    future: Boxed,
    waker: Waker,
}

impl Task {
    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    pub(super) fn poll(&mut self) -> Poll<()> {
        let mut cx = Context::from_waker(&self.waker);
        self.future.as_mut().poll(&mut cx)
    }
}

/// All tasks.
#[derive(Default)]
pub(super) struct Tasks(Places<Entry>);

struct Entry {
    queued: Cell<bool>,
    /// `None` while it is polled.
    task: Option<Task>,
}

impl Tasks {
    pub(super) fn insert(&mut self, future: Boxed, home: u64, remote: &Arc<Remote>) -> TaskId {
        self.0.insert(|id| Entry {
            queued: Cell::new(false),
            task: Some(Task {
                future,
                waker: Waker::from(Arc::new(TaskWaker {
                    id,
                    home,
                    remote: Arc::clone(remote),
                })),
            }),
        })
    }

    /// Those that have not ended.
    pub(super) fn into_tasks(self) -> impl Iterator<Item = Task> {
        self.0.into_all().filter_map(|entry| entry.task)
    }

    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.0.count().0
    }

    /// Marks a task as woken; `false` if it was, or is none any more.
    pub(super) fn queue(&self, id: TaskId) -> bool {
        self.0
            .get(id)
            .is_some_and(|entry| !entry.queued.replace(true))
    }

    /// Takes a task out to be polled; it may be woken meanwhile.
    pub(super) fn take(&mut self, id: TaskId) -> Option<Task> {
        let entry = self.0.get_mut(id)?;
        entry.queued.set(false);
        entry.task.take()
    }

    /// It waits for something.
    pub(super) fn put_back(&mut self, id: TaskId, task: Task) {
        if let Some(entry) = self.0.get_mut(id) {
            entry.task = Some(task);
        }
    }

    /// It has ended: who wakes it wakes nobody.
    pub(super) fn remove(&mut self, id: TaskId) {
        self.0.remove(id);
    }
}

/// Wakes a task, from any thread.
struct TaskWaker {
    id: TaskId,
    home: u64,
    remote: Arc<Remote>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if is_home(self.home) {
            if let Some(reactor) = here() {
                reactor.wake(self.id);
            }
        } else {
            self.remote.wake(self.id);
        }
    }
}
