//! Request bodies: in files with names, streamed, and not wanted.

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use support::{Backend, Request, Server, Setup, wait_until};

/// A server that shows where the body was when it was answered.
fn in_file_only(value: &str) -> (Server, Backend) {
    let backend = Backend::http(Request::text);
    let server = Setup::http(&format!(
        "server {{
             listen 127.0.0.1:{{port}};
             client_body_in_file_only {value};
             add_header X-Body-File $request_body_file;
             add_header X-Body $request_body;
             location / {{ proxy_pass http://{{backend}}; }}
         }}"
    ))
    .set("backend", backend.addr())
    .start();
    (server, backend)
}

#[test]
fn a_body_in_a_file_stays_there() {
    let (server, _backend) = in_file_only("on");
    let response = server.post("/", "small").expect(200);
    assert_eq!(response.text(), "small");
    assert_eq!(response.header("x-body"), None);
    let path = response.header("x-body-file").expect("a file");
    assert_eq!(Path::new(path).parent(), Some(&*server.path("body")));
    assert_eq!(fs::read(path).unwrap(), b"small");
    let second = server.post("/", "another").expect(200);
    assert_eq!(
        fs::read(second.header("x-body-file").unwrap()).unwrap(),
        b"another"
    );
    assert_eq!(fs::read(path).unwrap(), b"small");
}

#[test]
fn a_body_in_a_file_may_be_cleaned_up() {
    let (server, _backend) = in_file_only("clean");
    let response = server.post("/", "small").expect(200);
    let path = response.header("x-body-file").expect("a file").to_owned();
    assert!(
        path.starts_with(server.path("body").to_str().unwrap()),
        "{path}"
    );
    wait_until("the file goes", || !Path::new(&path).exists());
}

#[test]
fn a_small_body_is_in_no_file_by_default() {
    let (server, _backend) = in_file_only("off");
    let response = server.post("/", "small").expect(200);
    assert_eq!(response.header("x-body-file"), None);
    assert_eq!(response.header("x-body"), Some("small"));
    assert!(!server.path("body").exists());
}

#[test]
fn the_value_of_client_body_in_file_only_is_checked() {
    Setup::http("server { client_body_in_file_only maybe; client_body_in_single_buffer perhaps; }")
        .run(&["-t"])
        .expect(1, "invalid value \"maybe\"")
        .expect(1, "invalid value \"perhaps\"");
}

const STREAMED: &str = "server {
    listen 127.0.0.1:{port};
    proxy_request_buffering off;
    proxy_http_version 1.1;
    add_header X-Body $request_body always;
    location / { proxy_pass http://{backend}; }
    location /error { proxy_pass http://{backend}; proxy_intercept_errors on; error_page 404 /page; }
    location /page { return 200 \"page for $request_body\"; }
}";

#[test]
fn a_body_that_has_come_with_its_header_is_not_streamed() {
    let backend = Backend::http(Request::text);
    let server = Setup::http(STREAMED).set("backend", backend.addr()).start();
    let response = server.request(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
    );
    assert_eq!(response.expect(200).header("x-body"), Some("abcdef"));
    assert_eq!(
        backend.requests()[0].headers.one("content-length"),
        Some("6")
    );
}

#[test]
fn what_has_come_of_a_streamed_body_is_sent_first() {
    let backend = Backend::http(Request::text);
    let server = Setup::http(STREAMED).set("backend", backend.addr()).start();
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    wait_until("the backend is asked", || backend.accepted() == 1);
    client.send("def");
    client.send("ghi");
    let response = client.response().expect(200);
    assert_eq!(response.text(), "abcdefghi");
    assert_eq!(response.header("x-body"), None);
}

#[test]
fn a_body_that_was_read_is_there_for_an_error_page() {
    let backend = Backend::script(|conn| {
        conn.request();
        conn.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    });
    let server = Setup::http(STREAMED).set("backend", backend.addr()).start();
    assert_eq!(server.post("/error", "abc").text(), "page for abc");
}

#[test]
fn a_malformed_body_is_refused_though_nobody_wants_it() {
    let server = Setup::http(
        "server { listen 127.0.0.1:{port}; location / { } location /text { return 200 text; } }",
    )
    .file("html/file", "file")
    .start();
    for uri in ["/file", "/text"] {
        let mut client = server.connect();
        client.send(format!(
            "GET {uri} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntoo long\r\n"
        ));
        client.response().expect(400);
        client.expect_close();
    }
    server.expect_error_log("while discarding client request body");
}

#[test]
fn what_has_come_of_a_streamed_body_leaves_with_the_header() {
    let began = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&began);
    let backend = Backend::script(move |conn| {
        let first = String::from_utf8(conn.some()).unwrap();
        assert!(first.ends_with("\r\n\r\n6\r\nabcdef\r\n"), "{first}");
        seen.store(true, Ordering::SeqCst);
        let second = String::from_utf8(conn.some()).unwrap();
        assert_eq!(second, "3\r\nghi\r\n0\r\n\r\n");
        conn.ok("");
    });
    let server = Setup::http(STREAMED).set("backend", backend.addr()).start();
    let mut client = server.connect();
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n",
    );
    wait_until("the backend is asked", || began.load(Ordering::SeqCst));
    client.send("3\r\nghi\r\n0\r\n\r\n");
    client.response().expect(200);
}
