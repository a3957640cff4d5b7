//! What all modules that pass requests on have in common.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ngx_core::conf::{Args, Problem};

use crate::driver::{DISCARD_MAX, Settings};
use crate::exchange::Limits;
use crate::pipe::{Buffers, Mode};
use crate::retry::{Conditions, RetryPolicy};
use crate::timeouts::Timeouts;

/// How a module drives its exchanges. Times are milliseconds.
#[derive(Clone, Debug)]
pub(super) struct Drive {
    pub(super) timeouts: [u64; 3],
    pub(super) conditions: Conditions,
    pub(super) tries: u64,
    pub(super) tries_timeout: u64,
    pub(super) buffer_size: usize,
    pub(super) mode: Mode,
    pub(super) buffers: Buffers,
}

impl Drive {
    /// The settings of a driver; what belongs to one request alone is still to be filled in.
    pub(super) fn settings(&self) -> Settings {
        let [connect, send, read] = self.timeouts.map(Duration::from_millis);
        let largest = match self.mode {
            Mode::Buffered => READ_MAX,
            // What is read is passed on at once: more than one read's worth is not kept.
            Mode::Unbuffered => READ_MAX / 4,
        };
        Settings {
            limits: Limits {
                head: self.buffer_size,
            },
            timeouts: Timeouts {
                connect,
                send,
                read,
            },
            retry: RetryPolicy {
                conditions: self.conditions,
                tries: u32::try_from(self.tries).unwrap_or(u32::MAX),
                timeout: Duration::from_millis(self.tries_timeout),
            },
            mode: self.mode,
            buffers: self.buffers.clone(),
            read_min: self.buffer_size.max(READ_MIN),
            read_max: largest.max(self.buffer_size),
            // All fields, for the defaults ask the environment where temporary files go.
            stream_request: false,
            idempotent: true,
            discard_max: DISCARD_MAX,
        }
    }
}

/// Reads go into memory of the thread: asking for more than comes costs nothing.
const READ_MIN: usize = 16 * 1024;
const READ_MAX: usize = 256 * 1024;

/// The default of `*_next_upstream`.
pub(super) fn default_conditions() -> Conditions {
    Conditions::ERROR | Conditions::TIMEOUT
}

/// The words of a `*_next_upstream` directive, of which `allowed` are known.
pub(super) fn conditions(args: &Args<'_>, allowed: &[&str]) -> Result<Conditions, Problem> {
    let mut set = Conditions::none();
    for (i, word) in args.values().iter().enumerate() {
        let mut known = allowed.iter();
        let known = known.find(|known| known.eq_ignore_ascii_case(word.as_str()));
        let condition = known.and_then(|known| Conditions::from_word(known));
        let Some(condition) = condition else {
            return Err(args
                .problem_at(i, format!("invalid value \"{word}\""))
                .with_help(format!("it must be one of {}", allowed.join(", "))));
        };
        set |= condition;
    }
    Ok(set)
}

/// What memory and files a response may take if nothing is said about it.
pub(super) fn buffers(temp_path: &Path) -> Buffers {
    Buffers {
        temp_path: Arc::from(temp_path),
        ..Buffers::default()
    }
}
