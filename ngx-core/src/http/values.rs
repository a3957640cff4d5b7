//! The values of variables within one request, evaluated once and kept.

use crate::script::VarId;

/// One growable text for all values of a request and a range of it per variable, so that caching
/// a value allocates nothing once the storage has grown.
#[derive(Default)]
pub(crate) struct Values {
    text: Vec<u8>,
    cells: Vec<Value>,
}

/// What is known of a variable.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Value {
    #[default]
    Unknown,
    NotFound,
    /// `from <= to <= text.len()`
    Found { from: u32, to: u32 },
}

impl Values {
    /// Forgets all values and makes room for `count` variables.
    pub(crate) fn reset(&mut self, count: usize) {
        self.text.clear();
        self.cells.clear();
        self.cells.resize(count, Value::Unknown);
    }

    /// The kept value: `None` if it has to be evaluated, `Some(None)` if it was not found.
    pub(crate) fn cached(&self, id: VarId) -> Option<Option<&[u8]>> {
        match self.cells.get(id.index()).copied().unwrap_or_default() {
            Value::Unknown => None,
            Value::NotFound => Some(None),
            Value::Found { from, to } => Some(self.text.get(from as usize..to as usize)),
        }
    }

    /// Keeps a value.
    pub(crate) fn keep(&mut self, id: VarId, value: Option<&[u8]>) {
        let Some(cell) = self.cells.get_mut(id.index()) else { return };
        let Some(value) = value else {
            *cell = Value::NotFound;
            return;
        };
        let (Ok(from), Ok(to)) =
            (u32::try_from(self.text.len()), u32::try_from(self.text.len() + value.len()))
        else {
            // 4 GiB of values in one request: evaluate this one each time instead.
            *cell = Value::Unknown;
            return;
        };
        self.text.extend_from_slice(value);
        *cell = Value::Found { from, to };
    }
}
