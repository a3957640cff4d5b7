//! Addresses, and how the configuration writes them.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// Where a socket is bound or connected: an IP address and a port, or a path.
///
/// ```
/// use ngx_core::net::Addr;
///
/// let addr = Addr::Inet("[::1]:80".parse().unwrap());
/// assert_eq!(addr.to_string(), "[::1]:80");
/// assert_eq!(Addr::unix("/run/a.sock").to_string(), "unix:/run/a.sock");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Addr {
    /// TCP over IPv4 or IPv6.
    Inet(SocketAddr),
    /// A Unix-domain socket; a client's has no path, and is written `unix:`.
    Unix(Arc<Path>),
}

impl Addr {
    /// The address of a Unix-domain socket.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::Unix(path.into().into())
    }

    /// The address of a Unix-domain socket that is not bound to a path.
    #[must_use]
    pub fn unix_unnamed() -> Self {
        static UNNAMED: LazyLock<Arc<Path>> = LazyLock::new(|| Arc::from(Path::new("")));
        Self::Unix(Arc::clone(&UNNAMED))
    }

    /// The IP address, if it has one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Inet(addr) => Some(addr.ip()),
            Self::Unix(_) => None,
        }
    }

    /// The port, if it has one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Inet(addr) => Some(addr.port()),
            Self::Unix(_) => None,
        }
    }

    /// Does it stand for every address of the machine (`*:80`, `[::]:80`)?
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_unspecified())
    }
}

impl From<SocketAddr> for Addr {
    fn from(addr: SocketAddr) -> Self {
        Self::Inet(addr)
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How names become addresses while configuring.
pub type Lookup<'a> = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + 'a;

/// Asks the resolver of the system (/etc/hosts, DNS); blocks until it answers.
///
/// # Errors
///
/// The name has no address, or the resolver cannot be asked.
pub fn system_lookup(name: &str) -> io::Result<Vec<IpAddr>> {
    let mut found = Vec::new();
    for addr in (name, 0).to_socket_addrs()? {
        if !found.contains(&addr.ip()) {
            found.push(addr.ip());
        }
    }
    Ok(found)
}

/// Reads the address of a `listen` directive: `80`, `127.0.0.1:80`, `127.0.0.1`, `*:80`,
/// `[::]:80`, `[::1]`, `localhost:80`, `unix:/path`, or a range of ports (`127.0.0.1:8000-8010`).
///
/// One text may stand for several addresses.
///
/// ```
/// use ngx_core::net::addr::{parse_listen, system_lookup};
///
/// let addrs = parse_listen("8080", 80, &system_lookup).unwrap();
/// assert_eq!(addrs[0].to_string(), "0.0.0.0:8080");
/// let error = parse_listen("127.0.0.1:http", 80, &system_lookup).unwrap_err();
/// assert_eq!(
///     format!("{error} of the \"listen\" directive"),
///     "invalid port in \"127.0.0.1:http\" of the \"listen\" directive"
/// );
/// ```
///
/// # Errors
///
/// The text is no address, or its name has none.
pub fn parse_listen(
    text: &str,
    default_port: u16,
    lookup: &Lookup<'_>,
) -> Result<Vec<Addr>, AddrError> {
    let fail = |kind| AddrError::new(kind, text);
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(vec![Addr::Unix(unix_path(path).map_err(fail)?)]);
    }
    let (host, port) = split_port(text).map_err(fail)?;
    let (host, port) = match port {
        // A bare number is a port.
        None if host.bytes().all(|b| b.is_ascii_digit() || b == b'-') && !host.is_empty() => {
            ("*", Some(host))
        }
        port => (host, port),
    };
    let (first, last) = match port {
        Some(port) => port_range(port).map_err(fail)?,
        None => (default_port, default_port),
    };
    let ips = match host {
        "" => return Err(fail(AddrErrorKind::NoHost)),
        "*" => vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)],
        host => match literal(host).map_err(fail)? {
            Some(ip) => vec![ip],
            None => names(host, lookup).map_err(fail)?,
        },
    };
    let ports = first..=last;
    Ok(ports
        .flat_map(|port| ips.iter().map(move |ip| SocketAddr::new(*ip, port).into()))
        .collect())
}

/// A backend as `server` and `proxy_pass` name it: `host:port`, `host`, `unix:/path`.
///
/// ```
/// use ngx_core::net::addr::{Host, Target};
///
/// let target: Target = "backend:8080".parse().unwrap();
/// assert_eq!(target.host, Host::Name("backend".into()));
/// assert_eq!(target.port, Some(8080));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// Whom.
    pub host: Host,
    /// The port, if one is written.
    pub port: Option<u16>,
}

/// The host of a [`Target`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name that somebody has to resolve.
    Name(Box<str>),
    /// A Unix-domain socket, which has no port.
    Unix(Arc<Path>),
}

impl Target {
    /// The addresses: those of a name by `lookup`. The port is the written one, else
    /// `default_port`.
    ///
    /// # Errors
    ///
    /// A name has no address, or there is no port.
    pub fn addrs(
        &self,
        default_port: Option<u16>,
        lookup: &Lookup<'_>,
    ) -> Result<Vec<Addr>, AddrError> {
        let fail = |kind| AddrError::new(kind, &self.to_string());
        let ips = match &self.host {
            Host::Unix(path) => return Ok(vec![Addr::Unix(Arc::clone(path))]),
            Host::Ip(ip) => vec![*ip],
            Host::Name(name) => names(name, lookup).map_err(fail)?,
        };
        let port = self
            .port
            .or(default_port)
            .ok_or(AddrErrorKind::NoPort)
            .map_err(fail)?;
        Ok(ips
            .into_iter()
            .map(|ip| SocketAddr::new(ip, port).into())
            .collect())
    }
}

impl std::str::FromStr for Target {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        let fail = |kind| AddrError::new(kind, text);
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self {
                host: Host::Unix(unix_path(path).map_err(fail)?),
                port: None,
            });
        }
        let (host, port) = split_port(text).map_err(fail)?;
        if host.is_empty() {
            return Err(fail(AddrErrorKind::NoHost));
        }
        let port = port.map(self::port).transpose().map_err(fail)?;
        let host = match literal(host).map_err(fail)? {
            Some(ip) => Host::Ip(ip),
            None => Host::Name(host.into()),
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]")?,
            Host::Ip(ip) => write!(f, "{ip}")?,
            Host::Name(name) => f.write_str(name)?,
            Host::Unix(path) => return write!(f, "unix:{}", path.display()),
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// Splits what follows `http://` into the host with its port, and the rest: the URI.
///
/// The path of a Unix-domain socket ends at a colon: `unix:/run/a.sock:/uri`.
///
/// ```
/// use ngx_core::net::addr::split_uri;
///
/// assert_eq!(split_uri("backend:80/a?b"), ("backend:80", "/a?b"));
/// assert_eq!(split_uri("unix:/run/a.sock:/uri"), ("unix:/run/a.sock", "/uri"));
/// ```
#[must_use]
pub fn split_uri(text: &str) -> (&str, &str) {
    if let Some(path) = text.strip_prefix("unix:") {
        let Some(colon) = path.find(':') else {
            return (text, "");
        };
        let (host, rest) = text.split_at("unix:".len() + colon);
        return (host, rest.get(1..).unwrap_or(""));
    }
    text.split_at(text.find(['/', '?', '#']).unwrap_or(text.len()))
}

/// A text that is no usable address.
///
/// It displays as nginx's message begins: `invalid port in "a:b"`; `listen` adds
/// ` of the "listen" directive`. Those who put the text elsewhere take [`kind`](Self::kind) and
/// write their own (`host not found in upstream "a"`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} in \"{text}\"")]
pub struct AddrError {
    kind: AddrErrorKind,
    text: Box<str>,
}

impl AddrError {
    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> AddrErrorKind {
        self.kind
    }

    /// The text that was to be an address.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn new(kind: AddrErrorKind, text: &str) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }
}

/// What is wrong with an address; displays in nginx's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddrErrorKind {
    /// Nothing stands before the colon.
    #[error("no host")]
    NoHost,
    /// The brackets hold no IPv6 address, or there is a character no name has.
    #[error("invalid host")]
    InvalidHost,
    /// A port is needed and there is none.
    #[error("no port")]
    NoPort,
    /// Not a number from 1 to 65535.
    #[error("invalid port")]
    InvalidPort,
    /// The first port of a range is above the last.
    #[error("invalid port range")]
    InvalidPortRange,
    /// The name has no address.
    #[error("host not found")]
    HostNotFound,
    /// `unix:` without a path.
    #[error("no path in the unix domain socket")]
    NoPath,
    /// The system takes at most 107 bytes.
    #[error("too long path in the unix domain socket")]
    LongPath,
}

/// Cuts `host:port`; the colons of an IPv6 address are inside brackets.
fn split_port(text: &str) -> Result<(&str, Option<&str>), AddrErrorKind> {
    let host_end = if text.starts_with('[') {
        text.find(']').ok_or(AddrErrorKind::InvalidHost)? + 1
    } else {
        text.find(':').unwrap_or(text.len())
    };
    let (host, rest) = text.split_at(host_end);
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err(AddrErrorKind::InvalidHost),
    }
}

fn port(text: &str) -> Result<u16, AddrErrorKind> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ => Err(AddrErrorKind::InvalidPort),
    }
}

fn port_range(text: &str) -> Result<(u16, u16), AddrErrorKind> {
    let Some((first, last)) = text.split_once('-') else {
        let port = port(text)?;
        return Ok((port, port));
    };
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        Err(AddrErrorKind::InvalidPortRange)
    } else {
        Ok((first, last))
    }
}

/// The address that `host` is; `None` if it is a name.
fn literal(host: &str) -> Result<Option<IpAddr>, AddrErrorKind> {
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or(AddrErrorKind::InvalidHost)?;
        let ip: Ipv6Addr = inner.parse().map_err(|_| AddrErrorKind::InvalidHost)?;
        return Ok(Some(ip.into()));
    }
    if host.contains(|c: char| c.is_control() || c.is_whitespace() || c == '/') {
        return Err(AddrErrorKind::InvalidHost);
    }
    Ok(host.parse::<Ipv4Addr>().ok().map(IpAddr::from))
}

fn names(name: &str, lookup: &Lookup<'_>) -> Result<Vec<IpAddr>, AddrErrorKind> {
    match lookup(name) {
        Ok(ips) if !ips.is_empty() => Ok(ips),
        _ => Err(AddrErrorKind::HostNotFound),
    }
}

fn unix_path(path: &str) -> Result<Arc<Path>, AddrErrorKind> {
    match path.len() {
        0 => Err(AddrErrorKind::NoPath),
        1..=107 => Ok(Path::new(path).into()),
        _ => Err(AddrErrorKind::LongPath),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fake(name: &str) -> io::Result<Vec<IpAddr>> {
        match name {
            "localhost" => Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn listen(text: &str) -> String {
        match parse_listen(text, 80, &fake) {
            Ok(addrs) => addrs
                .iter()
                .map(Addr::to_string)
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => error.to_string(),
        }
    }

    fn server(text: &str) -> String {
        let target = text.parse::<Target>();
        match target.and_then(|target| target.addrs(Some(80), &fake)) {
            Ok(addrs) => addrs
                .iter()
                .map(Addr::to_string)
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => format!("{} in upstream \"{}\"", error.kind(), error.text()),
        }
    }

    #[test]
    fn listen_takes_all_forms() {
        assert_eq!(listen("8080"), "0.0.0.0:8080");
        assert_eq!(listen("*"), "0.0.0.0:80");
        assert_eq!(listen("*:81"), "0.0.0.0:81");
        assert_eq!(listen("127.0.0.1"), "127.0.0.1:80");
        assert_eq!(listen("127.0.0.1:81"), "127.0.0.1:81");
        assert_eq!(listen("[::]:81"), "[::]:81");
        assert_eq!(listen("[::1]"), "[::1]:80");
        assert_eq!(listen("localhost:81"), "127.0.0.1:81 [::1]:81");
        assert_eq!(listen("unix:/run/a.sock"), "unix:/run/a.sock");
        assert_eq!(
            listen("127.0.0.1:81-83"),
            "127.0.0.1:81 127.0.0.1:82 127.0.0.1:83"
        );
        assert_eq!(listen("81-82"), "0.0.0.0:81 0.0.0.0:82");
    }

    #[test]
    fn listen_says_what_is_wrong() {
        assert_eq!(listen("127.0.0.1:x"), "invalid port in \"127.0.0.1:x\"");
        assert_eq!(listen("127.0.0.1:"), "invalid port in \"127.0.0.1:\"");
        assert_eq!(listen("0"), "invalid port in \"0\"");
        assert_eq!(listen("65536"), "invalid port in \"65536\"");
        assert_eq!(listen("127.0.0.1:+1"), "invalid port in \"127.0.0.1:+1\"");
        assert_eq!(listen("82-81"), "invalid port range in \"82-81\"");
        assert_eq!(listen(":80"), "no host in \":80\"");
        assert_eq!(listen("[::1"), "invalid host in \"[::1\"");
        assert_eq!(listen("[::1]80"), "invalid host in \"[::1]80\"");
        assert_eq!(listen("nowhere:80"), "host not found in \"nowhere:80\"");
        assert_eq!(
            listen("unix:"),
            "no path in the unix domain socket in \"unix:\""
        );
    }

    #[test]
    fn servers_take_all_forms() {
        assert_eq!(server("127.0.0.1:81"), "127.0.0.1:81");
        assert_eq!(server("127.0.0.1"), "127.0.0.1:80");
        assert_eq!(server("[::1]:81"), "[::1]:81");
        assert_eq!(server("localhost"), "127.0.0.1:80 [::1]:80");
        assert_eq!(server("unix:/run/a.sock"), "unix:/run/a.sock");
        assert_eq!(server("nowhere"), "host not found in upstream \"nowhere\"");
        assert_eq!(server("a:0"), "invalid port in upstream \"a:0\"");
        assert_eq!(server(""), "no host in upstream \"\"");
    }

    #[test]
    fn a_port_may_be_required() {
        let target: Target = "[::1]".parse().unwrap();
        let error = target.addrs(None, &fake).unwrap_err();
        assert_eq!(error.to_string(), "no port in \"[::1]\"");
    }

    #[test]
    fn uris_are_cut_off() {
        assert_eq!(split_uri("host"), ("host", ""));
        assert_eq!(split_uri("host/"), ("host", "/"));
        assert_eq!(split_uri("[::1]:80/a"), ("[::1]:80", "/a"));
        assert_eq!(split_uri("unix:/a"), ("unix:/a", ""));
        assert_eq!(split_uri("unix:/a:"), ("unix:/a", ""));
    }

    #[test]
    fn the_system_knows_localhost() {
        assert!(
            system_lookup("localhost")
                .unwrap()
                .iter()
                .all(IpAddr::is_loopback)
        );
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,40}") {
            let _ = listen(&text);
            let (host, rest) = split_uri(&text);
            prop_assert!(host.len() + rest.len() <= text.len());
        }

        #[test]
        fn a_target_survives_its_text(text in "[a-z0-9.:\\[\\]]{1,20}") {
            if let Ok(target) = text.parse::<Target>() {
                prop_assert_eq!(target.to_string().parse::<Target>(), Ok(target));
            }
        }
    }
}
