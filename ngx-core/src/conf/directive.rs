//! The arguments of a directive, as its setter sees them.

use super::diagnostics::Problem;
use super::lexer::Word;
use super::node::{Body, Node};
use super::span::Span;

/// A directive as its setter sees it. Arguments count from zero, behind the name.
///
/// The values of arguments are read with [`Args::size`], [`Args::flag`], [`Args::time`] and
/// their likes.
#[derive(Debug, Clone, Copy)]
pub struct Args<'a> {
    name: &'a Word,
    values: &'a [Word],
    body: &'a Body,
}

impl<'a> Args<'a> {
    pub(crate) const fn new(name: &'a Word, values: &'a [Word], body: &'a Body) -> Self {
        Self { name, values, body }
    }

    /// The name of the directive.
    #[must_use]
    pub const fn name(&self) -> &'a Word {
        self.name
    }

    /// All arguments.
    #[must_use]
    pub const fn values(&self) -> &'a [Word] {
        self.values
    }

    /// Argument `i`. The table of directives has checked how many there are; beyond the last
    /// one stands an empty word.
    #[must_use]
    pub fn arg(&self, i: usize) -> &'a Word {
        static EMPTY: Word = Word::EMPTY;
        self.values.get(i).unwrap_or(&EMPTY)
    }

    /// The directives of the block, if there is one.
    #[must_use]
    pub fn block(&self) -> Option<&'a [Node]> {
        match self.body {
            Body::Block(nodes) => Some(nodes),
            Body::Simple | Body::Raw { .. } => None,
        }
    }

    /// The text of a raw block, such as Lua. Bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn raw(&self) -> Option<&'a str> {
        self.raw_word().map(Word::as_str)
    }

    /// The text of a raw block with its exact bytes and its place.
    #[must_use]
    pub fn raw_word(&self) -> Option<&'a Word> {
        match self.body {
            Body::Raw { text } => Some(text),
            Body::Simple | Body::Block(_) => None,
        }
    }

    /// Where the name stands.
    #[must_use]
    pub const fn span(&self) -> Span {
        self.name.span()
    }

    /// An error that points at the name.
    #[must_use]
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(self.span(), message)
    }

    /// An error that points at argument `i`.
    #[must_use]
    pub fn problem_at(&self, i: usize, message: impl Into<String>) -> Problem {
        let span = self.values.get(i).map_or_else(|| self.span(), Word::span);
        Problem::new(span, message)
    }

    /// A warning that points at the name.
    #[must_use]
    pub fn warning(&self, message: impl Into<String>) -> Problem {
        Problem::warn(self.span(), message)
    }

    pub(crate) const fn body(&self) -> &'a Body {
        self.body
    }
}
