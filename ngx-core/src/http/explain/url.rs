//! The URL that is to be explained.

use std::net::IpAddr;

/// A text that is no URL to explain. `Display` says what one looks like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Another scheme than http or https.
    #[error("\"{0}\" is not a URL of http, such as http://example.com/path")]
    Scheme(String),
    /// The host is missing or malformed.
    #[error("\"{0}\" is not a host with an optional port, as in http://example.com:8080/path")]
    Host(String),
    /// A server would refuse a request for it.
    #[error("\"{0}\" is not a path that could be asked for; escape spaces and the like")]
    Request(String),
}

pub(super) struct Url {
    /// Host and port as written.
    pub(super) authority: String,
    /// The host, if it is an address.
    pub(super) ip: Option<IpAddr>,
    pub(super) port: u16,
    /// Path and arguments.
    pub(super) target: String,
}

impl Url {
    pub(super) fn parse(text: &str) -> Result<Self, UrlError> {
        let (port, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (80, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (443, rest),
            Some(_) => return Err(UrlError::Scheme(text.to_owned())),
            None => (80, text),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let malformed = || UrlError::Host(authority.to_owned());
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, digits)) if !digits.ends_with(']') => {
                (host, digits.parse().map_err(|_| malformed())?)
            }
            _ => (authority, port),
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(malformed());
        }
        if target.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(UrlError::Request(target.to_owned()));
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self {
            authority: authority.to_owned(),
            ip: host.trim_matches(['[', ']']).parse().ok(),
            port,
            target: format!("{slash}{target}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let parts = |text: &str| {
            let url = Url::parse(text).unwrap();
            (url.authority, url.ip.is_some(), url.port, url.target)
        };
        let url = |authority: &str, ip, port, target: &str| {
            (authority.to_owned(), ip, port, target.to_owned())
        };
        assert_eq!(parts("http://a/b?c#d"), url("a", false, 80, "/b?c"));
        assert_eq!(parts("a"), url("a", false, 80, "/"));
        assert_eq!(parts("https://a?b"), url("a", false, 443, "/?b"));
        assert_eq!(parts("http://[::1]:81/"), url("[::1]:81", true, 81, "/"));
        assert_eq!(parts("HTTP://[::1]/"), url("[::1]", true, 80, "/"));
    }

    #[test]
    fn others_are_refused() {
        for text in [
            "ftp://a/",
            "http:///x",
            "",
            "http://a:x/",
            "http://:80/",
            "a/b c",
            "a b/",
            "a/\n",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }
}
