//! Tokens to directives, one file at a time; what is wrong is reported and stepped over.

use super::diagnostics::Problem;
use super::include::Reader;
use super::lexer::{Lexer, Token, Word};
use super::lua::{self, Unclosed};
use super::node::{Body, Node};
use super::span::{FileId, Span};

/// Blocks within blocks, over all files of an include.
const MAX_DEPTH: usize = 128;

/// Parses one text.
pub(super) struct Parser<'r, 's, 't> {
    reader: &'r mut Reader<'s>,
    lexer: Lexer<'t>,
    kind: Kind,
    /// Blocks that are open around this text.
    outer: usize,
    open: Vec<Frame>,
    nodes: Vec<Node>,
    words: Vec<Word>,
    /// The first block whose closing brace is not under its name: when braces do not balance,
    /// the mistake is likely there.
    suspect: Option<Suspect>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    CommandLine,
}

/// A block that is being read; `head` is empty when its name is missing.
struct Frame {
    head: Vec<Word>,
    opened: Span,
    /// The directives around the block.
    before: Vec<Node>,
}

#[derive(Clone, Copy)]
enum Suspect {
    LacksBrace(Span),
    HasOneTooMany(Span),
}

impl<'r, 's, 't> Parser<'r, 's, 't> {
    pub(super) fn new(
        reader: &'r mut Reader<'s>,
        (file, text): (FileId, &'t [u8]),
        kind: Kind,
        outer: usize,
    ) -> Self {
        Self {
            reader,
            lexer: Lexer::new(text, file),
            kind,
            outer,
            open: Vec::new(),
            nodes: Vec::new(),
            words: Vec::new(),
            suspect: None,
        }
    }

    pub(super) fn run(mut self) -> Vec<Node> {
        let mut sound = self.reader.problems.len();
        loop {
            if self.words.is_empty() {
                sound = self.reader.problems.len();
            }
            match self.lexer.next(&mut self.reader.problems) {
                Token::Word(word) => self.words.push(word),
                Token::Semicolon(span) if self.words.is_empty() => {
                    self.report(Problem::new(span, "unexpected \";\""));
                }
                // Of words that are none, what the directive says to them is noise.
                Token::Semicolon(_) if self.reader.problems.len() > sound => self.words.clear(),
                Token::Semicolon(_) => self.end_directive(),
                Token::Open(span) => {
                    if !self.open_block(span) {
                        return self.into_nodes();
                    }
                }
                Token::Close(span) => self.close_block(span),
                Token::End { span, quote } => {
                    self.report_end(span, quote);
                    return self.into_nodes();
                }
            }
        }
    }

    fn end_directive(&mut self) {
        while self.is_include() {
            self.include(false);
        }
        let mut words = std::mem::take(&mut self.words).into_iter();
        if let Some(name) = words.next() {
            self.nodes.push(Node {
                name,
                values: words.collect(),
                body: Body::Simple,
            });
        }
    }

    fn is_include(&self) -> bool {
        self.kind == Kind::File && self.words.first().is_some_and(|name| name == "include")
    }

    /// Reads the files that the waiting words name. Words on later lines are those of the next
    /// directive; they are left waiting.
    fn include(&mut self, before_block: bool) {
        let mut words = std::mem::take(&mut self.words);
        let line_end = words
            .windows(2)
            .position(|pair| matches!(pair, [a, b] if b.span().line > a.span().line));
        if let Some(last) = line_end {
            self.words = words.split_off(last + 1);
        }
        let [name, patterns @ ..] = words.as_slice() else {
            return;
        };
        let wrong = if before_block {
            Some("directive \"include\" is not terminated by \";\"")
        } else if patterns.len() != 1 || !self.words.is_empty() {
            Some("invalid number of arguments in \"include\" directive")
        } else {
            None
        };
        if let Some(message) = wrong {
            let mut problem = Problem::new(name.span(), message);
            if let (Some(last), false) = (words.last(), self.words.is_empty()) {
                problem = problem.with_note(last.span().after(), "a \";\" may be missing");
            }
            self.report(problem);
        }
        if let [pattern] = patterns {
            let included = self.reader.include(pattern, self.outer + self.open.len());
            self.nodes.extend(included);
        }
    }

    /// Whether parsing can go on.
    fn open_block(&mut self, span: Span) -> bool {
        if self.kind == Kind::CommandLine {
            self.report(Problem::new(
                span,
                "block directives are not supported in -g option",
            ));
            return false;
        }
        if self.words.is_empty() {
            self.report(
                Problem::new(span, "unexpected \"{\"")
                    .with_help("a block needs the name of a directive before it"),
            );
        }
        while self.is_include() {
            self.include(true);
        }
        if self
            .words
            .first()
            .is_some_and(|name| self.reader.is_raw(name.as_str()))
        {
            return self.raw_block(span);
        }
        if self.outer + self.open.len() >= MAX_DEPTH {
            self.report(Problem::new(
                span,
                format!("blocks are nested too deeply, at most {MAX_DEPTH} are allowed"),
            ));
            return false;
        }
        self.open.push(Frame {
            head: std::mem::take(&mut self.words),
            opened: span,
            before: std::mem::take(&mut self.nodes),
        });
        true
    }

    fn close_block(&mut self, span: Span) {
        if let Some(last) = self.words.last() {
            let end = last.span().after();
            self.report(
                Problem::new(span, "unexpected \"}\"").with_note(end, "a \";\" is missing"),
            );
            self.end_directive();
        }
        let Some(frame) = self.open.pop() else {
            let problem = Problem::new(span, "unexpected \"}\"");
            self.report(match self.suspect {
                Some(Suspect::HasOneTooMany(brace)) => {
                    problem.with_note(brace, "this \"}\" may be one too many")
                }
                _ => problem.with_help("no block is open here"),
            });
            return;
        };
        if self.suspect.is_none() {
            self.suspect = frame.suspicion(span);
        }
        self.fold(frame);
    }

    fn fold(&mut self, frame: Frame) {
        let nodes = std::mem::replace(&mut self.nodes, frame.before);
        let mut head = frame.head.into_iter();
        if let Some(name) = head.next() {
            let values = head.collect();
            self.nodes.push(Node {
                name,
                values,
                body: Body::Block(nodes.into_boxed_slice()),
            });
        }
    }

    fn raw_block(&mut self, opened: Span) -> bool {
        let text = self.lexer.rest();
        match lua::block_end(text) {
            Ok(end) => {
                let raw = text.get(..end).unwrap_or_default();
                let span = self.lexer.take(end);
                self.lexer.take(1);
                let mut words = std::mem::take(&mut self.words).into_iter();
                if let Some(name) = words.next() {
                    let body = Body::Raw {
                        text: Box::new(Word::new(raw, span, false)),
                    };
                    self.nodes.push(Node {
                        name,
                        values: words.collect(),
                        body,
                    });
                }
                true
            }
            Err(Unclosed::Brace) => {
                self.report(
                    Problem::new(
                        opened,
                        "unexpected end of file, expecting terminating characters for lua code \
                         block",
                    )
                    .with_help("the block that begins here lacks its \"}\""),
                );
                false
            }
            Err(Unclosed::LongBracket { at, level }) => {
                self.lexer.take(at);
                let span = self.lexer.take(level + 2);
                let signs = "=".repeat(level);
                self.report(Problem::new(
                    span,
                    format!("Lua code block missing the closing long bracket \"]{signs}]\""),
                ));
                false
            }
        }
    }

    fn report_end(&mut self, span: Span, quote: Option<Span>) {
        if self.words.is_empty() && quote.is_none() {
            if let Some(frame) = self.open.last() {
                let problem = Problem::new(span, "unexpected end of file, expecting \"}\"");
                let opened = frame.head.first().map_or(frame.opened, Word::span);
                let problem = match self.suspect {
                    Some(Suspect::LacksBrace(block)) => {
                        problem.with_note(block, "the block that begins here may lack its \"}\"")
                    }
                    _ => problem.with_note(opened, "the block that begins here is not closed"),
                };
                self.report(problem);
            }
            return;
        }
        let problem = Problem::new(
            span,
            match self.kind {
                Kind::File => "unexpected end of file, expecting \";\" or \"}\"",
                Kind::CommandLine => "unexpected end of parameter, expecting \";\"",
            },
        );
        let last = self.words.last().map(|word| word.span().after());
        self.report(match (quote, last) {
            (Some(quote), _) => {
                problem.with_note(quote, "the quoted text that begins here has no end")
            }
            (None, Some(last)) => problem.with_note(last, "a \";\" is missing"),
            (None, None) => problem,
        });
    }

    /// What was read so far; blocks without an end count as closed, so that mistakes in them are
    /// found too.
    fn into_nodes(mut self) -> Vec<Node> {
        while let Some(frame) = self.open.pop() {
            self.fold(frame);
        }
        self.nodes
    }

    fn report(&mut self, problem: Problem) {
        self.reader.problems.push(problem);
    }
}

impl Frame {
    /// Judges by the indentation of a closing brace. Only braces on later lines tell anything.
    fn suspicion(&self, brace: Span) -> Option<Suspect> {
        let name = self.head.first()?.span();
        if name.line == brace.line {
            return None;
        }
        match brace.column.cmp(&name.column) {
            std::cmp::Ordering::Less => Some(Suspect::LacksBrace(name)),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(Suspect::HasOneTooMany(brace)),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
