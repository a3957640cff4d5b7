//! `debug_connection`: clients about whom everything is logged.

use std::net::IpAddr;

use crate::conf::{Args, Problem};
use crate::module::Cx;
use crate::net::Addr;

/// Some clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Debugged {
    /// Those of Unix-domain sockets.
    Unix,
    /// Those of a network: its address, and how many bits of it count.
    Net(IpAddr, u32),
}

impl Debugged {
    /// Reads the directive, whose name may have several addresses.
    pub(super) fn parse(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<Vec<Self>, Problem> {
        let text = args.arg(0).as_str();
        if text == "unix:" {
            return Ok(vec![Self::Unix]);
        }
        if let Some((ip, bits)) = network(text) {
            if bits_of(ip, bits) != all_bits(ip) {
                let message = format!("low address bits of {text} are meaningless");
                cx.report(args.warning(message));
            }
            return Ok(vec![Self::Net(ip, bits)]);
        }
        let found = cx.source().lookup(text).unwrap_or_default();
        if found.is_empty() {
            let message = format!("host not found in debug_connection \"{text}\"");
            return Err(args.problem_at(0, message).with_help(
                "an address, a network such as 192.0.2.0/24, a name that has addresses, or \
                 \"unix:\"",
            ));
        }
        Ok(found
            .into_iter()
            .map(|ip| Self::Net(ip, width(ip)))
            .collect())
    }

    pub(super) fn matches(self, client: &Addr) -> bool {
        match self {
            Self::Unix => matches!(client, Addr::Unix(_)),
            Self::Net(net, bits) => client.ip().is_some_and(|ip| {
                // A client of a socket for both kinds is what it is on its own network.
                let ip = if net.is_ipv4() { ip.to_canonical() } else { ip };
                ip.is_ipv4() == net.is_ipv4() && bits_of(ip, bits) == bits_of(net, bits)
            }),
        }
    }
}

/// `address` or `address/bits`.
fn network(text: &str) -> Option<(IpAddr, u32)> {
    let Some((ip, bits)) = text.split_once('/') else {
        let ip: IpAddr = text.parse().ok()?;
        return Some((ip, width(ip)));
    };
    let ip: IpAddr = ip.parse().ok()?;
    let bits = bits.parse().ok().filter(|bits| *bits <= width(ip))?;
    Some((ip, bits))
}

fn width(ip: IpAddr) -> u32 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn all_bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// The address without the bits behind the first `bits`.
fn bits_of(ip: IpAddr, bits: u32) -> u128 {
    let low = width(ip).saturating_sub(bits);
    let kept = all_bits(ip).checked_shr(low).unwrap_or(0);
    kept.checked_shl(low).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn matches(text: &str, client: &str) -> bool {
        let (ip, bits) = network(text).unwrap();
        let client = SocketAddr::new(client.parse().unwrap(), 1);
        Debugged::Net(ip, bits).matches(&client.into())
    }

    #[test]
    fn networks_have_their_clients() {
        assert!(matches("127.0.0.1", "127.0.0.1"));
        assert!(!matches("127.0.0.1", "127.0.0.2"));
        assert!(matches("127.0.0.0/8", "127.9.9.9"));
        assert!(!matches("127.0.0.0/8", "128.0.0.1"));
        assert!(matches("0.0.0.0/0", "10.0.0.1"));
        assert!(!matches("0.0.0.0/0", "::1"));
        assert!(matches("::/0", "::1"));
        assert!(matches("2001:db8::/32", "2001:db8:1::1"));
        assert!(!matches("2001:db8::/32", "2001:db9::1"));
        assert!(matches("10.0.0.0/8", "::ffff:10.0.0.1"));
        assert!(Debugged::Unix.matches(&Addr::unix_unnamed()));
        assert_eq!(network("1.2.3.4/33"), None);
        assert_eq!(network("1.2.3.4/x"), None);
    }
}
