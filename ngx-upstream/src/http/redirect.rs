//! `proxy_redirect`: `Location` and `Refresh` of a backend point at the front.

use bytes::Bytes;
use ngx_core::http::{Pattern, Request};
use ngx_core::script::Template;

/// The rules, the first that matches counts.
#[derive(Clone, Default)]
pub(super) struct Redirects(pub(super) Vec<Redirect>);

/// One rule.
#[derive(Clone)]
pub(super) struct Redirect {
    pub(super) from: From,
    pub(super) to: Template,
}

/// What is replaced.
#[derive(Clone)]
pub(super) enum From {
    /// This text at the beginning.
    Prefix(Template),
    /// What matches; all of it.
    Regex(Pattern),
}

impl Redirects {
    /// The value to be sent instead, if a rule matches.
    pub(super) fn rewrite(&self, r: &Request, value: &Bytes) -> Option<Bytes> {
        self.0.iter().find_map(|rule| rule.apply(r, value))
    }

    /// The same for the URL within a `Refresh`.
    pub(super) fn rewrite_refresh(&self, r: &Request, value: &Bytes) -> Option<Bytes> {
        let at = url_in_refresh(value)?;
        let rewritten = self.rewrite(r, &value.slice(at..))?;
        Some(Bytes::from([value.get(..at)?, &rewritten[..]].concat()))
    }
}

impl Redirect {
    fn apply(&self, r: &Request, value: &Bytes) -> Option<Bytes> {
        match &self.from {
            From::Prefix(prefix) => {
                let prefix = prefix.eval_bytes(r);
                let rest = value.strip_prefix(&prefix[..])?;
                let mut out = Vec::with_capacity(value.len() + 32);
                self.to.eval(r, &mut out);
                out.extend_from_slice(rest);
                Some(out.into())
            }
            From::Regex(pattern) if pattern.matches(r, value) => Some(self.to.eval_bytes(r)),
            From::Regex(_) => None,
        }
    }
}

/// Where the URL begins in `5; url=http://…`.
fn url_in_refresh(value: &[u8]) -> Option<usize> {
    let at = value
        .windows(4)
        .position(|window| window.eq_ignore_ascii_case(b"url="))?;
    Some(at + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_refresh() {
        assert_eq!(url_in_refresh(b"5; url=/a"), Some(7));
        assert_eq!(url_in_refresh(b"5;URL=/a"), Some(6));
        assert_eq!(url_in_refresh(b"5"), None);
    }
}
