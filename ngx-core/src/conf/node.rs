//! What the parser makes of a text: directives and their blocks.

use super::directive::Args;
use super::lexer::Word;
use super::span::Span;

/// A directive as written, whether or not anybody knows it.
#[derive(Debug, Clone)]
pub struct Node {
    pub(crate) name: Word,
    pub(crate) values: Box<[Word]>,
    pub(crate) body: Body,
}

/// What ends a directive.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// A semicolon.
    Simple,
    /// A block of directives.
    Block(Box<[Node]>),
    /// A block whose text is not ours to read, such as Lua.
    Raw { text: Box<Word> },
}

impl Node {
    /// The first word. In a `map` or `types` block it is the key.
    #[must_use]
    pub const fn name(&self) -> &Word {
        &self.name
    }

    /// The words after the first.
    #[must_use]
    pub fn values(&self) -> &[Word] {
        &self.values
    }

    /// The directives of its block, if it has one.
    #[must_use]
    pub fn block(&self) -> Option<&[Self]> {
        match &self.body {
            Body::Block(nodes) => Some(nodes),
            Body::Simple | Body::Raw { .. } => None,
        }
    }

    /// Where its first word stands.
    #[must_use]
    pub const fn span(&self) -> Span {
        self.name.span()
    }

    /// The same view of it that a setter gets, for blocks whose lines are not directives.
    #[must_use]
    pub fn args(&self) -> Args<'_> {
        Args::new(&self.name, &self.values, &self.body)
    }
}
