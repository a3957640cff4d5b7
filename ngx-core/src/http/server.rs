//! Which server block a request is for: by address, then by name.

use rustc_hash::FxHashMap;

use super::conf::VhostsId;
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
