//! Variables at run time.

use std::collections::HashMap;
use std::fmt;

use super::variable::{Eval, Prefix, Set, VarId, Variable, VariableFlags, from_prefix};

/// All variables of a configuration, resolved. Immutable; shared by all threads.
pub struct VariableTable<C: ?Sized + 'static> {
    /// Those in use first, then those that may still be asked for by name.
    entries: Vec<Entry<C>>,
    /// How many are in use: only these have cells.
    cells: usize,
    names: HashMap<String, VarId>,
    prefixes: Vec<Prefix<C>>,
}

/// A variable, or a cell that `set` alone fills.
pub(super) struct Entry<C: ?Sized + 'static> {
    pub(super) name: String,
    pub(super) flags: VariableFlags,
    pub(super) eval: Option<Eval<C>>,
    pub(super) set: Option<Set<C>>,
}

impl<C: ?Sized + 'static> Default for VariableTable<C> {
    /// A table without variables.
    fn default() -> Self {
        Self::new(Vec::new(), 0, Vec::new())
    }
}

impl<C: ?Sized + 'static> VariableTable<C> {
    pub(super) fn new(entries: Vec<Entry<C>>, cells: usize, prefixes: Vec<Prefix<C>>) -> Self {
        let ids = (0..).map(VarId);
        let names = entries
            .iter()
            .map(|entry| entry.name.clone())
            .zip(ids)
            .collect();
        Self {
            entries,
            cells,
            names,
            prefixes,
        }
    }

    /// How many cells a request needs: see [`Cells`](super::Cells).
    #[must_use]
    pub fn len(&self) -> usize {
        self.cells
    }

    /// Whether the configuration uses no variables.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells == 0
    }

    /// Appends the value; `false`, with nothing appended, if there is none. Looks at no cell.
    pub fn eval(&self, id: VarId, cx: &C, out: &mut Vec<u8>) -> bool {
        match self.entry(id).and_then(|entry| entry.eval.as_ref()) {
            Some(eval) => call(eval, cx, out),
            None => false,
        }
    }

    /// Appends the value of the variable of this name, which nobody needs to have used in the
    /// configuration: a name made at run time. Looks at no cell; prefer [`find`](Self::find).
    pub fn eval_name(&self, name: &str, cx: &C, out: &mut Vec<u8>) -> bool {
        match self.find(name) {
            Some(id) => self.eval(id, cx, out),
            None => match from_prefix(&self.prefixes, &name.to_ascii_lowercase()) {
                Some(variable) => call(&variable.eval, cx, out),
                None => false,
            },
        }
    }

    /// The variable of this name, in any case of letters. Variables that only a prefix makes are
    /// found if the configuration uses them.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<VarId> {
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            self.names.get(&name.to_ascii_lowercase()).copied()
        } else {
            self.names.get(name).copied()
        }
    }

    /// The name, for messages.
    #[must_use]
    pub fn name(&self, id: VarId) -> &str {
        self.entry(id).map_or("", |entry| entry.name.as_str())
    }

    /// Whether a value is kept once it was evaluated.
    #[must_use]
    pub fn is_cacheable(&self, id: VarId) -> bool {
        id.index() < self.cells
            && self.entry(id).is_some_and(|entry| {
                !entry.flags.contains(VariableFlags::NOCACHEABLE)
                    && !entry.flags.contains(VariableFlags::CHEAP)
            })
    }

    /// Whether `set` and the like may change it.
    #[must_use]
    pub fn is_changeable(&self, id: VarId) -> bool {
        self.entry(id)
            .is_some_and(|entry| entry.flags.contains(VariableFlags::CHANGEABLE))
    }

    /// Whether nothing but a `set` gives it a value: reading it before is worth nginx's warning
    /// `using uninitialized "x" variable`.
    #[must_use]
    pub fn is_cell(&self, id: VarId) -> bool {
        self.entry(id).is_some_and(|entry| entry.eval.is_none())
    }

    /// Gives the value to the variable's own setter; `false` if it has none and the request's cell
    /// is to be filled.
    pub fn set(&self, id: VarId, cx: &C, value: &[u8]) -> bool {
        match self.entry(id).and_then(|entry| entry.set.as_ref()) {
            Some(set) => {
                set(cx, value);
                true
            }
            None => false,
        }
    }

    fn entry(&self, id: VarId) -> Option<&Entry<C>> {
        self.entries.get(id.index())
    }
}

impl<C: ?Sized + 'static> fmt::Debug for VariableTable<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VariableTable")
            .field("entries", &self.entries.len())
            .field("cells", &self.cells)
            .finish_non_exhaustive()
    }
}

impl<C: ?Sized + 'static> Entry<C> {
    /// A memory cell.
    pub(super) const fn cell(name: String) -> Self {
        Self {
            name,
            flags: VariableFlags::CHANGEABLE,
            eval: None,
            set: None,
        }
    }
}

impl<C: ?Sized + 'static> From<Variable<C>> for Entry<C> {
    fn from(variable: Variable<C>) -> Self {
        Self {
            name: variable.name.into_owned(),
            flags: variable.flags,
            eval: Some(variable.eval),
            set: variable.set,
        }
    }
}

/// Evaluates; what a variable without a value has appended all the same is taken off.
fn call<C: ?Sized + 'static>(eval: &Eval<C>, cx: &C, out: &mut Vec<u8>) -> bool {
    let len = out.len();
    let found = eval(cx, out);
    if !found {
        out.truncate(len);
    }
    found
}
