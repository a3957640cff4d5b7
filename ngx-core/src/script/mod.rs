//! Variables, and strings with variables, compiled once while configuring; shared by http and
//! stream.
//!
//! While configuring, modules register their variables in [`Variables`], and strings of the
//! configuration compile into a [`Template`]. A name may be used before it is defined:
//! [`Variables::freeze`] resolves all of them at the end and tells which are unknown. At run time
//! the [`VariableTable`] evaluates, and [`Cells`] keeps what a request has evaluated already.
//!
//! Evaluating appends to one growable buffer, in a single pass: nothing is measured first and
//! copied later, so a variable that changes between two looks cannot write past anything.
//!
//! ```
//! use ngx_core::script::{Cells, Context, Template, VarId, Variable, VariableTable, Variables};
//!
//! struct Request { host: String, table: VariableTable<Request>, cells: Cells }
//!
//! impl Context for Request {
//!     fn variable(&self, id: VarId, out: &mut Vec<u8>) -> bool {
//!         self.cells.read(&self.table, id, self, out)
//!     }
//!     fn capture(&self, _n: usize, _out: &mut Vec<u8>) -> bool {
//!         false
//!     }
//! }
//!
//! let mut variables = Variables::<Request>::new();
//! variables.register(Variable::new("host", |r: &Request, out| {
//!     out.extend_from_slice(r.host.as_bytes());
//!     true
//! }))?;
//! let template = Template::compile("https://${host}/", &mut variables)?;
//! let table = variables.freeze().expect("all variables are known");
//!
//! let cells = Cells::new(table.len());
//! let request = Request { host: "example.com".into(), table, cells };
//! assert_eq!(template.eval_bytes(&request), "https://example.com/");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cells;
mod table;
mod template;
mod variable;

#[cfg(test)]
mod tests;

pub use cells::Cells;
pub use table::VariableTable;
pub use template::{Context, Part, Template, TemplateError, fuzz_template};
pub use variable::{
    Duplicate, Eval, Set, UnknownVariable, VarId, Variable, VariableFlags, Variables,
};
