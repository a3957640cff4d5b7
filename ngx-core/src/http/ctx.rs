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
    value: PhantomData<fn() -> T>,
}

/// The values of one request, by slot.
#[derive(Default)]
pub(crate) struct Contexts(SmallVec<[Entry; 2]>);

struct Entry {
    index: usize,
    lasting: bool,
    value: Rc<dyn Any>,
}

static NEXT: AtomicUsize = AtomicUsize::new(0);

impl<T: 'static> CtxSlot<T> {
    /// A slot of its own. An internal redirect forgets its value.
    pub const fn new() -> Self {
        Self {
            index: OnceLock::new(),
            lasting: false,
            value: PhantomData,
        }
    }

    /// A slot whose value outlives internal redirects: what is told about the whole request.
    pub const fn lasting() -> Self {
        Self {
            lasting: true,
            index: OnceLock::new(),
            value: PhantomData,
        }
    }

    fn index(&self) -> usize {
        *self
            .index
            .get_or_init(|| NEXT.fetch_add(1, Ordering::Relaxed))
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
        Rc::clone(&entry.value).downcast().ok()
    }

    pub(crate) fn insert<T: 'static>(&mut self, slot: &CtxSlot<T>, value: Rc<T>) {
        let index = slot.index();
        self.0.retain(|entry| entry.index != index);
        self.0.push(Entry {
            index,
            lasting: slot.lasting,
            value,
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What an internal redirect does.
    pub(crate) fn redirected(&mut self) {
        self.0.retain(|entry| entry.lasting);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
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
        contexts.clear();
        assert!(contexts.find(&TEXT).is_none());
    }
}
