//! What modules keep per request.

use std::any::Any;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::atomic::AtomicU8;

use smallvec::SmallVec;

/// The name under which one module keeps one value per request: a static, which is told from others
/// by its place.
///
/// Values are `Rc`s with cells inside, so that none is borrowed while something waits.
///
/// ```
/// use std::cell::Cell;
/// use ngx_core::http::CtxSlot;
///
/// #[derive(Default)]
/// struct Seen {
///     bytes: Cell<u64>,
/// }
/// static SEEN: CtxSlot<Seen> = CtxSlot::new();
/// ```
///
/// It is told from others by its place, so it has to be a `static`: a `const` has none.
///
/// ```compile_fail
/// # use std::rc::Rc;
/// # use ngx_core::http::{CtxSlot, Request};
/// const SLOT: CtxSlot<u32> = CtxSlot::new();
/// # fn set(r: &Request) {
/// r.set_ctx(&SLOT, Rc::new(1));
/// # }
/// ```
pub struct CtxSlot<T> {
    lasting: bool,
    /// What can change is never merged with what is alike, nor is a constant of it made a static.
    _apart: AtomicU8,
    again: Option<Again>,
    value: PhantomData<fn() -> T>,
}

/// A value that serves one request after the other, so that none of them has to make one.
pub trait Reused: Any + Default {
    /// Lets go of everything that belongs to the request that was.
    fn forget(&mut self);
}

/// Makes a value of [`Reused`] as good as new; false if somebody still has it.
type Again = fn(&mut Rc<dyn Any>) -> bool;

/// The values of one request, by slot.
#[derive(Default)]
pub(crate) struct Contexts(SmallVec<[Entry; 2]>);

struct Entry {
    /// Where the slot is.
    slot: usize,
    lasting: bool,
    /// It waits for the next request that asks for one.
    asleep: bool,
    again: Option<Again>,
    /// None while it lets go of what it has, and if it is of no use any more.
    value: Option<Rc<dyn Any>>,
}

impl<T: 'static> CtxSlot<T> {
    /// A slot of its own. An internal redirect forgets its value.
    pub const fn new() -> Self {
        Self::of(false, None)
    }

    /// A slot whose value outlives internal redirects: what is told about the whole request.
    pub const fn lasting() -> Self {
        Self::of(true, None)
    }

    const fn of(lasting: bool, again: Option<Again>) -> Self {
        Self {
            lasting,
            _apart: AtomicU8::new(0),
            again,
            value: PhantomData,
        }
    }

    /// What tells it from others: a static has a place of its own.
    fn place(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl<T: Reused> CtxSlot<T> {
    /// A slot as of [`new`](Self::new), whose value a later request may use again.
    pub const fn reused() -> Self {
        Self::of(false, Some(Self::again))
    }

    /// A slot as of [`lasting`](Self::lasting), whose value a later request may use again.
    pub const fn reused_lasting() -> Self {
        Self::of(true, Some(Self::again))
    }

    fn again(value: &mut Rc<dyn Any>) -> bool {
        let known = Rc::get_mut(value).and_then(|value| value.downcast_mut::<T>());
        known.map(T::forget).is_some()
    }
}

impl<T: 'static> Default for CtxSlot<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl Entry {
    /// The value, if it is in use.
    #[inline(never)]
    fn value_of<T: 'static>(&self) -> Option<Rc<T>> {
        let value = self.value.as_ref().filter(|_| !self.asleep)?;
        Rc::clone(value).downcast().ok()
    }
}

impl Contexts {
    /// Most requests that have any values do not have the one that is asked for.
    #[inline(always)]
    pub(crate) fn find<T: 'static>(&self, slot: &'static CtxSlot<T>) -> Option<Rc<T>> {
        let entry = self.0.iter().find(|entry| entry.slot == slot.place())?;
        entry.value_of()
    }

    /// The value of a slot; one that sleeps is woken.
    #[inline]
    pub(crate) fn wake<T: Reused>(&mut self, slot: &'static CtxSlot<T>) -> Option<Rc<T>> {
        let mut all = self.0.iter_mut();
        let entry = all.find(|entry| entry.slot == slot.place())?;
        let value = entry.value.as_ref()?;
        entry.asleep = false;
        Rc::clone(value).downcast().ok()
    }

    /// Sets the value of a slot. What it had is the caller's to drop, for it may ask the request.
    #[must_use = "what is dropped in here may want to borrow this"]
    pub(crate) fn insert<T: 'static>(
        &mut self,
        slot: &'static CtxSlot<T>,
        value: Rc<T>,
    ) -> Option<Rc<dyn Any>> {
        let new = Entry {
            slot: slot.place(),
            lasting: slot.lasting,
            asleep: false,
            again: slot.again,
            value: Some(value),
        };
        match self.0.iter_mut().find(|entry| entry.slot == new.slot) {
            Some(entry) => std::mem::replace(entry, new).value,
            None => {
                self.0.push(new);
                None
            }
        }
    }

    /// Whether no value is in use.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|entry| entry.asleep)
    }

    /// Drops the values, but those that the next request may use. Each is out of its place meanwhile:
    /// what lets go of something may ask the request. What is asked for anew then stays.
    pub(crate) fn rest(this: &RefCell<Self>) {
        let mut is_any_lost = false;
        // Entries are added behind the others; if one is taken away meanwhile, by who lets go of
        // something, the next is for the end of the request.
        let count = this.borrow().0.len();
        for at in 0..count {
            let (taken, again) = match this.borrow_mut().0.get_mut(at) {
                Some(entry) if !entry.asleep => (entry.value.take(), entry.again),
                _ => continue,
            };
            let rested = match (taken, again) {
                (Some(mut value), Some(again)) => again(&mut value).then_some(value),
                _ => None,
            };
            if let Some(entry) = this.borrow_mut().0.get_mut(at)
                && entry.value.is_none()
            {
                is_any_lost |= rested.is_none();
                entry.asleep = true;
                entry.value = rested;
            }
        }
        if is_any_lost {
            let is_kept = |entry: &mut Entry| entry.value.is_some();
            this.borrow_mut().0.retain(is_kept);
        }
    }

    /// What an internal redirect does. What is forgotten is the caller's to drop, as with `insert`.
    #[must_use = "what is dropped in here may want to borrow this"]
    pub(crate) fn redirected(&mut self) -> Self {
        let (lasting, forgotten) = self.0.drain(..).partition(|entry| entry.lasting);
        self.0 = lasting;
        Self(forgotten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static NUMBER: CtxSlot<u32> = CtxSlot::new();
    static TEXT: CtxSlot<&'static str> = CtxSlot::lasting();

    #[test]
    fn each_slot_has_its_own_value() {
        let contexts = RefCell::new(Contexts::default());
        assert!(contexts.borrow().find(&NUMBER).is_none());
        let _ = contexts.borrow_mut().insert(&NUMBER, Rc::new(1));
        let _ = contexts.borrow_mut().insert(&TEXT, Rc::new("text"));
        let _ = contexts.borrow_mut().insert(&NUMBER, Rc::new(2));
        assert_eq!(contexts.borrow().find(&NUMBER).as_deref(), Some(&2));
        assert_eq!(contexts.borrow().find(&TEXT).as_deref(), Some(&"text"));
        drop(contexts.borrow_mut().redirected());
        assert!(
            contexts.borrow().find(&NUMBER).is_none() && contexts.borrow().find(&TEXT).is_some()
        );
        Contexts::rest(&contexts);
        assert!(contexts.borrow().find(&TEXT).is_none());
    }

    #[derive(Default)]
    struct Count(u32);

    impl Reused for Count {
        fn forget(&mut self) {
            self.0 = 0;
        }
    }

    static COUNT: CtxSlot<Count> = CtxSlot::reused();

    #[test]
    fn a_value_that_nobody_has_serves_again() {
        let contexts = RefCell::new(Contexts::default());
        assert!(contexts.borrow_mut().wake(&COUNT).is_none());
        let first = Rc::new(Count(7));
        let place = Rc::as_ptr(&first);
        let _ = contexts.borrow_mut().insert(&COUNT, first);
        let _ = contexts.borrow_mut().insert(&NUMBER, Rc::new(1));
        assert!(!contexts.borrow().is_empty());

        Contexts::rest(&contexts);
        assert!(contexts.borrow().is_empty());
        assert!(
            contexts.borrow().find(&COUNT).is_none() && contexts.borrow().find(&NUMBER).is_none()
        );
        let again = contexts.borrow_mut().wake(&COUNT).unwrap();
        assert_eq!((Rc::as_ptr(&again), again.0), (place, 0));
        assert!(contexts.borrow().find(&COUNT).is_some());

        // Somebody still has it: it is not the next request's.
        Contexts::rest(&contexts);
        assert!(contexts.borrow_mut().wake(&COUNT).is_none());
        assert_eq!(Rc::strong_count(&again), 1);
    }

    #[test]
    fn a_lasting_value_that_serves_again_outlives_a_redirect() {
        static LASTING: CtxSlot<Count> = CtxSlot::reused_lasting();
        let contexts = RefCell::new(Contexts::default());
        let _ = contexts.borrow_mut().insert(&LASTING, Rc::new(Count(7)));
        drop(contexts.borrow_mut().redirected());
        assert_eq!(
            contexts.borrow().find(&LASTING).map(|count| count.0),
            Some(7)
        );
        Contexts::rest(&contexts);
        assert!(contexts.borrow().find(&LASTING).is_none());
        assert_eq!(
            contexts.borrow_mut().wake(&LASTING).map(|count| count.0),
            Some(0)
        );
    }

    #[test]
    fn a_redirect_forgets_a_value_that_could_serve_again() {
        let contexts = RefCell::new(Contexts::default());
        let _ = contexts.borrow_mut().insert(&COUNT, Rc::new(Count(7)));
        drop(contexts.borrow_mut().redirected());
        assert!(contexts.borrow_mut().wake(&COUNT).is_none());
    }

    #[test]
    fn what_lets_go_may_ask_for_others_and_for_itself() {
        thread_local! {
            static CONTEXTS: RefCell<Contexts> = RefCell::default();
        }
        #[derive(Default)]
        struct Asks(bool);
        impl Reused for Asks {
            fn forget(&mut self) {
                CONTEXTS.with(|contexts| {
                    assert!(contexts.borrow().find(&ASKS).is_none());
                    assert!(contexts.borrow().find(&NUMBER).is_some());
                    if self.0 {
                        let _ = contexts.borrow_mut().insert(&ASKS, Rc::new(Self(false)));
                    }
                });
            }
        }
        static ASKS: CtxSlot<Asks> = CtxSlot::reused();

        CONTEXTS.with(|contexts| {
            for anew in [false, true] {
                let _ = contexts.borrow_mut().insert(&ASKS, Rc::new(Asks(anew)));
                let _ = contexts.borrow_mut().insert(&NUMBER, Rc::new(1));
                Contexts::rest(contexts);
                assert!(contexts.borrow().find(&NUMBER).is_none());
                assert_eq!(contexts.borrow().find(&ASKS).is_some(), anew);
            }
            // What was asked for anew is let go of the next time.
            assert!(!contexts.borrow().is_empty());
        });
    }
}
