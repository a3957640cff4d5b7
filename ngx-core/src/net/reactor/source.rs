//! The sockets of a reactor.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use rustix::event::epoll::{self, EventData, EventFlags};
use tokio::task::coop;

use super::places::{Key, Places};
use super::tasks::TaskId;
use super::{current, here, is_home};

/// Reading or writing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::net) enum Way {
    Read,
    Write,
}

const READ: u8 = 1;
const WRITE: u8 = 2;
/// Nothing takes this back: there is the end to read, for ever.
const READ_CLOSED: u8 = 4;
const WRITE_CLOSED: u8 = 8;

impl Way {
    fn place(self) -> usize {
        match self {
            Self::Read => 0,
            Self::Write => 1,
        }
    }

    fn open(self) -> u8 {
        match self {
            Self::Read => READ,
            Self::Write => WRITE,
        }
    }

    fn mask(self) -> u8 {
        match self {
            Self::Read => READ | READ_CLOSED,
            Self::Write => WRITE | WRITE_CLOSED,
        }
    }
}

/// What a reactor and a socket know of each other.
///
/// Only the calls of the reactor's thread get as far as this: what is atomic is so that a socket may
/// be moved, not that it may be used elsewhere, and every access is an ordinary one of the
/// processor's.
pub(super) struct Source {
    home: u64,
    /// What the socket is thought ready for.
    readiness: AtomicU8,
    /// The tasks of the reactor's that wait to read and to write.
    waiting: [AtomicU64; 2],
    /// Somebody else waits.
    has_others: AtomicBool,
    others: Mutex<[Option<Waker>; 2]>,
}

/// What a socket is at when a reactor begins to watch it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::net) enum Stage {
    /// Others may listen on it too.
    Listening,
    Connecting,
    Connected,
}

impl Source {
    fn new(home: u64, stage: Stage) -> Self {
        let readiness = if stage == Stage::Connected { WRITE } else { 0 };
        Self {
            home,
            // Whatever else it is ready for the system says.
            readiness: AtomicU8::new(readiness),
            waiting: [const { AtomicU64::new(0) }; 2],
            has_others: AtomicBool::new(false),
            others: Mutex::new([None, None]),
        }
    }

    fn readiness(&self) -> u8 {
        self.readiness.load(Ordering::Relaxed)
    }

    /// Notes what the system says. Who waited for that is no longer thought to: those are to be
    /// polled, unless they are none, and `others` to be woken.
    #[inline]
    pub(super) fn happened(&self, flags: EventFlags, others: &mut Vec<Waker>) -> [TaskId; 2] {
        let mut news = 0;
        let broken = EventFlags::HUP | EventFlags::ERR;
        if flags.intersects(EventFlags::IN | EventFlags::PRI | EventFlags::RDHUP | broken) {
            news |= READ;
        }
        if flags.intersects(EventFlags::OUT | broken) {
            news |= WRITE;
        }
        if flags.intersects(EventFlags::RDHUP | EventFlags::HUP) {
            news |= READ_CLOSED;
        }
        if flags.intersects(EventFlags::HUP) {
            news |= WRITE_CLOSED;
        }
        self.readiness
            .store(self.readiness() | news, Ordering::Relaxed);
        if self.has_others.load(Ordering::Relaxed) {
            self.take_others(news, others);
        }
        let [reader, writer] = &self.waiting;
        [(Way::Read, reader), (Way::Write, writer)].map(|(way, waiting)| {
            let task = TaskId(waiting.load(Ordering::Relaxed));
            if news & way.mask() == 0 || task == TaskId::NONE {
                return TaskId::NONE;
            }
            waiting.store(TaskId::NONE.0, Ordering::Relaxed);
            task
        })
    }

    fn others(&self) -> MutexGuard<'_, [Option<Waker>; 2]> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the wakers of who waits elsewhere for what this `mask` has.
    #[cold]
    fn take_others(&self, mask: u8, taken: &mut Vec<Waker>) {
        let mut others = self.others();
        for (way, other) in [Way::Read, Way::Write].into_iter().zip(others.iter_mut()) {
            if mask & way.mask() != 0 {
                taken.extend(other.take());
            }
        }
        let left = others.iter().any(Option::is_some);
        self.has_others.store(left, Ordering::Relaxed);
    }

    #[cold]
    fn wait_elsewhere(&self, way: Way, waker: &Waker) {
        let mut others = self.others();
        self.has_others.store(true, Ordering::Relaxed);
        let earlier = match others.get_mut(way.place()) {
            Some(Some(known)) if known.will_wake(waker) => None,
            Some(other) => other.replace(waker.clone()),
            None => None,
        };
        // What goes with it may want the lock.
        drop(others);
        drop(earlier);
    }

    /// Has this task wait, or whoever has the waker; a later waiter replaces an earlier one.
    fn wait(&self, way: Way, waker: &Waker) {
        let task = current(waker).unwrap_or(TaskId::NONE);
        if let Some(waiting) = self.waiting.get(way.place()) {
            waiting.store(task.0, Ordering::Relaxed);
        }
        if task == TaskId::NONE {
            self.wait_elsewhere(way, waker);
        } else if self.has_others.load(Ordering::Relaxed) {
            let mut replaced = Vec::new();
            self.take_others(way.mask(), &mut replaced);
        }
    }
}

/// The sockets of a reactor; their keys are what the system returns with an event.
pub(super) type Sources = Places<Arc<Source>>;

/// A socket that a reactor watches, to be dropped on its thread: elsewhere its place stays taken
/// until the reactor ends.
pub(in crate::net) struct Watched {
    source: Arc<Source>,
    key: Key,
    socket: OwnedFd,
    is_shared: bool,
}

impl Watched {
    /// Has the reactor of this thread watch a socket that does not block; if there is none, or the
    /// system refuses, the socket comes back.
    pub(in crate::net) fn new(socket: OwnedFd, stage: Stage) -> Result<Self, OwnedFd> {
        let Some(reactor) = here() else {
            return Err(socket);
        };
        let source = Arc::new(Source::new(reactor.home, stage));
        let key = reactor.sources.borrow_mut().insert(|_| Arc::clone(&source));
        let all = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let data = EventData::new_u64(key.0);
        if epoll::add(&reactor.epoll, &socket, data, all).is_err() {
            reactor.sources.borrow_mut().remove(key);
            return Err(socket);
        }
        Ok(Self {
            source,
            key,
            socket,
            is_shared: stage == Stage::Listening,
        })
    }

    pub(in crate::net) fn poll_ready(
        &self,
        way: Way,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if !is_home(self.source.home) {
            return Poll::Ready(Err(elsewhere()));
        }
        if self.source.readiness() & way.mask() == 0 {
            self.source.wait(way, cx.waker());
            return Poll::Pending;
        }
        // Who always has something to do lets others have their turn now and then.
        ready!(coop::poll_proceed(cx)).made_progress();
        Poll::Ready(Ok(()))
    }

    /// Calls if the socket is thought ready. When the call would block, it is not any more.
    pub(in crate::net) fn try_io(
        &self,
        way: Way,
        call: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let source = &*self.source;
        if !is_home(source.home) {
            return Err(elsewhere());
        }
        if source.readiness() & way.mask() == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let outcome = call();
        if let Err(error) = &outcome
            && error.kind() == io::ErrorKind::WouldBlock
        {
            let left = source.readiness() & !way.open();
            source.readiness.store(left, Ordering::Relaxed);
        }
        outcome
    }
}

#[cold]
fn elsewhere() -> io::Error {
    io::Error::other("the connection belongs to a thread that has ended, or to another one")
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(reactor) = here()
            && reactor.home == self.source.home
        {
            if self.is_shared {
                // The system goes on watching what is open elsewhere.
                let _ = epoll::delete(&reactor.epoll, &self.socket);
            }
            reactor.sources.borrow_mut().remove(self.key);
        }
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}
