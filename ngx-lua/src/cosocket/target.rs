//! Whom a socket is connected to, as scripts and log lines name it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ngx_core::net::Addr;
use smallvec::SmallVec;

use super::receive::whole;
use crate::ffi::Call;
use crate::sched::Run;

/// Where to connect to; displays as the log names it, `host:port` or `unix:/path`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<S = Box<str>> {
    Host(S, u16),
    /// With the port that some pass all the same; it is part of the name of the pool.
    Unix(S, Option<u16>),
}

/// The name of a pool; most are short.
pub(super) type PoolName = SmallVec<[u8; 56]>;

impl<'a> Target<&'a str> {
    /// Reads what `connect` and `setpeername` are given: a host with a port in argument `port_at`, or
    /// a path. The error is what they return.
    pub(super) fn read(call: &Call<'_>, host: &'a str, port_at: usize) -> Result<Self, String> {
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

    pub(super) fn into_owned(self) -> Target {
        match self {
            Self::Host(host, port) => Target::Host(host.into(), port),
            Self::Unix(path, port) => Target::Unix(path.into(), port),
        }
    }

    /// The name of its pool, unless it is given one.
    pub(super) fn pool_name(self) -> PoolName {
        let (text, port) = match self {
            Self::Host(host, port) => (host, Some(port)),
            Self::Unix(path, port) => (path, port),
        };
        let mut name = PoolName::from_slice(text.as_bytes());
        if let Some(mut port) = port {
            let mut tail = [0; 5];
            let mut from = tail.len();
            for (at, place) in tail.iter_mut().enumerate().rev() {
                // One digit.
                *place = b'0' + u8::try_from(port % 10).unwrap_or(0);
                port /= 10;
                from = at;
                if port == 0 {
                    break;
                }
            }
            name.push(b':');
            name.extend_from_slice(tail.get(from..).unwrap_or_default());
        }
        name
    }
}

impl<S: AsRef<str>> Target<S> {
    /// The same, borrowed.
    pub(super) fn borrowed(&self) -> Target<&str> {
        match self {
            Self::Host(host, port) => Target::Host(host.as_ref(), *port),
            Self::Unix(path, port) => Target::Unix(path.as_ref(), *port),
        }
    }
}

impl Target {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_named_after_their_targets() {
        for port in [0, 1, 9, 10, 80, 443, 6379, 9999, 10_000, 65_535] {
            let name = Target::Host("::1", port).pool_name();
            assert_eq!(String::from_utf8_lossy(&name), format!("::1:{port}"));
        }
        let unix = |port| Target::Unix("unix:/a", port).pool_name();
        assert_eq!(&*unix(None), b"unix:/a");
        assert_eq!(&*unix(Some(7)), b"unix:/a:7");
    }
}
