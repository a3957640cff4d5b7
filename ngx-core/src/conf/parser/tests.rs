use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::conf::MemorySource;

/// The directives of a text, written in one line, and the problems with their lines.
pub(in crate::conf) fn read(source: &MemorySource) -> (String, Vec<String>) {
    let raw = |name: &str| name.ends_with("_by_lua_block");
    let mut reader = Reader::new(source, Path::new("/etc"), &raw);
    let nodes = reader.main_file(Path::new("/etc/ngx.conf"));
    let place = |span| {
        reader
            .files
            .locate(span)
            .unwrap_or_default()
            .replace("/etc/ngx.conf:", "")
    };
    let problems = reader.problems.iter();
    let problems = problems.map(|problem| format!("{}: {}", place(problem.span), problem.message));
    (show(&nodes), problems.collect())
}

fn show(nodes: &[Node]) -> String {
    let one = |node: &Node| {
        let words = std::iter::once(node.name()).chain(node.values());
        let words: Vec<_> = words.map(Word::as_str).collect();
        let end = match &node.body {
            Body::Simple => ";".to_owned(),
            Body::Block(nodes) => format!("{{{}}}", show(nodes)),
            Body::Raw { text } => format!("<{}>", text.as_str()),
        };
        format!("{}{end}", words.join(" "))
    };
    nodes.iter().map(one).collect()
}

fn parse(text: impl Into<Vec<u8>>) -> (String, Vec<String>) {
    read(&MemorySource::new().with_file("/etc/ngx.conf", text))
}

#[track_caller]
fn good(text: &str, expected: &str) {
    assert_eq!(parse(text), (expected.to_owned(), Vec::new()), "{text}");
}

#[track_caller]
fn bad(text: &str, expected: &str, problems: &[&str]) {
    let (nodes, found) = parse(text);
    assert_eq!(found, problems, "{text}");
    assert_eq!(nodes, expected, "{text}");
}

#[test]
fn directives_and_blocks() {
    good("", "");
    good(" # nothing\n", "");
    good("a;b c 'd e';", "a;b c d e;");
    good("a { b { c; } d; }", "a{b{c;}d;}");
    good("a x{}b{}", "a x{}b{}");
    good(
        "map $a $b { default 0; ~^x 1; }",
        "map $a $b{default 0;~^x 1;}",
    );
    good("if ($a = \"b\") { return 1; }", "if ($a = b ){return 1;}");
}

#[test]
fn blocks_of_lua_are_kept_as_they_are() {
    good(
        "content_by_lua_block { local t = {'}', [[}]]} -- }\n } a;",
        "content_by_lua_block< local t = {'}', [[}]]} -- }\n >a;",
    );
    good(
        "set_by_lua_block $x { return {} }",
        "set_by_lua_block $x< return {} >",
    );
    bad(
        "a;\nlog_by_lua_block { {",
        "a;",
        &["2: unexpected end of file, expecting terminating characters for lua code block"],
    );
    bad(
        "log_by_lua_block {\n x = [==[ ]=]\n}",
        "",
        &["2: Lua code block missing the closing long bracket \"]==]\""],
    );
}

#[test]
fn mistakes_get_their_line_and_do_not_hide_the_next_one() {
    bad("a;;b;", "a;b;", &["1: unexpected \";\""]);
    bad("a;\n}\nb;", "a;b;", &["2: unexpected \"}\""]);
    bad("{ a; } b;", "b;", &["1: unexpected \"{\""]);
    bad("a {\n b c\n}\nd;", "a{b c;}d;", &["3: unexpected \"}\""]);
    bad(
        "a \"b\"c;\n;",
        "",
        &["1: unexpected \"c\"", "2: unexpected \";\""],
    );
}

#[test]
fn the_end_comes_too_early() {
    let semicolon = "unexpected end of file, expecting \";\" or \"}\"";
    bad("a;\nb", "a;", &[&format!("2: {semicolon}")]);
    bad("a \"b;\n", "", &[&format!("2: {semicolon}")]);
    bad("a { b", "a{}", &[&format!("1: {semicolon}")]);
    bad(
        "a {\n b;\n",
        "a{b;}",
        &["3: unexpected end of file, expecting \"}\""],
    );
    bad(
        "a { b { c;",
        "a{b{c;}}",
        &["1: unexpected end of file, expecting \"}\""],
    );
}

#[test]
fn deep_nesting_is_refused() {
    let (_, problems) = parse("a{".repeat(100_000));
    assert_eq!(problems.len(), 1);
    assert!(
        problems.iter().all(|p| p.contains("nested too deeply")),
        "{problems:?}"
    );
    good(&("a{".repeat(MAX_DEPTH) + &"}".repeat(MAX_DEPTH)), &{
        "a{".repeat(MAX_DEPTH) + &"}".repeat(MAX_DEPTH)
    });
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        parse(bytes);
    }

    #[test]
    fn any_signs_are_read(text in r#"([a-c \n;{}"'\\$#)\[\]=-]|include a|_by_lua_block)*"#) {
        parse(text);
    }

    #[test]
    fn what_was_written_is_read(words in proptest::collection::vec("[ -~\t\r\n]*", 1..5)) {
        let mut text = String::from("x");
        let mut expected = String::from("x");
        for word in &words {
            let escaped = word.replace('\\', "\\\\").replace('"', "\\\"");
            text += &format!(" \"{escaped}\"");
            expected += &format!(" {word}");
        }
        prop_assert_eq!(parse(text + ";"), (expected + ";", Vec::new()));
    }

    #[test]
    fn a_text_cut_short_keeps_what_came_before(cut in 0_usize..54) {
        let text = "user a;events{x 1;}http{server{listen 80;root \"/b c\";}}";
        let (whole, _) = parse(text);
        let cut_text = text.get(..cut).unwrap();
        let (nodes, problems) = parse(cut_text);
        prop_assert!(problems.len() <= 1);
        let nodes = nodes.trim_end_matches(['}', '{']);
        prop_assert!(whole.starts_with(nodes), "{} {}", whole, nodes);
    }
}
