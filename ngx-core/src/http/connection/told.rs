//! What the location of a request says of its connection.

use crate::http::core::LocationConf;

/// The settings of a location that a connection goes by. Times are milliseconds.
#[derive(Clone, Copy)]
pub(super) struct Told {
    pub(super) send: u64,
    pub(super) body: u64,
    pub(super) linger: u64,
    pub(super) linger_total: u64,
    pub(super) keepalive: u64,
    pub(super) nodelay: bool,
    pub(super) reset: bool,
    /// Bytes that are not worth a packet.
    pub(super) postpone: u64,
    /// Bytes that are enough for one turn.
    pub(super) turn: u64,
}

/// Whether the limits of the configuration let the connection serve another request.
#[derive(Clone, Copy, Default)]
pub(super) enum Allowed {
    #[default]
    Unknown,
    /// What the server block says holds until a location is found.
    ByServer(bool),
    /// What one of the locations that the request was in has ended is at its end.
    ByLocation(bool),
}

impl Told {
    /// Before anybody has said anything.
    pub(super) const NOTHING: Self = Self {
        send: 0,
        body: 0,
        linger: 0,
        linger_total: 0,
        keepalive: 0,
        nodelay: false,
        reset: false,
        postpone: 0,
        turn: u64::MAX,
    };
}

impl From<&LocationConf> for Told {
    fn from(conf: &LocationConf) -> Self {
        Self {
            send: *conf.send_timeout,
            body: *conf.client_body_timeout,
            linger: *conf.lingering_timeout,
            linger_total: *conf.lingering_time,
            keepalive: *conf.keepalive_timeout,
            nodelay: *conf.tcp_nodelay,
            reset: *conf.reset_timedout_connection,
            postpone: *conf.postpone_output,
            turn: match *conf.sendfile_max_chunk {
                0 => u64::MAX,
                most => most,
            },
        }
    }
}

impl Allowed {
    /// Another location applies, which says this.
    pub(super) fn and(self, allowed: bool) -> Self {
        match self {
            Self::Unknown => Self::ByServer(allowed),
            Self::ByServer(_) => Self::ByLocation(allowed),
            Self::ByLocation(before) => Self::ByLocation(before && allowed),
        }
    }

    pub(super) fn holds(self) -> bool {
        matches!(
            self,
            Self::Unknown | Self::ByServer(true) | Self::ByLocation(true)
        )
    }
}
