//! What can go wrong, one enum for each operation.

use std::io;
use std::path::PathBuf;

/// Reading or sending a file range failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file ended before the range did: it was truncated while in use.
    #[error("\"{}\" was truncated at {offset}, {missing} more bytes were expected", name.display())]
    Truncated {
        /// The name of the file.
        name: PathBuf,
        /// Where the file ends now.
        offset: u64,
        /// How many bytes of the range lie behind that place.
        missing: u64,
    },
    /// Whoever was to read did not: the threads that read files are gone.
    #[error("reading \"{}\" at {offset} was given up", name.display())]
    Abandoned {
        /// The name of the file.
        name: PathBuf,
        /// Where the read began.
        offset: u64,
    },
    /// The system refused to read.
    #[error("pread() \"{}\" at {offset} failed: {source}", name.display())]
    Read {
        /// The name of the file.
        name: PathBuf,
        /// Where the read began.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
}

/// Making output ready for the next filter failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// A file could not be copied into memory.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Writing to a sink failed; nothing more will be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The peer is gone. That is its right, and says nothing about this side.
    #[error("the peer closed the connection: {0}")]
    Closed(#[source] io::Error),
    /// The sink failed in another way.
    #[error("write failed: {0}")]
    Io(#[source] io::Error),
    /// A file range could not be sent in full. The peer has received a part of it: the connection
    /// is of no more use.
    #[error(transparent)]
    File(#[from] FileError),
    /// An earlier call returned the error that ended this writer.
    #[error("the writer has failed before")]
    Ended,
}

impl WriteError {
    /// Whether the peer went away, as opposed to a failure on this side.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, WriteZero,
        };
        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | WriteZero => {
                Self::Closed(error)
            }
            _ => Self::Io(error),
        }
    }
}
