//! A configuration as one worker thread sees it.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::conf::HttpConf;
use super::server::HostCache;
use crate::cycle::Cycle;

/// One thread's view of a generation of the configuration.
///
/// Requests hold the `Rc`; the shared [`Cycle`] is counted once per thread, not once per request.
/// What modules keep per thread and configuration (idle connections, positions of balancers)
/// lives here and ends with the last request of the generation.
pub struct Generation {
    cycle: Arc<Cycle>,
    http: Arc<HttpConf>,
    hosts: RefCell<HostCache>,
    /// A few: looking through them is the fastest.
    locals: RefCell<Vec<(TypeId, Rc<dyn Any>)>>,
}

impl Generation {
    /// The view of `cycle` for the thread that calls; an empty one if it has no `http` block.
    pub(crate) fn new(cycle: Arc<Cycle>) -> Self {
        let http = cycle.part::<HttpConf>().unwrap_or_default();
        Self {
            cycle,
            http,
            hosts: RefCell::default(),
            locals: RefCell::default(),
        }
    }

    /// The view of `cycle`, with what modules want to do before the first request.
    pub(crate) fn start(cycle: Arc<Cycle>) -> Rc<Self> {
        let generation = Rc::new(Self::new(cycle));
        for hooks in &generation.http.workers {
            (hooks.start)(&generation);
        }
        generation
    }

    /// Tells modules that no new requests come.
    pub(crate) fn retire(self: &Rc<Self>) {
        for hooks in &self.http.workers {
            (hooks.retire)(self);
        }
    }

    /// The configuration it belongs to.
    pub fn cycle(&self) -> &Arc<Cycle> {
        &self.cycle
    }

    /// The compiled `http` block.
    pub fn http(&self) -> &HttpConf {
        &self.http
    }

    /// What was found for the hosts that this thread was asked for last.
    pub(crate) fn hosts(&self) -> &RefCell<HostCache> {
        &self.hosts
    }

    /// What one module keeps for this thread and configuration, made when first asked for.
    pub fn local<T: Any + Default>(&self) -> Rc<T> {
        let key = TypeId::of::<T>();
        let find = |locals: &Vec<(TypeId, Rc<dyn Any>)>| {
            let known = locals.iter().find(|(own, _)| *own == key);
            known.map(|(_, value)| Rc::clone(value))
        };
        let known = find(&self.locals.borrow());
        let value = known.unwrap_or_else(|| {
            let new: Rc<dyn Any> = Rc::new(T::default());
            let mut locals = self.locals.borrow_mut();
            // Making it may have asked for it.
            locals.retain(|(own, _)| *own != key);
            locals.push((key, Rc::clone(&new)));
            new
        });
        // The key is the type, so the downcast holds; a fresh value is right as well.
        value.downcast().unwrap_or_default()
    }
}
