//! Where lines go: lists of sinks with their levels, and the process's own list.

use std::fmt;
use std::io::Write as _;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tracing::callsite::rebuild_interest_cache;

use super::{Level, LineFormat};

/// One destination of log lines.
pub trait LogSink: Send + Sync {
    /// Takes one line, its line feed included. Lines of several threads must stay whole.
    ///
    /// A sink that cannot write drops the line: there is nobody left to tell.
    fn write_line(&self, line: &[u8]);

    /// The same, for sinks that tell levels apart.
    fn write_line_at(&self, level: Level, line: &[u8]) {
        let _most_need_not_know = level;
        self.write_line(line);
    }

    /// How lines are to be written.
    fn format(&self) -> LineFormat {
        LineFormat::Text
    }
}

/// Makes a sink one for lines in JSON (`error_log ... format=json`).
#[derive(Debug, Clone)]
pub struct Json<S>(pub S);

impl<S: Deref<Target: LogSink> + Send + Sync> LogSink for Json<S> {
    fn write_line(&self, line: &[u8]) {
        self.0.write_line(line);
    }

    fn write_line_at(&self, level: Level, line: &[u8]) {
        self.0.write_line_at(level, line);
    }

    fn format(&self) -> LineFormat {
        LineFormat::Json
    }
}

/// What the `error_log` directives of one level of the configuration add up to.
pub struct ErrorLog {
    sinks: Box<[Limited]>,
    max: Option<Level>,
}

impl ErrorLog {
    /// A log that gives each sink the lines of its level and of graver ones.
    pub fn new(sinks: impl IntoIterator<Item = (Level, Arc<dyn LogSink>)>) -> Self {
        let sinks = sinks.into_iter().map(|(level, sink)| Limited {
            level,
            format: sink.format(),
            sink,
        });
        let sinks: Box<[_]> = sinks.collect();
        let max = sinks.iter().map(|sink| sink.level).max();
        if let Some(level) = max {
            count(level, 1);
        }
        Self { sinks, max }
    }

    /// Does any sink want lines of this level?
    #[must_use]
    pub fn wants(&self, level: Level) -> bool {
        self.max.is_some_and(|max| level <= max)
    }

    /// Does any sink that has this format want lines of this level? All do that are debugged.
    pub(super) fn wants_as(&self, format: LineFormat, level: Level, debugged: bool) -> bool {
        let mut sinks = self.sinks.iter();
        sinks.any(|sink| sink.takes(format, level, debugged))
    }

    /// Gives a line to every sink of this format that wants its level.
    pub(super) fn write_as(&self, format: LineFormat, level: (Level, bool), line: &[u8]) {
        let (level, debugged) = level;
        for sink in &self.sinks {
            if sink.takes(format, level, debugged) {
                sink.sink.write_line_at(level, line);
            }
        }
    }

    /// Gives a line of text, its line feed included, to every sink for text that wants its level.
    pub fn write_line(&self, level: Level, line: &[u8]) {
        self.write_as(LineFormat::Text, (level, false), line);
    }
}

/// A sink and what it wants.
struct Limited {
    level: Level,
    format: LineFormat,
    sink: Arc<dyn LogSink>,
}

impl Limited {
    fn takes(&self, format: LineFormat, level: Level, debugged: bool) -> bool {
        self.format == format && (debugged || level <= self.level)
    }
}

/// As long as one is alive, lines of every level are made, for those who are
/// [debugged](super::LogScope::is_debugged).
#[derive(Debug)]
pub struct Talkative(());

impl Talkative {
    /// From now on.
    #[must_use]
    pub fn new() -> Self {
        count(Level::Debug, 1);
        Self(())
    }
}

impl Default for Talkative {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Talkative {
    fn drop(&mut self) {
        count(Level::Debug, -1);
    }
}

impl fmt::Debug for ErrorLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels: Vec<Level> = self.sinks.iter().map(|sink| sink.level).collect();
        f.debug_struct("ErrorLog").field("levels", &levels).finish()
    }
}

impl Drop for ErrorLog {
    fn drop(&mut self) {
        if let Some(level) = self.max {
            count(level, -1);
        }
    }
}

/// Standard error (`error_log stderr;`).
#[derive(Debug, Clone, Copy, Default)]
pub struct Stderr;

impl LogSink for Stderr {
    fn write_line(&self, line: &[u8]) {
        let _nobody_to_tell = std::io::stderr().lock().write_all(line);
    }
}

/// Replaces the log of the process, to which lines outside of any scope go.
///
/// Until the first call it is standard error at `notice`.
pub fn set_default(log: Arc<ErrorLog>) {
    let old = DEFAULT
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .replace(log);
    // The last owner rebuilds tracing's caches: not under the lock.
    drop(old);
}

/// The log of the process.
pub(super) fn default_log() -> Arc<ErrorLog> {
    if let Some(log) = &*DEFAULT.read().unwrap_or_else(PoisonError::into_inner) {
        return Arc::clone(log);
    }
    let first = Arc::new(ErrorLog::new([(
        Level::Notice,
        Arc::new(Stderr) as Arc<dyn LogSink>,
    )]));
    let mut default = DEFAULT.write().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(default.get_or_insert(first))
}

/// The most talkative level that any log of the process wants.
pub(super) fn max_level() -> Level {
    let counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    max_of(&counts).unwrap_or(Level::Notice)
}

/// Counts a log in or out, and tells tracing if that changes which events are of interest.
fn count(level: Level, change: isize) {
    let changed = {
        let mut counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
        let before = max_of(&counts);
        if let Some(n) = counts.get_mut(level as usize - 1) {
            *n = n.saturating_add_signed(change);
        }
        before != max_of(&counts)
    };
    if changed {
        rebuild_interest_cache();
    }
}

fn max_of(counts: &[usize; 8]) -> Option<Level> {
    Level::ALL
        .into_iter()
        .zip(counts)
        .rev()
        .find(|(_, n)| **n > 0)
        .map(|(level, _)| level)
}

static DEFAULT: RwLock<Option<Arc<ErrorLog>>> = RwLock::new(None);

/// How many logs there are whose most talkative level is the first, the second, ...
static COUNTS: Mutex<[usize; 8]> = Mutex::new([0; 8]);
