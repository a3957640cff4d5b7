//! What runs that have ended leave to the next ones.

use std::cell::RefCell;
use std::rc::Rc;

use super::lane::Lane;

/// What runs are made of, kept for others.
///
/// It belongs to whoever has the engine, not to the engine, which the runs in it know.
#[derive(Default)]
///
/// A lane is kept with its run, which knows nothing of what it was for, and with its thread if that is
/// at rest; nobody else has any of these.
pub(crate) struct Spare(RefCell<Vec<Rc<Lane>>>);

/// A burst must not be kept for ever.
const MOST: usize = 256;

impl Spare {
    /// What some run has left, if there is anything.
    #[inline]
    pub(super) fn take(&self) -> Option<Rc<Lane>> {
        self.0.borrow_mut().pop()
    }

    /// Keeps what is left of a run that has ended, if nobody else has it.
    #[inline(always)]
    pub(super) fn keep(&self, lane: &mut Rc<Lane>) {
        // Before anything is borrowed: what a run lets go of may end all kinds of things.
        if Lane::forget(lane) {
            let mut all = self.0.borrow_mut();
            if all.len() < MOST {
                all.push(Rc::clone(lane));
                return;
            }
        }
        lane.recycle();
    }

    /// Lets go of everything.
    pub(crate) fn clear(&self) {
        let all = self.0.take();
        drop(all);
    }
}
