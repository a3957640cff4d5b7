//! What sockets begin with: the limits and timeouts of the place where their run runs.

use std::rc::Rc;

use super::timeouts::millis;
use crate::settings::{Resolve, Settings};

/// Limits and timeouts, in milliseconds, of sockets that have not been told otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Defaults {
    pub(crate) connect_timeout: u64,
    pub(crate) send_timeout: u64,
    pub(crate) read_timeout: u64,
    /// What is read at once.
    pub(crate) buffer_size: usize,
    pub(crate) pool_size: usize,
    pub(crate) keepalive_timeout: u64,
    pub(crate) log_errors: bool,
    /// Small segments leave at once.
    pub(crate) nodelay: bool,
}

impl From<&Settings> for Defaults {
    fn from(settings: &Settings) -> Self {
        Self {
            connect_timeout: millis(settings.connect_timeout),
            send_timeout: millis(settings.send_timeout),
            read_timeout: millis(settings.read_timeout),
            buffer_size: settings.buffer_size,
            pool_size: settings.pool_size,
            keepalive_timeout: millis(settings.keepalive_timeout),
            log_errors: settings.log_socket_errors,
            nodelay: true,
        }
    }
}

/// Those of [`Defaults`] that a receive needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadingDefaults {
    pub(crate) timeout: u64,
    pub(crate) buffer_size: usize,
    pub(crate) log_errors: bool,
}

impl From<Defaults> for ReadingDefaults {
    fn from(defaults: Defaults) -> Self {
        Self {
            timeout: defaults.read_timeout,
            buffer_size: defaults.buffer_size,
            log_errors: defaults.log_errors,
        }
    }
}

/// What a timer takes over from the request that made it, which may be gone when it runs.
pub(crate) struct Heritage {
    pub(crate) sockets: Defaults,
    pub(crate) resolver: Option<Rc<dyn Resolve>>,
}
