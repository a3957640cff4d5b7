//! Names at run time, asked from the name servers of the `resolver` directive.
//!
//! A [`Resolver`] belongs to a generation of the configuration and is shared by its workers: they
//! share what it has learned, and while one asks for a name the others wait for its answer. The
//! asking itself ([hickory-resolver](hickory_resolver)) happens in the runtime of whoever needs
//! the name first; nothing outlives it.

mod cache;
mod options;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
    ServerOrderingStrategy,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::Name;

use self::cache::{Answer, Cache};
pub use self::options::{ResolverOptions, ResolverOptionsError};

/// How long one name server is given before the next is asked.
const SERVER_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers names with addresses.
///
/// ```no_run
/// use ngx_core::net::addr::system_lookup;
/// use ngx_core::resolver::{Resolver, ResolverOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let seconds = |text: &str| text.strip_suffix('s')?.parse().ok().map(std::time::Duration::from_secs);
/// let options = ResolverOptions::parse(&["127.0.0.53", "valid=30s"], &system_lookup, &seconds)?;
/// let resolver = Resolver::new(options);
/// for addr in resolver.resolve("example.com").await?.iter() {
///     println!("{addr}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Resolver {
    options: ResolverOptions,
    cache: Cache,
    /// With which server and with which address the next round begins.
    turn: AtomicUsize,
}

impl Resolver {
    /// A resolver that knows nothing yet.
    #[must_use]
    pub fn new(options: ResolverOptions) -> Self {
        Self {
            options,
            cache: Cache::default(),
            turn: AtomicUsize::new(0),
        }
    }

    /// What it was made from.
    #[must_use]
    pub fn options(&self) -> &ResolverOptions {
        &self.options
    }

    /// The addresses of a name, each time beginning with another one. An address is its own
    /// answer.
    ///
    /// An answer is kept as long as its records say, or as `valid=` says; a failure is not kept,
    /// but those who wait for the same name share it.
    ///
    /// # Errors
    ///
    /// The servers know no address, fail, or are silent for the time of `resolver_timeout`.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, another one that waits for the name asks in its place.
    pub async fn resolve(&self, name: &str) -> Result<Arc<[IpAddr]>, ResolveError> {
        if let Ok(addr) = name.parse::<IpAddr>() {
            return Ok(Arc::from([addr]));
        }
        let key = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if let Some(addrs) = self.cache.get(&key) {
            return Ok(self.rotate(addrs));
        }
        let fail = |kind| ResolveError {
            name: name.into(),
            kind,
        };
        let flight = self.cache.join(&key);
        // Boxed, because whoever only might have to ask must not carry the room for it.
        let lookup = flight.outcome(|| Box::pin(self.ask(&key)));
        let outcome = tokio::time::timeout(self.options.timeout, lookup).await;
        match outcome.unwrap_or(Err(ResolveErrorKind::TimedOut)) {
            Ok(answer) => {
                self.cache.keep(&key, &answer);
                Ok(self.rotate(answer.addrs))
            }
            Err(kind) => Err(fail(kind)),
        }
    }

    /// Asks the servers.
    async fn ask(&self, name: &str) -> Result<Answer, ResolveErrorKind> {
        // Fully qualified: no search domains.
        let query = Name::from_ascii(format!("{name}."));
        let query = query.map_err(|_| ResolveErrorKind::FormatError)?;
        let resolver = self.client().map_err(|error| kind(&error))?;
        let found = resolver
            .lookup_ip(query)
            .await
            .map_err(|error| kind(&error))?;
        let addrs: Arc<[IpAddr]> = found.iter().collect();
        if addrs.is_empty() {
            return Err(ResolveErrorKind::HostNotFound);
        }
        let ttl = found
            .as_lookup()
            .answers()
            .iter()
            .map(|record| record.ttl)
            .min();
        let ttl = Duration::from_secs(u64::from(ttl.unwrap_or(0)));
        Ok(Answer {
            addrs,
            valid: self.options.valid.unwrap_or(ttl),
        })
    }

    /// A client of the servers for one question. It is made for each: its sockets belong to the
    /// runtime that is current.
    fn client(&self) -> Result<TokioResolver, NetError> {
        let mut servers = self.options.servers.clone();
        if !servers.is_empty() {
            let first = self.next_turn() % servers.len();
            servers.rotate_left(first);
        }
        let servers = servers.into_iter().map(|addr| {
            let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
            udp.port = addr.port();
            tcp.port = addr.port();
            NameServerConfig::new(addr.ip(), true, vec![udp, tcp])
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        let options = builder.options_mut();
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        options.timeout = SERVER_TIMEOUT;
        let rounds = self.options.timeout.as_secs() / SERVER_TIMEOUT.as_secs();
        options.attempts = usize::try_from(rounds).unwrap_or(usize::MAX).max(1);
        options.ip_strategy = match (self.options.ipv4, self.options.ipv6) {
            (true, false) => LookupIpStrategy::Ipv4Only,
            (false, true) => LookupIpStrategy::Ipv6Only,
            _ => LookupIpStrategy::Ipv4AndIpv6,
        };
        builder.build()
    }

    fn rotate(&self, addrs: Arc<[IpAddr]>) -> Arc<[IpAddr]> {
        if addrs.len() < 2 {
            return addrs;
        }
        let (head, tail) = addrs.split_at(self.next_turn() % addrs.len());
        tail.iter().chain(head).copied().collect()
    }

    fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }
}

/// Why a name has no address; displays as nginx logs it:
/// `example.com could not be resolved (3: Host not found)`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} could not be resolved ({}: {kind})", self.kind.code())]
pub struct ResolveError {
    name: Box<str>,
    kind: ResolveErrorKind,
}

impl ResolveError {
    /// The name that was asked for.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ResolveErrorKind {
        self.kind
    }
}

/// What went wrong with a name; the codes are those of DNS, but for the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResolveErrorKind {
    /// 1: the name is none, or the server did not understand.
    #[error("Format error")]
    FormatError,
    /// 2: the servers fail, or cannot be reached.
    #[error("Server failure")]
    ServerFailure,
    /// 3: there is no such name, or it has no address.
    #[error("Host not found")]
    HostNotFound,
    /// 4: the server does not know how.
    #[error("Unimplemented")]
    Unimplemented,
    /// 5: the server does not want to.
    #[error("Operation refused")]
    Refused,
    /// 110: no answer in time.
    #[error("Operation timed out")]
    TimedOut,
}

impl ResolveErrorKind {
    /// The number that nginx writes before the text.
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Self::FormatError => 1,
            Self::ServerFailure => 2,
            Self::HostNotFound => 3,
            Self::Unimplemented => 4,
            Self::Refused => 5,
            Self::TimedOut => 110,
        }
    }
}

fn kind(error: &NetError) -> ResolveErrorKind {
    let code = match error {
        NetError::Timeout => return ResolveErrorKind::TimedOut,
        NetError::Dns(DnsError::ResponseCode(code)) => *code,
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            // The name exists and has no address.
            ResponseCode::NoError => return ResolveErrorKind::HostNotFound,
            code => code,
        },
        _ => return ResolveErrorKind::ServerFailure,
    };
    match code {
        ResponseCode::FormErr => ResolveErrorKind::FormatError,
        ResponseCode::NXDomain => ResolveErrorKind::HostNotFound,
        ResponseCode::NotImp => ResolveErrorKind::Unimplemented,
        ResponseCode::Refused => ResolveErrorKind::Refused,
        _ => ResolveErrorKind::ServerFailure,
    }
}
