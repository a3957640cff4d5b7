//! What the location of a request says of its connection.

use crate::http::core::LocationConf;

/// The settings of a location that a connection goes by. Times are milliseconds; one of more than
/// 49 days counts as that, for there are many connections and their memory counts.
#[derive(Clone, Copy)]
pub(super) struct Told {
    pub(super) send: u32,
    pub(super) body: u32,
    pub(super) linger: u32,
    pub(super) linger_total: u32,
    pub(super) keepalive: u32,
    /// Bytes that are not worth a packet.
    pub(super) postpone: u32,
    pub(super) nodelay: bool,
    pub(super) reset: bool,
}

/// Whether the limits of the configuration let the connection serve another request.
#[derive(Clone, Copy, Default)]
pub(super) enum Allowed {
    /// Nobody was asked yet.
    #[default]
    Unknown,
    /// What the server block says holds until a location is found.
    ByServer,
    NotByServer,
    ByLocation,
    /// What one of the locations that the request was in has ended is at its end.
    NotByLocation,
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
    };
}

impl From<&LocationConf> for Told {
    fn from(conf: &LocationConf) -> Self {
        Self {
            send: short(*conf.send_timeout),
            body: short(*conf.client_body_timeout),
            linger: short(*conf.lingering_timeout),
            linger_total: short(*conf.lingering_time),
            keepalive: short(*conf.keepalive_timeout),
            postpone: short(*conf.postpone_output),
            nodelay: *conf.tcp_nodelay,
            reset: *conf.reset_timedout_connection,
        }
    }
}

/// So much, or as much as fits.
fn short(setting: u64) -> u32 {
    u32::try_from(setting).unwrap_or(u32::MAX)
}

impl Allowed {
    /// The server block says this.
    pub(super) fn by_server(allowed: bool) -> Self {
        if allowed {
            Self::ByServer
        } else {
            Self::NotByServer
        }
    }

    /// Another location applies, which says this.
    pub(super) fn and(self, allowed: bool) -> Self {
        match (self, allowed) {
            (Self::NotByLocation, _) | (_, false) => Self::NotByLocation,
            (_, true) => Self::ByLocation,
        }
    }

    pub(super) fn holds(self) -> bool {
        matches!(self, Self::Unknown | Self::ByServer | Self::ByLocation)
    }
}
