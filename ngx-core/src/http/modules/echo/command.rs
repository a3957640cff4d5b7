//! The commands of a location, as they stand in the configuration.

use super::compile;
use crate::conf::{Args, Problem};
use crate::http::request::Request;
use crate::module::Cx;
use crate::script::{Template, Variables};

/// One directive that runs when the response is made.
#[derive(Clone)]
pub(super) enum Command {
    /// Words, joined, with what ends the line.
    Text(Template),
    Duplicate {
        count: Template,
        text: Template,
    },
    Flush,
    /// Seconds.
    Sleep(Template),
    ResetTimer,
    ReadBody,
    RequestBody,
    Split {
        delimiter: Template,
        text: Template,
    },
    End,
    Exec {
        uri: Template,
        args: Option<Template>,
    },
}

/// The words as one text. Words that begin with a dash are options as long as they come first and
/// have no variables: `-n` is without a line break, and behind `--` all are text.
pub(super) fn line(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<Template, Problem> {
    let (first, no_break) = options(cx, args);
    let mut joined = String::new();
    for at in first..args.values().len() {
        // For the place of what is wrong with it; the words are compiled together below.
        compile(cx, args, at)?;
        if at > first {
            joined.push(' ');
        }
        joined.push_str(args.arg(at).as_str());
    }
    if !no_break {
        joined.push('\n');
    }
    Template::compile(&joined, cx.part::<Variables<Request>>())
        .map_err(|error| args.problem(error.to_string()))
}

/// The two words behind the options.
pub(super) fn pair(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(Template, Template), Problem> {
    let (first, _) = options(cx, args);
    if args.values().len() != first + 2 {
        let message = "needs two arguments behind its options";
        return Err(Problem::of_directive(args.span(), message)
            .with_help("write \"--\" in front of an argument that begins with a dash"));
    }
    Ok((compile(cx, args, first)?, compile(cx, args, first + 1)?))
}

/// Where the text begins, and whether the first option is `-n`.
fn options(cx: &mut Cx<'_>, args: &Args<'_>) -> (usize, bool) {
    let mut no_break = false;
    for (at, word) in args.values().iter().enumerate() {
        let text = word.as_bytes();
        if text.len() < 2 || !text.starts_with(b"-") || text.contains(&b'$') {
            return (at, no_break);
        }
        if text == b"--" {
            return (at + 1, no_break);
        }
        if text == b"-n" {
            no_break = no_break || at == 0;
            continue;
        }
        cx.report(
            args.warning(format!("unknown option \"{word}\" is not sent"))
                .with_help("write \"--\" in front of text that begins with a dash"),
        );
        if text.starts_with(b"--") {
            return (at + 1, no_break);
        }
    }
    (args.values().len(), no_break)
}

/// Seconds, with up to three decimals, as milliseconds.
pub(super) fn millis(text: &[u8]) -> Option<u64> {
    let (whole, part) = match text.iter().position(|&byte| byte == b'.') {
        Some(point) => (text.get(..point)?, text.get(point + 1..)?),
        None => (text, &b""[..]),
    };
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    let digits = whole.iter().chain(part);
    if !digits.clone().all(u8::is_ascii_digit) {
        return None;
    }
    let padded = part.iter().chain(b"000").take(3);
    whole.iter().chain(padded).try_fold(0u64, |number, digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

/// A count, with underscores between its digits.
pub(super) fn count(text: &[u8]) -> Option<u64> {
    let digits = text.iter().filter(|&&byte| byte != b'_');
    if text.is_empty() {
        return None;
    }
    digits.into_iter().try_fold(0u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_three_decimals() {
        for (text, want) in [
            ("1", Some(1000)),
            ("0.05", Some(50)),
            ("1.2345", Some(1234)),
            (".5", Some(500)),
            ("2.", Some(2000)),
            ("", None),
            (".", None),
            ("-1", None),
            ("1s", None),
            ("1.2.3", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(millis(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn counts_may_have_underscores() {
        for (text, want) in [
            ("0", Some(0)),
            ("1_000_000", Some(1_000_000)),
            ("", None),
            ("-1", None),
            ("1k", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(count(text.as_bytes()), want, "{text}");
        }
    }
}
