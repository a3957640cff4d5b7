//! Configurations of a block that is being read.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::slots::{Conf, Level, Shared, Slot, Slots};
use crate::conf::{Diagnostics, Problem, Span};

/// The configurations that the directives of one block have touched.
///
/// It stays unfinished until the blocks around it are read to their end, because what follows a
/// block counts for it too.
pub struct Scope {
    level: Level,
    /// By the numbers of their slots; held by nobody else until the block is finished. Few, in many
    /// scopes: a list is smaller than a map, and as fast.
    confs: Vec<(usize, Shared)>,
}

impl Scope {
    /// An empty scope of a block of this level.
    #[must_use]
    pub fn new(level: Level) -> Self {
        Self {
            level,
            confs: Vec::new(),
        }
    }

    /// Whether no directive has touched anything in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.confs.is_empty()
    }

    /// The configuration of a module in this block; made when it is first asked for.
    ///
    /// The slot must belong to this level or one within it; [`Cx::conf`](super::Cx::conf) sees to
    /// that.
    pub fn conf<T: Conf>(&mut self, slot: &Slot<T>) -> &mut T {
        let index = slot.index();
        let known = self.confs.iter().position(|(own, _)| *own == index);
        let place = known.unwrap_or_else(|| {
            self.confs.push((index, Arc::new(T::default())));
            self.confs.len() - 1
        });
        let conf = self
            .confs
            .get_mut(place)
            .and_then(|(_, conf)| Arc::get_mut(conf));
        match conf.and_then(|conf| conf.as_any_mut().downcast_mut()) {
            Some(conf) => conf,
            None => unreachable!("a number belongs to one slot, and a slot has one type"),
        }
    }

    /// Takes a configuration out, for what is of no use once the block is read.
    #[must_use]
    pub fn take<T: Conf>(&mut self, slot: &Slot<T>) -> T {
        let index = slot.index();
        let place = self.confs.iter().position(|(own, _)| *own == index);
        let conf = place.map(|place| self.confs.swap_remove(place).1);
        let conf = conf.and_then(|conf| conf.into_any().downcast().ok());
        conf.and_then(Arc::into_inner).unwrap_or_default()
    }

    /// Merges with the enclosing block, which is finished, and makes the result permanent.
    /// Problems of values that do not go together are added to `diagnostics`.
    #[must_use]
    pub fn finish(self, parent: &Slots, diagnostics: &mut Diagnostics) -> Slots {
        if self.confs.is_empty() {
            return parent.inherited();
        }
        let mut values = parent.to_vec();
        let own: Vec<usize> = self.confs.iter().map(|(index, _)| *index).collect();
        for (index, mut conf) in self.confs {
            let parent = parent.value(index);
            if let Some(parent) = parent {
                conf.warn_of(parent, &mut |problem| diagnostics.report(problem));
            }
            let own = Arc::get_mut(&mut conf);
            if let Some(Err(problem)) = own.map(|conf| conf.complete(parent)) {
                diagnostics.report(problem);
            }
            if values.len() <= index {
                values.resize(index + 1, None);
            }
            if let Some(value) = values.get_mut(index) {
                *value = Some(conf);
            }
        }
        Slots::new(values, &own)
    }

    pub(super) const fn owns(&self, level: Level) -> bool {
        self.level.owns(level)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("level", &self.level)
            .field("touched", &self.confs.len())
            .finish()
    }
}

/// A [`Conf`] of any type.
pub(super) trait AnyConf: Any + Send + Sync {
    fn as_any_mut(&mut self) -> &mut dyn Any;
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
    fn warn_of(&self, parent: &dyn AnyConf, report: &mut dyn FnMut(Problem));
    fn places_of(&self, tell: &mut dyn FnMut(Span));
    fn complete(&mut self, parent: Option<&dyn AnyConf>) -> Result<(), Problem>;
}

impl<T: Conf> AnyConf for T {
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }

    fn warn_of(&self, parent: &dyn AnyConf, report: &mut dyn FnMut(Problem)) {
        if let Some(parent) = (parent as &dyn Any).downcast_ref() {
            self.warn(parent, report);
        }
    }

    fn places_of(&self, tell: &mut dyn FnMut(Span)) {
        self.places(tell);
    }

    fn complete(&mut self, parent: Option<&dyn AnyConf>) -> Result<(), Problem> {
        if let Some(parent) = parent.and_then(|parent| (parent as &dyn Any).downcast_ref()) {
            self.merge(parent)?;
        }
        self.finish()
    }
}
