//! The directives outside of all blocks and those of `events`.
//!
//! ```text
//! core         processes and threads: `worker_processes`, `user`, `pid`, ...
//! events       the `events` block
//! debugged     its `debug_connection`
//! error_log    `error_log`, here and within `http`
//! thread_pool  `thread_pool`
//! ```

mod affinity;
mod core;
mod debugged;
mod error_log;
mod events;
mod thread_pool;

pub use self::affinity::Affinity;
pub use self::core::{CoreConf, Credentials};
use self::debugged::Debugged;
#[cfg(feature = "http")]
pub(crate) use self::error_log::syslog;
pub use self::error_log::{error_log_of, main_error_log};
pub use self::events::EventsConf;
pub use self::thread_pool::{ThreadPool, ThreadPools};

use crate::module::Module;

/// The modules that every binary has.
pub const ALL: &[&Module] = &[
    &core::MODULE,
    &events::MODULE,
    &error_log::MODULE,
    &thread_pool::MODULE,
];

#[cfg(test)]
mod tests;
