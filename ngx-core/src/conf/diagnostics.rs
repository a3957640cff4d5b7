//! Problems of a configuration, collected over a whole run.

use std::fmt;
use std::sync::Arc;

use super::render;
use super::span::{SourceMap, Span};

/// How bad a [`Problem`] is. The names are those of nginx's log levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration works, but perhaps not as meant.
    Warn,
    /// It works, and nobody should serve with it.
    Alert,
    /// The configuration cannot be used.
    Emerg,
}

impl Severity {
    /// The word between the brackets of a log line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Alert => "alert",
            Self::Emerg => "emerg",
        }
    }
}

/// One mistake, or one thing worth a warning.
///
/// ```
/// use ngx_core::conf::{Problem, Severity, Span};
///
/// let problem = Problem::new(Span::NOWHERE, "no \"events\" section in configuration")
///     .with_help("add \"events { }\"");
/// assert_eq!(problem.severity, Severity::Emerg);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether the configuration can be used all the same.
    pub severity: Severity,
    /// What is wrong, in nginx's words where it has some.
    pub message: String,
    /// What the caret points at.
    pub span: Span,
    /// What to do about it.
    pub help: Option<String>,
    /// Other places that explain the mistake.
    pub notes: Vec<(Span, String)>,
    /// `message` is but the end of a sentence that starts with the name of the directive.
    of_directive: bool,
}

impl Problem {
    /// An error at `span`.
    #[must_use]
    pub fn new(span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Emerg,
            message: message.into(),
            span,
            help: None,
            notes: Vec::new(),
            of_directive: false,
        }
    }

    /// A warning at `span`.
    #[must_use]
    pub fn warn(span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warn,
            ..Self::new(span, message)
        }
    }

    /// A warning at `span` that is not to be overlooked.
    #[must_use]
    pub fn alert(span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Alert,
            ..Self::new(span, message)
        }
    }

    /// An error whose message reads `"NAME" directive TAIL`; the evaluation of the directive
    /// that returns it fills in the name.
    #[must_use]
    pub fn of_directive(span: Span, tail: impl Into<String>) -> Self {
        Self {
            of_directive: true,
            ..Self::new(span, tail)
        }
    }

    /// Adds advice.
    #[must_use]
    pub fn with_help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }

    /// Adds a place that explains the mistake.
    #[must_use]
    pub fn with_note(mut self, span: Span, text: impl Into<String>) -> Self {
        self.notes.push((span, text.into()));
        self
    }

    /// Whether the configuration cannot be used because of it.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Emerg
    }

    pub(crate) fn complete(&mut self, directive: &str) {
        if std::mem::take(&mut self.of_directive) {
            self.message = format!("\"{directive}\" directive {}", self.message);
        }
    }
}

/// Everything found in one run, and the texts that are needed to show it.
///
/// `Display` shows all problems in the order in which a reader of the files meets them; each
/// begins with the line that nginx prints. Of a file that is no configuration at all it shows the
/// first hundred.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    problems: Vec<Problem>,
    files: Arc<SourceMap>,
}

impl Diagnostics {
    pub(crate) fn new(files: Arc<SourceMap>) -> Self {
        Self {
            problems: Vec::new(),
            files,
        }
    }

    /// Adds a problem.
    pub fn report(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// All problems.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether something stands in the way of using the configuration.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(Problem::is_error)
    }

    /// The files of the run.
    #[must_use]
    pub fn files(&self) -> &SourceMap {
        &self.files
    }

    /// The message with its place, as nginx logs it:
    /// `unknown directive "prox_pass" in /etc/nginx.conf:12`.
    ///
    /// It is one line, and has nothing in it that a terminal would act on.
    #[must_use]
    pub fn headline(&self, problem: &Problem) -> String {
        let message = render::printable(problem.message.as_bytes());
        match self.files.locate(problem.span) {
            Some(place) => format!("{message} in {place}"),
            None => message,
        }
    }

    /// One problem with its source line, notes and advice.
    pub fn show(&self, problem: &Problem) -> impl fmt::Display {
        fmt::from_fn(move |f| render::problem(f, self, problem))
    }

    pub(crate) fn sort(&mut self) {
        let files = Arc::clone(&self.files);
        self.problems
            .sort_by_cached_key(|problem| files.reading_order(problem.span));
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self.problems.iter().take(MAX_SHOWN) {
            render::problem(f, self, problem)?;
        }
        match self.problems.len().saturating_sub(MAX_SHOWN) {
            0 => Ok(()),
            more => writeln!(f, "and {more} problems more"),
        }
    }
}

impl std::error::Error for Diagnostics {}

const MAX_SHOWN: usize = 100;
