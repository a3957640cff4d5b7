//! What runs that have ended leave to the next ones.

use std::cell::RefCell;
use std::rc::Rc;

use super::lane::Lane;
use crate::ffi::Thread;

/// What runs are made of, kept for others.
///
/// It belongs to whoever has the engine, not to the engine, which the runs in it know.
#[derive(Default)]
pub(crate) struct Spare(RefCell<Vec<Rest>>);

/// What one run has left.
#[derive(Default)]
pub(super) struct Rest {
    /// With its run, which knows nothing of what it was for; nobody else has either of them.
    pub(super) lane: Option<Rc<Lane>>,
    /// Empty, and at rest.
    pub(super) thread: Option<Rc<Thread>>,
}

/// A burst must not be kept for ever.
const MOST: usize = 256;

impl Spare {
    /// What some run has left, if there is anything.
    pub(super) fn take(&self) -> Rest {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps what is left of a run that has ended, if nobody else has it.
    pub(super) fn keep(&self, lane: &mut Rc<Lane>, thread: Option<Rc<Thread>>) {
        // Before anything is borrowed: what a run lets go of may end all kinds of things.
        if Lane::forget(lane) {
            let mut all = self.0.borrow_mut();
            if all.len() < MOST {
                all.push(Rest {
                    lane: Some(Rc::clone(lane)),
                    thread,
                });
                return;
            }
        }
        if let Some(thread) = thread.and_then(Rc::into_inner) {
            thread.recycle();
        }
    }

    /// Lets go of everything.
    pub(crate) fn clear(&self) {
        let all = self.0.take();
        drop(all);
    }
}
