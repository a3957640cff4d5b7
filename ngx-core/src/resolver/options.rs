//! The arguments of the `resolver` directive.

use std::net::SocketAddr;
use std::time::Duration;

use crate::net::Addr;
use crate::net::addr::{AddrError, AddrErrorKind, Host, Lookup, Target};

/// The port of a name server that is written without one.
const DNS_PORT: u16 = 53;

/// What `resolver` and `resolver_timeout` say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResolverOptions {
    /// The name servers; at least one.
    pub servers: Vec<SocketAddr>,
    /// `valid=`: how long an answer is kept, whatever its records say.
    pub valid: Option<Duration>,
    /// `ipv4=`: ask for IPv4 addresses. On.
    pub ipv4: bool,
    /// `ipv6=`: ask for IPv6 addresses. On.
    pub ipv6: bool,
    /// `resolver_timeout`: how long a name may take. 30 seconds.
    pub timeout: Duration,
}

impl ResolverOptions {
    /// Name servers with nginx's defaults for the rest.
    #[must_use]
    pub fn new(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            valid: None,
            ipv4: true,
            ipv6: true,
            timeout: Duration::from_secs(30),
        }
    }

    /// Reads the directive's arguments: `address[:port] ... [valid=time] [ipv4=on|off]
    /// [ipv6=on|off]`. A server's name is looked up now by `lookup`; `time` reads the
    /// configuration's times.
    ///
    /// # Errors
    ///
    /// The first argument that is not understood.
    pub fn parse(
        args: &[&str],
        lookup: &Lookup<'_>,
        time: &dyn Fn(&str) -> Option<Duration>,
    ) -> Result<Self, ResolverOptionsError> {
        let mut options = Self::new(Vec::new());
        for arg in args {
            let invalid = || ResolverOptionsError::InvalidParameter((*arg).into());
            match arg.split_once('=') {
                Some(("valid", text)) => options.valid = Some(time(text).ok_or_else(invalid)?),
                Some(("ipv4", text)) => options.ipv4 = switch(text).ok_or_else(invalid)?,
                Some(("ipv6", text)) => options.ipv6 = switch(text).ok_or_else(invalid)?,
                Some(("status_zone", _)) => return Err(ResolverOptionsError::StatusZone),
                _ => options.servers.extend(servers(arg, lookup)?),
            }
        }
        if !options.ipv4 && !options.ipv6 {
            return Err(ResolverOptionsError::NoFamily);
        }
        if options.servers.is_empty() {
            return Err(ResolverOptionsError::NoServers);
        }
        Ok(options)
    }
}

/// An argument of `resolver` that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolverOptionsError {
    /// A value that is none.
    #[error("invalid parameter: {0}")]
    InvalidParameter(Box<str>),
    /// Neither family of addresses is left to ask for.
    #[error("\"ipv4\" and \"ipv6\" cannot both be \"off\"")]
    NoFamily,
    /// No server is named.
    #[error("no name servers defined")]
    NoServers,
    /// Statistics of name servers are not kept.
    #[error("the parameter \"status_zone\" of the \"resolver\" directive is not supported")]
    StatusZone,
    /// A server's address is none.
    #[error("{} in resolver \"{}\"", .0.kind(), .0.text())]
    Server(#[from] AddrError),
}

fn servers(arg: &str, lookup: &Lookup<'_>) -> Result<Vec<SocketAddr>, ResolverOptionsError> {
    let target: Target = arg.parse()?;
    if matches!(target.host, Host::Unix(_)) {
        return Err(AddrError::new(AddrErrorKind::InvalidHost, arg).into());
    }
    let addrs = target.addrs(Some(DNS_PORT), lookup)?;
    let inet = |addr| {
        if let Addr::Inet(addr) = addr {
            Some(addr)
        } else {
            None
        }
    };
    Ok(addrs.into_iter().filter_map(inet).collect())
}

fn switch(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn parse(args: &str) -> Result<ResolverOptions, String> {
        let lookup = |name: &str| match name {
            "dns" => Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        let time = |text: &str| {
            text.strip_suffix('s')?
                .parse()
                .ok()
                .map(Duration::from_secs)
        };
        let args: Vec<&str> = args.split_whitespace().collect();
        ResolverOptions::parse(&args, &lookup, &time).map_err(|error| error.to_string())
    }

    #[test]
    fn all_arguments() {
        let options = parse("192.0.2.1 [::1]:5353 dns:54 valid=5s ipv6=off").unwrap();
        let servers: Vec<String> = options.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.1:53", "[::1]:5353", "127.0.0.1:54"]);
        assert_eq!(options.valid, Some(Duration::from_secs(5)));
        assert!(options.ipv4 && !options.ipv6);
        assert_eq!(options.timeout, Duration::from_secs(30));
    }

    #[test]
    fn bad_arguments() {
        let error = |args| parse(args).unwrap_err();
        assert_eq!(error("127.0.0.1 valid=x"), "invalid parameter: valid=x");
        assert_eq!(
            error("127.0.0.1 ipv6=maybe"),
            "invalid parameter: ipv6=maybe"
        );
        assert_eq!(
            error("127.0.0.1:x"),
            "invalid port in resolver \"127.0.0.1:x\""
        );
        assert_eq!(error("nowhere"), "host not found in resolver \"nowhere\"");
        assert_eq!(error("unix:/a"), "invalid host in resolver \"unix:/a\"");
        assert_eq!(error("valid=5s"), "no name servers defined");
        assert_eq!(
            error("127.0.0.1 ipv4=off ipv6=off"),
            "\"ipv4\" and \"ipv6\" cannot both be \"off\""
        );
        assert!(error("127.0.0.1 status_zone=a").contains("status_zone"));
    }
}
