//! Where a word stands: files of a run, and positions in them.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

/// One reading of a file. A file that is included twice has two ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u32);

/// A stretch of a configuration file.
///
/// Positions are in bytes; `line` and `column` count from one and belong to `start`. A span whose
/// line is zero names only where a word begins; [`SourceMap::complete`] knows the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// The first byte.
    pub start: u32,
    /// The byte after the last one; never less than `start`.
    pub end: u32,
    /// The line of `start`.
    pub line: u32,
    /// The byte column of `start`.
    pub column: u32,
}

impl Default for Span {
    /// [`Span::NOWHERE`]
    fn default() -> Self {
        Self::NOWHERE
    }
}

impl Span {
    /// The span of something that stands in no file. It renders without a location.
    pub const NOWHERE: Self = Self {
        file: FileId(u32::MAX),
        start: 0,
        end: 0,
        line: 0,
        column: 0,
    };

    /// The empty span right after this one, provided that this one does not cross a line.
    #[must_use]
    pub const fn after(self) -> Self {
        let width = self.end - self.start;
        Self {
            start: self.end,
            column: self.column + width,
            ..self
        }
    }

    /// Whether the span stands in a file.
    #[must_use]
    pub fn is_somewhere(self) -> bool {
        self != Self::NOWHERE
    }
}

/// Where a span begins, in eight bytes: every setting of every block has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The number of the file with its highest bit turned, so that none is zero: runs have far
    /// fewer files.
    file: NonZeroU32,
    start: u32,
}

impl Mark {
    const TURNED: u32 = 1 << 31;

    pub(crate) fn of(span: Span) -> Self {
        let file = NonZeroU32::new(span.file.0 ^ Self::TURNED);
        Self {
            file: file.unwrap_or(NonZeroU32::MAX),
            start: span.start,
        }
    }

    /// The span with its beginning alone.
    pub(crate) const fn span(self) -> Span {
        Span {
            file: FileId(self.file.get() ^ Self::TURNED),
            start: self.start,
            end: self.start,
            line: 0,
            column: 0,
        }
    }
}

/// What a text was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A file by this name.
    File(Arc<str>),
    /// The `-g` option.
    CommandLine,
}

#[derive(Debug)]
pub(crate) struct SourceFile {
    pub(crate) origin: Origin,
    pub(crate) text: Arc<[u8]>,
    /// The `include` that brought it in; [`Span::NOWHERE`] for the main file.
    pub(crate) included_at: Span,
}

/// The texts of one run, for rendering.
#[derive(Debug, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

impl SourceMap {
    /// The name of the file in which `span` stands, if it stands in a file.
    #[must_use]
    pub fn file_name(&self, span: Span) -> Option<&str> {
        match &self.file(span.file)?.origin {
            Origin::File(name) => Some(name),
            Origin::CommandLine => None,
        }
    }

    /// `/etc/nginx.conf:12`, `command line`, or nothing for [`Span::NOWHERE`].
    #[must_use]
    pub fn locate(&self, span: Span) -> Option<String> {
        Some(match &self.file(span.file)?.origin {
            Origin::File(name) => format!("{name}:{}", self.complete(span).line),
            Origin::CommandLine => "command line".to_owned(),
        })
    }

    /// The span with its line and column, and the end of its word, if it lacks them.
    #[must_use]
    pub fn complete(&self, span: Span) -> Span {
        let start = usize::try_from(span.start).unwrap_or(usize::MAX);
        let text = self.file(span.file).map_or(&[][..], |file| &*file.text);
        let (true, Some((before, word))) = (span.line == 0, text.split_at_checked(start)) else {
            return span;
        };
        let narrow = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let lines = before.iter().filter(|&&byte| byte == b'\n').count();
        let column = before.iter().rev().take_while(|&&byte| byte != b'\n');
        let word = word
            .iter()
            .take_while(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{'));
        Span {
            end: span.start.saturating_add(narrow(word.count())),
            line: narrow(lines + 1),
            column: narrow(column.count() + 1),
            ..span
        }
    }

    /// What the run began with: the directives of the `-g` option, and the main file.
    pub(crate) fn given(&self) -> (String, &Path) {
        let mut given = (String::new(), Path::new(""));
        for file in self.files.iter().take(2) {
            match &file.origin {
                Origin::CommandLine => given.0 = String::from_utf8_lossy(&file.text).into_owned(),
                Origin::File(name) => given.1 = Path::new(&**name),
            }
        }
        given
    }

    pub(crate) fn add(&mut self, origin: Origin, text: Arc<[u8]>, included_at: Span) -> FileId {
        // Includes are limited to far fewer files than that; see `include::MAX_FILES`.
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(SourceFile {
            origin,
            text,
            included_at,
        });
        id
    }

    pub(crate) fn file(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(usize::try_from(id.0).ok()?)
    }

    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// The line on which `span` starts, without its end.
    pub(crate) fn line_of(&self, span: Span) -> Option<&[u8]> {
        let span = self.complete(span);
        let text = &self.file(span.file)?.text;
        let start = usize::try_from(span.start).ok()?;
        let column = usize::try_from(span.column).ok()?;
        let rest = text.get((start + 1).checked_sub(column)?..)?;
        let line = rest.split(|&byte| byte == b'\n').next()?;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// Where `word` stands first behind the start of `span`, in letters of any case, with no letter,
    /// digit or `_` behind it.
    #[must_use]
    pub fn find_from(&self, span: Span, word: &[u8]) -> Option<Span> {
        let span = self.complete(span);
        let text = &self.file(span.file)?.text;
        let rest = text.get(usize::try_from(span.start).ok()?..)?;
        let ends = |byte: &u8| !(byte.is_ascii_alphanumeric() || *byte == b'_');
        let at = rest
            .windows(word.len())
            .enumerate()
            .position(|(at, window)| {
                window.eq_ignore_ascii_case(word) && rest.get(at + word.len()).is_none_or(ends)
            })?;
        let passed = rest.get(..at)?;
        let lines = passed.iter().filter(|&&byte| byte == b'\n').count();
        let before = passed.iter().rev().take_while(|&&byte| byte != b'\n');
        let column = u32::try_from(before.count()).ok()?;
        let start = span.start + u32::try_from(at).ok()?;
        Some(Span {
            file: span.file,
            start,
            end: start + u32::try_from(word.len()).ok()?,
            line: span.line + u32::try_from(lines).ok()?,
            column: if lines == 0 { span.column } else { 1 } + column,
        })
    }

    /// A key that sorts spans in the order in which a reader meets them, includes in place.
    pub(crate) fn reading_order(&self, span: Span) -> Vec<u32> {
        let mut key = vec![span.start];
        let mut file = span.file;
        while let Some(source) = self.file(file) {
            if !source.included_at.is_somewhere() {
                break;
            }
            // Files of one glob stand at the same include; their ids keep them apart.
            key.push(file.0);
            key.push(source.included_at.start);
            file = source.included_at.file;
        }
        key.push(file.0);
        key.reverse();
        key
    }
}
