//! What a driver has to tell when it is done.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::error::Error;

/// The tries of an exchange, in order.
pub type Tries = SmallVec<[Try; 1]>;

/// How an exchange went.
#[derive(Debug)]
pub struct Report {
    /// How it ended.
    pub result: Result<End, Error>,
    /// Its tries, for logs and variables.
    pub tries: Tries,
}

/// How an exchange ended well.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// The client was given the whole response.
    Complete,
    /// The client's side wanted the head alone.
    Discarded,
    /// A tunnel was closed.
    Tunnel,
}

/// One try: what `$upstream_addr` and its relatives are made of. Times count from its beginning.
#[derive(Clone, Debug)]
pub struct Try {
    /// The peer's name (`$upstream_addr`).
    pub peer: Arc<str>,
    /// Whether the connection was kept from an earlier exchange.
    pub reused: bool,
    /// When there was a connection (`$upstream_connect_time`).
    pub connect_time: Option<Duration>,
    /// When the head was complete (`$upstream_header_time`).
    pub header_time: Option<Duration>,
    /// When the try was over (`$upstream_response_time`); `None` while it runs.
    pub response_time: Option<Duration>,
    /// Bytes sent (`$upstream_bytes_sent`).
    pub sent: u64,
    /// Bytes received (`$upstream_bytes_received`).
    pub received: u64,
    /// Bytes of the body that were passed on (`$upstream_response_length`).
    pub body: u64,
    /// The status of the response, or of the error it stands for; 0 if there is none
    /// (`$upstream_status`).
    pub status: u16,
}

impl Try {
    /// Becomes a copy of `other`.
    #[cfg(feature = "http")]
    pub(crate) fn copy(&mut self, other: &Self) {
        // Nearly always it is the same name, which need not be counted.
        if !Arc::ptr_eq(&self.peer, &other.peer) {
            self.peer = Arc::clone(&other.peer);
        }
        self.reused = other.reused;
        self.connect_time = other.connect_time;
        self.header_time = other.header_time;
        self.response_time = other.response_time;
        self.sent = other.sent;
        self.received = other.received;
        self.body = other.body;
        self.status = other.status;
    }
}
