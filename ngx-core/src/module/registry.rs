//! All modules of a binary, and their directives by name.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;

use super::contexts::Contexts;
use super::descriptor::{Directive, Module};
use super::parts::Parts;

/// The modules that a binary is made of.
///
/// Several modules may have a directive of one name, as long as they have it in different
/// contexts.
pub struct Registry {
    modules: Vec<&'static Module>,
    rows: HashMap<&'static str, Vec<Row>>,
    extensions: Parts,
}

/// A directive and whose it is.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The module that has the directive.
    pub module: &'static Module,
    /// The directive.
    pub directive: &'static Directive,
}

/// Modules that cannot be in one binary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// A module is listed twice.
    #[error("module \"{0}\" is listed twice, list it once")]
    DuplicateModule(&'static str),
    /// Two rows claim one name in one context.
    #[error("modules \"{first}\" and \"{second}\" both have a directive \"{name}\" in {contexts}")]
    DuplicateDirective {
        /// The directive.
        name: &'static str,
        /// The module that comes first.
        first: &'static str,
        /// The module that comes second.
        second: &'static str,
        /// What the rows have in common.
        contexts: Contexts,
    },
}

impl Registry {
    /// A registry of these modules. Their order has no meaning.
    ///
    /// # Errors
    ///
    /// [`RegistryError`] when two of them are in each other's way.
    pub fn new(modules: &[&'static Module]) -> Result<Self, RegistryError> {
        let mut registry = Self {
            modules: Vec::new(),
            rows: HashMap::new(),
            extensions: Parts::default(),
        };
        for &module in modules {
            registry.add(module)?;
        }
        Ok(registry)
    }

    /// Gives setters a value that they find with [`Registry::extension`]: a list of what modules
    /// contribute beside directives.
    #[must_use]
    pub fn with_extension<T: Any + Send + Sync>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// The value of this type that was given to the registry.
    #[must_use]
    pub fn extension<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.extensions.get()
    }

    /// All modules.
    #[must_use]
    pub fn modules(&self) -> &[&'static Module] {
        &self.modules
    }

    /// Whether a module of this name is built in.
    #[must_use]
    pub fn has_module(&self, name: &str) -> bool {
        self.modules.iter().any(|module| module.name == name)
    }

    /// The directives of this name.
    #[must_use]
    pub fn lookup(&self, name: &str) -> &[Row] {
        self.rows.get(name).map_or(&[], Vec::as_slice)
    }

    /// The directive of this name that may stand in `context`.
    #[must_use]
    pub fn find(&self, name: &str, context: Contexts) -> Option<Row> {
        let mut rows = self.lookup(name).iter();
        rows.find(|row| row.directive.contexts.intersects(context))
            .copied()
    }

    /// Where a directive of this name may stand.
    #[must_use]
    pub fn contexts_of(&self, name: &str) -> Contexts {
        let rows = self.lookup(name).iter();
        rows.fold(Contexts::NONE, |contexts, row| {
            contexts.or(row.directive.contexts)
        })
    }

    /// Whether the block of such a directive is text in another language.
    pub(crate) fn is_raw(&self, name: &str) -> bool {
        name.ends_with("_by_lua_block")
            || self
                .lookup(name)
                .iter()
                .any(|row| row.directive.arity.has_raw_block())
    }

    pub(crate) fn names(&self, context: Contexts) -> impl Iterator<Item = &'static str> {
        self.rows.iter().filter_map(move |(&name, rows)| {
            let here = rows
                .iter()
                .any(|row| row.directive.contexts.intersects(context));
            here.then_some(name)
        })
    }

    fn add(&mut self, module: &'static Module) -> Result<(), RegistryError> {
        if self.has_module(module.name) {
            return Err(RegistryError::DuplicateModule(module.name));
        }
        self.modules.push(module);
        for directive in module.directives {
            let rows = self.rows.entry(directive.name).or_default();
            let contexts = directive.contexts;
            if let Some(row) = rows
                .iter()
                .find(|row| row.directive.contexts.intersects(contexts))
            {
                return Err(RegistryError::DuplicateDirective {
                    name: directive.name,
                    first: row.module.name,
                    second: module.name,
                    contexts: row.directive.contexts.and(contexts),
                });
            }
            rows.push(Row { module, directive });
        }
        Ok(())
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.modules.iter().map(|module| module.name).collect();
        f.debug_struct("Registry")
            .field("modules", &names)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::Arity;

    const ROW: Directive = Directive {
        name: "return",
        contexts: Contexts::SERVER.or(Contexts::LOCATION),
        arity: Arity::range(1, 2),
        set: |_, _| Ok(()),
        default: "",
        doc: "",
    };
    static REWRITE: Module = Module {
        name: "rewrite",
        directives: &[ROW],
    };
    static STREAM: Module = Module {
        name: "stream_return",
        directives: &[Directive {
            contexts: Contexts::STREAM_SERVER,
            ..ROW
        }],
    };
    static CLASH: Module = Module {
        name: "clash",
        directives: &[ROW],
    };

    #[test]
    fn one_name_may_mean_two_things_in_two_places() {
        let registry = Registry::new(&[&REWRITE, &STREAM])
            .unwrap()
            .with_extension(7_u8);
        let owner = |context| registry.find("return", context).map(|row| row.module.name);
        assert_eq!(owner(Contexts::LOCATION), Some("rewrite"));
        assert_eq!(owner(Contexts::STREAM_SERVER), Some("stream_return"));
        assert_eq!(owner(Contexts::MAIN), None);
        assert_eq!(
            registry.contexts_of("return").to_string(),
            "server, location, stream server"
        );
        assert!(registry.has_module("rewrite") && !registry.has_module("return"));
        assert_eq!(registry.extension::<u8>(), Some(&7));
        assert_eq!(registry.extension::<u16>(), None);
    }

    #[test]
    fn modules_in_each_others_way_are_refused() {
        assert_eq!(
            Registry::new(&[&REWRITE, &CLASH]).unwrap_err().to_string(),
            "modules \"rewrite\" and \"clash\" both have a directive \"return\" in server, location"
        );
        assert_eq!(
            Registry::new(&[&REWRITE, &REWRITE]).unwrap_err(),
            RegistryError::DuplicateModule("rewrite")
        );
    }
}
