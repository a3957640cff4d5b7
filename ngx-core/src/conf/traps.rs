//! Warnings of what is allowed and seldom meant.

use bytes::Bytes;

use super::diagnostics::Problem;
use super::span::Span;

/// A warning for directives that may be repeated and are inherited only by blocks without any:
/// that a block with some of its own loses names which the block around it has.
///
/// `own` and `outer` are the names, in any case, with the first directive of each block. There is
/// nothing to say if the block repeats all names.
#[must_use]
pub fn dropped_lines(
    directive: &str,
    own: (&[Bytes], Span),
    outer: (&[Bytes], Span),
) -> Option<Problem> {
    let mut lost: Vec<String> = Vec::new();
    for name in outer.0 {
        let kept = own.0.iter().any(|own| own.eq_ignore_ascii_case(name));
        let shown = format!("\"{}\"", String::from_utf8_lossy(name));
        if !kept && !lost.contains(&shown) {
            lost.push(shown);
        }
    }
    let (list, them) = match lost.as_slice() {
        [] => return None,
        [one] => (one.clone(), "it"),
        [all @ .., last] => (format!("{} and {last}", all.join(", ")), "them"),
    };
    let message = format!("this \"{directive}\" drops those of the enclosing block: {list}");
    let help = format!("repeat {them} here, or move this one out; a block inherits all or none");
    let problem = Problem::warn(own.1, message);
    Some(problem.with_note(outer.1, "set").with_help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_lost_are_listed() {
        let names = |list: &[&'static str]| -> Vec<Bytes> {
            list.iter()
                .map(|name| Bytes::from_static(name.as_bytes()))
                .collect()
        };
        let warning = |own: &[&'static str], outer: &[&'static str]| {
            let (own, outer) = (names(own), names(outer));
            let at = Span::NOWHERE;
            dropped_lines("add_header", (&own, at), (&outer, at)).map(|problem| problem.message)
        };
        let message = |list: &str| {
            let message = "this \"add_header\" drops those of the enclosing block:";
            Some(format!("{message} {list}"))
        };
        assert_eq!(warning(&["A"], &["B"]), message("\"B\""));
        assert_eq!(warning(&["a"], &["A"]), None);
        assert_eq!(
            warning(&["A"], &["B", "a", "B", "C"]),
            message("\"B\" and \"C\"")
        );
    }
}
