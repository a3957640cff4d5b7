use super::*;
use crate::conf::span::{Origin, SourceMap};

fn lex(text: &[u8]) -> (Vec<String>, Vec<String>) {
    let id = SourceMap::default().add(Origin::CommandLine, text.into(), Span::NOWHERE);
    let mut lexer = Lexer::new(text, id);
    let mut problems = Vec::new();
    let mut tokens = Vec::new();
    loop {
        tokens.push(match lexer.next(&mut problems) {
            Token::Word(word) if word.is_quoted() => format!("<{word}>"),
            Token::Word(word) => word.to_string(),
            Token::Semicolon(_) => ";".to_owned(),
            Token::Open(_) => "{".to_owned(),
            Token::Close(_) => "}".to_owned(),
            Token::End { quote: Some(_), .. } => {
                tokens.push("EOF in quotes".to_owned());
                break;
            }
            Token::End { quote: None, .. } => break,
        });
    }
    (
        tokens,
        problems
            .into_iter()
            .map(|problem| problem.message)
            .collect(),
    )
}

#[track_caller]
fn words(text: &str, expected: &[&str]) {
    let (tokens, problems) = lex(text.as_bytes());
    assert_eq!(tokens, expected, "{text}");
    assert_eq!(problems, [""; 0], "{text}");
}

#[test]
fn words_end_at_space_and_signs() {
    words("", &[]);
    words("a b\tc\r\nd;", &["a", "b", "c", "d", ";"]);
    words("a{b;}", &["a", "{", "b", ";", "}"]);
    words("a}b;", &["a}b", ";"]);
    words("a=\"b c\";", &["a=\"b", "c\"", ";"]);
    words("it's;", &["it's", ";"]);
}

#[test]
fn a_brace_after_a_dollar_belongs_to_the_word() {
    words("a ${b}c;", &["a", "${b}c", ";"]);
    words("a x${b}y{", &["a", "x${b}y", "{"]);
    words("a $b{c", &["a", "$b", "{", "c"]);
    words("a ${{b;", &["a", "${{b", ";"]);
    words("a \\${;", &["a", "\\$", "{", ";"]);
}

#[test]
fn comments_begin_where_words_do() {
    words("# a;\nb#c # d\n;#e", &["b#c", ";"]);
    words("a \"#b\" # c", &["a", "<#b>"]);
}

#[test]
fn escapes_are_the_same_in_and_outside_of_quotes() {
    words(r#""a\"b";"#, &["<a\"b>", ";"]);
    words(r#"'a\'b' a\'b;"#, &["<a'b>", "a'b", ";"]);
    words(r"a\;b\ c\{;", &[r"a\;b\ c\{", ";"]);
    words(r#"\.php$ "\.php$""#, &[r"\.php$", r"<\.php$>"]);
    words(r#"a\tb\r\n\\x "\t\\n""#, &["a\tb\r\n\\x", "<\t\\n>"]);
    words(r"\# \}", &[r"\#", r"\}"]);
}

#[test]
fn quotes_join_words_and_may_be_empty() {
    words(
        "a \"b c\" 'd;{}' \"\";",
        &["a", "<b c>", "<d;{}>", "<>", ";"],
    );
    words("\"a\nb\"{", &["<a\nb>", "{"]);
    // As `if ($a = "b")` needs it.
    words("($a = \"b\") {", &["($a", "=", "<b>", ")", "{"]);
}

#[test]
fn junk_after_a_quote_is_stepped_over() {
    let (tokens, problems) = lex(b"a \"b\"c d;");
    assert_eq!(tokens, ["a", "<b>", "d", ";"]);
    assert_eq!(problems, ["unexpected \"c\""]);
    let (tokens, problems) = lex("a 'b'é;".as_bytes());
    assert_eq!(tokens, ["a", "<b>", ";"]);
    assert_eq!(problems, ["unexpected \"é\""]);
    assert_eq!(lex(b"a \"b\"};").1, ["unexpected \"}\""]);
}

#[test]
fn quotes_without_end_are_told() {
    assert_eq!(lex(b"a \"b;\n").0, ["a", "EOF in quotes"]);
    assert_eq!(lex(b"a 'b\\'").0, ["a", "EOF in quotes"]);
    assert_eq!(lex(b"a 'b\\").0, ["a", "EOF in quotes"]);
}

#[test]
fn bytes_that_are_not_text_are_kept() {
    let mut map = SourceMap::default();
    let id = map.add(Origin::CommandLine, (*b"a\xff;").into(), Span::NOWHERE);
    let Token::Word(word) = Lexer::new(b"a\xff;", id).next(&mut Vec::new()) else {
        panic!("a word");
    };
    assert_eq!(word.as_bytes(), b"a\xff");
    assert_eq!(word.as_str(), "a\u{fffd}");
}

#[test]
fn spans_know_line_and_column() {
    let text = b"a\n  bc 'd\ne' f";
    let mut map = SourceMap::default();
    let id = map.add(Origin::CommandLine, text.as_slice().into(), Span::NOWHERE);
    let mut lexer = Lexer::new(text, id);
    let mut spans = Vec::new();
    while let Token::Word(word) = lexer.next(&mut Vec::new()) {
        let span = word.span();
        spans.push((span.line, span.column, span.start, span.end));
    }
    assert_eq!(
        spans,
        [(1, 1, 0, 1), (2, 3, 4, 6), (2, 6, 7, 12), (3, 4, 13, 14)]
    );
}
