//! What can go wrong.

use std::io;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("{0}")]
    Failed(String),
    /// Somebody pressed Ctrl-C, or the like.
    #[error("interrupted")]
    Interrupted,
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn failed<T>(what: impl Into<String>) -> Result<T> {
        Err(Self::Failed(what.into()))
    }
}

/// Says what was tried.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::Io {
            what: what(),
            source: error.into(),
        })
    }
}
