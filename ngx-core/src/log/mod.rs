//! The error log.
//!
//! `tracing` is the façade: the macros [`emerg!`](crate::emerg) to [`debug!`](crate::debug) make
//! events whose target names one of nginx's eight levels, so that any subscriber can have them.
//! Ours, made by [`install`], writes nginx's lines:
//!
//! ```text
//! 2026/11/21 02:00:33 [error] 1234#1235: *5 message, client: 127.0.0.1, server: localhost
//! ```
//!
//! or, for sinks of [`LineFormat::Json`], an object each. Lines go to files, to standard error and to
//! syslog servers ([`Syslog`]).
//!
//! The connection's number and what follows the message come from the current [`LogScope`], and
//! so may the [`ErrorLog`] to write to; without one it is the process's, see [`set_default`].
//!
//! ```
//! use std::rc::Rc;
//! use std::sync::Arc;
//! use ngx_core::log::{self, ErrorLog, Level, LogFiles, LogScope};
//!
//! struct Client(u64);
//!
//! impl LogScope for Client {
//!     fn connection(&self) -> Option<u64> {
//!         Some(self.0)
//!     }
//!     fn write_context(&self, out: &mut String) {
//!         out.push_str(", client: 127.0.0.1");
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("error.log");
//! let file = LogFiles::default().open(&path)?;
//! log::set_default(Arc::new(ErrorLog::new([(Level::Warn, file as _)])));
//! log::install()?;
//!
//! let scope: Rc<dyn LogScope> = Rc::new(Client(5));
//! let _inside = log::enter(scope);
//! ngx_core::warn!("{} is odd", "this");
//! ngx_core::info!("nobody asked");
//!
//! let lines = std::fs::read_to_string(&path)?;
//! assert!(lines.ends_with(": *5 this is odd, client: 127.0.0.1\n"));
//! assert_eq!(lines.lines().count(), 1);
//! # Ok(())
//! # }
//! ```

mod file;
mod level;
mod line;
mod scope;
mod sink;
mod subscriber;
mod syslog;

#[cfg(test)]
mod tests;

pub use self::file::{LogFile, LogFiles};
pub use self::level::{Level, ParseLevelError};
pub use self::line::{Fields, LineFormat};
pub use self::scope::{Entered, LogScope, Scoped, current, enter, scoped};
pub use self::sink::{ErrorLog, Json, LogSink, Stderr, Talkative, set_default};
#[cfg(feature = "conf")]
pub(crate) use self::subscriber::forked;
pub use self::subscriber::{InstallError, LogSubscriber, install};
pub use self::syslog::{Syslog, SyslogError, SyslogOptions};

/// What the macros expand to; no API.
#[doc(hidden)]
pub use tracing as __tracing;

/// Logs a message whose level is known at run time only, as the `ngx.log` of Lua does.
///
/// ```
/// use ngx_core::log::{self, Level};
///
/// log::write(Level::Notice, format_args!("{} of {}", 1, 2));
/// ```
pub fn write(level: Level, message: std::fmt::Arguments<'_>) {
    match level {
        Level::Emerg => crate::emerg!("{message}"),
        Level::Alert => crate::alert!("{message}"),
        Level::Crit => crate::crit!("{message}"),
        Level::Error => crate::error!("{message}"),
        Level::Warn => crate::warn!("{message}"),
        Level::Notice => crate::notice!("{message}"),
        Level::Info => crate::info!("{message}"),
        Level::Debug => crate::debug!("{message}"),
    }
}

/// Logs at `emerg`: the server cannot run.
///
/// Takes what [`tracing::event!`] takes. A field `multiline = true` keeps line breaks in the
/// message; else they are escaped.
#[macro_export]
macro_rules! emerg {
    ($($arg:tt)+) => {
        $crate::log::__tracing::event!(
            target: "ngx::emerg", $crate::log::__tracing::Level::ERROR, $($arg)+)
    };
}

/// Logs at `alert`: something that never happens has happened. See [`emerg!`](crate::emerg).
#[macro_export]
macro_rules! alert {
    ($($arg:tt)+) => {
        $crate::log::__tracing::event!(
            target: "ngx::alert", $crate::log::__tracing::Level::ERROR, $($arg)+)
    };
}

/// Logs at `crit`: the system refuses something. See [`emerg!`](crate::emerg).
#[macro_export]
macro_rules! crit {
    ($($arg:tt)+) => {
        $crate::log::__tracing::event!(
            target: "ngx::crit", $crate::log::__tracing::Level::ERROR, $($arg)+)
    };
}

/// Logs at `error`: a request failed. See [`emerg!`](crate::emerg).
#[macro_export]
macro_rules! error {
    ($($arg:tt)+) => {
        $crate::log::__tracing::event!(
            target: "ngx::error", $crate::log::__tracing::Level::ERROR, $($arg)+)
    };
}

/// Logs at `warn`: somebody should look at it. See [`emerg!`](crate::emerg).
#[macro_export]
macro_rules! warn {
    ($($arg:tt)+) => {
        $crate::log::__tracing::event!(
            target: "ngx::warn", $crate::log::__tracing::Level::WARN, $($arg)+)
    };
}

/// Logs at `notice`: the server's own life. See [`emerg!`](crate::emerg).
#[macro_export]
macro_rules! notice {
    ($($arg:tt)+) => {
        $crate::log::__tracing::event!(
            target: "ngx::notice", $crate::log::__tracing::Level::INFO, $($arg)+)
    };
}

/// Logs at `info`: what clients do wrong. See [`emerg!`](crate::emerg).
#[macro_export]
macro_rules! info {
    ($($arg:tt)+) => {
        $crate::log::__tracing::event!(
            target: "ngx::info", $crate::log::__tracing::Level::INFO, $($arg)+)
    };
}

/// Logs at `debug`: every step. See [`emerg!`](crate::emerg).
#[macro_export]
macro_rules! debug {
    ($($arg:tt)+) => {
        $crate::log::__tracing::event!(
            target: "ngx::debug", $crate::log::__tracing::Level::DEBUG, $($arg)+)
    };
}
