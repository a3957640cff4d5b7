//! One value per type.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// What the blocks of a configuration leave behind beside [`Slots`](super::Slots): one value per
/// type, such as the whole of `http`.
#[derive(Default)]
pub struct Parts {
    values: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
}

impl Parts {
    /// The value of type `T`, if somebody made one.
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.values.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// The value of type `T` for changing it, if somebody made one.
    pub fn get_mut<T: Any + Send + Sync>(&mut self) -> Option<&mut T> {
        self.values.get_mut(&TypeId::of::<T>())?.downcast_mut()
    }

    /// Takes the value of type `T` out.
    pub fn take<T: Any + Send + Sync>(&mut self) -> Option<T> {
        let value = self.values.remove(&TypeId::of::<T>())?;
        value.downcast().ok().map(|value| *value)
    }

    /// Puts a value in, and returns the one it replaces.
    pub fn insert<T: Any + Send + Sync>(&mut self, value: T) -> Option<T> {
        let old = self.values.insert(TypeId::of::<T>(), Box::new(value))?;
        old.downcast().ok().map(|old| *old)
    }

    /// Ends the collecting: each value can be had by many from now on.
    #[must_use]
    pub fn share(self) -> SharedParts {
        let shared = |(key, value): (TypeId, Box<dyn Any + Send + Sync>)| (key, Arc::from(value));
        SharedParts {
            values: self.values.into_iter().map(shared).collect(),
        }
    }

    pub(super) fn get_or_default<T: Any + Send + Sync + Default>(&mut self) -> &mut T {
        let fresh = || Box::new(T::default()) as Box<dyn Any + Send + Sync>;
        match self
            .values
            .entry(TypeId::of::<T>())
            .or_insert_with(fresh)
            .downcast_mut()
        {
            Some(value) => value,
            None => unreachable!("values are kept under their own types"),
        }
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("len", &self.values.len())
            .finish()
    }
}

/// The [`Parts`] of a finished configuration.
#[derive(Default)]
pub struct SharedParts {
    values: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl SharedParts {
    /// The value of type `T`, if somebody made one.
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        Arc::clone(self.values.get(&TypeId::of::<T>())?)
            .downcast()
            .ok()
    }
}

impl fmt::Debug for SharedParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedParts")
            .field("len", &self.values.len())
            .finish()
    }
}
