//! Whose calls those are that Lua makes.

use std::cell::Cell;
use std::ptr::NonNull;
use std::rc::Rc;

use crate::sched::Lane;

/// Runs `f`; the calls that Lua makes meanwhile are those of `lane`.
pub(crate) fn with_lane<R>(lane: &Rc<Lane>, f: impl FnOnce() -> R) -> R {
    struct Outer(Option<NonNull<Rc<Lane>>>);

    impl Drop for Outer {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }

    let _outer = Outer(CURRENT.replace(Some(NonNull::from(lane))));
    f()
}

/// The lane of the innermost [`with_lane`] of this thread.
///
/// # Safety
/// The caller is called from inside of it and ends before it does, and with it what it has of the
/// lane: that is what `'a` has to stand for.
pub(super) unsafe fn current<'a>() -> Option<&'a Rc<Lane>> {
    // SAFETY: `with_lane` borrows what the pointer was made of until it puts the outer one back.
    CURRENT.get().map(|lane| unsafe { lane.as_ref() })
}

thread_local! {
    static CURRENT: Cell<Option<NonNull<Rc<Lane>>>> = const { Cell::new(None) };
}
