//! Strings with variables.

use bytes::Bytes;
use thiserror::Error;

use super::variable::{VarId, Variables};

/// What a template is evaluated for: a request, a stream session.
pub trait Context {
    /// Appends the value of a variable; `false`, with nothing appended, if there is none.
    fn variable(&self, id: VarId, out: &mut Vec<u8>) -> bool;

    /// Appends what the last regular expression has captured as number `n`, 1 to 9; `false` if
    /// nothing.
    fn capture(&self, n: usize, out: &mut Vec<u8>) -> bool;
}

/// A string of the configuration, compiled: `a$b${c}d$1`.
///
/// ```
/// use ngx_core::script::{Context, Template, VarId, Variables};
///
/// struct Nothing;
/// impl Context for Nothing {
///     fn variable(&self, _: VarId, _: &mut Vec<u8>) -> bool { false }
///     fn capture(&self, n: usize, out: &mut Vec<u8>) -> bool {
///         out.extend_from_slice(format!("<{n}>").as_bytes());
///         true
///     }
/// }
///
/// let mut variables = Variables::<Nothing>::new();
/// let template = Template::compile("/a/$1$x/", &mut variables)?;
/// assert!(template.literal().is_none() && template.uses_captures());
/// assert_eq!(template.eval_bytes(&Nothing), "/a/<1>/");
/// # Ok::<(), ngx_core::script::TemplateError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Program);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Program {
    /// No variables: costs nothing to evaluate.
    Literal(Bytes),
    Parts {
        parts: Box<[Part]>,
        /// Bytes of all literals, and some for each variable: what a buffer is begun with.
        capacity: usize,
        captures: bool,
    },
}

/// A piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Bytes that stand for themselves.
    Literal(Bytes),
    /// The value of a variable.
    Variable(VarId),
    /// What a regular expression has captured, 1 to 9.
    Capture(u8),
}

/// Why a string is no template.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// A `$` without a name behind it.
    #[error("invalid variable name in \"{0}\"")]
    InvalidName(String),
    /// A `${` without its `}`, or with something else than a name before it.
    #[error("the closing bracket in \"{0}\" variable is missing")]
    MissingBracket(String),
}

/// What a variable's value is expected to take.
const VALUE_GUESS: usize = 24;

impl Template {
    /// Compiles a string, of any bytes; the variables in it are marked as used.
    ///
    /// `$1` to `$9` are captures; a name is made of letters, digits and `_`, in brackets if one of
    /// these follows.
    ///
    /// # Errors
    ///
    /// A `$` that begins no variable: there is no way to escape it, as in nginx.
    pub fn compile<C: ?Sized + 'static>(
        text: impl AsRef<[u8]>,
        variables: &mut Variables<C>,
    ) -> Result<Self, TemplateError> {
        let text = text.as_ref();
        let mut parts = Vec::new();
        let mut rest = text;

        while let Some(dollar) = rest.iter().position(|byte| *byte == b'$') {
            let (literal, after) = rest.split_at(dollar);
            push_literal(&mut parts, literal);
            let (name, tail) = split_name(text, after.get(1..).unwrap_or_default())?;
            parts.push(match name {
                [digit @ b'1'..=b'9'] => Part::Capture(digit - b'0'),
                _ => Part::Variable(variables.index(&String::from_utf8_lossy(name))),
            });
            rest = tail;
        }

        if parts.is_empty() {
            return Ok(Self::from_literal(text.to_vec()));
        }
        push_literal(&mut parts, rest);

        let capacity = parts.iter().map(|part| match part {
            Part::Literal(bytes) => bytes.len(),
            Part::Variable(_) | Part::Capture(_) => VALUE_GUESS,
        });
        Ok(Self(Program::Parts {
            capacity: capacity.sum(),
            captures: parts.iter().any(|part| matches!(part, Part::Capture(_))),
            parts: parts.into(),
        }))
    }

    /// A template that is what it says, `$` included.
    #[must_use]
    pub fn from_literal(bytes: impl Into<Bytes>) -> Self {
        Self(Program::Literal(bytes.into()))
    }

    /// The whole string, if there are no variables and captures in it.
    #[must_use]
    pub const fn literal(&self) -> Option<&Bytes> {
        match &self.0 {
            Program::Literal(bytes) => Some(bytes),
            Program::Parts { .. } => None,
        }
    }

    /// Appends the string with the values in it. What has no value adds nothing.
    pub fn eval(&self, cx: &(impl Context + ?Sized), out: &mut Vec<u8>) {
        match &self.0 {
            Program::Literal(bytes) => out.extend_from_slice(bytes),
            Program::Parts {
                parts, capacity, ..
            } => {
                out.reserve(*capacity);
                for part in parts {
                    match part {
                        Part::Literal(bytes) => out.extend_from_slice(bytes),
                        Part::Variable(id) => _ = cx.variable(*id, out),
                        Part::Capture(n) => _ = cx.capture(usize::from(*n), out),
                    }
                }
            }
        }
    }

    /// The string with the values in it; a literal is not copied.
    #[must_use]
    pub fn eval_bytes(&self, cx: &(impl Context + ?Sized)) -> Bytes {
        match &self.0 {
            Program::Literal(bytes) => bytes.clone(),
            Program::Parts { .. } => {
                let mut out = Vec::new();
                self.eval(cx, &mut out);
                out.into()
            }
        }
    }

    /// Whether the value depends on a regular expression that matched before.
    #[must_use]
    pub const fn uses_captures(&self) -> bool {
        match &self.0 {
            Program::Literal(_) => false,
            Program::Parts { captures, .. } => *captures,
        }
    }

    /// The pieces, for those who treat them differently (`rewrite` escapes arguments). A literal is
    /// one piece.
    pub fn parts(&self) -> impl Iterator<Item = Part> + '_ {
        let (literal, parts) = match &self.0 {
            Program::Literal(bytes) => (Some(Part::Literal(bytes.clone())), &[][..]),
            Program::Parts { parts, .. } => (None, parts.as_ref()),
        };
        literal.into_iter().chain(parts.iter().cloned())
    }
}

fn push_literal(parts: &mut Vec<Part>, text: &[u8]) {
    if !text.is_empty() {
        parts.push(Part::Literal(Bytes::copy_from_slice(text)));
    }
}

/// The name that follows a `$`, and what follows the name.
fn split_name<'a>(text: &[u8], after: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), TemplateError> {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let invalid = || TemplateError::InvalidName(shown(text));

    if let Some(bracketed) = after.strip_prefix(b"{") {
        let (name, tail) = bracketed.split_at(name_len(bracketed));
        return match tail.strip_prefix(b"}") {
            Some(_) if name.is_empty() => Err(invalid()),
            Some(tail) => Ok((name, tail)),
            None if bracketed.is_empty() => Err(invalid()),
            None => Err(TemplateError::MissingBracket(shown(name))),
        };
    }

    let len = match after.first() {
        Some(b'1'..=b'9') => 1,
        _ => name_len(after),
    };
    if len == 0 {
        Err(invalid())
    } else {
        Ok(after.split_at(len))
    }
}

/// How many bytes at the front of `text` may stand in a name; all of them are ASCII.
fn name_len(text: &[u8]) -> usize {
    text.iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
        .count()
}

/// Compiles any text and evaluates it to something at least as long as its literals.
#[doc(hidden)]
pub fn fuzz_template(data: &[u8]) {
    struct Nothing;

    impl Context for Nothing {
        fn variable(&self, _: VarId, _: &mut Vec<u8>) -> bool {
            false
        }

        fn capture(&self, _: usize, _: &mut Vec<u8>) -> bool {
            false
        }
    }

    let mut variables = Variables::<Nothing>::new();
    if let Ok(template) = Template::compile(data, &mut variables) {
        let literals = template.parts().map(|part| match part {
            Part::Literal(bytes) => bytes.len(),
            Part::Variable(_) | Part::Capture(_) => 0,
        });
        assert_eq!(template.eval_bytes(&Nothing).len(), literals.sum::<usize>());
        assert_eq!(template.literal().is_some(), !data.contains(&b'$'));
    }
}
