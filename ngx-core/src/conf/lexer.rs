//! Words, and the three signs between them.

use std::borrow::Cow;
use std::fmt;

use smol_str::SmolStr;

use super::diagnostics::Problem;
use super::span::{FileId, Span};

/// A word of a directive: its name or an argument, with quotes and escapes removed.
#[derive(Debug, Clone)]
pub struct Word {
    /// A configuration has many words, and most are short: those need no memory of their own.
    text: SmolStr,
    /// The exact bytes, kept only when they are not UTF-8.
    exact: Option<Box<Exact>>,
    span: Span,
    quoted: bool,
}

/// Bytes that are not UTF-8; so rare that a word has a pointer for them and no more.
#[derive(Debug, Clone)]
struct Exact(Vec<u8>);

impl Word {
    pub(crate) const EMPTY: Self = Self {
        text: SmolStr::new_static(""),
        exact: None,
        span: Span::NOWHERE,
        quoted: false,
    };

    pub(crate) fn new(bytes: &[u8], span: Span, quoted: bool) -> Self {
        let (text, exact) = match std::str::from_utf8(bytes) {
            Ok(text) => (SmolStr::new(text), None),
            Err(_) => (
                SmolStr::new(String::from_utf8_lossy(bytes)),
                Some(Box::new(Exact(bytes.to_vec()))),
            ),
        };
        Self {
            text,
            exact,
            span,
            quoted,
        }
    }

    /// The word. Bytes that are not UTF-8 are replaced; [`Word::as_bytes`] has them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The word as it stands in the file, byte by byte.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.exact {
            Some(exact) => &exact.0,
            None => self.text.as_bytes(),
        }
    }

    /// Where the word stands, its quotes included.
    #[must_use]
    pub const fn span(&self) -> Span {
        self.span
    }

    /// Whether the word was written between quotes.
    #[must_use]
    pub const fn is_quoted(&self) -> bool {
        self.quoted
    }

    /// Whether the word has no characters (`""`).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl AsRef<str> for Word {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl PartialEq<str> for Word {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Word {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

#[derive(Debug)]
pub(crate) enum Token {
    Word(Word),
    Semicolon(Span),
    Open(Span),
    Close(Span),
    /// The end of the text; `quote` is where a quote began that has no end.
    End {
        span: Span,
        quote: Option<Span>,
    },
}

/// Cuts a text into tokens. Reports what is wrong and goes on behind it.
pub(crate) struct Lexer<'a> {
    text: &'a [u8],
    file: FileId,
    pos: usize,
    line: u32,
    line_start: usize,
    /// The quoted word that ended right before `pos`.
    closed_quote: Option<Span>,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a [u8], file: FileId) -> Self {
        Self {
            text,
            file,
            pos: 0,
            line: 1,
            line_start: 0,
            closed_quote: None,
        }
    }

    pub(crate) fn next(&mut self, problems: &mut Vec<Problem>) -> Token {
        while let Some(ch) = self.peek() {
            if let Some(word) = self.closed_quote.take()
                && !matches!(ch, b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' | b')')
            {
                problems.push(self.junk_after(word));
                self.skip_while(|ch| !matches!(ch, b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{'));
                continue;
            }
            match ch {
                b' ' | b'\t' | b'\r' | b'\n' => self.advance_to(self.pos + 1),
                b'#' => self.skip_while(|ch| ch != b'\n'),
                b';' => return Token::Semicolon(self.take(1)),
                b'{' => return Token::Open(self.take(1)),
                b'}' => return Token::Close(self.take(1)),
                b'"' | b'\'' => return self.quoted(ch),
                _ => return self.bare(),
            }
        }
        Token::End {
            span: self.take(0),
            quote: None,
        }
    }

    /// The text behind the last token.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.text.get(self.pos..).unwrap_or_default()
    }

    /// Steps over `len` bytes and says where they stand.
    pub(crate) fn take(&mut self, len: usize) -> Span {
        let end = self.pos.saturating_add(len).min(self.text.len());
        let span = self.span_to(end);
        self.advance_to(end);
        span
    }

    fn quoted(&mut self, quote: u8) -> Token {
        let mut at = self.pos + 1;
        loop {
            match self.text.get(at) {
                None => {
                    let quote = self.span_to(self.pos + 1);
                    self.advance_to(self.text.len());
                    return Token::End {
                        span: self.take(0),
                        quote: Some(quote),
                    };
                }
                Some(b'\\') => at += 2,
                Some(&ch) if ch == quote => break,
                Some(_) => at += 1,
            }
        }
        let bytes = unescape(self.text.get(self.pos + 1..at).unwrap_or_default());
        let span = self.take(at + 1 - self.pos);
        self.closed_quote = Some(span);
        Token::Word(Word::new(&bytes, span, true))
    }

    fn bare(&mut self) -> Token {
        let mut at = self.pos;
        let mut variable = false;
        while let Some(&ch) = self.text.get(at) {
            match ch {
                b'{' if variable => {}
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' => break,
                b'\\' => {
                    variable = false;
                    at += 1;
                }
                _ => variable = ch == b'$',
            }
            at += 1;
        }
        let at = at.min(self.text.len());
        let bytes = unescape(self.text.get(self.pos..at).unwrap_or_default());
        let span = self.take(at - self.pos);
        Token::Word(Word::new(&bytes, span, false))
    }

    fn junk_after(&self, word: Span) -> Problem {
        let ch = self
            .rest()
            .utf8_chunks()
            .next()
            .and_then(|chunk| chunk.valid().chars().next());
        let ch = ch.unwrap_or(char::REPLACEMENT_CHARACTER);
        let width = if ch == char::REPLACEMENT_CHARACTER {
            1
        } else {
            ch.len_utf8()
        };
        let problem = Problem::new(
            self.span_to(self.pos + width),
            format!("unexpected \"{ch}\""),
        );
        if word.line == self.line {
            problem.with_help("put a space or \";\" after the closing quote")
        } else {
            problem
                .with_note(word, "the quoted text begins here")
                .with_help("a quote is missing, or one inside the text lacks its \"\\\"")
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.pos).copied()
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        let len = self.rest().iter().take_while(|&&ch| wanted(ch)).count();
        self.advance_to(self.pos + len);
    }

    fn span_to(&self, end: usize) -> Span {
        let end = end.min(self.text.len());
        Span {
            file: self.file,
            start: narrow(self.pos),
            end: narrow(end),
            line: self.line,
            column: narrow(self.pos - self.line_start + 1),
        }
    }

    fn advance_to(&mut self, end: usize) {
        let passed = self.text.get(self.pos..end).unwrap_or_default();
        for (i, _) in passed.iter().enumerate().filter(|&(_, &ch)| ch == b'\n') {
            self.line = self.line.saturating_add(1);
            self.line_start = self.pos + i + 1;
        }
        self.pos = end;
    }
}

fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(ch) = bytes.next() {
        if ch != b'\\' {
            out.push(ch);
            continue;
        }
        match bytes.next() {
            Some(ch @ (b'"' | b'\'' | b'\\')) => out.push(ch),
            Some(b't') => out.push(b'\t'),
            Some(b'r') => out.push(b'\r'),
            Some(b'n') => out.push(b'\n'),
            Some(ch) => out.extend([b'\\', ch]),
            None => out.push(b'\\'),
        }
    }
    Cow::Owned(out)
}

/// Texts of more than 4 GiB are refused before they get here.
fn narrow(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
