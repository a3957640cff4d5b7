//! `ngx.re.sub`, `ngx.re.gsub`, where a text replaces what is found.

use std::rc::Rc;

use super::gmatch::Walk;
use super::subject;
use crate::ffi::{Call, Raise, Reply, Spans, Value, values};

/// `newstr, n, err = ngx.re.sub(subject, regex, replace, options?)`
pub(super) fn sub(call: &mut Call<'_>) -> Result<Reply, Raise> {
    replace(call, 1)
}

/// `newstr, n, err = ngx.re.gsub(subject, regex, replace, options?)`
pub(super) fn gsub(call: &mut Call<'_>) -> Result<Reply, Raise> {
    replace(call, usize::MAX)
}

fn replace(call: &mut Call<'_>, most: usize) -> Result<Reply, Raise> {
    let failed = |error: String| Reply::of(values([Value::Nil, Value::Nil, error.into()]));
    let engine = Rc::clone(call.lane().engine());
    let regex = match engine.re().cache.regex(call, 4)? {
        Ok(regex) => regex,
        Err(error) => return Ok(failed(error)),
    };
    let text = subject(call);
    let template = call.tostring(3);
    let template = match Template::parse(&template) {
        Ok(template) => template,
        Err(why) => {
            ngx_core::error!("{why}");
            return Ok(failed(
                "failed to compile the replacement template".to_owned(),
            ));
        }
    };
    let mut walk = Walk::new(regex, &text, Some(0));
    let (mut out, mut copied, mut count) = (Vec::new(), 0, 0u32);
    for _ in 0..most {
        let spans = match walk.step(&engine.re().matcher) {
            Ok(Some(spans)) => spans,
            Ok(None) => break,
            Err(code) => return Ok(failed(format!("pcre_exec() failed: {code}"))),
        };
        count += 1;
        let (from, to) = spans.first().copied().flatten().unwrap_or_default();
        out.extend_from_slice(text.get(copied..from).unwrap_or_default());
        template.append(&text, &spans, &mut out);
        copied = to;
    }
    out.extend_from_slice(text.get(copied..).unwrap_or_default());
    Ok(Reply::of(values([out.into(), Value::Number(count.into())])))
}

/// A replacement with groups in it: `$1`, `${1}`, `$0`, and `$$` for a dollar.
#[derive(Debug, PartialEq, Eq)]
struct Template<'a> {
    parts: Vec<Part<'a>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a [u8]),
    Group(usize),
}

impl<'a> Template<'a> {
    fn parse(source: &'a [u8]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = source;
        while let Some(at) = rest.iter().position(|byte| *byte == b'$') {
            if at > 0 {
                parts.push(Part::Text(&rest[..at]));
            }
            let (part, after) = variable(&rest[at + 1..], source)?;
            parts.push(part);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest));
        }
        Ok(Self { parts })
    }

    fn append(&self, text: &[u8], spans: &Spans, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Group(n) => {
                    if let Some(Some((from, to))) = spans.get(*n) {
                        out.extend_from_slice(text.get(*from..*to).unwrap_or_default());
                    }
                }
            }
        }
    }
}

/// What stands behind a dollar, and what behind that.
fn variable<'a>(rest: &'a [u8], source: &[u8]) -> Result<(Part<'a>, &'a [u8]), String> {
    let text = String::from_utf8_lossy;
    if let [b'$', after @ ..] = rest {
        return Ok((Part::Text(&rest[..1]), after));
    }
    let (braced, name) = match rest {
        [b'{', name @ ..] => (true, name),
        _ => (false, rest),
    };
    let is_number = name.first().is_some_and(u8::is_ascii_digit);
    let len = name
        .iter()
        .position(|byte| {
            !(byte.is_ascii_digit() || !is_number && (byte.is_ascii_alphabetic() || *byte == b'_'))
        })
        .unwrap_or(name.len());
    let (name, mut after) = name.split_at(len);
    if braced && (!name.is_empty() || !after.is_empty()) {
        after = after.strip_prefix(b"}").ok_or_else(|| {
            let name = text(name);
            format!("the closing bracket in \"{name}\" variable is missing")
        })?;
    }
    if name.is_empty() {
        let source = text(source);
        return Err(format!(
            "lua script: invalid capturing variable name found in \"{source}\""
        ));
    }
    if !is_number {
        let name = text(name);
        return Err(format!(
            "attempt to use named capturing variable \"{name}\" (named captures not supported yet)"
        ));
    }
    // More than fits is more than any pattern has.
    let number = text(name).parse().unwrap_or(usize::MAX);
    Ok((Part::Group(number), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_taken_apart() {
        for (source, parts) in [
            ("", vec![]),
            ("a", vec![Part::Text(b"a")]),
            (
                "a$1b${20}$$",
                vec![
                    Part::Text(b"a"),
                    Part::Group(1),
                    Part::Text(b"b"),
                    Part::Group(20),
                    Part::Text(b"$"),
                ],
            ),
            ("$0", vec![Part::Group(0)]),
            ("$99999999999999999999", vec![Part::Group(usize::MAX)]),
        ] {
            assert_eq!(Template::parse(source.as_bytes()), Ok(Template { parts }));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_template_may_come(source in "[${}a-c0-9]{0,12}") {
            let _ = Template::parse(source.as_bytes());
        }
    }
}
