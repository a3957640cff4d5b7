//! The zones of a configuration.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// What a zone is: all of it must be the same for a reload to keep what is in the zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZoneSpec<'a> {
    /// Its name, which no other zone of the configuration has.
    pub name: &'a str,
    /// Its size in bytes.
    pub size: usize,
    /// The module that it belongs to.
    pub owner: &'static str,
    /// What else decides over the meaning of its contents, such as the key of a limit; empty if
    /// there is nothing.
    pub key: &'a str,
}

/// A zone as the directive holds it that declared it.
///
/// It is empty while the configuration is being read, and has contents in a
/// [`Cycle`](crate::cycle::Cycle).
pub struct Zone<T> {
    contents: Arc<OnceLock<Arc<T>>>,
}

impl<T> Zone<T> {
    /// What is in the zone; `None` before the configuration is complete.
    #[must_use]
    pub fn get(&self) -> Option<&Arc<T>> {
        self.contents.get()
    }
}

impl<T> Clone for Zone<T> {
    fn clone(&self) -> Self {
        Self {
            contents: Arc::clone(&self.contents),
        }
    }
}

impl<T> fmt::Debug for Zone<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zone")
            .field("filled", &self.get().is_some())
            .finish()
    }
}

/// Why a zone cannot be declared; displays nginx's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZoneConflict {
    /// Another module has a zone of this name.
    #[error("the shared memory zone \"{name}\" is already declared for a different use")]
    OtherUse {
        /// The name.
        name: String,
    },
    /// It was declared with another size.
    #[error(
        "the size {size} of shared memory zone \"{name}\" conflicts with already declared size \
         {declared}"
    )]
    OtherSize {
        /// The name.
        name: String,
        /// The size that was to be.
        size: usize,
        /// The size that it has.
        declared: usize,
    },
    /// It was declared before, in the same way; modules have words of their own for that.
    #[error("the shared memory zone \"{name}\" is already declared")]
    Repeated {
        /// The name.
        name: String,
    },
}

/// The zones of a configuration; a part that directives fill
/// ([`Cx::part`](crate::module::Cx::part)).
///
/// [`Cycle::build`](crate::cycle::Cycle::build) gives them contents: those of the zones of the
/// generation before that are the same, or else the ones that they were declared with. Two
/// generations share the contents for as long as both live.
///
/// ```
/// use std::path::Path;
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use ngx_core::conf::MemorySource;
/// use ngx_core::cycle::{BuildOptions, Cycle};
/// use ngx_core::main_module;
/// use ngx_core::module::{Arity, Contexts, Directive, Module, Registry};
/// use ngx_core::log::LogFiles;
/// use ngx_core::zone::{ZoneSpec, Zones};
///
/// static MODULE: Module = Module {
///     name: "counters",
///     directives: &[Directive {
///         name: "counter",
///         contexts: Contexts::MAIN,
///         arity: Arity::ONE,
///         set: |cx, args| {
///             let name = args.arg(0).as_str();
///             let spec = ZoneSpec { name, size: 4, owner: "counters", key: "" };
///             let zone = cx.part::<Zones>().declare(spec, AtomicU32::new(0));
///             zone.map(drop).map_err(|why| args.problem_at(0, why.to_string()))
///         },
///         default: "",
///         doc: "A number that outlives reloads.",
///     }],
/// };
///
/// let modules: Vec<_> = main_module::ALL.iter().copied().chain([&MODULE]).collect();
/// let registry = Registry::new(&modules)?.with_extension(Arc::new(LogFiles::default()));
/// let source = MemorySource::new().with_file("/ngx.conf", "counter hits; events { }");
/// let options = BuildOptions::default();
/// let build = |old| Cycle::build(&registry, &source, Path::new("/ngx.conf"), &options, old);
///
/// let first = build(None)?;
/// let hits = first.zones().get::<AtomicU32>("hits").expect("declared");
/// hits.fetch_add(1, Ordering::Relaxed);
///
/// let next = build(Some(&first))?;
/// let hits = next.zones().get::<AtomicU32>("hits").expect("declared");
/// assert_eq!(hits.load(Ordering::Relaxed), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Zones {
    zones: BTreeMap<String, Declared>,
}

struct Declared {
    size: usize,
    owner: &'static str,
    key: String,
    state: State,
}

enum State {
    /// The configuration is being read.
    Wanted(Fill),
    Open(Contents),
}

type Contents = Arc<dyn Any + Send + Sync>;

/// Fills a [`Zone`] with the contents of an old one, if they are of its type, or with new ones.
type Fill = Box<dyn FnOnce(Option<Contents>) -> Contents + Send + Sync>;

impl Zones {
    /// Declares a zone. If the generation before has no such zone, `fresh` will be in it.
    ///
    /// # Errors
    ///
    /// [`ZoneConflict`] if there is a zone of this name.
    pub fn declare<T: Any + Send + Sync>(
        &mut self,
        spec: ZoneSpec<'_>,
        fresh: T,
    ) -> Result<Zone<T>, ZoneConflict> {
        if let Some(zone) = self.zones.get(spec.name) {
            return Err(zone.conflict(spec));
        }
        let zone = Zone {
            contents: Arc::default(),
        };
        let slot = zone.clone();
        let fill = move |old: Option<Contents>| -> Contents {
            let kept = old.and_then(|old| old.downcast::<T>().ok());
            let contents = kept.unwrap_or_else(|| Arc::new(fresh));
            Arc::clone(slot.contents.get_or_init(|| contents)) as Contents
        };
        let declared = Declared {
            size: spec.size,
            owner: spec.owner,
            key: spec.key.to_owned(),
            state: State::Wanted(Box::new(fill)),
        };
        self.zones.insert(spec.name.to_owned(), declared);
        Ok(zone)
    }

    /// What is in a zone; `None` if there is no such zone with contents of this type.
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self, name: &str) -> Option<Arc<T>> {
        let contents = self.zones.get(name)?.contents()?;
        Arc::clone(contents).downcast().ok()
    }

    /// The names of the zones, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.zones.keys().map(String::as_str)
    }

    /// The same zones with contents, those of `old` where they are the same.
    pub(crate) fn open(self, old: Option<&Self>) -> Self {
        let open = |(name, mut zone): (String, Declared)| {
            if let State::Wanted(fill) = zone.state {
                let kept = old
                    .and_then(|old| old.zones.get(&name))
                    .filter(|old| old.size == zone.size && old.owner == zone.owner)
                    .filter(|old| old.key == zone.key)
                    .and_then(Declared::contents);
                zone.state = State::Open(fill(kept.cloned()));
            }
            (name, zone)
        };
        Self {
            zones: self.zones.into_iter().map(open).collect(),
        }
    }
}

impl Declared {
    fn contents(&self) -> Option<&Contents> {
        match &self.state {
            State::Open(contents) => Some(contents),
            State::Wanted(_) => None,
        }
    }

    fn conflict(&self, wanted: ZoneSpec<'_>) -> ZoneConflict {
        let name = wanted.name.to_owned();
        if self.owner != wanted.owner {
            return ZoneConflict::OtherUse { name };
        }
        if self.size != wanted.size {
            return ZoneConflict::OtherSize {
                name,
                size: wanted.size,
                declared: self.size,
            };
        }
        ZoneConflict::Repeated { name }
    }
}

impl fmt::Debug for Zones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: ZoneSpec<'_> = ZoneSpec {
        name: "one",
        size: 4096,
        owner: "tests",
        key: "$uri",
    };

    fn opened(spec: ZoneSpec<'_>, fresh: u8, old: Option<&Zones>) -> Zones {
        let mut zones = Zones::default();
        let zone = zones.declare(spec, fresh).unwrap();
        assert!(zone.get().is_none() && zones.get::<u8>(spec.name).is_none());
        let zones = zones.open(old);
        assert!(Arc::ptr_eq(
            zone.get().unwrap(),
            &zones.get::<u8>(spec.name).unwrap()
        ));
        zones
    }

    #[test]
    fn the_same_zone_keeps_its_contents() {
        let old = opened(SPEC, 1, None);
        let next = opened(SPEC, 2, Some(&old));
        assert_eq!(*next.get::<u8>("one").unwrap(), 1);
        let third = opened(SPEC, 3, Some(&next));
        let (first, third) = (old.get::<u8>("one"), third.get::<u8>("one"));
        assert!(Arc::ptr_eq(&first.unwrap(), &third.unwrap()));
    }

    #[test]
    fn a_zone_that_differs_is_new() {
        let old = opened(SPEC, 1, None);
        for spec in [
            ZoneSpec {
                name: "two",
                ..SPEC
            },
            ZoneSpec { size: 8192, ..SPEC },
            ZoneSpec {
                owner: "others",
                ..SPEC
            },
            ZoneSpec { key: "", ..SPEC },
        ] {
            let next = opened(spec, 2, Some(&old));
            assert_eq!(*next.get::<u8>(spec.name).unwrap(), 2, "{spec:?}");
        }
        let mut zones = Zones::default();
        zones.declare(SPEC, "text").unwrap();
        let zones = zones.open(Some(&old));
        assert_eq!(zones.get::<u8>("one"), None);
        assert_eq!(zones.get::<&str>("one").as_deref(), Some(&"text"));
    }

    #[test]
    fn a_name_belongs_to_one_zone() {
        let mut zones = Zones::default();
        zones.declare(SPEC, 1_u8).unwrap();
        let mut conflict = |spec| zones.declare(spec, 2_u8).unwrap_err().to_string();
        assert_eq!(
            conflict(ZoneSpec {
                owner: "others",
                ..SPEC
            }),
            "the shared memory zone \"one\" is already declared for a different use"
        );
        assert_eq!(
            conflict(ZoneSpec { size: 8192, ..SPEC }),
            "the size 8192 of shared memory zone \"one\" conflicts with already declared size 4096"
        );
        assert_eq!(
            conflict(SPEC),
            "the shared memory zone \"one\" is already declared"
        );
        assert_eq!(zones.names().collect::<Vec<_>>(), ["one"]);
    }
}
