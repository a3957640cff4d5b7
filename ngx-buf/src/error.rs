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
