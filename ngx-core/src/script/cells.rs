//! Values that a request has evaluated, or that were set.

use std::cell::{Cell, RefCell};

use bytes::Bytes;

use super::table::VariableTable;
use super::variable::VarId;

/// One cell per variable in use: what was set, and what was evaluated and may be kept.
///
/// A request has one of these and reads variables through [`read`](Self::read). No borrow is held
/// while a variable is evaluated, so a variable may read others.
#[derive(Debug, Default)]
pub struct Cells {
    /// Grown on the first write: most requests keep nothing.
    values: RefCell<Vec<Value>>,
    len: usize,
    /// How many evaluations are going on inside of each other.
    depth: Cell<u32>,
}

#[derive(Clone, Debug, Default)]
enum Value {
    #[default]
    Unknown,
    Missing,
    Known(Bytes),
}

/// Deeper is taken for a variable that needs itself, as nginx does.
const DEPTH_MAX: u32 = 100;

impl Cells {
    /// Empty cells for a table of `len` variables ([`VariableTable::len`]). Allocates nothing yet.
    #[must_use]
    pub const fn new(len: usize) -> Self {
        Self {
            values: RefCell::new(Vec::new()),
            len,
            depth: Cell::new(0),
        }
    }

    /// Empties the cells, and makes them those of a table of `len` variables. The memory stays.
    pub fn reset(&mut self, len: usize) {
        let Self {
            values,
            len: own,
            depth,
        } = self;
        if !values.get_mut().is_empty() {
            values.get_mut().clear();
        }
        *own = len;
        depth.set(0);
    }

    /// Appends the variable's value: out of its cell, else evaluated for `cx`, and then kept if it
    /// may be. `false`, with nothing appended, if there is no value.
    pub fn read<C: ?Sized + 'static>(
        &self,
        table: &VariableTable<C>,
        id: VarId,
        cx: &C,
        out: &mut Vec<u8>,
    ) -> bool {
        match self.values.borrow().get(id.index()) {
            Some(Value::Known(bytes)) => {
                out.extend_from_slice(bytes);
                return true;
            }
            Some(Value::Missing) => return false,
            Some(Value::Unknown) | None => {}
        }

        if self.depth.get() >= DEPTH_MAX {
            tracing::error!("cycle while evaluating variable \"{}\"", table.name(id));
            return false;
        }

        let start = out.len();
        self.depth.set(self.depth.get() + 1);
        let found = table.eval(id, cx, out);
        self.depth.set(self.depth.get() - 1);

        // A cell that nobody has filled stays what it is: it must not seem to be emptied.
        if table.is_cacheable(id) && (found || !table.is_cell(id)) {
            let value = match out.get(start..) {
                Some(bytes) if found => Value::Known(Bytes::copy_from_slice(bytes)),
                _ => Value::Missing,
            };
            self.put(id, value);
        }
        found
    }

    /// Sets a value; `None` says that there is none. What a variable with a setter does is another
    /// thing: [`VariableTable::set`].
    pub fn set(&self, id: VarId, value: Option<Bytes>) {
        self.put(id, value.map_or(Value::Missing, Value::Known));
    }

    /// The value in the cell, without evaluating anything.
    #[must_use]
    pub fn get(&self, id: VarId) -> Option<Bytes> {
        match self.values.borrow().get(id.index()) {
            Some(Value::Known(bytes)) => Some(bytes.clone()),
            _ => None,
        }
    }

    /// Whether the cell says that there is no value.
    #[must_use]
    pub fn is_unset(&self, id: VarId) -> bool {
        let values = self.values.borrow();
        matches!(values.get(id.index()), Some(Value::Missing))
    }

    /// Empties one cell: the next read evaluates.
    pub fn forget(&self, id: VarId) {
        if let Some(value) = self.values.borrow_mut().get_mut(id.index()) {
            *value = Value::Unknown;
        }
    }

    /// Empties all cells.
    pub fn clear(&self) {
        self.values.borrow_mut().clear();
    }

    fn put(&self, id: VarId, value: Value) {
        if id.index() >= self.len {
            return;
        }
        let mut values = self.values.borrow_mut();
        if values.is_empty() {
            values.resize(self.len, Value::Unknown);
        }
        if let Some(cell) = values.get_mut(id.index()) {
            *cell = value;
        }
    }
}
