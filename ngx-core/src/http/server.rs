//! Which server block a request is for: by address, then by name.

use rustc_hash::FxHashMap;

use super::conf::VhostsId;
use super::head::Head;
use super::parse::{RequestError, Span, are_equal};
use super::regex::Pattern;
use super::request::Request;
use crate::net::addr::Addr;

/// Index of a server in the compiled configuration.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct ServerId(pub(crate) u32);

/// A listening socket and the addresses that connections to it may have.
///
/// `listen *:80` takes connections for `listen 127.0.0.1:80` too, if both are there: one socket,
/// told apart by the address that the client has connected to.
pub(crate) struct ListenGroup {
    pub(crate) bind: Addr,
    pub(crate) addrs: Vec<(Addr, VhostsId)>,
}

/// The names served at one address.
#[derive(Default)]
pub(crate) struct Vhosts {
    pub(crate) default: ServerId,
    pub(crate) exact: FxHashMap<Box<[u8]>, ServerId>,
    /// `*.example.com` as `.example.com`; `.example.com` is here and in `exact`.
    pub(crate) heads: FxHashMap<Box<[u8]>, ServerId>,
    /// `www.example.*` as `www.example.`
    pub(crate) tails: FxHashMap<Box<[u8]>, ServerId>,
    pub(crate) regexes: Vec<(Pattern, ServerId)>,
}

/// What was found for the hosts that were asked for last: by how they were sent, so that the
/// same need not be checked and looked up again.
#[derive(Default)]
pub(crate) struct HostCache {
    entries: [Asked; HOSTS_KEPT],
}

#[derive(Default)]
struct Asked {
    at: Option<VhostsId>,
    sent: Vec<u8>,
    /// So much of it is the name.
    name: u32,
    server: ServerId,
}

const HOSTS_KEPT: usize = 16;
/// Longer ones are not kept.
const HOST_KEPT_MAX: usize = 128;

impl HostCache {
    fn place(sent: &[u8]) -> usize {
        let outer = usize::from(sent.first().copied().unwrap_or(0))
            ^ usize::from(sent.last().copied().unwrap_or(0)) << 1;
        (sent.len() ^ outer) % HOSTS_KEPT
    }

    /// The length of the name in what was sent, and the server.
    pub(crate) fn find(&self, at: VhostsId, sent: &[u8]) -> Option<(u32, ServerId)> {
        let known = self.entries.get(Self::place(sent))?;
        (known.at == Some(at) && are_equal(&known.sent, sent)).then_some((known.name, known.server))
    }

    fn keep(&mut self, at: VhostsId, sent: &[u8], name: u32, server: ServerId) {
        if sent.len() > HOST_KEPT_MAX {
            return;
        }
        if let Some(place) = self.entries.get_mut(Self::place(sent)) {
            place.at = Some(at);
            place.sent.clear();
            place.sent.extend_from_slice(sent);
            place.name = name;
            place.server = server;
        }
    }
}

impl Request {
    /// Finds the server for the host that was asked for among those of `at`, and makes the host
    /// known.
    ///
    /// # Errors
    /// The host is malformed.
    pub(crate) fn choose_server(&self, at: VhostsId) -> Result<(), RequestError> {
        let hosts = self.generation().hosts();
        let (sent, known) = self.with_head_mut(|head| {
            let Some(span) = head.sent_host() else {
                return (None, None);
            };
            let known = hosts.borrow().find(at, span.of(head.bytes()));
            if let Some((name, _)) = known {
                head.host_is_front_of(span, name);
            }
            (Some(span), known)
        });
        if let Some((_, server)) = known {
            self.set_server(server);
            return Ok(());
        }
        self.find_server(at, sent)
    }

    /// The same for a host that was not asked for lately.
    #[cold]
    fn find_server(&self, at: VhostsId, sent: Option<Span>) -> Result<(), RequestError> {
        let hosts = self.generation().hosts();
        self.with_head_mut(Head::find_host)?;
        let vhosts = self.http().vhosts_of(at);
        let server = vhosts.find(self);
        if let Some(server) = server {
            self.set_server(server);
        }
        let head = self.head();
        if let Some(span) = sent
            && vhosts.regexes.is_empty()
            && let Some(name) = head.host_in_front_of(span)
        {
            let mut hosts = hosts.borrow_mut();
            let server = server.unwrap_or(vhosts.default);
            hosts.keep(at, span.of(head.bytes()), name, server);
        }
        Ok(())
    }
}

impl Vhosts {
    /// The server of the request's host: the exact name, the longest `*.suffix`, the longest
    /// `prefix.*`, the first regular expression, in this order.
    pub(crate) fn find(&self, r: &Request) -> Option<ServerId> {
        let found = self.find_static(r.head().host());
        if found.is_some() || self.regexes.is_empty() {
            return found;
        }
        // A copy, because matching writes captures and variables of the same request.
        let name = r.head().host().to_vec();
        self.find_regex(r, &name)
    }

    fn find_regex(&self, r: &Request, name: &[u8]) -> Option<ServerId> {
        let mut regexes = self.regexes.iter();
        regexes
            .find(|(pattern, _)| pattern.matches(r, name))
            .map(|(_, id)| *id)
    }

    fn find_static(&self, name: &[u8]) -> Option<ServerId> {
        if let Some(&id) = self.exact.get(name) {
            return Some(id);
        }
        if !self.heads.is_empty() {
            let dots = name
                .iter()
                .enumerate()
                .filter(|(at, byte)| **byte == b'.' && *at > 0);
            let suffixes = dots.filter_map(|(at, _)| name.get(at..));
            if let Some(&id) = suffixes.filter_map(|suffix| self.heads.get(suffix)).next() {
                return Some(id);
            }
        }
        if !self.tails.is_empty() {
            let dots = name
                .iter()
                .enumerate()
                .rev()
                .filter(|(_, byte)| **byte == b'.');
            let prefixes = dots.filter_map(|(at, _)| name.get(..=at));
            return prefixes
                .filter_map(|prefix| self.tails.get(prefix))
                .next()
                .copied();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[(&str, u32)]) -> FxHashMap<Box<[u8]>, ServerId> {
        list.iter()
            .map(|(name, id)| (name.as_bytes().into(), ServerId(*id)))
            .collect()
    }

    #[test]
    fn hosts_are_known_by_address_and_spelling() {
        let mut cache = HostCache::default();
        let (one, other) = (VhostsId(1), VhostsId(2));
        cache.keep(one, b"a.example:80", 9, ServerId(3));
        cache.keep(one, b"nobody", 6, ServerId(0));
        assert_eq!(cache.find(one, b"a.example:80"), Some((9, ServerId(3))));
        assert_eq!(cache.find(one, b"nobody"), Some((6, ServerId(0))));
        assert_eq!(cache.find(other, b"nobody"), None);
        assert_eq!(cache.find(one, b"A.example:80"), None);
        assert_eq!(cache.find(one, b""), None);
        let long = [b'a'; HOST_KEPT_MAX + 1];
        cache.keep(one, &long, 1, ServerId(0));
        assert_eq!(cache.find(one, &long), None);
        // Another of the same place takes it.
        cache.keep(one, b"nxxxxy", 6, ServerId(4));
        assert_eq!(cache.find(one, b"nobody"), None);
    }

    #[test]
    fn the_order_of_names() {
        let vhosts = Vhosts {
            exact: names(&[("www.example.com", 1), ("example.com", 2)]),
            heads: names(&[(".example.com", 2), (".deep.example.com", 3)]),
            tails: names(&[("www.example.", 4), ("www.", 5)]),
            ..Vhosts::default()
        };
        let find = |name: &str| vhosts.find_static(name.as_bytes()).map(|id| id.0);
        assert_eq!(find("www.example.com"), Some(1));
        assert_eq!(find("example.com"), Some(2));
        assert_eq!(find("a.b.example.com"), Some(2));
        assert_eq!(find("a.deep.example.com"), Some(3));
        assert_eq!(find("deep.example.com"), Some(2));
        assert_eq!(find("www.example.org"), Some(4));
        assert_eq!(find("www.other.org"), Some(5));
        assert_eq!(find("other.org"), None);
        assert_eq!(find(".example.com"), None);
    }
}
