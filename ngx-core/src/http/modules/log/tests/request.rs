//! Whole lines, for a request whose client is made up.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ngx_buf::{Chain, Flow, WriteError};

use super::Place;
use crate::cycle::{BuildOptions, Cycle};
use crate::http::parse::{Progress, RequestOptions, RequestParser, split_args};
use crate::http::server::ServerId;
use crate::http::{BodyError, BodyPiece, Downstream, Generation, LocationConf, Peer, Request};
use crate::net::addr::Addr;

/// A client that takes everything.
struct Client {
    peer: Rc<Peer>,
    sent: Cell<u64>,
}

impl Client {
    fn new() -> Rc<Self> {
        let addr = |text: &str| Addr::Inet(text.parse().unwrap());
        let peer = Peer {
            number: 7,
            addr: addr("[2001:db8::1]:4321"),
            local: addr("127.0.0.1:80"),
            requests: Cell::new(3),
            since: crate::time::now_ms(),
        };
        Rc::new(Self {
            peer: Rc::new(peer),
            sent: Cell::new(0),
        })
    }
}

impl Downstream for Client {
    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn send_header(&self, r: &Request) -> Result<(), WriteError> {
        r.set_header_size(100);
        self.sent.set(100);
        Ok(())
    }

    fn send_body(&self, chain: Chain) -> Result<Flow, WriteError> {
        self.sent.set(self.sent.get() + chain.size());
        Ok(Flow::Done)
    }

    fn set_location(&self, _: &LocationConf) {}

    fn send_interim(&self, _: &[u8]) -> Result<(), WriteError> {
        Ok(())
    }

    fn poll_flush(&self, _: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_body(&self, _: &mut Context<'_>, _: usize) -> Poll<Result<BodyPiece, BodyError>> {
        Poll::Ready(Ok(BodyPiece::End))
    }

    fn poll_closed(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn upgrade(&self) {}

    fn discard_body(&self) -> Result<(), BodyError> {
        Ok(())
    }

    fn keeps_alive(&self) -> bool {
        true
    }

    fn forbid_keepalive(&self) {}

    fn abort(&self) {}

    fn sent(&self) -> u64 {
        self.sent.get()
    }
}

/// Serves a request with the first server of a configuration, which nobody answers but with an
/// error page, and returns what was logged.
fn logged(http: &str, text: &str) -> String {
    let place = Place::new();
    let (registry, source) = place.parts(http);
    let mut options = BuildOptions {
        test: true,
        ..BuildOptions::default()
    };
    options.load.prefix = place.0.path().to_owned();
    let file = std::path::Path::new("/ngx.conf");
    let cycle = Cycle::build(&registry, &source, file, &options, None).unwrap();
    let client = Client::new();
    let request = Request::new(
        Rc::new(Generation::new(cycle)),
        Rc::clone(&client) as Rc<dyn Downstream>,
        Rc::clone(&client.peer),
        ServerId(0),
    );
    let mut fields = Vec::new();
    let mut parser = RequestParser::new(RequestOptions::default());
    let Ok(Progress::Done(head)) = parser.parse(text.as_bytes(), &mut fields) else {
        panic!("not a head: {text}");
    };
    request.with_head_mut(|own| own.set(text.as_bytes(), &head, &fields));
    let target = request.head().target().to_vec();
    let (path, args) = split_args(&target);
    request.set_path(path);
    request.set_args(args.unwrap_or_default());

    let mut cx = Context::from_waker(Waker::noop());
    assert!(request.poll_response(&mut cx).is_ready());
    request.detach();
    assert!(request.poll_log(&mut cx).is_ready());
    std::fs::read_to_string(place.0.path().join("logs/access.log")).unwrap()
}

const GET: &str = "GET /a?b=c%20d&B=2 HTTP/1.1\r\nHost: example.com:81\r\nX-A: \"1\r\n\
     X-A: 2\r\nCookie: id=x\r\nAuthorization: Basic bWU6cHc=\r\n\r\n";

fn line(format: &str) -> String {
    let http = format!(
        "log_format x '{format}'; access_log logs/access.log x;
         server {{ listen 1; server_name first.example second.example; }}"
    );
    logged(&http, GET)
}

#[test]
fn the_combined_format() {
    let text = logged("server { listen 1; }", GET);
    let (before, rest) = text.split_once('[').unwrap();
    let (time, rest) = rest.split_once(']').unwrap();
    assert_eq!(before, "2001:db8::1 - me ");
    assert_eq!(time.len(), "21/Nov/2026:02:00:33 +0000".len());
    let (request, rest) = rest.split_once(" 404 ").unwrap();
    assert_eq!(request, " \"GET /a?b=c%20d&B=2 HTTP/1.1\"");
    let (bytes, rest) = rest.split_once(' ').unwrap();
    assert!(bytes.parse::<u64>().unwrap() > 100, "{bytes}");
    assert_eq!(rest, "\"-\" \"-\"\n");
}

#[test]
fn variables_of_the_request() {
    assert_eq!(
        line(
            "$uri|$document_uri|$request_uri|$args|$query_string|$is_args|$arg_b|$arg_x|\
             $request_method|$server_protocol|$http_x_a|$cookie_id|$cookie_no|$remote_user|\
             $request_port|$is_request_port|$server_name|$host|$content_length|$request_length"
        ),
        format!(
            "/a|/a|/a?b=c%20d&B=2|b=c%20d&B=2|b=c%20d&B=2|?|c%20d|-|\
             GET|HTTP/1.1|\\x221, 2|x|-|me|\
             81|:|first.example|first.example|-|{}\n",
            GET.len()
        )
    );
}

#[test]
fn variables_of_the_connection() {
    assert_eq!(
        line(
            "$remote_addr|$remote_port|$server_addr|$server_port|$connection|\
             $connection_requests|$scheme|$https|$pipe|$nginx_version|$binary_remote_addr"
        ),
        format!(
            "2001:db8::1|4321|127.0.0.1|80|7|3|http||.|1.31.5| \\x01\\x0D\\xB8{}\\x01\n",
            "\\x00".repeat(11)
        )
    );
}

#[test]
fn variables_of_the_response_survive_the_connection() {
    let text = line(
        "$status|$sent_http_content_type|$sent_http_connection|$sent_http_x|$request_completion|\
         $sent_http_content_length|$body_bytes_sent|$bytes_sent",
    );
    let values: Vec<&str> = text.trim_end().split('|').collect();
    assert_eq!(values[..5], ["404", "text/html", "keep-alive", "-", "OK"]);
    let number = |i: usize| values[i].parse::<u64>().unwrap();
    assert!(number(5) > 100);
    assert_eq!((number(6), number(7)), (number(5), number(5) + 100));
}

#[test]
fn request_ids_are_kept_and_differ() {
    let ids: Vec<String> = (0..2).map(|_| line("$request_id $request_id")).collect();
    for id in &ids {
        let (first, second) = id.trim_end().split_once(' ').unwrap();
        assert_eq!(first, second);
        assert!(
            first.len() == 32 && first.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{first}"
        );
    }
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn a_condition_chooses_what_is_logged() {
    let with = |condition: &str| {
        logged(
            &format!(
                "log_format x $uri; access_log logs/access.log x if={condition};
                 server {{ listen 1; }}"
            ),
            GET,
        )
    };
    assert_eq!(with("$http_host"), "/a\n");
    assert_eq!(with("$http_nothing"), "");
    assert_eq!(with("0"), "");
}
