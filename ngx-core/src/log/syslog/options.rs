//! What stands behind `syslog:`.

use crate::log::Level;
use crate::net::Addr;
use crate::net::addr::{AddrError, AddrErrorKind, Lookup, Target};

/// Where lines go, and as whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyslogOptions {
    /// `server=`: an address, a name, or `unix:` and a path; the port is 514 if none is written.
    pub server: Addr,
    /// `facility=` as its number, 23 (`local7`) by default.
    pub facility: u8,
    /// `severity=` of lines that have no level of their own, `info` by default.
    pub severity: Level,
    /// `tag=`, `nginx` by default.
    pub tag: Box<str>,
    /// The name of this machine, unless `nohostname` is said.
    pub hostname: Option<Box<str>>,
}

impl SyslogOptions {
    /// Reads `server=ADDRESS[,facility=NAME][,severity=LEVEL][,tag=TAG][,nohostname]`, for a machine
    /// of the name `hostname`.
    ///
    /// # Errors
    ///
    /// In nginx's words.
    pub fn parse(text: &str, hostname: &str, lookup: &Lookup<'_>) -> Result<Self, SyslogError> {
        let (mut server, mut facility, mut severity, mut tag) = (None, None, None, None);
        let mut named = true;
        for parameter in text.split(',') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name {
                _ if parameter == "nohostname" => named = false,
                "server" if parameter.contains('=') => {
                    once(&mut server, "server", || address(value, lookup))?;
                }
                "facility" if parameter.contains('=') => {
                    once(&mut facility, "facility", || facility_number(value))?;
                }
                "severity" if parameter.contains('=') => {
                    once(&mut severity, "severity", || severity_level(value))?;
                }
                "tag" if parameter.contains('=') => once(&mut tag, "tag", || checked_tag(value))?,
                _ => return Err(SyslogError::Parameter(parameter.into())),
            }
        }
        Ok(Self {
            server: server.ok_or(SyslogError::NoServer)?,
            facility: facility.unwrap_or(LOCAL7),
            severity: severity.unwrap_or(Level::Info),
            tag: tag.unwrap_or_else(|| "nginx".into()),
            hostname: named.then(|| hostname.to_ascii_lowercase().into()),
        })
    }
}

/// A text behind `syslog:` that is no destination; displays as nginx's message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyslogError {
    /// There is no `server=`.
    #[error("no syslog server specified")]
    NoServer,
    /// What `server=` says is no address.
    #[error("{kind} in syslog server \"{text}\"")]
    Server {
        /// What is wrong with it.
        kind: AddrErrorKind,
        /// The text.
        text: Box<str>,
    },
    /// A parameter is there twice.
    #[error("duplicate syslog \"{0}\"")]
    Duplicate(&'static str),
    /// There is no such facility.
    #[error("unknown syslog facility \"{0}\"")]
    Facility(Box<str>),
    /// There is no such severity.
    #[error("unknown syslog severity \"{0}\"")]
    Severity(Box<str>),
    /// The tag has more than 32 bytes.
    #[error("syslog tag length exceeds 32")]
    LongTag,
    /// The tag has other characters.
    #[error("syslog \"tag\" only allows alphanumeric characters and underscore")]
    Tag,
    /// There is no such parameter.
    #[error("unknown syslog parameter \"{0}\"")]
    Parameter(Box<str>),
}

impl SyslogError {
    /// What may be written instead.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::NoServer | Self::Server { .. } => {
                "\"server=\" takes a host, a host and a port, or \"unix:\" and a path".to_owned()
            }
            Self::Duplicate(name) => format!("keep one \"{name}=\""),
            Self::Facility(_) => format!("it must be one of {}", FACILITIES.join(", ")),
            Self::Severity(_) => {
                let names = Level::ALL.map(Level::name);
                format!("it must be one of {}", names.join(", "))
            }
            Self::LongTag | Self::Tag => "\"nginx\" is the tag without a parameter".to_owned(),
            Self::Parameter(_) => "the parameters are \"server=\", \"facility=\", \"severity=\", \
                                   \"tag=\" and \"nohostname\", with commas between them"
                .to_owned(),
        }
    }
}

fn once<T>(
    place: &mut Option<T>,
    name: &'static str,
    read: impl FnOnce() -> Result<T, SyslogError>,
) -> Result<(), SyslogError> {
    if place.is_some() {
        return Err(SyslogError::Duplicate(name));
    }
    *place = Some(read()?);
    Ok(())
}

fn address(text: &str, lookup: &Lookup<'_>) -> Result<Addr, SyslogError> {
    let failed = |kind| SyslogError::Server {
        kind,
        text: text.into(),
    };
    let target: Target = text
        .parse()
        .map_err(|error: AddrError| failed(error.kind()))?;
    let addrs = target.addrs(Some(PORT), lookup);
    let addrs = addrs.map_err(|error| failed(error.kind()))?;
    let first = addrs.into_iter().next();
    first.ok_or_else(|| failed(AddrErrorKind::HostNotFound))
}

fn facility_number(name: &str) -> Result<u8, SyslogError> {
    (0..)
        .zip(FACILITIES)
        .find(|(_, facility)| *facility == name)
        .map(|(number, _)| number)
        .ok_or_else(|| SyslogError::Facility(name.into()))
}

fn severity_level(name: &str) -> Result<Level, SyslogError> {
    name.parse().map_err(|_| SyslogError::Severity(name.into()))
}

fn checked_tag(tag: &str) -> Result<Box<str>, SyslogError> {
    if tag.len() > 32 {
        return Err(SyslogError::LongTag);
    }
    if !tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(SyslogError::Tag);
    }
    Ok(tag.into())
}

/// Where syslog servers listen.
const PORT: u16 = 514;
const LOCAL7: u8 = 23;
/// In the order of their numbers.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv",
    "ftp", "ntp", "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];
