//! Tables of responses: good, odd and bad.

use proptest::prelude::*;

use super::*;
use crate::http::parse::{Known, fuzz_chunked, fuzz_host, fuzz_uri};

type Fields = Vec<FieldRange>;

fn response(input: &[u8]) -> Result<(ResponseHead, Fields), ResponseError> {
    fuzz_response(input);
    let mut fields = Vec::new();
    match ResponseParser::new(Limits::single(4096)).parse(input, &mut fields)? {
        Progress::Done(head) => Ok((head, fields)),
        Progress::More => panic!("more is wanted: {}", input.escape_ascii()),
    }
}

#[test]
fn status_lines() {
    let table = [
        ("HTTP/1.1 200 OK", 200, "200 OK"),
        ("HTTP/1.0 404 Not Found", 404, "404 Not Found"),
        ("HTTP/1.1   200", 200, "200"),
        ("HTTP/1.1 200 ", 200, "200 "),
        ("HTTP/1.1 403.1 IIS", 403, "403.1 IIS"),
        ("HTTP/2.0 999 \u{e4}\u{1}", 999, "999 \u{e4}\u{1}"),
    ];
    for (line, code, text) in table {
        let input = format!("{line}\r\n\r\n").into_bytes();
        let (head, _) = response(&input).unwrap();
        assert_eq!(
            (head.status.code, head.status.text.of(&input)),
            (code, text.as_bytes()),
            "{line}"
        );
        assert_eq!(head.len, input.len());
    }
    for line in [
        "",
        "hello",
        "HTTP",
        "http/1.1 200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1200 OK",
        "HTTP/x.1 200 OK",
        "HTTP/1 200 OK",
        "HTTP/0.9 200 OK",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200 O\rK",
    ] {
        let result = response(format!("{line}\r\n\r\n").as_bytes());
        assert_eq!(result.unwrap_err(), ResponseError::NoStatusLine, "{line:?}");
    }
}

#[test]
fn garbage_is_told_before_a_line_ends() {
    let mut parser = ResponseParser::new(Limits::single(4096));
    assert_eq!(parser.parse(b"HTT", &mut Vec::new()), Ok(Progress::More));
    assert_eq!(
        parser.parse(b"HTTQ", &mut Vec::new()),
        Err(ResponseError::NoStatusLine)
    );
}

#[test]
fn framing_of_responses() {
    use ResponseFraming::{Chunked, Close, Length, None};
    let table = [
        ("200 OK\r\n", Close, None),
        ("200 OK\r\nContent-Length: 5\r\n", Length(5), None),
        ("200 OK\r\nTransfer-Encoding: chunked\r\n", Chunked, None),
        ("204 No Content\r\nContent-Length: 5\r\n", None, None),
        (
            "304 Not Modified\r\nTransfer-Encoding: chunked\r\n",
            None,
            None,
        ),
        ("101 Switching Protocols\r\n", None, None),
        ("103 Early Hints\r\nLink: a\r\n", None, None),
    ];
    for (text, to_get, to_head) in table {
        let input = format!("HTTP/1.1 {text}\r\n").into_bytes();
        let (head, fields) = response(&input).unwrap();
        assert_eq!(head.framing(false, &input, &fields), Ok(to_get), "{text}");
        assert_eq!(head.framing(true, &input, &fields), Ok(to_head), "{text}");
    }
}

#[test]
fn bad_responses() {
    let table = [
        ("A : b", "upstream sent invalid header: \"A\\x20...\""),
        (" A: b", "upstream sent invalid header: \"\\x20...\""),
        ("A: b\0", "upstream sent invalid header: \"A: b\\x00...\""),
        ("A", "upstream sent invalid header: \"A\\x0d...\""),
        (
            "Content-Length: 1\r\nContent-Length: 1",
            "upstream sent duplicate header line: \"Content-Length: 1\", previous value: \"Content-Length: 1\"",
        ),
        (
            "Content-Length: x",
            "upstream sent invalid \"Content-Length\" header: \"x\"",
        ),
        (
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "upstream sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time",
        ),
        (
            "Transfer-Encoding: gzip",
            "upstream sent unknown \"Transfer-Encoding\": \"gzip\"",
        ),
    ];
    for (lines, message) in table {
        let input = format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n").into_bytes();
        let error =
            response(&input).and_then(|(head, fields)| head.framing(false, &input, &fields));
        assert_eq!(error.unwrap_err().to_string(), message, "{lines:?}");
    }
    let mut parser = ResponseParser::new(Limits::single(64));
    let big = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(60));
    assert_eq!(
        parser.parse(big.as_bytes(), &mut Vec::new()),
        Err(ResponseError::TooBigHeader)
    );
}

#[test]
fn backends_may_be_odd() {
    let input = b"HTTP/1.1 200 OK\nHTTP/1.1 200 OK\nx_y.z: a\x01b\n\n";
    let (head, fields) = response(input).unwrap();
    assert_eq!(fields.len(), 1);
    assert_eq!(fields[0].value.of(input), b"a\x01b");
    assert_eq!(head.len, input.len());
}

#[test]
fn trailers_are_fields() {
    let input = b"A: b\r\nETag: c\r\n\r\nnext";
    let mut fields = Vec::new();
    let mut parser = ResponseParser::trailers(Limits::single(4096));
    let Ok(Progress::Done(head)) = parser.parse(input, &mut fields) else {
        panic!("complete")
    };
    assert_eq!(
        (head.len, fields.len(), fields[1].known),
        (17, 2, Known::ETag)
    );
}

proptest! {
    #[test]
    fn responses_never_panic(
        line in "HTTP/1\\.[01] {1,2}[0-9]{2,4}[ .]?[a-z]{0,4}|\\PC{0,10}",
        rest in "((\r\n|\n|\r)(HTTP/1|Content-Length: [0-9+]{1,3}|Transfer-Encoding: chunked|[a-z_]{0,4}:? ?[a-z\t\u{1}]{0,4})){0,5}(\r\n\r\n|\n\n|)[a-z]{0,3}",
    ) {
        fuzz_response(format!("{line}{rest}").as_bytes());
    }

    #[test]
    fn any_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz_response(&data);
        fuzz_chunked(&data);
        fuzz_uri(&data);
        fuzz_host(&data);
    }
}
