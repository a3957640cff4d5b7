use super::fields::{cookie, join};
use super::request::basic_credentials;
use super::*;
use crate::http::head::Head;
use crate::http::parse::{Progress, RequestOptions, RequestParser};

fn head(text: &str) -> Head {
    let mut fields = Vec::new();
    let mut parser = RequestParser::new(RequestOptions::default());
    let Ok(Progress::Done(parsed)) = parser.parse(text.as_bytes(), &mut fields) else {
        panic!("not a head: {text}");
    };
    let mut head = Head::default();
    head.set(text.as_bytes(), &parsed, &fields);
    head
}

fn field(head: &Head, name: &str, separator: u8) -> Option<String> {
    let mut out = Vec::new();
    let found = join(head.iter(), name.as_bytes(), separator, &mut out);
    found.then(|| String::from_utf8(out).unwrap())
}

#[test]
fn no_name_is_registered_twice() {
    let mut names = Vec::new();
    for list in [request::list(), connection::list(), response::list()] {
        names.extend(list.into_iter().map(|variable| variable.name));
    }
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(names.iter().all(|name| *name == name.to_ascii_lowercase()));
}

#[test]
fn fields_of_one_name_are_joined() {
    let head = head(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1\r\nCookie: a=1\r\n\
         x-forwarded-for: 2, 3\r\nCookie: b=2\r\nX-Empty:\r\n\r\n",
    );
    assert_eq!(
        field(&head, "x_forwarded_for", b',').as_deref(),
        Some("1, 2, 3")
    );
    assert_eq!(field(&head, "cookie", b';').as_deref(), Some("a=1; b=2"));
    assert_eq!(field(&head, "x_empty", b',').as_deref(), Some(""));
    assert_eq!(field(&head, "x_forwarded", b','), None);
    assert_eq!(field(&head, "x-empty", b','), None);
}

#[test]
fn cookies_are_found_in_all_fields() {
    let head = head(
        "GET / HTTP/1.1\r\nHost: a\r\nCookie: ab=0; A=1 ;b = 2;c\r\nCookie: d=x=y; e=\r\n\r\n",
    );
    let value = |name: &str| cookie(&head, name.as_bytes());
    assert_eq!(value("a"), Some(&b"1 "[..]));
    assert_eq!(value("b"), Some(&b"2"[..]));
    assert_eq!(value("c"), None);
    assert_eq!(value("d"), Some(&b"x=y"[..]));
    assert_eq!(value("e"), Some(&b""[..]));
}

#[test]
fn basic_credentials_are_decoded() {
    let decoded = |text: &str| basic_credentials(text.as_bytes());
    assert_eq!(
        decoded("Basic dXNlcjpwYXNz").as_deref(),
        Some(&b"user:pass"[..])
    );
    assert_eq!(decoded("bAsIc   dXNlcjpw").as_deref(), Some(&b"user:p"[..]));
    assert_eq!(decoded("Basic dTo=").as_deref(), Some(&b"u:"[..]));
    assert_eq!(decoded("Basic dXNlcjo").as_deref(), Some(&b"user:"[..]));
    for wrong in [
        "Basic",
        "BasicdXNl",
        "Bearer dXNl",
        "Basic d",
        "Basic d!Nl",
        "Basic d\u{e4}A",
    ] {
        assert_eq!(decoded(wrong), None, "{wrong}");
    }
}

#[test]
fn seconds_have_three_decimals() {
    for (millis, text) in [
        (0, "0.000"),
        (5, "0.005"),
        (1_050, "1.050"),
        (61_999, "61.999"),
    ] {
        let mut out = Vec::new();
        put_seconds(&mut out, millis);
        assert_eq!(out, text.as_bytes());
    }
}
