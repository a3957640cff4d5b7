//! nginx's eight levels, and which tracing level each of them travels with.

use std::fmt;
use std::str::FromStr;

use tracing::Metadata;
use tracing::level_filters::LevelFilter;

/// A level of the `error_log` directive; the smaller, the graver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The server cannot run.
    Emerg = 1,
    /// Something that never happens has happened.
    Alert,
    /// The system refuses something.
    Crit,
    /// A request failed.
    Error,
    /// Somebody should look at it.
    Warn,
    /// The server's own life.
    Notice,
    /// What clients do wrong.
    Info,
    /// Every step.
    Debug,
}

impl Level {
    /// All levels, the gravest first.
    pub const ALL: [Self; 8] = [
        Self::Emerg,
        Self::Alert,
        Self::Crit,
        Self::Error,
        Self::Warn,
        Self::Notice,
        Self::Info,
        Self::Debug,
    ];

    /// The level's name in the configuration and in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Emerg => "emerg",
            Self::Alert => "alert",
            Self::Crit => "crit",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    /// The level of an event: from our targets exactly, from others by the tracing level.
    ///
    /// `TRACE` has no counterpart: nobody wants the wake-ups of the runtime in an error log.
    pub(super) fn of(metadata: &Metadata<'_>) -> Option<Self> {
        if let Some(name) = metadata.target().strip_prefix(TARGET_PREFIX) {
            return name.parse().ok();
        }
        match *metadata.level() {
            tracing::Level::ERROR => Some(Self::Error),
            tracing::Level::WARN => Some(Self::Warn),
            tracing::Level::INFO => Some(Self::Info),
            tracing::Level::DEBUG => Some(Self::Debug),
            tracing::Level::TRACE => None,
        }
    }

    /// The least tracing filter that lets this level through.
    pub(super) fn filter(self) -> LevelFilter {
        match self {
            Self::Emerg | Self::Alert | Self::Crit | Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Notice | Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Level {
    type Err = ParseLevelError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|level| level.name() == name)
            .ok_or_else(|| ParseLevelError(name.to_owned()))
    }
}

/// A word that names no level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid log level \"{0}\"")]
pub struct ParseLevelError(String);

/// Events of the project's own macros have a target that begins with this.
pub(super) const TARGET_PREFIX: &str = "ngx::";
