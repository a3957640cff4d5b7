use super::*;
use crate::exchange::{Event, Exchange, Limits as ExchangeLimits};
use crate::protocol::Reuse;
use crate::testing::{End, Transcript, play, play_on, splits};
use ngx_buf::Buf;
use ngx_core::http::parse::Known;
use proptest::prelude::*;

fn request(body: Body) -> Request {
    let head = Chain::from(Buf::from("GET / HTTP/1.1\r\n\r\n"));
    Request {
        head,
        body,
        is_head: false,
        upgrade: false,
    }
}

fn get() -> Http1 {
    Http1::new(request(Body::None))
}

/// Plays every split of a response, checks that all agree, and gives the last.
fn everywhere(make: impl Fn() -> Http1, response: &[u8], eof: bool) -> Transcript<Head> {
    let mut last: Option<Transcript<Head>> = None;
    for pieces in splits(response) {
        let seen = play(make(), &pieces, eof);
        if let Some(last) = &last {
            assert_eq!(
                (&seen.body, &seen.end),
                (&last.body, &last.end),
                "{pieces:?}"
            );
            assert_eq!(seen.trailers, last.trailers);
            assert_eq!(seen.heads.len(), last.heads.len());
        }
        last = Some(seen);
    }
    last.unwrap()
}

fn end(response: &str) -> String {
    match everywhere(get, response.as_bytes(), true).end {
        End::Error(error) => error.to_string(),
        end => format!("{end:?}"),
    }
}

#[test]
fn a_body_of_known_length() {
    let response = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello";
    let seen = everywhere(get, response, false);
    assert_eq!(
        (seen.body, seen.end),
        (b"hello".to_vec(), End::Done(Reuse::Keep))
    );
    let head = &seen.heads[0];
    assert_eq!((head.code(), &head.status()[..]), (200, &b"200 OK"[..]));
    assert_eq!(head.field(Known::ContentLength).unwrap().value, b"5");
    let server = head.fields().next().unwrap();
    assert_eq!(
        (head.name_of(&server), head.value_of(&server)),
        ("Server".into(), "x".into())
    );
}

#[test]
fn chunks_and_trailers() {
    let response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nDigest: abc\r\nX: y\r\n\r\n";
    let seen = everywhere(get, response, false);
    assert_eq!(
        (seen.body, seen.end),
        (b"hello world".to_vec(), End::Done(Reuse::Keep))
    );
    assert_eq!(
        seen.trailers,
        [("Digest".into(), "abc".into()), ("X".into(), "y".into())]
    );
}

#[test]
fn bodies_that_end_with_the_connection() {
    let seen = everywhere(get, b"HTTP/1.1 200 OK\r\n\r\nall of it", true);
    assert_eq!(
        (seen.body, seen.end),
        (b"all of it".to_vec(), End::Done(Reuse::Close))
    );
}

#[test]
fn responses_without_a_body() {
    let to_head = || {
        Http1::new(Request {
            is_head: true,
            ..request(Body::None)
        })
    };
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(everywhere(to_head, head, false).end, End::Done(Reuse::Keep));
    for code in ["204 No Content", "304 Not Modified"] {
        let response = format!("HTTP/1.1 {code}\r\nContent-Length: 5\r\n\r\n");
        let seen = everywhere(get, response.as_bytes(), false);
        assert_eq!((seen.body.len(), seen.end), (0, End::Done(Reuse::Keep)));
    }
}

#[test]
fn what_forbids_reuse() {
    for response in [
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n",
    ] {
        assert_eq!(
            everywhere(get, response.as_bytes(), false).end,
            End::Done(Reuse::Close)
        );
    }
    // What follows the response was not asked for.
    let more = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab";
    assert_eq!(play(get(), &[more], false).end, End::Done(Reuse::Close));
}

#[test]
fn interim_heads() {
    let response = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let seen = everywhere(get, response, false);
    assert_eq!((seen.interim.len(), seen.heads[0].code()), (1, 200));
    assert_eq!(
        seen.interim[0].fields().next().map(|f| f.value),
        Some(&b"a"[..])
    );
}

#[test]
fn upgrades() {
    let asking = || {
        Http1::new(Request {
            upgrade: true,
            ..request(Body::None)
        })
    };
    let response = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nraw";
    let seen = everywhere(asking, response, false);
    assert_eq!(
        (seen.heads[0].code(), seen.end),
        (101, End::Upgrade(b"raw".to_vec()))
    );
    assert!(matches!(play(get(), &[response], false).end, End::Error(_)));
}

#[test]
fn what_is_wrong_is_named() {
    assert_eq!(
        end("garbage\r\n\r\n"),
        "upstream sent no valid HTTP/1.0 header"
    );
    assert!(end("HTTP/1.1 200 OK\r\nno colon\r\n\r\n").starts_with("upstream sent invalid header"));
    let closed = "upstream prematurely closed connection";
    assert_eq!(end(""), closed);
    assert_eq!(end("HTTP/1.1 200 OK\r\n"), closed);
    assert_eq!(
        end("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"),
        closed
    );
    assert_eq!(
        end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
        closed
    );
    assert_eq!(
        end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        "upstream sent invalid chunked response: invalid chunk size"
    );
    let both = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n";
    assert!(end(both).starts_with("upstream sent \"Content-Length\" and"));
}

#[test]
fn a_head_that_is_too_big() {
    let response = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(100));
    for pieces in splits(response.as_bytes()) {
        let mut exchange = Exchange::new(get(), ExchangeLimits { head: 64 });
        let seen = play_on(&mut exchange, &pieces, false);
        assert_eq!(seen.end, End::Error(ProtocolError::TooBigHeader));
    }
}

#[test]
fn request_bodies_are_framed() {
    let body = || Chain::from(Buf::from("hello"));
    let sent = |framing| {
        let protocol = Http1::new(request(Body::Whole(framing, body())));
        let seen = play(protocol, &[], false);
        String::from_utf8(seen.sent).unwrap()
    };
    assert!(sent(Framing::Length(5)).ends_with("\r\n\r\nhello"));
    assert!(sent(Framing::Chunked).ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));

    let mut exchange = Exchange::new(
        Http1::new(request(Body::Stream(Framing::Chunked))),
        ExchangeLimits::default(),
    );
    exchange.begin().unwrap();
    let _ = exchange.take_output();
    exchange.push_request_body(body(), false).unwrap();
    assert_eq!(exchange.take_output().to_vec(), b"5\r\nhello\r\n");
    exchange.push_request_body(Chain::new(), true).unwrap();
    assert_eq!(exchange.take_output().to_vec(), b"0\r\n\r\n");
}

#[test]
fn a_request_body_has_the_length_it_announced() {
    for (length, last) in [(4, false), (6, true)] {
        let stream = Http1::new(request(Body::Stream(Framing::Length(length))));
        let mut exchange = Exchange::new(stream, ExchangeLimits::default());
        exchange.begin().unwrap();
        let body = Chain::from(Buf::from("hello"));
        assert!(matches!(
            exchange.push_request_body(body, last),
            Err(ProtocolError::Request(_))
        ));
    }
}

#[test]
fn a_retry_sends_the_same_and_reads_anew() {
    let whole = Body::Whole(Framing::Length(2), Chain::from(Buf::from("hi")));
    let mut exchange = Exchange::new(Http1::new(request(whole)), ExchangeLimits::default());
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab";
    let first = play_on(&mut exchange, &[chunked], true);
    assert_eq!(first.end, End::Error(ProtocolError::PrematureClose));
    let second = play_on(&mut exchange, &[b"HTTP/1.1 204 No Content\r\n\r\n"], false);
    assert_eq!(
        (second.sent, second.end),
        (first.sent, End::Done(Reuse::Keep))
    );
}

proptest! {
    #[test]
    fn splits_never_change_the_verdict(
        head in "(HTTP/1\\.[01] (200|204|500) x\r\n)?((Content-Length: [0-9]{1,2}|Transfer-Encoding: chunked|X:y)\r\n){0,2}\r\n",
        body in "([0-9a]{1,2}\r\n|[a-z]{0,6}|\r\n){0,6}",
        eof: bool,
    ) {
        let response = head + &body;
        everywhere(get, response.as_bytes(), eof);
    }
}

#[test]
fn a_body_that_came_with_its_head_is_taken_at_once() {
    let after_head = |answer: &str, most: usize, eof: bool| {
        let mut exchange = Exchange::new(get(), ExchangeLimits::default());
        exchange.begin().unwrap();
        exchange.feed(answer.as_bytes());
        if eof {
            exchange.closed();
        }
        let head = exchange.poll().unwrap();
        assert!(matches!(head, Event::Head(_)), "{head:?}");
        let whole = exchange.take_whole_body(most);
        (exchange, whole)
    };
    let five = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let hello = format!("{five}hello");

    let (mut exchange, whole) = after_head(&hello, 5, false);
    assert_eq!(whole, Some((Bytes::from("hello"), Reuse::Keep)));
    assert!(matches!(exchange.poll(), Ok(Event::Done(Reuse::Keep))));
    assert!(exchange.take_whole_body(5).is_none());
    exchange.feed(b"!");
    assert!(matches!(exchange.poll(), Ok(Event::Done(Reuse::Close))));

    let last = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
    let (_, whole) = after_head(last, 5, false);
    assert_eq!(whole, Some((Bytes::from("hi"), Reuse::Close)));

    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    let empty = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    for (answer, most, eof) in [
        (&*hello, 4, false),
        (&*hello, 5, true),
        (&format!("{five}hell"), 5, false),
        (&format!("{hello}!"), 5, false),
        (chunked, 99, false),
        (empty, 99, false),
    ] {
        let (mut exchange, whole) = after_head(answer, most, eof);
        assert_eq!(whole, None, "{answer:?}");
        let event = exchange.poll().unwrap();
        assert!(
            matches!(event, Event::Body(_) | Event::Done(_)),
            "{event:?}"
        );
    }
}
