//! Reads the main file and, in place, the files that it includes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostics::Problem;
use super::lexer::Word;
use super::node::Node;
use super::parser::{Kind, Parser};
use super::source::{ConfigSource, FileRole, path_of};
use super::span::{Origin, SourceMap, Span};
use crate::error::errno;

/// Files within files.
const MAX_DEPTH: usize = 64;
/// Readings of files in one run.
const MAX_FILES: usize = 65_536;

/// Reads texts into directives and collects the problems met on the way.
pub(crate) struct Reader<'s> {
    source: &'s dyn ConfigSource,
    /// The folder of the main file.
    folder: &'s Path,
    raw_names: &'s dyn Fn(&str) -> bool,
    /// Files that are being read, each included by the one before it.
    reading: Vec<PathBuf>,
    pub(crate) files: SourceMap,
    pub(crate) problems: Vec<Problem>,
}

impl<'s> Reader<'s> {
    /// `raw_names` tells which directives have a block that is not in this language.
    pub(crate) fn new(
        source: &'s dyn ConfigSource,
        folder: &'s Path,
        raw_names: &'s dyn Fn(&str) -> bool,
    ) -> Self {
        Self {
            source,
            folder,
            raw_names,
            reading: Vec::new(),
            files: SourceMap::default(),
            problems: Vec::new(),
        }
    }

    /// Reads the main file.
    pub(crate) fn main_file(&mut self, path: &Path) -> Vec<Node> {
        self.file(path, Span::NOWHERE, 0)
    }

    /// Reads the directives of the `-g` option.
    pub(crate) fn command_line(&mut self, text: &str) -> Vec<Node> {
        let text: Arc<[u8]> = Arc::from(text.as_bytes());
        let id = self
            .files
            .add(Origin::CommandLine, Arc::clone(&text), Span::NOWHERE);
        Parser::new(self, (id, &text), Kind::CommandLine, 0).run()
    }

    pub(super) fn is_raw(&self, name: &str) -> bool {
        (self.raw_names)(name)
    }

    /// The directives of the files that an `include` names, with `depth` blocks around it.
    pub(super) fn include(&mut self, pattern: &Word, depth: usize) -> Vec<Node> {
        let path = self.folder.join(path_of(pattern.as_bytes()));
        if !pattern
            .as_bytes()
            .iter()
            .any(|ch| matches!(ch, b'*' | b'?' | b'['))
        {
            return self.file(&path, pattern.span(), depth);
        }
        match self.source.glob(&path) {
            Ok(paths) => paths
                .iter()
                .flat_map(|path| self.file(path, pattern.span(), depth))
                .collect(),
            Err(error) => {
                let message = format!("glob() \"{}\" failed {}", path.display(), errno(&error));
                self.problems.push(Problem::new(pattern.span(), message));
                Vec::new()
            }
        }
    }

    fn file(&mut self, path: &Path, included_at: Span, depth: usize) -> Vec<Node> {
        if let Some(message) = self.refusal(path) {
            self.problems.push(Problem::new(included_at, message));
            return Vec::new();
        }
        let text = match self.source.read(path, FileRole::Config) {
            Ok(text) => text,
            Err(error) => {
                self.problems.push(open_failed(path, included_at, &error));
                return Vec::new();
            }
        };
        if u32::try_from(text.len()).is_err() {
            let message = format!("\"{}\" is too large for a configuration", path.display());
            self.problems.push(Problem::new(included_at, message));
            return Vec::new();
        }
        let origin = Origin::File(Arc::from(path.to_string_lossy()));
        let id = self.files.add(origin, Arc::clone(&text), included_at);
        self.reading.push(path.to_owned());
        let nodes = Parser::new(self, (id, &text), Kind::File, depth).run();
        self.reading.pop();
        nodes
    }

    fn refusal(&self, path: &Path) -> Option<String> {
        if self.reading.iter().any(|reading| reading == path) {
            return Some(format!("\"{}\" includes itself", path.display()));
        }
        if self.reading.len() >= MAX_DEPTH {
            return Some(format!(
                "includes are nested too deeply, at most {MAX_DEPTH} are allowed"
            ));
        }
        (self.files.len() >= MAX_FILES)
            .then(|| format!("too many files are included, at most {MAX_FILES} are allowed"))
    }
}

fn open_failed(path: &Path, included_at: Span, error: &io::Error) -> Problem {
    let message = format!("open() \"{}\" failed {}", path.display(), errno(error));
    Problem::new(included_at, message)
}

#[cfg(test)]
mod tests;
