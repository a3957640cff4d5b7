//! Whom a socket is connected to, as scripts and log lines name it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ngx_core::net::Addr;

use super::receive::whole;
use crate::ffi::Call;
use crate::sched::Run;

/// Where to connect to; displays as the log names it, `host:port` or `unix:/path`.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Host(String, u16),
    /// With the port that some pass all the same; it is part of the name of the pool.
    Unix(String, Option<u16>),
}

impl Target {
    /// Reads what `connect` and `setpeername` are given: a host with a port in argument `port_at`, or
    /// a path. The error is what they return.
    pub(super) fn read(call: &Call<'_>, host: &[u8], port_at: usize) -> Result<Self, String> {
        let host = String::from_utf8_lossy(host).into_owned();
        let port = match call.number(port_at) {
            Some(number) => {
                let number = number.trunc();
                let port = (0.0..=65535.0).contains(&number).then(|| whole(number));
                let port = port.and_then(|port| u16::try_from(port).ok());
                Some(port.ok_or_else(|| format!("bad port number: {number}"))?)
            }
            None => None,
        };
        let scheme = host.get(..5).unwrap_or_default();
        if scheme.eq_ignore_ascii_case("unix:") {
            if host.len() == scheme.len() {
                let why = "no path in the unix domain socket";
                return Err(format!("failed to parse host name \"{host}\": {why}"));
            }
            return Ok(Self::Unix(host, port));
        }
        let port = port.ok_or("missing the port number")?;
        Ok(Self::Host(host, port))
    }

    /// The name of its pool, unless it is given one.
    pub(super) fn pool_name(&self) -> Vec<u8> {
        match self {
            Self::Host(host, port) | Self::Unix(host, Some(port)) => format!("{host}:{port}"),
            Self::Unix(path, None) => path.clone(),
        }
        .into_bytes()
    }

    /// The address, if no name has to be resolved for it.
    pub(super) fn literal(&self) -> Option<Addr> {
        match self {
            Self::Unix(path, _) => {
                let path = path.get("unix:".len()..).unwrap_or_default();
                Some(Addr::unix(path))
            }
            Self::Host(host, port) => {
                let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
                let ip = bare.unwrap_or(host).parse::<IpAddr>().ok()?;
                Some(SocketAddr::new(ip, *port).into())
            }
        }
    }

    /// The address; names are asked for with the resolver of the run. The error is what scripts get.
    pub(super) async fn address(&self, run: &Run) -> Result<Addr, String> {
        if let Some(addr) = self.literal() {
            return Ok(addr);
        }
        let (Self::Host(host, _) | Self::Unix(host, _)) = self;
        if host.is_empty() {
            return Err("failed to parse host name \"\": no host".to_owned());
        }
        let Some(resolver) = run.resolver() else {
            return Err(format!("no resolver defined to resolve \"{host}\""));
        };
        let found = resolver.resolve(host).await?;
        let first = found.first().copied();
        first
            .map(|ip| SocketAddr::new(ip, self.port()).into())
            .ok_or_else(|| format!("{host} could not be resolved"))
    }

    fn port(&self) -> u16 {
        match self {
            Self::Host(_, port) => *port,
            Self::Unix(_, port) => port.unwrap_or(0),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path, _) => f.write_str(path),
        }
    }
}

/// The context of log lines about a socket: `, upstream: host:port(address)`.
pub(super) struct Upstream<'a> {
    pub(super) target: Option<&'a Target>,
    pub(super) addr: Option<&'a Addr>,
}

impl fmt::Display for Upstream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(target) = self.target else {
            return Ok(());
        };
        write!(f, ", upstream: {target}")?;
        match self.addr {
            Some(addr) => match addr.ip() {
                Some(ip) => write!(f, "({ip})"),
                None => write!(f, "({addr})"),
            },
            None => Ok(()),
        }
    }
}
