//! Browsers whose connections are better not kept: `keepalive_disable`.

use memchr::memmem::find;

use super::LOCATION;
use crate::conf::{Args, Problem};
use crate::http::parse::{Known, Method};
use crate::http::request::Request;
use crate::module::Cx;

/// The browsers that get no second request on a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeepaliveDisable {
    /// Old versions of Internet Explorer, after a `POST`.
    pub msie6: bool,
    /// Safari on macOS.
    pub safari: bool,
}

impl KeepaliveDisable {
    const NONE: Self = Self {
        msie6: false,
        safari: false,
    };

    /// What holds without the directive.
    pub(super) const DEFAULT: Self = Self {
        msie6: true,
        safari: false,
    };

    /// Whether the connection of this request ends with it.
    #[inline(always)]
    pub(crate) fn applies_to(self, r: &Request) -> bool {
        let msie6 = self.msie6 && r.method() == Method::Post;
        (msie6 || self.safari) && self.is_sent_by(r, msie6)
    }

    #[cold]
    fn is_sent_by(self, r: &Request, msie6: bool) -> bool {
        let head = r.head();
        let agent = head.get(Known::UserAgent).unwrap_or_default();
        match Browser::of(agent) {
            Browser::OldMsie => msie6,
            Browser::Safari => self.safari,
            Browser::Other => false,
        }
    }
}

/// `keepalive_disable none | browser ...`
pub(super) fn set_keepalive_disable(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let msie6 = KeepaliveDisable::DEFAULT;
    let safari = KeepaliveDisable {
        msie6: false,
        safari: true,
    };
    let none = KeepaliveDisable::NONE;
    let choices = [("none", none), ("msie6", msie6), ("safari", safari)];
    let (value, warnings) = args.bits(0, &choices, none, |a, b| KeepaliveDisable {
        msie6: a.msie6 | b.msie6,
        safari: a.safari | b.safari,
    })?;
    for warning in warnings {
        cx.report(warning);
    }
    cx.conf(&LOCATION).keepalive_disable.set(value, args.span())
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Browser {
    /// Internet Explorer up to 6, without the second service pack of Windows XP.
    OldMsie,
    /// On macOS.
    Safari,
    Other,
}

impl Browser {
    /// Looks for the tokens by which nginx tells browsers apart.
    fn of(agent: &[u8]) -> Self {
        let has = |token: &[u8]| find(agent, token).is_some();
        if has(b"Opera ") {
            // It used to call itself MSIE too.
            return Self::Other;
        }
        if let Some(at) = find(agent, b"MSIE ") {
            let version = agent.get(at + b"MSIE ".len()..).unwrap_or_default();
            let old = match version {
                [b'4' | b'5', b'.', _, ..] => true,
                [b'6', b'.', rest @ ..] => !rest.is_empty() && find(rest, b"SV1").is_none(),
                _ => false,
            };
            return if old { Self::OldMsie } else { Self::Other };
        }
        let other = has(b"Gecko/") || has(b"Chrome/");
        if !other && has(b"Safari/") && has(b"Mac OS X") {
            return Self::Safari;
        }
        Self::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_told_apart() {
        for (agent, browser) in [
            ("MSIE 5.0", Browser::OldMsie),
            (
                "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)",
                Browser::OldMsie,
            ),
            (
                "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)",
                Browser::Other,
            ),
            (
                "Mozilla/4.0 (compatible; MSIE 6.0; Windows) Opera 7.54",
                Browser::Other,
            ),
            ("MSIE 7.0", Browser::Other),
            ("MSIE ", Browser::Other),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_7) Version/5.1 Safari/534.48",
                Browser::Safari,
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_7) Chrome/90 Safari/534.48",
                Browser::Other,
            ),
            ("Mozilla/5.0 (iPhone) Safari/534.48", Browser::Other),
            ("", Browser::Other),
        ] {
            assert_eq!(Browser::of(agent.as_bytes()), browser, "{agent}");
        }
    }
}
