//! Tables of requests: good, bad, and those that smuggle.

use proptest::prelude::*;

use super::*;
use crate::http::parse::TargetForm;

type Fields = Vec<FieldRange>;

fn parse_with(
    options: RequestOptions,
    input: &[u8],
) -> (
    Result<Progress<RequestHead>, RequestError>,
    Fields,
    RequestParser,
) {
    fuzz_request(input);
    let mut fields = Vec::new();
    let mut parser = RequestParser::new(options);
    let result = parser.parse(input, &mut fields);
    (result, fields, parser)
}

fn request(input: &[u8]) -> Result<(RequestHead, Fields), RequestError> {
    let (result, fields, _) = parse_with(RequestOptions::default(), input);
    match result? {
        Progress::Done(head) => Ok((head, fields)),
        Progress::More => panic!("more is wanted: {}", input.escape_ascii()),
    }
}

fn refused(input: &[u8]) -> RequestError {
    match request(input).and_then(|(head, fields)| head.framing(input, &fields)) {
        Err(error) => error,
        Ok(framing) => panic!("accepted as {framing:?}: {}", input.escape_ascii()),
    }
}

/// Line | method | target | path | args | host | version. A path in parentheses has to be
/// normalised.
const REQUEST_LINES: &str = "
GET / HTTP/1.1               |GET       |/               |/        |         |         |1001
GET / HTTP/1.0               |GET       |/               |/        |         |         |1000
GET / HTTP/1.20              |GET       |/               |/        |         |         |1020
GET /                        |GET       |/               |/        |         |         |9
GET   /a   HTTP/1.1          |GET       |/a              |/a       |         |         |1001
M-SEARCH_X /a HTTP/1.1       |M-SEARCH_X|/a              |/a       |         |         |1001
GET /a.b/c?d=/../e?f HTTP/1.1|GET       |/a.b/c?d=/../e?f|/a.b/c   |d=/../e?f|         |1001
GET /a?b#c HTTP/1.1          |GET       |/a?b#c          |/a       |b        |         |1001
GET /a#b?c HTTP/1.1          |GET       |/a#b?c          |/a       |         |         |1001
GET /a//b HTTP/1.1           |GET       |/a//b           |(/a//b)  |         |         |1001
GET /a/../b HTTP/1.1         |GET       |/a/../b         |(/a/../b)|         |         |1001
GET /%61 HTTP/1.1            |GET       |/%61            |(/%61)   |         |         |1001
GET http://h HTTP/1.1        |GET       |/               |/        |         |h        |1001
GET http://h:80/a?b HTTP/1.1 |GET       |/a?b            |/a       |b        |h:80     |1001
GET http://h?b HTTP/1.1      |GET       |?b              |/        |b        |h        |1001
GET s+1://[::1]:/ HTTP/1.1   |GET       |/               |/        |         |[::1]:   |1001
CONNECT a.b:443 HTTP/1.1     |CONNECT   |/               |/        |         |a.b:443  |1001
CONNECT [::1]:443 HTTP/1.1   |CONNECT   |/               |/        |         |[::1]:443|1001
";

#[test]
fn request_lines() {
    for row in REQUEST_LINES.lines().skip(1) {
        let columns: Vec<_> = row.split('|').map(str::trim).collect();
        let [line, method, target, path, args, host, version] = columns[..] else {
            panic!("{row}")
        };
        let plain = path.trim_matches(['(', ')']);

        for end in ["\r\n", "\n", "  \r\n"] {
            let input = [line, end, "Host: x\r\n\r\n"].concat();
            let (head, _) = request(input.as_bytes()).unwrap();
            let of = |span: Span| str::from_utf8(span.of(input.as_bytes())).unwrap();
            let it = head.line;

            assert_eq!(of(it.line).trim_end(), line);
            assert_eq!(
                (
                    of(it.method_name),
                    of(it.target),
                    of(it.path),
                    of(it.args),
                    of(it.host)
                ),
                (method, target, plain, args, host),
                "{line}"
            );
            assert_eq!(it.method, Method::from_name(method.as_bytes()));
            let version: u16 = version.parse().unwrap();
            assert_eq!(
                it.version,
                Version::new((version / 1000) as u8, version % 1000),
                "{line}"
            );
            assert_eq!(of(it.protocol).is_empty(), version == 9, "{line}");
            let form = match (host, method) {
                ("", _) => TargetForm::Origin,
                (_, "CONNECT") => TargetForm::Authority,
                _ => TargetForm::Absolute,
            };
            assert_eq!(it.form, form, "{line}");
            assert_eq!(
                (it.plain, it.no_path),
                (path == plain, target.starts_with('?')),
                "{line}"
            );
        }
    }
}

#[test]
fn bad_request_lines() {
    use RequestError::{InvalidMethod, InvalidMethodInHttp09, InvalidRequest, InvalidVersion};
    let table: &[(&[u8], RequestError, u16)] = &[
        (b"get / HTTP/1.1", InvalidMethod, 400),
        (b"GET", InvalidMethod, 400),
        (b"GET\t/ HTTP/1.1", InvalidMethod, 400),
        (b" GET / HTTP/1.1", InvalidMethod, 400),
        (b"\x16\x03\x01\x02", InvalidMethod, 400),
        (b"GET ", InvalidRequest, 400),
        (b"GET * HTTP/1.1", InvalidRequest, 400),
        (b"GET a HTTP/1.1", InvalidRequest, 400),
        (b"GET http:/a HTTP/1.1", InvalidRequest, 400),
        (b"GET http://a_b/ HTTP/1.1", InvalidRequest, 400),
        (b"GET http://a@b/ HTTP/1.1", InvalidRequest, 400),
        (b"GET http://[::1/ HTTP/1.1", InvalidRequest, 400),
        (b"GET http://a:b/ HTTP/1.1", InvalidRequest, 400),
        (b"GET http://a#b HTTP/1.1", InvalidRequest, 400),
        (b"GET /a\tb HTTP/1.1", InvalidRequest, 400),
        (b"GET /?a\tb HTTP/1.1", InvalidRequest, 400),
        (b"GET /a\x01b HTTP/1.1", InvalidRequest, 400),
        (b"GET /a\x7fb HTTP/1.1", InvalidRequest, 400),
        (b"GET /a\0b HTTP/1.1", InvalidRequest, 400),
        (b"GET /a b HTTP/1.1", InvalidRequest, 400),
        (b"GET / http/1.1", InvalidRequest, 400),
        (b"GET / HTTP/1.1 x", InvalidRequest, 400),
        (b"GET / HTTP/0.9", InvalidRequest, 400),
        (b"GET / HTTP/1.", InvalidRequest, 400),
        (b"GET / HTTP/1.1000", InvalidRequest, 400),
        (b"GET / HTTP/1", InvalidRequest, 400),
        (b"GET / HTTP/.1", InvalidRequest, 400),
        (b"GET / HTTP/1.1\r", InvalidRequest, 400),
        (b"GET / HTTP/2.0", InvalidVersion, 505),
        (b"GET / HTTP/11.0", InvalidVersion, 505),
        (b"POST /", InvalidMethodInHttp09, 400),
        (b"CONNECT a:1", InvalidRequest, 400),
        (b"CONNECT a:1 ", InvalidMethodInHttp09, 400),
        (b"CONNECT a HTTP/1.1", InvalidRequest, 400),
        (b"CONNECT a: HTTP/1.1", InvalidRequest, 400),
        (b"CONNECT a:80/ HTTP/1.1", InvalidRequest, 400),
        (b"CONNECT / HTTP/1.1", InvalidRequest, 400),
    ];
    for (line, error, status) in table {
        let input = [*line, b"\r\nHost: x\r\n\r\n"].concat();
        assert_eq!(&refused(&input), error, "{}", line.escape_ascii());
        assert_eq!(error.status(), *status);
    }
}

#[test]
fn fields_are_found_and_trimmed() {
    let input = b"\r\n\nGET / HTTP/1.1\nhOST:a\nX-Empty:\r\nX-Tabs: \t b\tc \t\r\nCookie: d=\xff\r\n\r\nbody";
    let (head, fields) = request(input).unwrap();
    let got: Vec<_> = fields
        .iter()
        .map(|f| (f.name.of(input), f.value.of(input), f.known))
        .collect();
    let expected: Vec<(&[u8], &[u8], Known)> = vec![
        (b"hOST", b"a", Known::Host),
        (b"X-Empty", b"", Known::Other),
        (b"X-Tabs", b"b\tc", Known::Other),
        (b"Cookie", b"d=\xff", Known::Cookie),
    ];
    assert_eq!(got, expected);
    assert_eq!(&input[head.len..], b"body");
    assert!(head.seen.contains(Known::Cookie) && !head.seen.contains(Known::Range));
}

#[test]
fn bad_header_lines() {
    let table: &[(&[u8], &str)] = &[
        (b"A : b", "A\\x20..."),
        (b" A: b", "\\x20..."),
        (b"\tA: b", "\\x09..."),
        (b"A: b\r\n c", "\\x20..."),
        (b": b", "\\x3a..."),
        (b"A b: c", "A\\x20..."),
        (b"A\x01: b", "A\\x01..."),
        (b"A: b\0c", "A: b\\x00..."),
        (b"A: b\x0bc", "A: b\\x0b..."),
        (b"A: b\x7fc", "A: b\\x7f..."),
        (b"A: b\rc", "A: b\\x0d..."),
        (b"A: b\r", "A: b\\x0d..."),
        (b"A", "A\\x0d..."),
    ];
    for (line, text) in table {
        let input = [b"GET / HTTP/1.1\r\nHost: x\r\n", *line, b"\r\n\r\n"].concat();
        let error = refused(&input);
        assert_eq!(
            error.to_string(),
            format!("client sent invalid header line: \"{text}\"")
        );
        assert_eq!(error.status(), 400);
    }
}

#[test]
fn smuggling_is_refused() {
    let table: &[(&[u8], u16)] = &[
        (b"Content-Length: 1\r\nTransfer-Encoding: chunked", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 1", 400),
        (b"Content-Length: 1\r\nContent-Length: 1", 400),
        (b"Content-Length: 1\r\nContent-Length: 2", 400),
        (b"Content-Length: 1, 1", 400),
        (b"Content-Length: +1", 400),
        (b"Content-Length: -1", 400),
        (b"Content-Length: 0x1", 400),
        (b"Content-Length: 1 1", 400),
        (b"Content-Length:", 400),
        (b"Content-Length: 9223372036854775808", 400),
        (b"Content-Length: 99999999999999999999999", 400),
        (b"Content-Length : 1", 400),
        (b"Content-Length\t: 1", 400),
        (b"Content-Length\x0b: 1", 400),
        (b"Content-Length: 1\r\n 0", 400),
        (b"Content-Length: 1\rContent-Length: 2", 400),
        (
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            400,
        ),
        (
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            400,
        ),
        (b"Transfer-Encoding: chunked, chunked", 501),
        (b"Transfer-Encoding: gzip, chunked", 501),
        (b"Transfer-Encoding: identity", 501),
        (b"Transfer-Encoding: xchunked", 501),
        (b"Transfer-Encoding: \"chunked\"", 501),
        (b"Transfer-Encoding:", 501),
        (b"Transfer-Encoding:\x0bchunked", 400),
        (b"Transfer-Encoding", 400),
        (b" Transfer-Encoding: chunked", 400),
        (b"Transfer-Encoding : chunked", 400),
        (b"Host: y", 400),
    ];
    for (lines, status) in table {
        let input = [b"POST / HTTP/1.1\r\nHost: x\r\n", *lines, b"\r\n\r\n"].concat();
        assert_eq!(
            refused(&input).status(),
            *status,
            "{}",
            lines.escape_ascii()
        );
    }
    let error = refused(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(error, RequestError::TransferEncodingInHttp10);
    assert_eq!(
        refused(b"GET / HTTP/1.1\r\n\r\n"),
        RequestError::MissingHost
    );
}

#[test]
fn duplicates_say_what_they_repeat() {
    let error = refused(b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n");
    assert_eq!(
        error.to_string(),
        "client sent duplicate host header: \"host: b\", previous value: \"Host: a\""
    );
    let error = refused(b"GET / HTTP/1.1\r\nHost: a\r\nIf-Range: b\r\nIf-Range: c\r\n\r\n");
    assert_eq!(
        error.to_string(),
        "client sent duplicate header line: \"If-Range: c\", previous value: \"If-Range: b\""
    );
    assert!(
        request(b"GET / HTTP/1.1\r\nHost: a\r\nCookie: b\r\nCookie: c\r\nX: 1\r\nX: 2\r\n\r\n")
            .is_ok()
    );
}

#[test]
fn framing_of_requests() {
    let table: &[(&[u8], BodyFraming)] = &[
        (b"", BodyFraming::None),
        (b"Content-Length: 0\r\n", BodyFraming::Length(0)),
        (b"Content-Length: 0012\r\n", BodyFraming::Length(12)),
        (
            b"Content-Length: 9223372036854775807\r\n",
            BodyFraming::Length(i64::MAX as u64),
        ),
        (b"Transfer-Encoding: Chunked\r\n", BodyFraming::Chunked),
    ];
    for (lines, framing) in table {
        let input = [b"POST / HTTP/1.1\r\nHost: x\r\n", *lines, b"\r\n"].concat();
        let (head, fields) = request(&input).unwrap();
        assert_eq!(head.framing(&input, &fields).as_ref(), Ok(framing));
    }
}

#[test]
fn methods_that_are_not_for_everyone() {
    let check = |line: &str, framing, allow| {
        let (head, _) = request(format!("{line}\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
        head.check_method(framing, allow)
    };
    let connect = "CONNECT a:1 HTTP/1.1";
    assert_eq!(
        check("TRACE / HTTP/1.1", BodyFraming::None, true),
        Err(RequestError::Trace)
    );
    assert_eq!(
        check(connect, BodyFraming::None, false),
        Err(RequestError::Connect)
    );
    assert_eq!(
        check("CONNECT a:1 HTTP/1.0", BodyFraming::None, true),
        Err(RequestError::Connect)
    );
    assert_eq!(
        check(connect, BodyFraming::Chunked, true),
        Err(RequestError::ConnectWithBody)
    );
    assert_eq!(check(connect, BodyFraming::Length(0), true), Ok(()));
    assert_eq!(check("GET / HTTP/1.1", BodyFraming::Chunked, false), Ok(()));
}

#[test]
fn odd_names_are_dropped_or_taken() {
    let input = b"GET / HTTP/1.0\r\na_b: 1\r\n_c: 2\r\nd.e: 3\r\nf: 4\r\n\r\n";
    let names = |ignore_invalid_headers, underscores_in_headers| {
        let options = RequestOptions {
            ignore_invalid_headers,
            underscores_in_headers,
            ..RequestOptions::default()
        };
        let (result, fields, parser) = parse_with(options, input);
        assert!(matches!(result, Ok(Progress::Done(_))));
        let names: Vec<_> = fields
            .iter()
            .map(|f| str::from_utf8(f.name.of(input)).unwrap())
            .collect();
        (names.join(" "), parser.ignored().len())
    };
    assert_eq!(names(true, false), ("f".to_string(), 3));
    assert_eq!(names(true, true), ("a_b _c f".to_string(), 1));
    assert_eq!(names(false, false), ("a_b _c d.e f".to_string(), 0));
}

#[test]
fn heads_are_limited() {
    let limits = Limits {
        first: 64,
        number: 2,
        size: 128,
    };
    let options = RequestOptions {
        limits,
        max_headers: 3,
        ..RequestOptions::default()
    };
    let status = |input: &str| {
        parse_with(options, input.as_bytes())
            .0
            .map_err(|error| error.status())
    };

    let long = |len| "x".repeat(len);
    assert_eq!(status(&format!("GET /{}", long(200))), Err(414));
    assert_eq!(
        status(&format!("GET /{} HTTP/1.0\r\nA: {}", long(30), long(200))),
        Err(494)
    );
    let line = format!("A: {}\r\n", long(100));
    assert_eq!(
        status(&format!("GET / HTTP/1.0\r\n{line}{line}{line}")),
        Err(494)
    );
    assert!(status(&format!("GET / HTTP/1.0\r\n{line}{line}\r\n")).is_ok());
    assert_eq!(
        status("GET / HTTP/1.0\r\nA: 1\r\nA: 2\r\nA: 3\r\nA: 4\r\n\r\n"),
        Err(494)
    );
    assert!(status("GET / HTTP/1.0\r\nA: 1\r\nA: 2\r\nA: 3\r\n\r\n").is_ok());

    let error = parse_with(
        options,
        format!("GET / HTTP/1.0\r\nA: {}", long(125)).as_bytes(),
    )
    .0;
    assert_eq!(
        error.unwrap_err().to_string(),
        format!("client sent too long header line: \"A: {}...\"", long(125))
    );
}

#[test]
fn empty_lines_before_a_request_can_be_dropped() {
    let mut fields = Vec::new();
    let mut parser = RequestParser::new(RequestOptions::default());
    assert_eq!(
        parser.parse(b"\r\n\r\n\nGE", &mut fields),
        Ok(Progress::More)
    );
    assert_eq!(parser.take_leading(), 5);
    assert_eq!(parser.take_leading(), 0);
    let input = b"GET / HTTP/1.0\r\n\r\n";
    let Ok(Progress::Done(head)) = parser.parse(input, &mut fields) else {
        panic!("complete")
    };
    assert_eq!(
        (head.len, head.line.path.of(input)),
        (input.len(), &b"/"[..])
    );
    assert_eq!(parser.take_leading(), 0);
}

proptest! {
    #[test]
    fn requests_never_panic(
        line in "(GET|POST|CONNECT|G_-)( |  )(/|http://h|a:1|/[a-z%.?#/]{0,12}|\\PC{0,8})( HTTP/1\\.[019]| HTTP/2\\.0|)",
        rest in "((\r\n|\n|\r)(Host: a|Host : b|Content-Length: [0-9+]{1,3}|Transfer-Encoding: chunked|[a-z_]{0,4}:? ?[a-z\t\u{1}]{0,4})){0,5}(\r\n\r\n|\n\n|)[a-z]{0,3}",
    ) {
        fuzz_request(format!("{line}{rest}").as_bytes());
    }

    #[test]
    fn any_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz_request(&data);
    }

    #[test]
    fn fields_that_were_written_are_read(
        pairs in prop::collection::vec(("[A-Za-z][A-Za-z0-9-]{0,20}x", "([!-~]([ -~]{0,30}[!-~])?)?"), 0..12),
    ) {
        let mut input = b"GET / HTTP/1.0\r\n".to_vec();
        for (name, value) in &pairs {
            input.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        input.extend_from_slice(b"\r\n");
        let (_, fields) = request(&input).unwrap();
        let read: Vec<_> = fields.iter().map(|f| {
            let text = |span: Span| String::from_utf8(span.of(&input).to_vec()).unwrap();
            (text(f.name), text(f.value))
        }).collect();
        prop_assert_eq!(read, pairs);
    }
}
