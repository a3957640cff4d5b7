//! What goes wrong between a piece of Lua source and its results.

use thiserror::Error;

/// Why a chunk did not load or did not finish.
///
/// The messages name the chunk and the line as Lua itself does, so that they can be logged as they
/// are. Every error is plain text, `Send` and `Sync`, and outlives the [`Host`](crate::Host).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The Lua VM did not start, or could not hold what was put into it.
    #[error("cannot set up the Lua VM: {message}")]
    Vm {
        /// What the VM said.
        message: String,
    },

    /// The source is not Lua.
    #[error("failed to load inlined Lua code: {message}")]
    Syntax {
        /// Chunk, line and reason: `content_by_lua(nginx.conf:12):1: '=' expected near 'is'`.
        message: String,
    },

    /// The chunk raised an error that it did not catch.
    #[error("runtime error: {message}")]
    Runtime {
        /// The error object as text. A string stands as it is; a table or a userdata is what its
        /// `__tostring` answers, or else is named by its type.
        message: String,
        /// The Lua stack at the place of the error, beginning with `stack traceback:`; empty when
        /// there was no room left to take it.
        traceback: String,
    },

    /// The chunk returned something else than the caller asked for.
    #[error("the results of {chunk} are not what the caller asked for: {message}")]
    Results {
        /// The chunk's name, as in the other messages.
        chunk: String,
        /// What was found and what was wanted.
        message: String,
    },
}
