//! The directives that rule a driver.

use crate::exchange::Limits;
use crate::pipe::{Buffers, Mode};
use crate::retry::RetryPolicy;
use crate::timeouts::Timeouts;

/// How a driver behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the exchange lets through.
    pub limits: Limits,
    /// How long each wait may take.
    pub timeouts: Timeouts,
    /// When to try again.
    pub retry: RetryPolicy,
    /// Whether the response is read ahead of the client (`proxy_buffering`).
    pub mode: Mode,
    /// What a response that is read ahead may occupy.
    pub buffers: Buffers,
    /// The request body is sent while it arrives (`proxy_request_buffering off`): the client is asked
    /// for it.
    pub stream_request: bool,
    /// Whether the request may be repeated by its nature. POST, LOCK and PATCH may not.
    pub idempotent: bool,
    /// Bytes of the first read.
    pub read_min: usize,
    /// Bytes of a read once the peer has shown that it fills smaller ones.
    pub read_max: usize,
    /// Bytes of a discarded body that are read to keep its connection.
    pub discard_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            retry: RetryPolicy::default(),
            mode: Mode::Buffered,
            buffers: Buffers::default(),
            stream_request: false,
            idempotent: true,
            read_min: 8 * 1024,
            read_max: 256 * 1024,
            discard_max: DISCARD_MAX,
        }
    }
}

/// As much is cheaper to read than a new connection is to open.
pub(crate) const DISCARD_MAX: usize = 64 * 1024;
