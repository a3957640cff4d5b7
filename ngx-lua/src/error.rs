//! What goes wrong between a piece of Lua source and its results.

use mlua::Value;
use thiserror::Error;

use crate::sched::Failure;

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

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Runtime {
            message: failure.message,
            traceback: failure.traceback,
        }
    }
}

/// An error object as text; never fails, never raises.
pub(crate) fn object_text(object: &Value) -> String {
    match object {
        Value::Error(error) => error_text(error),
        Value::String(text) => text.to_string_lossy(),
        Value::Table(_) | Value::UserData(_) if !has_to_string(object) => unnamed(object),
        Value::Function(_) | Value::Thread(_) | Value::LightUserData(_) => unnamed(object),
        other => other.to_string().unwrap_or_else(|_| unnamed(other)),
    }
}

fn has_to_string(object: &Value) -> bool {
    match object {
        Value::Table(table) => table
            .metatable()
            .is_some_and(|meta| meta.contains_key("__tostring").unwrap_or(false)),
        Value::UserData(data) => data
            .metatable()
            .is_ok_and(|meta| meta.contains("__tostring").unwrap_or(false)),
        _ => false,
    }
}

fn unnamed(object: &Value) -> String {
    format!("(error object is a {} value)", object.type_name())
}

/// What the VM or a Rust function said, without the words that the bindings put before it.
pub(crate) fn error_text(error: &mlua::Error) -> String {
    match error {
        mlua::Error::SyntaxError { message, .. } | mlua::Error::RuntimeError(message) => {
            message.clone()
        }
        mlua::Error::CallbackError { cause, .. } => error_text(cause),
        other => other.to_string(),
    }
}
