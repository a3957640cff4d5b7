//! Variables while configuring.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::BitOr;
use std::sync::Arc;

use thiserror::Error;

use super::table::{Entry, VariableTable};
use crate::conf::{Span, suggest};

/// A variable's place in the [`VariableTable`] and among the [`Cells`](super::Cells) of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VarId(pub(super) u32);

impl VarId {
    /// The place as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Appends a variable's value for a request or session; `false`, with nothing appended, if there is
/// none.
pub type Eval<C> = Arc<dyn Fn(&C, &mut Vec<u8>) -> bool + Send + Sync>;

/// Takes the value that the `set` directive gives to a variable which is more than a memory cell
/// (`$args`).
pub type Set<C> = Arc<dyn Fn(&C, &[u8]) + Send + Sync>;

/// What may be done with a variable, and with its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VariableFlags(u8);

impl VariableFlags {
    /// Nothing special: one definition, one evaluation per request.
    pub const NONE: Self = Self(0);
    /// `set`, `map` and the like may define it anew.
    pub const CHANGEABLE: Self = Self(1);
    /// Evaluated at every use: the value changes while a request runs.
    pub const NOCACHEABLE: Self = Self(2);
    /// Evaluated at every use: the value stays, but evaluating costs less than keeping a copy.
    pub const CHEAP: Self = Self(4);
    /// Another definition that is not weak takes its place (`set` defines weakly).
    pub const WEAK: Self = Self(8);

    /// Whether all of these are set.
    #[must_use]
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}

impl BitOr for VariableFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A variable that a module offers. `C` is what it is evaluated for: a request, a stream session.
pub struct Variable<C: ?Sized + 'static> {
    /// The name without `$`, in lower case.
    pub name: Cow<'static, str>,
    /// What may be done with it.
    pub flags: VariableFlags,
    /// How its value is found.
    pub eval: Eval<C>,
    /// What `set` does, if not filling the request's cell.
    pub set: Option<Set<C>>,
}

impl<C: ?Sized + 'static> Variable<C> {
    /// A variable without flags and setter.
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        eval: impl Fn(&C, &mut Vec<u8>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            flags: VariableFlags::NONE,
            eval: Arc::new(eval),
            set: None,
        }
    }

    /// The same with these flags added.
    #[must_use]
    pub fn with_flags(mut self, flags: VariableFlags) -> Self {
        self.flags = self.flags | flags;
        self
    }

    /// The same with a setter.
    #[must_use]
    pub fn with_set(mut self, set: impl Fn(&C, &[u8]) + Send + Sync + 'static) -> Self {
        self.set = Some(Arc::new(set));
        self
    }
}

impl<C: ?Sized + 'static> Clone for Variable<C> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            flags: self.flags,
            eval: Arc::clone(&self.eval),
            set: self.set.clone(),
        }
    }
}

impl<C: ?Sized + 'static> fmt::Debug for Variable<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variable")
            .field("name", &self.name)
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}

/// The name is taken by a variable that cannot be defined anew.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the duplicate \"{name}\" variable")]
pub struct Duplicate {
    /// The name.
    pub name: String,
}

/// A name that is used but defined nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown \"{name}\" variable")]
pub struct UnknownVariable {
    /// The name.
    pub name: String,
    /// The directive that used it first, as [`Variables::set_place`] told.
    pub place: Option<Span>,
    /// The name that was perhaps meant.
    pub meant: Option<String>,
}

/// Makes the variable for a whole name out of what follows the prefix.
type Factory<C> = Arc<dyn Fn(&str) -> Variable<C> + Send + Sync>;

/// All variables with a common beginning, `$http_*` for one.
pub(super) struct Prefix<C: ?Sized + 'static> {
    pub(super) name: Cow<'static, str>,
    pub(super) factory: Factory<C>,
}

/// The variables of a configuration that is being read.
pub struct Variables<C: ?Sized + 'static> {
    /// By name in lower case. Without a definition: `set` fills the cell, nothing else does.
    defined: HashMap<String, Definition<C>>,
    prefixes: Vec<Prefix<C>>,
    /// Names in use by their ids.
    indexed: Vec<Indexed>,
    ids: HashMap<String, VarId>,
    place: Option<Span>,
}

enum Definition<C: ?Sized + 'static> {
    Variable(Variable<C>),
    /// Made by `set` and the like: a memory cell.
    Cell,
}

struct Indexed {
    name: String,
    place: Option<Span>,
}

impl<C: ?Sized + 'static> Variables<C> {
    /// No variables.
    #[must_use]
    pub fn new() -> Self {
        Self {
            defined: HashMap::new(),
            prefixes: Vec::new(),
            indexed: Vec::new(),
            ids: HashMap::new(),
            place: None,
        }
    }

    /// Offers a variable. One of that name which is changeable, or which `set` has made, is
    /// replaced.
    ///
    /// # Errors
    ///
    /// There is one of that name which is not changeable.
    pub fn register(&mut self, mut variable: Variable<C>) -> Result<(), Duplicate> {
        lower_case(&mut variable.name);

        match self.defined.get_mut(variable.name.as_ref()) {
            Some(Definition::Variable(old)) if !old.flags.contains(VariableFlags::CHANGEABLE) => {
                Err(Duplicate {
                    name: variable.name.into_owned(),
                })
            }
            // A weak definition never takes the place of one that is not.
            Some(Definition::Variable(old))
                if variable.flags.contains(VariableFlags::WEAK)
                    && !old.flags.contains(VariableFlags::WEAK) =>
            {
                Ok(())
            }
            Some(old) => {
                *old = Definition::Variable(variable);
                Ok(())
            }
            None => {
                let name = variable.name.to_string();
                self.defined.insert(name, Definition::Variable(variable));
                Ok(())
            }
        }
    }

    /// Offers all variables whose names begin with `prefix`; `factory` gets what follows it. The
    /// longest prefix wins, and a whole name wins over any prefix.
    pub fn register_prefix(
        &mut self,
        prefix: impl Into<Cow<'static, str>>,
        factory: impl Fn(&str) -> Variable<C> + Send + Sync + 'static,
    ) {
        let mut name = prefix.into();
        lower_case(&mut name);
        self.prefixes.push(Prefix {
            name,
            factory: Arc::new(factory),
        });
        self.prefixes
            .sort_by_key(|prefix| std::cmp::Reverse(prefix.name.len()));
    }

    /// The names that modules offer, and the beginnings of names, which end in `_`.
    pub fn offered(&self) -> impl Iterator<Item = &str> {
        let whole = self.defined.iter().filter_map(|(name, definition)| {
            matches!(definition, Definition::Variable(_)).then_some(name.as_str())
        });
        whole.chain(self.prefixes.iter().map(|prefix| prefix.name.as_ref()))
    }

    /// The id of a variable that is used; it need not be defined yet. Case does not matter.
    pub fn index(&mut self, name: &str) -> VarId {
        let name = name.to_ascii_lowercase();
        if let Some(&id) = self.ids.get(&name) {
            return id;
        }

        let id = VarId(u32::try_from(self.indexed.len()).unwrap_or(u32::MAX));
        self.ids.insert(name.clone(), id);
        self.indexed.push(Indexed {
            name,
            place: self.place,
        });
        id
    }

    /// The id of a variable that a directive of the configuration defines: `set $x …`, a named
    /// capture. What it is unless the directive has filled the request's cell,
    /// [`register`](Self::register) may tell before or after.
    ///
    /// # Errors
    ///
    /// There is one of that name which is not changeable.
    pub fn define(&mut self, name: &str) -> Result<VarId, Duplicate> {
        let lower = name.to_ascii_lowercase();
        match self.defined.get(&lower) {
            Some(Definition::Variable(old)) if !old.flags.contains(VariableFlags::CHANGEABLE) => {
                return Err(Duplicate { name: lower });
            }
            Some(_) => {}
            None => {
                self.defined.insert(lower, Definition::Cell);
            }
        }
        Ok(self.index(name))
    }

    /// The directive that is being read: an unknown variable is reported with the place of its first
    /// use.
    pub fn set_place(&mut self, place: Option<Span>) {
        self.place = place;
    }

    /// Resolves all names in use.
    ///
    /// # Errors
    ///
    /// Those that nobody has defined, in the order of their first use.
    pub fn freeze(mut self) -> Result<VariableTable<C>, Vec<UnknownVariable>> {
        let mut entries = Vec::with_capacity(self.indexed.len());
        let mut unknown = Vec::new();

        for Indexed { name, place } in self.indexed {
            match self.defined.remove(&name) {
                Some(Definition::Variable(variable)) => entries.push(Entry::from(variable)),
                Some(Definition::Cell) => entries.push(Entry::cell(name)),
                None => match from_prefix(&self.prefixes, &name) {
                    Some(variable) => entries.push(Entry {
                        name,
                        ..Entry::from(variable)
                    }),
                    None => unknown.push(UnknownVariable {
                        name,
                        place,
                        meant: None,
                    }),
                },
            }
        }

        if !unknown.is_empty() {
            for variable in &mut unknown {
                let used = entries.iter().map(|entry| entry.name.as_str());
                let others = self.defined.keys().map(String::as_str);
                let meant = suggest::nearest(&variable.name, used.chain(others));
                variable.meant = meant.map(str::to_owned);
            }
            return Err(unknown);
        }

        // What is left has no cell, but names can still be looked up at run time.
        let cells = entries.len();
        let mut rest: Vec<_> = self
            .defined
            .into_values()
            .filter_map(|definition| match definition {
                Definition::Variable(variable) => Some(Entry::from(variable)),
                Definition::Cell => None,
            })
            .collect();
        rest.sort_by(|a, b| a.name.cmp(&b.name));
        entries.append(&mut rest);

        Ok(VariableTable::new(entries, cells, self.prefixes))
    }
}

impl<C: ?Sized + 'static> Default for Variables<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: ?Sized + 'static> fmt::Debug for Variables<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variables")
            .field("defined", &self.defined.len())
            .field("indexed", &self.indexed.len())
            .finish_non_exhaustive()
    }
}

/// The variable that the longest matching prefix makes; `prefixes` has the longest first.
pub(super) fn from_prefix<C: ?Sized + 'static>(
    prefixes: &[Prefix<C>],
    name: &str,
) -> Option<Variable<C>> {
    prefixes.iter().find_map(|prefix| {
        let rest = name.strip_prefix(prefix.name.as_ref())?;
        Some((prefix.factory)(rest))
    })
}

fn lower_case(name: &mut Cow<'static, str>) {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        name.to_mut().make_ascii_lowercase();
    }
}
