//! What a module says about itself.

use super::contexts::{Arity, Contexts};
use super::cx::Cx;
use crate::conf::{Args, Problem};

/// A module: a name and a table of directives.
#[derive(Debug)]
pub struct Module {
    /// The name, as `load_module` and messages have it.
    pub name: &'static str,
    /// Its directives.
    pub directives: &'static [Directive],
}

/// One row of a module's table.
#[derive(Debug)]
pub struct Directive {
    /// The word that it begins with.
    pub name: &'static str,
    /// Where it may stand.
    pub contexts: Contexts,
    /// The arguments it takes.
    pub arity: Arity,
    /// What it does.
    pub set: Setter,
    /// Its value when it is absent, as it would be written; empty if there is none.
    pub default: &'static str,
    /// One line for the reference of directives.
    pub doc: &'static str,
}

/// What a directive does. Context and number of arguments have been checked.
pub type Setter = fn(&mut Cx<'_>, &Args<'_>) -> Result<(), Problem>;

impl Directive {
    /// A directive of nginx that is accepted, warned about once, and has no effect: so that the
    /// configuration files of distributions can be used before all they name exists.
    #[must_use]
    pub const fn pending(name: &'static str, contexts: Contexts) -> Self {
        Self {
            name,
            contexts,
            arity: Arity::at_least(1),
            set: warn_pending,
            default: "",
            doc: PENDING,
        }
    }

    /// Whether it is accepted without effect.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.doc == PENDING
    }
}

/// The line of reference of a directive without effect.
const PENDING: &str = "Accepted with a warning, without effect so far.";

fn warn_pending(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let name = args.name();
    cx.warn_once(
        name.as_str(),
        args.warning(format!(
            "\"{name}\" directive has no effect, ngx does not implement it yet"
        )),
    );
    Ok(())
}
