//! What modules keep per request.

use std::any::Any;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use smallvec::SmallVec;

/// The name under which one module keeps one value per request.
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
pub struct CtxSlot<T> {
    index: OnceLock<usize>,
    lasting: bool,
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
    index: usize,
    lasting: bool,
    /// It waits for the next request that asks for one.
    asleep: bool,
    again: Option<Again>,
    value: Rc<dyn Any>,
}

static NEXT: AtomicUsize = AtomicUsize::new(0);

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
            index: OnceLock::new(),
            lasting,
            again,
            value: PhantomData,
        }
    }

    fn index(&self) -> usize {
        *self
            .index
            .get_or_init(|| NEXT.fetch_add(1, Ordering::Relaxed))
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

impl Contexts {
    pub(crate) fn find<T: 'static>(&self, slot: &CtxSlot<T>) -> Option<Rc<T>> {
        if self.0.is_empty() {
            return None;
        }
        let index = slot.index();
        let entry = self.0.iter().find(|entry| entry.index == index)?;
        if entry.asleep {
            return None;
        }
        Rc::clone(&entry.value).downcast().ok()
    }

    /// The value of a slot; one that sleeps is woken.
    pub(crate) fn wake<T: Reused>(&mut self, slot: &CtxSlot<T>) -> Option<Rc<T>> {
        let index = slot.index();
        let entry = self.0.iter_mut().find(|entry| entry.index == index)?;
        entry.asleep = false;
        Rc::clone(&entry.value).downcast().ok()
    }

    pub(crate) fn insert<T: 'static>(&mut self, slot: &CtxSlot<T>, value: Rc<T>) {
        let index = slot.index();
        self.0.retain(|entry| entry.index != index);
        self.0.push(Entry {
            index,
            lasting: slot.lasting,
            asleep: false,
            again: slot.again,
            value,
        });
    }

    /// Whether no value is in use.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|entry| entry.asleep)
    }

    /// Drops the values, but those that the next request may use.
    pub(crate) fn rest(&mut self) {
        self.0.retain(|entry| {
            let Entry { again, value, .. } = entry;
            entry.asleep = entry.asleep || again.is_some_and(|again| again(value));
            entry.asleep
        });
    }

    /// What an internal redirect does.
    pub(crate) fn redirected(&mut self) {
        self.0.retain(|entry| entry.lasting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static NUMBER: CtxSlot<u32> = CtxSlot::new();
    static TEXT: CtxSlot<&'static str> = CtxSlot::lasting();

    #[test]
    fn each_slot_has_its_own_value() {
        let mut contexts = Contexts::default();
        assert!(contexts.find(&NUMBER).is_none());
        contexts.insert(&NUMBER, Rc::new(1));
        contexts.insert(&TEXT, Rc::new("text"));
        contexts.insert(&NUMBER, Rc::new(2));
        assert_eq!(contexts.find(&NUMBER).as_deref(), Some(&2));
        assert_eq!(contexts.find(&TEXT).as_deref(), Some(&"text"));
        contexts.redirected();
        assert!(contexts.find(&NUMBER).is_none() && contexts.find(&TEXT).is_some());
        contexts.rest();
        assert!(contexts.find(&TEXT).is_none());
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
        let mut contexts = Contexts::default();
        assert!(contexts.wake(&COUNT).is_none());
        let first = Rc::new(Count(7));
        let place = Rc::as_ptr(&first);
        contexts.insert(&COUNT, first);
        contexts.insert(&NUMBER, Rc::new(1));
        assert!(!contexts.is_empty());

        contexts.rest();
        assert!(contexts.is_empty());
        assert!(contexts.find(&COUNT).is_none() && contexts.find(&NUMBER).is_none());
        let again = contexts.wake(&COUNT).unwrap();
        assert_eq!((Rc::as_ptr(&again), again.0), (place, 0));
        assert!(contexts.find(&COUNT).is_some());

        // Somebody still has it: it is not the next request's.
        contexts.rest();
        assert!(contexts.wake(&COUNT).is_none());
        assert_eq!(Rc::strong_count(&again), 1);
    }

    #[test]
    fn a_lasting_value_that_serves_again_outlives_a_redirect() {
        static LASTING: CtxSlot<Count> = CtxSlot::reused_lasting();
        let mut contexts = Contexts::default();
        contexts.insert(&LASTING, Rc::new(Count(7)));
        contexts.redirected();
        assert_eq!(contexts.find(&LASTING).map(|count| count.0), Some(7));
        contexts.rest();
        assert!(contexts.find(&LASTING).is_none());
        assert_eq!(contexts.wake(&LASTING).map(|count| count.0), Some(0));
    }

    #[test]
    fn a_redirect_forgets_a_value_that_could_serve_again() {
        let mut contexts = Contexts::default();
        contexts.insert(&COUNT, Rc::new(Count(7)));
        contexts.redirected();
        assert!(contexts.wake(&COUNT).is_none());
    }
}
