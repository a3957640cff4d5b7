//! Sizes that may have variables in them: `limit_rate $rate`.

use crate::conf::{Args, Problem, Setting, values};
use crate::error;
use crate::http::request::Request;
use crate::module::Cx;
use crate::script::{Template, Variables};

/// A number of bytes, fixed or to be worked out for each request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Amount {
    /// The same for all requests.
    Fixed(u64),
    /// What the variables say; 0 where they say nothing.
    Variable(Template),
}

impl Amount {
    /// The bytes for this request. A value that is no size is logged, and is 0.
    pub fn of(&self, r: &Request) -> u64 {
        match self {
            Self::Fixed(bytes) => *bytes,
            Self::Variable(template) => {
                let mut text = Vec::new();
                template.eval(r, &mut text);
                if text.is_empty() {
                    return 0;
                }
                values::size(&text).map_or_else(
                    |_| {
                        error!("invalid size \"{}\"", text.escape_ascii());
                        0
                    },
                    |bytes| bytes as u64,
                )
            }
        }
    }

    /// Reads the first argument of a directive.
    ///
    /// # Errors
    /// It is neither a size nor a string with variables.
    pub fn parse(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<Self, Problem> {
        let text = args.arg(0).as_str();
        if !text.contains('$') {
            return Ok(Self::Fixed(args.size(0)? as u64));
        }
        Template::compile(text, cx.part::<Variables<Request>>())
            .map(Self::Variable)
            .map_err(|error| args.problem_at(0, error.to_string()))
    }
}

/// A setter for an amount of a location.
pub(super) fn set(
    cx: &mut Cx<'_>,
    args: &Args<'_>,
    field: fn(&mut super::LocationConf) -> &mut Setting<Amount>,
) -> Result<(), Problem> {
    let value = Amount::parse(cx, args)?;
    field(cx.conf(&super::LOCATION)).set(value, args.span())
}
