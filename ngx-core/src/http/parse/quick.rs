//! Heads as nearly everybody writes them, taken in one pass.
//!
//! The parsers go line by line and decide about everything that a peer may think of. Here a head
//! that is there as a whole, and has nothing in it that needs a decision, is taken in one go.
//! Whatever else it is, the answer is `None` and the parser begins anew, so that what is refused,
//! ignored or repaired is said in one place, there. A head that passes here passes there and means
//! the same; tests hold the two against each other.

use super::chars::{
    NAME, NameByte, find_args_end, find_colon, find_colon_in_words, find_control, find_path_end,
    first_bytes, same,
};
use super::header::FieldRange;
use super::known::{Front, Known, KnownSet};
use super::lines::Lines;
use super::method::Method;
use super::request_line::{RequestLine, Version};
use super::response::StatusLine;
use super::span::Span;

/// Which fields a head may have.
pub(super) struct Rules {
    /// Most fields there may be.
    pub(super) most: usize,
    /// Whether a second field of this name spoils the head.
    pub(super) is_single: fn(Known) -> bool,
}

/// Fills `line` with the request line at the front of `buf`; where the fields begin. What a usual
/// line does not have stays as it is.
#[inline(always)]
pub(super) fn request_line(buf: &[u8], line: &mut RequestLine) -> Option<usize> {
    let (method, name) = method(buf)?;
    let start = name + 1;
    let (path, plain) = path(buf, start)?;
    let (args, end) = match buf.get(path)? {
        b' ' => (Span::default(), path),
        b'?' => {
            let end = find_args_end(buf, path + 1)?;
            (Span::at(path + 1, end), end)
        }
        _ => return None,
    };
    let rest = buf.get(end..)?;
    let version = if rest.starts_with(b" HTTP/1.1\r\n") {
        Version::HTTP_11
    } else if rest.starts_with(b" HTTP/1.0\r\n") {
        Version::HTTP_10
    } else {
        return None;
    };
    line.line = Span::at(0, end + 9);
    line.method = method;
    line.method_name = Span::at(0, name);
    line.target = Span::at(start, end);
    line.path = Span::at(start, path);
    line.plain = plain;
    line.args = args;
    line.protocol = Span::at(end + 1, end + 9);
    line.version = version;
    Some(end + 11)
}

/// A status line at the front of `buf`, and where the fields begin.
pub(super) fn status_line(buf: &[u8]) -> Option<(StatusLine, usize)> {
    let version = match buf.first_chunk::<8>()? {
        b"HTTP/1.1" => Version::HTTP_11,
        b"HTTP/1.0" => Version::HTTP_10,
        _ => return None,
    };
    let &[
        b' ',
        a @ b'1'..=b'9',
        b @ b'0'..=b'9',
        c @ b'0'..=b'9',
        b' ' | b'\r',
        ..,
    ] = buf.get(8..)?
    else {
        return None;
    };
    let digit = |byte: u8| u16::from(byte - b'0');
    let end = find_control(buf, 12)?;
    let [b'\r', b'\n', ..] = buf.get(end..)? else {
        return None;
    };
    let line = StatusLine {
        version,
        code: digit(a) * 100 + digit(b) * 10 + digit(c),
        text: Span::at(9, end),
    };
    Some((line, end + 2))
}

/// The fields from `begin` on, and how long the head is with the empty line behind them, if all
/// its lines have room as `lines` counts it.
#[inline(always)]
pub(super) fn fields(
    (buf, begin): (&[u8], usize),
    lines: Lines,
    rules: &Rules,
    fields: &mut Vec<FieldRange>,
) -> Option<(KnownSet, usize)> {
    let mut seen = KnownSet::EMPTY;
    let mut at = begin;
    let before = fields.len();
    let mut rest = buf.get(begin..)?;
    let mut is_end = rest.starts_with(b"\r\n");
    while !is_end {
        let (known, colon) = name(rest)?;
        let start = value_start(rest, colon + 1)?;
        let end = find_control(rest, start)?;
        let last = match rest.get(end - 1) {
            Some(b' ' | b'\t') => value_end(rest, start, end),
            _ => end,
        };
        // The next line, or the empty one, begins behind the end of this one.
        rest = rest.get(end..)?;
        let behind = u32::from_le_bytes(*rest.first_chunk()?);
        if behind as u16 != LINE_END {
            return None;
        }
        is_end = (behind >> 16) as u16 == LINE_END;
        if fields.len() >= rules.most || !seen.insert(known) && (rules.is_single)(known) {
            return None;
        }
        fields.push(FieldRange {
            name: Span::at(at, at + colon),
            value: Span::at(at + start, at + last),
            known,
        });
        at += end + 2;
        rest = rest.get(2..)?;
    }
    // Most heads lie in one buffer: their lines need not be counted one by one.
    if !lines.has_room(at) {
        count_lines(lines, begin, fields.get(before..)?, at)?;
    }
    Some((seen, at + 2))
}

/// Whether there is room for each line: the first, which is `begin` bytes long, and those of the
/// fields up to `end`.
#[cold]
fn count_lines(mut lines: Lines, begin: usize, fields: &[FieldRange], end: usize) -> Option<()> {
    lines.count(begin).ok()?;
    let starts = fields.iter().map(|field| field.name.start as usize);
    let ends = starts.clone().skip(1).chain([end]);
    for (start, end) in starts.zip(ends) {
        lines.count(end - start).ok()?;
    }
    Some(())
}

const LINE_END: u16 = u16::from_le_bytes(*b"\r\n");

/// Where the value begins that is behind a colon: mostly there is one space.
#[inline(always)]
fn value_start(line: &[u8], at: usize) -> Option<usize> {
    match line.get(at..)?.first_chunk()? {
        [b' ', first] if *first > b' ' => Some(at + 1),
        _ => Some(skip_blanks(line, at)),
    }
}

#[inline(never)]
fn skip_blanks(line: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t') = line.get(at) {
        at += 1;
    }
    at
}

/// Where a value ends that has blanks behind it.
#[inline(never)]
fn value_end(line: &[u8], start: usize, mut end: usize) -> usize {
    while end > start
        && let Some(b' ' | b'\t') = line.get(end - 1)
    {
        end -= 1;
    }
    end
}

/// The name that a line begins with, and its length.
#[inline(always)]
fn name(line: &[u8]) -> Option<(Known, usize)> {
    let padded;
    let front: &Front = if let Some(front) = line.first_chunk() {
        front
    } else {
        padded = pad(line);
        &padded
    };
    let colon = match find_colon_in_words(front.as_chunks().0) {
        Some(colon) => colon,
        None => find_colon(line)?,
    };
    let known = Known::in_front(front, colon);
    if known == Known::Other && !is_good(line.get(..colon)?) {
        return None;
    }
    Some((known, colon))
}

/// The end of a head: nothing else is as short.
#[inline(never)]
fn pad(line: &[u8]) -> Front {
    let mut padded = Front::default();
    for (to, from) in padded.iter_mut().zip(line) {
        *to = *from;
    }
    padded
}

/// One of the usual methods, with a space and a slash behind it; and the length of its name.
#[inline(always)]
fn method(buf: &[u8]) -> Option<(Method, usize)> {
    if buf.starts_with(b"GET /") {
        return Some((Method::Get, 3));
    }
    let others: [(Method, &[u8]); 6] = [
        (Method::Post, b"POST /"),
        (Method::Head, b"HEAD /"),
        (Method::Put, b"PUT /"),
        (Method::Patch, b"PATCH /"),
        (Method::Delete, b"DELETE /"),
        (Method::Options, b"OPTIONS /"),
    ];
    let found = others.iter().find(|(_, front)| buf.starts_with(front));
    found.map(|(method, front)| (*method, front.len() - 2))
}

/// Where the path ends that begins at `at`, and whether it is plain.
#[inline(always)]
fn path(buf: &[u8], at: usize) -> Option<(usize, bool)> {
    let end = find_path_end(buf, at)?;
    // What ends a path is no `/` or `.`, so what follows the last byte may be looked at too.
    let mut from = at;
    while let Some(near) = buf.get(from..).and_then(<[u8]>::first_chunk) {
        if has_odd(near) & first_bytes(end - from) != 0 {
            return Some((end, false));
        }
        from += 8;
        if from >= end {
            return Some((end, true));
        }
    }
    let rest = buf.get(from..end)?;
    let is_odd = |(i, &byte): (usize, &u8)| match byte {
        b'/' => matches!(rest.get(i + 1), Some(b'/' | b'.')),
        _ => byte == b'%',
    };
    Some((end, !rest.iter().enumerate().any(is_odd)))
}

/// The high bit of each of eight bytes that makes a path need a second look: `%`, and a slash with
/// another or a dot behind it, for which the ninth is there.
#[inline]
fn has_odd(near: &[u8; 9]) -> u64 {
    let (Some(word), Some(next)) = (near.first_chunk(), near.last_chunk()) else {
        return 0;
    };
    let (word, next) = (u64::from_le_bytes(*word), u64::from_le_bytes(*next));
    same(word, b'%') | same(word, b'/') & (same(next, b'/') | same(next, b'.'))
}

/// Whether it is a name of letters, digits and `-` alone.
#[inline(never)]
fn is_good(name: &[u8]) -> bool {
    !name.is_empty()
        && name
            .iter()
            .all(|&byte| NAME[usize::from(byte)] == NameByte::Good)
}

#[cfg(test)]
mod tests {
    use super::super::lines::Limits;
    use super::super::request::{
        Progress, RequestOptions, RequestParser, fuzz_request, parse_usual,
    };
    use super::super::response::fuzz_response;
    use super::*;
    use proptest::prelude::*;

    /// What heads are put together from: the usual, and what spoils it.
    const LINES: &[&str] = &[
        "Host: localhost",
        "host:a",
        "Content-Length: 5",
        "Content-Type: text/html; charset=utf-8",
        "Connection: keep-alive",
        "X-Mine:  spaces \t ",
        "X-Empty:",
        "X-Blank:   ",
        "X_Odd: a",
        "X.Odd: a",
        "X Odd: a",
        "NoColon",
        "HTTP/1.1 200 OK",
        ": nameless",
        "X-Tab: a\tb",
        "X-Control: a\x01b",
        "X-Delete: a\x7fb",
        "X-High: \u{e4}",
        " folded",
        "A-Name-That-Goes-On-And-On-And-On-And-On-And-On-And-On-And-On-And-On: 1",
    ];

    const ENDS: &[&str] = &["\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n"];

    fn head(first: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
        use prop::sample::select;
        let lines = prop::collection::vec((select(LINES), select(ENDS)), 0..7);
        (select(first), select(ENDS), lines, any::<bool>()).prop_map(
            |(first, end, lines, whole)| {
                let lines = lines.iter().map(|(line, end)| [*line, *end].concat());
                let fields: String = lines.collect();
                let behind = if whole { "\r\nbody" } else { "" };
                [first, end, &fields, behind].concat().into_bytes()
            },
        )
    }

    const REQUESTS: &[&str] = &[
        "GET / HTTP/1.1",
        "GET /a/b?c=d&e HTTP/1.0",
        "POST /a//b/../c%20d HTTP/1.1",
        "OPTIONS /.a HTTP/1.1",
        "DELETE /a#b HTTP/1.1",
        "PATCH /a?b#c HTTP/1.1",
        "PUT  /a HTTP/1.1",
        "HEAD /a  HTTP/1.1",
        "GET /a HTTP/1.1 ",
        "GET /a?b\x01 HTTP/1.1",
        "GET /\u{e4} HTTP/1.1",
        "GET /a",
        "GET http://a/ HTTP/1.1",
        "\r\nGET / HTTP/1.1",
        "get / HTTP/1.1",
        "GET / HTTP/2.0",
    ];

    const RESPONSES: &[&str] = &[
        "HTTP/1.1 200 OK",
        "HTTP/1.0 404 Not Found",
        "HTTP/1.1 200",
        "HTTP/1.1 200 ",
        "HTTP/1.1 099 Low",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 200.1 OK",
        "HTTP/1.1 2000",
        "HTTP/1.1 200 O\tK",
        "HTTP/2 200 OK",
    ];

    proptest! {
        #[test]
        fn requests_mean_what_they_mean_line_by_line(head in head(REQUESTS)) {
            fuzz_request(&head);
        }

        #[test]
        fn paths_mean_what_they_mean_line_by_line(path in "/[/.%2eab?]{0,30}") {
            fuzz_request(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
            // Nothing behind it that could be looked at in words.
            fuzz_request(format!("GET {path}").as_bytes());
        }

        #[test]
        fn what_lies_behind_what_was_received_means_nothing(
            head in head(REQUESTS),
            behind in prop::collection::vec(any::<u8>(), 0..40),
            cut in any::<prop::sample::Index>(),
        ) {
            let at = cut.index(head.len() + 1);
            let take = |memory: &[u8]| {
                let (mut line, mut fields) = (RequestLine::default(), Vec::new());
                let from = (memory, at);
                let found = parse_usual(&RequestOptions::default(), from, &mut line, &mut fields)?;
                Some((found, line, fields))
            };
            let alone = take(&head[..at]);
            prop_assert_eq!(&take(&head), &alone);
            prop_assert_eq!(take(&[&head[..at], &behind].concat()), alone);
        }

        #[test]
        fn responses_mean_what_they_mean_line_by_line(head in head(RESPONSES)) {
            fuzz_response(&head);
        }
    }

    #[test]
    fn the_usual_is_taken_at_once() {
        let lines = Lines::new(Limits::default(), false);
        let rules = Rules {
            most: 2,
            is_single: Known::is_single_in_requests,
        };
        let mut found = Vec::new();
        let head = b"GET /a?b HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r\nbody";
        let mut line = RequestLine::default();
        let at = request_line(head, &mut line).unwrap();
        assert_eq!(line.args.of(head), b"b");
        let (seen, len) = fields((head, at), lines, &rules, &mut found).unwrap();
        assert!(seen.contains(Known::Host));
        assert_eq!((head.get(len..), found.len()), (Some(&b"body"[..]), 2));
        let one = Rules { most: 1, ..rules };
        found.clear();
        assert!(fields((head, at), lines, &one, &mut found).is_none());
    }

    #[test]
    fn limits_hold() {
        for (first, number, size) in [(30, 1, 20), (17, 2, 30), (26, 1, 24), (26, 0, 24)] {
            let limits = Limits {
                first,
                number,
                size,
            };
            let options = RequestOptions {
                limits,
                ..RequestOptions::default()
            };
            for value in 0..30 {
                let head = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(value));
                let at_once = RequestParser::new(options).parse(head.as_bytes(), &mut Vec::new());
                let mut parser = RequestParser::new(options);
                let mut fields = Vec::new();
                let mut piecewise = Ok(Progress::More);
                for end in 1..=head.len() {
                    piecewise = parser.parse(&head.as_bytes()[..end], &mut fields);
                    if piecewise != Ok(Progress::More) {
                        break;
                    }
                }
                assert_eq!(at_once.is_ok(), piecewise.is_ok(), "{limits:?} {value}");
            }
        }
    }
}
