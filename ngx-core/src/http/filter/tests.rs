//! Whole requests, through rewriting and all filters, for a client that is made up.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use ngx_buf::{Chain, Flow, WriteError};

use super::header;
use crate::conf::MemorySource;
use crate::cycle::{BuildOptions, Cycle};
use crate::http::modules::ALL;
use crate::http::parse::{Progress, RequestOptions, RequestParser, split_args};
use crate::http::server::ServerId;
use crate::http::{
    BodyError, BodyPiece, Downstream, Generation, LocationConf, Peer, Request, http_registry,
};
use crate::net::addr::Addr;

/// A client that keeps what it gets.
struct Client {
    peer: Rc<Peer>,
    got: RefCell<BytesMut>,
    aborted: Cell<bool>,
}

impl Downstream for Client {
    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn send_header(&self, r: &Request) -> Result<(), WriteError> {
        header::write(r, &mut self.got.borrow_mut());
        Ok(())
    }

    fn send_body(&self, chain: Chain) -> Result<Flow, WriteError> {
        self.got.borrow_mut().extend_from_slice(&chain.to_vec());
        Ok(Flow::Done)
    }

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

    fn set_location(&self, _: &LocationConf) {}

    fn discard_body(&self) -> Result<(), BodyError> {
        Ok(())
    }

    fn keeps_alive(&self) -> bool {
        true
    }

    fn forbid_keepalive(&self) {}

    fn abort(&self) {
        self.aborted.set(true);
    }

    fn sent(&self) -> u64 {
        self.got.borrow().len() as u64
    }
}

/// The configuration of these tests, in a folder with the file `/ten` of ten bytes.
fn configure(folder: &Path) -> Arc<Cycle> {
    std::fs::write(folder.join("ten"), b"0123456789").unwrap();
    std::fs::create_dir(folder.join("logs")).unwrap();
    let http = format!(
        r#"events {{ }}
        http {{
          default_type text/plain; root {};
          server {{
            add_header X-Usual 1;
            add_header X-Always 2 always;
            rewrite ^/old/(.*)$ /new/$1;
            location / {{ }}
            location /text {{ return 200 "some text"; }}
            location /none {{ return 204; }}
            location /gone {{ return 410 "gone"; }}
            location /close {{ return 444; }}
            location /away {{ return 301 https://b/$arg_x; }}
            location /new/ {{
              set $first $uri;
              rewrite ^/new/(?<rest>.+)$ /newer/$rest?a=1 last;
            }}
            location /newer/ {{ return 200 "$first $uri $args $rest"; }}
            location /stay/ {{
              rewrite ^/stay/(.*)$ /$1 break;
              return 500;
            }}
            location /loop {{ rewrite ^ /loop last; }}
            location /moved {{ rewrite ^/moved/(.*)$ http://b/$1? permanent; }}
            error_page 403 =200 /text;
            location /forbidden {{ return 403; }}
          }}
        }}"#,
        folder.display()
    );
    let registry = http_registry(ALL.iter().copied())
        .unwrap()
        .with_extension(Arc::new(crate::log::LogFiles::default()));
    let source = MemorySource::new().with_file("/ngx.conf", http);
    let mut options = BuildOptions {
        test: true,
        ..BuildOptions::default()
    };
    options.load.prefix = folder.to_owned();
    Cycle::build(&registry, &source, Path::new("/ngx.conf"), &options, None).unwrap()
}

/// Everything that the client gets for a request.
fn serve(head: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let cycle = configure(folder.path());
    let addr = |text: &str| Addr::Inet(text.parse().unwrap());
    let peer = Rc::new(Peer {
        number: 1,
        addr: addr("127.0.0.1:4321"),
        local: addr("127.0.0.1:80"),
        requests: Cell::new(1),
        since: 0,
    });
    let client = Rc::new(Client {
        peer: Rc::clone(&peer),
        got: RefCell::default(),
        aborted: Cell::new(false),
    });
    let downstream = Rc::clone(&client) as Rc<dyn Downstream>;
    let request = Request::new(
        Rc::new(Generation::new(cycle)),
        downstream,
        peer,
        ServerId(0),
    );
    let text = format!("{}\r\n\r\n", head.replace('\n', "\r\n"));
    let mut fields = Vec::new();
    let mut parser = RequestParser::new(RequestOptions::default());
    let Ok(Progress::Done(parsed)) = parser.parse(text.as_bytes(), &mut fields) else {
        panic!("not a head: {text}");
    };
    request.with_head_mut(|own| own.set(text.as_bytes(), &parsed, &fields));
    let target = request.head().target().to_vec();
    let (path, args) = split_args(&target);
    request.set_path(path);
    request.set_args(args.unwrap_or_default());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(request.poll_response(&mut cx).is_ready());
    if client.aborted.get() {
        return "aborted".to_owned();
    }
    String::from_utf8(client.got.take().to_vec()).unwrap()
}

fn get(path: &str) -> String {
    serve(&format!("GET {path} HTTP/1.1\nHost: a"))
}

fn ten(fields: &str) -> String {
    serve(&format!("GET /ten HTTP/1.1\nHost: a\n{fields}"))
}

#[track_caller]
fn check(response: &str, status: &str, with: &[&str], without: &[&str]) {
    let start = format!("HTTP/1.1 {status} ");
    assert!(response.starts_with(&start), "{status}: {response}");
    for text in with {
        assert!(response.contains(text), "lacks {text:?}: {response}");
    }
    for text in without {
        assert!(!response.contains(text), "has {text:?}: {response}");
    }
}

#[test]
fn returns_answer() {
    let type_and_length = "Content-Type: text/plain\r\nContent-Length: 9\r\n";
    let lines = ["X-Usual: 1\r\n", "X-Always: 2\r\n"];
    check(
        &get("/text"),
        "200",
        &[type_and_length, lines[0], lines[1]],
        &["chunked"],
    );
    assert!(get("/text").ends_with("\r\n\r\nsome text"));
    let head = serve("HEAD /text HTTP/1.1\nHost: a");
    check(&head, "200", &["Content-Length: 9"], &["some text"]);
    check(
        &get("/none"),
        "204",
        &[lines[0]],
        &["Content-Length", "Content-Type"],
    );
    check(
        &get("/gone"),
        "410",
        &["\r\n\r\ngone", lines[1]],
        &[lines[0], "<html>"],
    );
    check(
        &get("/away?x=c"),
        "301",
        &["Location: https://b/c\r\n", "<html>"],
        &[],
    );
    check(
        &get("/forbidden"),
        "200",
        &["\r\n\r\nsome text", lines[0]],
        &[],
    );
    assert_eq!(get("/close"), "aborted");
}

#[test]
fn rewrites_move_on() {
    check(
        &get("/old/x"),
        "200",
        &["\r\n\r\n/new/x /newer/x a=1 x"],
        &[],
    );
    check(
        &get("/new/y?b=2"),
        "200",
        &["\r\n\r\n/new/y /newer/y a=1&b=2 y"],
        &[],
    );
    check(&get("/stay/ten"), "200", &["\r\n\r\n0123456789"], &[]);
    check(
        &get("/moved/z?b=2"),
        "301",
        &["Location: http://b/z\r\n"],
        &[],
    );
    check(&get("/loop"), "500", &["X-Always: 2"], &["X-Usual"]);
}

#[test]
fn conditions_are_answered() {
    check(
        &ten(""),
        "200",
        &["Accept-Ranges: bytes\r\n", "ETag: \""],
        &[],
    );
    let all = "If-None-Match: *";
    check(
        &ten(all),
        "304",
        &["ETag: \"", "Last-Modified"],
        &["Content-", "Accept-Ranges"],
    );
    check(
        &ten("If-None-Match: \"other\""),
        "200",
        &["\r\n\r\n0123456789"],
        &[],
    );
    check(
        &ten("If-Match: \"other\""),
        "412",
        &["X-Always: 2\r\n", "<html>"],
        &["ETag"],
    );
}

#[test]
fn ranges_are_cut() {
    let part = ten("Range: bytes=2-4");
    check(
        &part,
        "206",
        &["Content-Range: bytes 2-4/10\r\n", "Content-Length: 3\r\n"],
        &["Accept"],
    );
    assert!(part.ends_with("\r\n\r\n234"), "{part}");
    let parts = ten("Range: bytes=-2,0-0");
    check(
        &parts,
        "206",
        &["bytes 8-9/10\r\n\r\n89\r\n", "bytes 0-0/10\r\n\r\n0\r\n"],
        &[],
    );
    let (head, body) = parts.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("Content-Length: {}\r\n", body.len())),
        "{parts}"
    );
    let beyond = ten("Range: bytes=10-");
    check(
        &beyond,
        "416",
        &["Content-Range: bytes */10\r\n", "<html>"],
        &["0123456789"],
    );
    assert_eq!(beyond.matches("X-Always").count(), 1, "{beyond}");
    check(
        &ten("Range: bytes=0-1\nIf-Range: \"other\""),
        "200",
        &["0123456789"],
        &[],
    );
}
