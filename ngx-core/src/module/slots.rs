//! Finished configurations, found by number.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::scope::AnyConf;
use crate::conf::{Problem, Span};

/// The configuration of one module at one level.
pub trait Conf: Any + Send + Sync + Default {
    /// Takes over from the enclosing block what is not set here. Called once, when everything is
    /// read, if the module has a directive in this block and in one around it.
    ///
    /// # Errors
    ///
    /// What is set here does not go with what is set there.
    fn merge(&mut self, parent: &Self) -> Result<(), Problem>;

    /// Checks and completes the values. Called once after [`Conf::merge`], whether there was
    /// anything to merge or not.
    ///
    /// # Errors
    ///
    /// The values do not go together.
    fn finish(&mut self) -> Result<(), Problem> {
        Ok(())
    }

    /// Warns of what is likely not meant. Called before [`Conf::merge`] with what the enclosing
    /// block has set, if it has set anything of this module.
    fn warn(&self, _parent: &Self, _report: &mut dyn FnMut(Problem)) {}

    /// Tells which directives its values come from, those that were inherited included: where
    /// they stand. Directives of one name in one block need only be told once.
    fn places(&self, _tell: &mut dyn FnMut(Span)) {}
}

/// To which blocks a configuration belongs.
///
/// A block has the configurations of its own level and of the levels within it: a location
/// setting may stand in `http`, for all locations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// The whole configuration.
    Global,
    /// The `events` block.
    Events,
    /// The `http` block (nginx: main).
    Main,
    /// A `server` block.
    Server,
    /// A `location` block.
    Location,
    /// An `upstream` block.
    Upstream,
    /// The `stream` block.
    StreamMain,
    /// A `server` block within `stream`.
    StreamServer,
    /// An `upstream` block within `stream`.
    StreamUpstream,
}

impl Level {
    /// Whether a block of this level has configurations of `inner`.
    pub(crate) const fn owns(self, inner: Self) -> bool {
        match self {
            Self::Global => true,
            Self::Main => matches!(inner, Self::Main | Self::Server | Self::Location),
            Self::Server => matches!(inner, Self::Server | Self::Location),
            Self::StreamMain => matches!(inner, Self::StreamMain | Self::StreamServer),
            Self::Location => matches!(inner, Self::Location),
            Self::Events => matches!(inner, Self::Events),
            Self::Upstream => matches!(inner, Self::Upstream),
            Self::StreamServer => matches!(inner, Self::StreamServer),
            Self::StreamUpstream => matches!(inner, Self::StreamUpstream),
        }
    }
}

/// The key to the configuration `T` of a module, kept in a static.
///
/// Slots are numbered by the process as they are first used, so reading a finished configuration
/// costs an index and a check of the type.
pub struct Slot<T> {
    level: Level,
    index: OnceLock<usize>,
    default: OnceLock<T>,
}

impl<T: Conf> Slot<T> {
    /// A slot for blocks of this level.
    #[must_use]
    pub const fn new(level: Level) -> Self {
        Self {
            level,
            index: OnceLock::new(),
            default: OnceLock::new(),
        }
    }

    /// The configuration of this module in `slots`: of the block, or inherited, or the default.
    pub fn of<'a>(&'a self, slots: &'a Slots) -> &'a T {
        let value = slots
            .value(self.index())
            .and_then(|value| (value as &dyn Any).downcast_ref());
        value.unwrap_or_else(|| self.default.get_or_init(T::default))
    }

    /// The configuration of this module in `slots`, shared: for those who ask for it with every
    /// request.
    #[cfg(feature = "http")]
    pub(crate) fn share(&self, slots: &Slots) -> Arc<T> {
        let known = slots.values.get(self.index()).and_then(Option::as_ref);
        let shared = known.and_then(|value| Arc::clone(value).into_any().downcast().ok());
        shared.unwrap_or_default()
    }

    /// The configuration of this module if directives of the block itself have made it: for what
    /// blocks within do not inherit.
    pub fn own<'a>(&self, slots: &'a Slots) -> Option<&'a T> {
        let index = self.index();
        if !slots.owns(index) {
            return None;
        }
        (slots.value(index)? as &dyn Any).downcast_ref()
    }

    /// Whether a directive of this module stands in the block or around it.
    pub fn is_set(&self, slots: &Slots) -> bool {
        slots.value(self.index()).is_some()
    }

    pub(super) const fn level(&self) -> Level {
        self.level
    }

    pub(super) fn index(&self) -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        *self
            .index
            .get_or_init(|| NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

pub(super) type Shared = Arc<dyn AnyConf>;

/// The finished configurations of one block, those inherited from blocks around it included.
///
/// Cheap to clone. A block without directives shares the table of the block around it, and every
/// block shares the configurations that it did not touch.
#[derive(Clone, Default)]
pub struct Slots {
    values: Arc<[Option<Shared>]>,
    /// Those that directives of the block itself have touched: a bit for each.
    own: Arc<[u64]>,
}

impl Slots {
    /// Whether both are one table.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.values, &other.values)
    }

    /// `own` are the numbers of those that the block itself has touched.
    pub(super) fn new(values: Vec<Option<Shared>>, own: &[usize]) -> Self {
        let words = own.iter().max().map_or(0, |last| last / 64 + 1);
        let mut bits = vec![0; words];
        for index in own {
            if let Some(word) = bits.get_mut(index / 64) {
                *word |= 1u64 << (index % 64);
            }
        }
        Self {
            values: Arc::from(values),
            own: Arc::from(bits),
        }
    }

    fn owns(&self, index: usize) -> bool {
        let word = self.own.get(index / 64).copied().unwrap_or(0);
        word & (1 << (index % 64)) != 0
    }

    /// Those of a block without directives inside of this one.
    pub(super) fn inherited(&self) -> Self {
        Self {
            values: Arc::clone(&self.values),
            own: Arc::default(),
        }
    }

    pub(super) fn to_vec(&self) -> Vec<Option<Shared>> {
        self.values.to_vec()
    }

    /// Where the directives stand that the values come from, those around the block included.
    pub fn places(&self, tell: &mut dyn FnMut(Span)) {
        for conf in self.values.iter().flatten() {
            conf.places_of(tell);
        }
    }

    pub(super) fn value(&self, index: usize) -> Option<&dyn AnyConf> {
        self.values.get(index)?.as_deref()
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self.values.iter().filter(|value| value.is_some()).count();
        f.debug_struct("Slots").field("set", &set).finish()
    }
}
