//! What a `rewrite` puts in the place of the URI.

use crate::http::parse::{Escape, Unescape, escape_uri, unescape_uri};
use crate::http::request::Request;
use crate::script::{Context, Part, Template, TemplateError, Variables};

/// The second argument of `rewrite`.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Replacement {
    /// The new path; all of it for a redirect.
    path: Template,
    /// New arguments.
    args: Option<Template>,
    /// The old arguments follow the new ones.
    keep_args: bool,
    /// The target of a redirect has a `?` already.
    has_question: bool,
}

impl Replacement {
    /// Reads it: a `?` at the end drops the old arguments, another begins the new ones. The target
    /// of a redirect is a `whole`.
    ///
    /// # Errors
    /// A `$` begins no variable.
    pub(super) fn parse(
        text: impl AsRef<[u8]>,
        whole: bool,
        variables: &mut Variables<Request>,
    ) -> Result<Self, TemplateError> {
        let text = text.as_ref();
        let stripped = text.strip_suffix(b"?");
        let keep_args = stripped.is_none();
        let text = stripped.unwrap_or(text);
        let question = text.iter().position(|byte| *byte == b'?');
        let has_question = question.is_some();
        let (path, args) = match question {
            Some(at) if !whole => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
            _ => (text, None),
        };
        let path = Template::compile(path, variables)?;
        let args = args
            .map(|args| Template::compile(args, variables))
            .transpose()?;
        Ok(Self {
            path,
            args,
            keep_args,
            has_question,
        })
    }

    /// The new path and arguments. `escaped` says that the path came with escapes, so that what
    /// was captured of it needs some again among arguments.
    pub(super) fn uri(&self, cx: &impl Context, old: &[u8], escaped: bool) -> (Vec<u8>, Vec<u8>) {
        let (mut path, mut args) = (Vec::new(), Vec::new());
        eval(&self.path, cx, false, &mut path);
        match &self.args {
            Some(new) => {
                eval(new, cx, escaped, &mut args);
                if self.keep_args && !old.is_empty() {
                    args.push(b'&');
                    args.extend_from_slice(old);
                }
            }
            None if self.keep_args => args.extend_from_slice(old),
            None => {}
        }
        (path, args)
    }

    /// The target of a redirect.
    pub(super) fn target(&self, cx: &impl Context, old: &[u8], escaped: bool) -> Vec<u8> {
        let mut raw = Vec::new();
        eval(&self.path, cx, escaped, &mut raw);
        let mut target = Vec::with_capacity(raw.len() + old.len() + 1);
        let used = unescape_uri(&raw, Unescape::Redirect, &mut target);
        target.extend_from_slice(raw.get(used..).unwrap_or_default());
        if self.keep_args && !old.is_empty() {
            target.push(if self.has_question { b'&' } else { b'?' });
            target.extend_from_slice(old);
        }
        target
    }
}

/// Appends the value of `template`, captures escaped as arguments if `escape`.
pub(super) fn eval(template: &Template, cx: &impl Context, escape: bool, out: &mut Vec<u8>) {
    if !escape || !template.uses_captures() {
        template.eval(cx, out);
        return;
    }
    for part in template.parts() {
        match part {
            Part::Literal(bytes) => out.extend_from_slice(&bytes),
            Part::Variable(id) => _ = cx.variable(id, out),
            Part::Capture(n) => {
                let mut captured = Vec::new();
                cx.capture(usize::from(n), &mut captured);
                escape_uri(&captured, Escape::Args, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::VarId;

    /// Captures, and nothing else.
    struct Captured(&'static [&'static str]);

    impl Context for Captured {
        fn variable(&self, _: VarId, _: &mut Vec<u8>) -> bool {
            false
        }

        fn capture(&self, n: usize, out: &mut Vec<u8>) -> bool {
            let captured = self.0.get(n - 1);
            out.extend_from_slice(captured.map_or(&b""[..], |text| text.as_bytes()));
            captured.is_some()
        }
    }

    fn parse(text: &str, whole: bool) -> Replacement {
        Replacement::parse(text, whole, &mut Variables::new()).unwrap()
    }

    fn uri(text: &str, captured: &'static [&'static str], old: &str, escaped: bool) -> String {
        let (path, args) = parse(text, false).uri(&Captured(captured), old.as_bytes(), escaped);
        format!("{} ? {}", path.escape_ascii(), args.escape_ascii())
    }

    fn target(text: &str, captured: &'static [&'static str], old: &str, escaped: bool) -> String {
        let target = parse(text, true).target(&Captured(captured), old.as_bytes(), escaped);
        target.escape_ascii().to_string()
    }

    #[test]
    fn arguments_are_added_kept_or_dropped() {
        assert_eq!(uri("/new", &[], "a=1", false), "/new ? a=1");
        assert_eq!(uri("/new?", &[], "a=1", false), "/new ? ");
        assert_eq!(uri("/new?b=2", &[], "a=1", false), "/new ? b=2&a=1");
        assert_eq!(uri("/new?b=2?", &[], "a=1", false), "/new ? b=2");
        assert_eq!(uri("/new?b=2", &[], "", false), "/new ? b=2");
        assert_eq!(uri("/new?b=2?c", &[], "", false), "/new ? b=2?c");
    }

    #[test]
    fn captures_are_escaped_among_arguments() {
        let captured = &["a b", "c&d"];
        assert_eq!(
            uri("/$1?x=$1&y=$2", captured, "", true),
            "/a b ? x=a%20b&y=c%26d"
        );
        assert_eq!(
            uri("/$1?x=$1&y=$2", captured, "", false),
            "/a b ? x=a b&y=c&d"
        );
        assert_eq!(uri("/$3/$2", captured, "", true), "//c&d ? ");
    }

    #[test]
    fn redirects_are_one_target() {
        assert_eq!(
            target("http://b/$1", &["x"], "a=1", false),
            "http://b/x?a=1"
        );
        assert_eq!(target("http://b/$1?", &["x"], "a=1", false), "http://b/x");
        assert_eq!(target("/n?b=$1", &["x"], "a=1", false), "/n?b=x&a=1");
        assert_eq!(target("/n?b=$1", &["x"], "", false), "/n?b=x");
        assert_eq!(target("/$1", &["a b"], "", true), "/a%20b");
        assert_eq!(target("/$1", &["a\r\nb"], "", true), "/a%0D%0Ab");
    }

    #[test]
    fn dollars_begin_variables() {
        let error = Replacement::parse("/a$", false, &mut Variables::new()).unwrap_err();
        assert!(
            error.to_string().contains("invalid variable name"),
            "{error}"
        );
    }
}
