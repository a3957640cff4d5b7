//! Warnings of what is allowed and seldom meant.

use bytes::Bytes;

use super::diagnostics::Problem;
use super::node::Node;
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
    let them = match lost.len() {
        0 => return None,
        1 => "it",
        _ => "them",
    };
    let list = listed(&lost);
    let message = format!("this \"{directive}\" drops those of the enclosing block: {list}");
    let help = format!("repeat {them} here, or move this one out; a block inherits all or none");
    let problem = Problem::warn(own.1, message);
    Some(problem.with_note(outer.1, "set").with_help(help))
}

/// Warnings for those `if` in a location that do more to it than they seem to: all but `return`,
/// `rewrite`, `set` and `break` needs settings of its own, and then those around it apply to no
/// request of which the condition is true.
///
/// `nodes` are the directives of the location. A block that ends in `return` answers for itself,
/// so nothing in it is warned about.
#[must_use]
pub fn unsafe_ifs(nodes: &[Node]) -> Vec<Problem> {
    let lost = nodes
        .iter()
        .find(|node| NOT_INHERITED.contains(&node.name().as_str()));
    let ifs = nodes.iter().filter(|node| *node.name() == *"if");
    ifs.filter_map(|one| unsafe_if(one, lost)).collect()
}

fn unsafe_if(one: &Node, lost: Option<&Node>) -> Option<Problem> {
    let block = one.block()?;
    if block.iter().any(|node| *node.name() == *"return") {
        return None;
    }
    let mut others: Vec<String> = Vec::new();
    for node in block {
        let name = node.name();
        let shown = format!("\"{name}\"");
        if !is_safe(name.as_str()) && !others.contains(&shown) {
            others.push(shown);
        }
    }
    if let Some(lost) = lost
        && !block.iter().any(goes_elsewhere)
    {
        let name = lost.name();
        let message = format!("\"{name}\" does not apply where this \"if\" is true");
        let help = "end the block with \"return\" or \"rewrite ... last\", or move the \"if\" to the \
                    server block";
        let problem = Problem::warn(one.span(), message).with_help(help);
        return Some(problem.with_note(lost.span(), "set"));
    }
    if others.is_empty() {
        return None;
    }
    let message = format!("\"if\" in a location with {} in it", listed(&others));
    let problem = Problem::warn(one.span(), message);
    Some(problem.with_help(
        "of several \"if\" that are true the settings of the last apply alone; safe in \"if\" are \
         \"return\", \"rewrite ... last\", \"set\" and \"break\": let \"rewrite ... last\" lead to a \
         location with the rest, or set a variable and use that outside",
    ))
}

/// Directives of a location that those within it do not inherit.
const NOT_INHERITED: &[&str] = &["try_files", "limit_except"];

/// What runs in its place, or changes nothing that the location has.
fn is_safe(name: &str) -> bool {
    matches!(name, "return" | "rewrite" | "set" | "break" | "rewrite_log")
        || name.starts_with("set_by_lua")
}

/// Whether this is a `rewrite` after which the location is another one, or the client is sent away.
fn goes_elsewhere(node: &Node) -> bool {
    let last = node.values().get(2);
    let flag = last.is_some_and(|flag| ["last", "redirect", "permanent"].contains(&flag.as_str()));
    *node.name() == *"rewrite" && flag
}

/// `"a", "b" and "c"`
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
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
