//! The tasks of a reactor.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::{Remote, here, is_home};

/// The future of a task.
pub(super) type Boxed = Pin<Box<dyn Future<Output = ()>>>;

/// The place of a task, and which of those who had it: in the lower and the upper half.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct TaskId(pub(super) u64);

impl TaskId {
    /// The first task of a place has the number 1.
    pub(super) const NONE: Self = Self(0);

    fn place(self) -> usize {
        (self.0 & u64::from(u32::MAX)) as usize
    }

    fn number(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

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

/// All tasks, by place.
#[derive(Default)]
pub(super) struct Tasks {
    places: Vec<Place>,
    free: Vec<u32>,
}

struct Place {
    /// Which task has it, or had it last.
    number: u32,
    queued: Cell<bool>,
    /// `None` while it is polled, and when there is none.
    task: Option<Task>,
}

impl Tasks {
    pub(super) fn insert(&mut self, future: Boxed, home: u64, remote: &Arc<Remote>) -> TaskId {
        let at = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place {
                number: 0,
                queued: Cell::new(false),
                task: None,
            });
            u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
        });
        let Some(place) = self.places.get_mut(at as usize) else {
            return TaskId::NONE;
        };
        // After four thousand million tasks a waker that was kept for so long wakes another one.
        place.number = place.number.wrapping_add(1).max(1);
        let id = TaskId(u64::from(place.number) << 32 | u64::from(at));
        place.task = Some(Task {
            future,
            waker: Waker::from(Arc::new(TaskWaker {
                id,
                home,
                remote: Arc::clone(remote),
            })),
        });
        id
    }

    /// Those that have not ended.
    pub(super) fn into_tasks(self) -> impl Iterator<Item = Task> {
        self.places.into_iter().filter_map(|place| place.task)
    }

    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.places.len()
    }

    fn place(&self, id: TaskId) -> Option<&Place> {
        let place = self.places.get(id.place())?;
        (place.number == id.number()).then_some(place)
    }

    fn place_mut(&mut self, id: TaskId) -> Option<&mut Place> {
        let place = self.places.get_mut(id.place())?;
        (place.number == id.number()).then_some(place)
    }

    /// Marks a task as woken; `false` if it was, or is none any more.
    pub(super) fn queue(&self, id: TaskId) -> bool {
        self.place(id)
            .is_some_and(|place| !place.queued.replace(true))
    }

    /// Takes a task out to be polled; it may be woken meanwhile.
    pub(super) fn take(&mut self, id: TaskId) -> Option<Task> {
        let place = self.place_mut(id)?;
        place.queued.set(false);
        place.task.take()
    }

    /// It waits for something.
    pub(super) fn put_back(&mut self, id: TaskId, task: Task) {
        if let Some(place) = self.place_mut(id) {
            place.task = Some(task);
        }
    }

    /// It has ended.
    pub(super) fn remove(&mut self, id: TaskId) {
        if let Some(place) = self.place_mut(id) {
            // Nobody has this number; who wakes the task wakes nobody.
            place.number = place.number.wrapping_add(1).max(1);
            place.queued.set(false);
            if let Ok(at) = u32::try_from(id.place()) {
                self.free.push(at);
            }
        }
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
