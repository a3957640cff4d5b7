//! How many connections a thread may have at a time (`worker_connections`), with clients and with
//! backends.
//!
//! Who is about to have one more takes a [`Seat`] first. When all are taken, connections that wait
//! for nothing but more work make room, the one that has been idle for longest first; when there is
//! none, there is no seat. A thread for which nobody has [set a limit](set_limit) has no limit.
//!
//! ```
//! use ngx_core::net::seats;
//!
//! seats::set_limit(2);
//! let one = seats::take()?;
//! let other = seats::take()?;
//! assert!(seats::take().is_err());
//! drop(one);
//! assert!(seats::take().is_ok());
//! # drop(other);
//! # Ok::<(), seats::NoSeat>(())
//! ```

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::time::now_ms;
use crate::{alert, warn};

/// The place of one connection; given back when dropped, by whatever thread.
#[derive(Debug)]
#[must_use = "the seat is free again when this is dropped"]
pub struct Seat(Arc<AtomicUsize>);

/// All seats are taken by connections that are busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no connection is free")]
pub struct NoSeat;

/// Somebody who keeps idle connections.
pub trait Idlers {
    /// Since when the one that is idle for longest is, in milliseconds of [`now_ms`]; `None` if
    /// there is none.
    fn idle_since(&self) -> Option<u64>;

    /// Closes that one, now or as soon as its task runs; another one the next time.
    fn close_eldest(&self);
}

/// Lets the calling thread have so many connections at a time. Those above that stay.
pub fn set_limit(connections: usize) {
    SEATS.with(|seats| {
        seats.limit.set(connections);
        seats.refused_at.set(0);
        seats.reused_at.set(0);
    });
}

/// Has idle connections of the calling thread make room, for as long as their keeper is there.
pub fn register<T: Idlers + 'static>(keeper: &Rc<T>) {
    let keeper: Weak<T> = Rc::downgrade(keeper);
    SEATS.with(|seats| {
        let mut keepers = seats.keepers.borrow_mut();
        keepers.retain(|keeper| keeper.strong_count() > 0);
        keepers.push(keeper);
    });
}

/// A seat of the calling thread. That seats are scarce is logged once in a while.
///
/// # Errors
///
/// There is none.
pub fn take() -> Result<Seat, NoSeat> {
    SEATS.with(Seats::take)
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl From<NoSeat> for io::Error {
    fn from(error: NoSeat) -> Self {
        Self::other(error)
    }
}

impl NoSeat {
    /// Whether this is why something failed.
    #[must_use]
    pub fn is_cause_of(error: &io::Error) -> bool {
        let cause = error.get_ref();
        cause
            .and_then(|cause| cause.downcast_ref::<Self>())
            .is_some()
    }
}

/// Those of one thread. Counted in a way that other threads may have a part in, since a connection
/// may end in another one; nobody waits for anybody.
struct Seats {
    taken: Arc<AtomicUsize>,
    limit: Cell<usize>,
    keepers: RefCell<Vec<Weak<dyn Idlers>>>,
    /// When the log was told last, in milliseconds; 0 for never.
    refused_at: Cell<u64>,
    reused_at: Cell<u64>,
}

thread_local! {
    static SEATS: Seats = Seats {
        taken: Arc::default(),
        limit: Cell::new(usize::MAX),
        keepers: RefCell::default(),
        refused_at: Cell::new(0),
        reused_at: Cell::new(0),
    };
}

impl Seats {
    fn take(&self) -> Result<Seat, NoSeat> {
        if self.taken.load(Ordering::Relaxed) >= self.limit.get() {
            let room = self.make_room();
            self.log(room);
            if !room {
                return Err(NoSeat);
            }
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        Ok(Seat(Arc::clone(&self.taken)))
    }

    /// Has the connection that is idle for longest close. There is none if all are busy.
    fn make_room(&self) -> bool {
        let keepers: Vec<Rc<dyn Idlers>> = {
            let keepers = self.keepers.borrow();
            keepers.iter().filter_map(Weak::upgrade).collect()
        };
        let idle = keepers
            .iter()
            .filter_map(|keeper| Some((keeper.idle_since()?, keeper)));
        let eldest = idle.min_by_key(|(since, _)| *since);
        if let Some((_, keeper)) = eldest {
            keeper.close_eldest();
        }
        eldest.is_some()
    }

    fn log(&self, room: bool) {
        let (limit, now) = (self.limit.get(), now_ms().max(1));
        let last = if room {
            &self.reused_at
        } else {
            &self.refused_at
        };
        if last.get() != 0 && now.saturating_sub(last.get()) < LOGGED {
            return;
        }
        last.set(now);
        if room {
            warn!("{limit} worker_connections are not enough, reusing connections");
        } else {
            alert!("{limit} worker_connections are not enough");
        }
    }
}

/// How often the log is told, in milliseconds.
const LOGGED: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Idle since the milliseconds that are left.
    struct Idle(RefCell<Vec<(u64, Seat)>>);

    impl Idlers for Idle {
        fn idle_since(&self) -> Option<u64> {
            Some(self.0.borrow().last()?.0)
        }

        fn close_eldest(&self) {
            self.0.borrow_mut().pop();
        }
    }

    #[test]
    fn the_eldest_of_all_makes_room() {
        set_limit(4);
        let keeper = |times: &[u64]| {
            let idle = times.iter().map(|time| (*time, take().unwrap()));
            let keeper = Rc::new(Idle(RefCell::new(idle.collect())));
            register(&keeper);
            keeper
        };
        let (one, other) = (keeper(&[30, 10]), keeper(&[40, 20]));
        let left = || (one.0.borrow().len(), other.0.borrow().len());
        let mut busy = Vec::new();
        for expected in [(1, 2), (1, 1), (0, 1), (0, 0)] {
            busy.push(take().unwrap());
            assert_eq!(left(), expected);
        }
        assert_eq!(take().unwrap_err(), NoSeat);
        busy.pop();
        busy.push(take().unwrap());
        // Who is gone is not asked, and a larger limit counts at once.
        drop(one);
        set_limit(5);
        busy.push(take().unwrap());
        assert!(take().is_err());
    }

    #[test]
    fn a_seat_comes_back_from_another_thread() {
        set_limit(1);
        let seat = take().unwrap();
        assert!(take().is_err());
        std::thread::spawn(move || drop(seat)).join().unwrap();
        assert!(take().is_ok());
    }

    #[test]
    fn errors_are_told_apart() {
        assert!(NoSeat::is_cause_of(&NoSeat.into()));
        assert!(!NoSeat::is_cause_of(&io::ErrorKind::TimedOut.into()));
    }
}
