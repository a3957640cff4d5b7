//! Backends that fail, and clients that leave.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use support::{Backend, Conn, Port, Server, Setup, ours, pause, wait_until};

const QUICK: &str =
    "proxy_connect_timeout 300ms; proxy_read_timeout 200ms; proxy_send_timeout 200ms;";

fn proxy(backend: &Backend, directives: &str) -> Server {
    proxy_to(&backend.addr(), directives)
}

fn proxy_to(addr: &str, directives: &str) -> Server {
    Setup::http(&format!(
        "log_format status '$status $upstream_status $request_uri';
         access_log {{dir}}/access.log status;
         server {{ listen 127.0.0.1:{{port}}; {QUICK}
                   location / {{ proxy_pass http://{{backend}}; {directives} }}
                   location = /alive {{ return 204; }} }}"
    ))
    .set("backend", addr)
    .start()
}

/// A GET to a backend with this script gets this status, and the log says `log`.
#[track_caller]
fn fails(script: impl Fn(&mut Conn) + Send + Sync + 'static, status: u16, log: &str) {
    let backend = Backend::script(script);
    let server = proxy(&backend, "");
    assert_eq!(server.get("/x").status, status);
    server.expect_error_log(log);
    server.expect_error_log("\", upstream: \"http://127.0.0.1:");
    server.expect_access_log(&format!("{status} "));
    server.get("/alive").expect(204);
}

#[test]
fn a_refused_connection_is_502() {
    let port = Port::reserve();
    let server = proxy_to(&port.addr(), "");
    assert!(
        server
            .get("/x")
            .expect(502)
            .text()
            .contains("<h1>502 Bad Gateway</h1>")
    );
    server.expect_error_log(&format!(
        "connect() failed (111: Connection refused) while connecting to upstream, \
         client: 127.0.0.1, server: , request: \"GET /x HTTP/1.1\", \
         upstream: \"http://{}/x\", host: \"localhost\"",
        port.addr()
    ));
    server.expect_access_log("502 502 /x");
}

#[test]
fn a_backend_that_closes_without_a_word_is_502() {
    let log = "upstream prematurely closed connection while reading response header from upstream";
    fails(|conn| drop(conn.request()), 502, log);
}

#[test]
fn a_backend_that_closes_in_the_head_is_502() {
    let script = |conn: &mut Conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nX-A: ");
    };
    fails(script, 502, "upstream prematurely closed connection");
}

#[test]
fn a_backend_that_never_answers_is_504() {
    let script = |conn: &mut Conn| {
        conn.request();
        conn.hold();
    };
    let log = "upstream timed out (110: Connection timed out) while reading response header from upstream";
    fails(script, 504, log);
}

#[test]
fn a_backend_that_stops_in_the_head_is_504() {
    let script = |conn: &mut Conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\n");
        conn.hold();
    };
    fails(
        script,
        504,
        "upstream timed out (110: Connection timed out)",
    );
}

#[test]
fn a_malformed_header_of_a_backend_is_502() {
    let script = |conn: &mut Conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nX-A\0: b\r\n\r\n");
    };
    fails(script, 502, "upstream sent invalid header");
}

#[test]
fn two_framings_of_a_backend_are_502() {
    // nginx does so since 1.23.
    if !ours("strict framing of a backend") {
        return;
    }
    let script = |conn: &mut Conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n");
        conn.send("0\r\n\r\n");
    };
    fails(
        script,
        502,
        "upstream sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time",
    );
}

#[test]
fn two_lengths_of_a_backend_are_502() {
    // nginx does so since 1.23.
    if !ours("strict framing of a backend") {
        return;
    }
    let script = |conn: &mut Conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!");
    };
    fails(
        script,
        502,
        "upstream sent duplicate header line: \"Content-Length: 6\"",
    );
}

#[test]
fn a_head_larger_than_the_buffer_is_502() {
    let backend = Backend::script(|conn| {
        conn.request();
        let value = "x".repeat(1500);
        conn.send(format!(
            "HTTP/1.1 200 OK\r\nX-Big: {value}\r\nContent-Length: 0\r\n\r\n"
        ));
    });
    let server = proxy(
        &backend,
        "proxy_buffer_size 1k; proxy_buffers 4 1k; proxy_busy_buffers_size 2k;",
    );
    server.get("/x").expect(502);
    server.expect_error_log(
        "upstream sent too big header while reading response header from upstream",
    );
}

#[test]
fn garbage_of_a_backend_is_said_in_the_log() {
    let backend = Backend::answer("garbage\r\nthat is no HTTP\r\n");
    let server = proxy(&backend, "");
    // nginx takes what does not begin like HTTP for a body of HTTP/0.9.
    let answer = server.connect().send("GET /x HTTP/1.0\r\n\r\n").rest();
    let text = String::from_utf8_lossy(&answer);
    assert!(
        text.starts_with("garbage\r\n") || text.starts_with("HTTP/1.1 502 "),
        "{text}"
    );
    server.expect_error_log("upstream sent no valid HTTP/1.0 header");
    server.get("/alive").expect(204);
}

#[test]
fn a_body_cut_short_of_its_length_closes_the_client() {
    let backend = Backend::answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
    let server = proxy(&backend, "");
    let mut client = server.connect();
    client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().header("content-length"), Some("100"));
    assert_eq!(client.rest(), b"short");
    server.expect_error_log("upstream prematurely closed connection while reading upstream");
}

#[test]
fn a_chunked_body_cut_short_is_not_ended() {
    let backend = Backend::answer(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nwo",
    );
    let server = proxy(&backend, "proxy_http_version 1.1;");
    let mut client = server.connect();
    client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().header("transfer-encoding"), Some("chunked"));
    let rest = client.rest();
    assert!(
        !rest.ends_with(b"0\r\n\r\n"),
        "{:?}",
        String::from_utf8_lossy(&rest)
    );
    server.expect_error_log("upstream prematurely closed connection while reading upstream");
}

#[test]
fn a_malformed_chunk_of_a_backend_ends_the_response_open() {
    let backend = Backend::answer(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nXX\r\n",
    );
    let server = proxy(&backend, "proxy_http_version 1.1;");
    let mut client = server.connect();
    client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(!client.rest().ends_with(b"0\r\n\r\n"));
    server.expect_error_log("upstream sent invalid chunked response");
}

#[test]
fn a_body_that_stops_coming_is_cut_and_logged() {
    let backend = Backend::script(|conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nstart");
        conn.hold();
    });
    let server = proxy(&backend, "proxy_buffering off;");
    let mut client = server.connect();
    client
        .send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        .head()
        .expect(200);
    assert_eq!(client.rest(), b"start");
    server
        .expect_error_log("upstream timed out (110: Connection timed out) while reading upstream");
}

#[test]
fn bytes_behind_the_body_of_a_backend_are_dropped() {
    let backend = Backend::script(|conn| {
        conn.request();
        conn.send(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\nsmuggled",
        );
        conn.hold();
    });
    let server = proxy(&backend, "");
    let mut client = server.connect();
    client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\nGET /alive HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().text(), "hello");
    assert_eq!(client.response().status, 204);
    server.expect_error_log("upstream sent more data than specified in \"Content-Length\" header");
}

#[test]
fn a_backend_that_does_not_read_is_504() {
    let backend = Backend::script(|conn| {
        conn.head();
        pause(2000);
    });
    let server = Setup::http(
        "client_max_body_size 0; client_body_buffer_size 16m;
         server { listen 127.0.0.1:{port};
                  location / { proxy_pass http://{backend}; proxy_send_timeout 200ms; } }",
    )
    .set("backend", backend.addr())
    .start();
    server.post("/x", vec![b'x'; 12_000_000]).expect(504);
    server.expect_error_log(
        "upstream timed out (110: Connection timed out) while sending request to upstream",
    );
}

/// A backend that reads a request, never answers, and tells when its peer leaves.
fn waiting() -> (Backend, Arc<AtomicBool>) {
    let left = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&left);
    let backend = Backend::script(move |conn| {
        conn.request();
        if conn.ends_within(3000) {
            told.store(true, Ordering::SeqCst);
        }
    });
    (backend, left)
}

#[test]
fn a_client_that_leaves_is_499_and_frees_the_backend() {
    let (backend, left) = waiting();
    let server = proxy(&backend, "proxy_read_timeout 30s;");
    let mut client = server.connect();
    client.send("GET /leave HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the request", || !backend.requests().is_empty());
    drop(client);
    wait_until("the end of the backend's connection", || {
        left.load(Ordering::SeqCst)
    });
    server.expect_access_log("499 ");
}

#[test]
fn a_client_that_resets_is_499_and_frees_the_backend() {
    let (backend, left) = waiting();
    let server = proxy(&backend, "proxy_read_timeout 30s;");
    let mut client = server.connect();
    client.send("GET /leave HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the request", || !backend.requests().is_empty());
    client.reset();
    wait_until("the end of the backend's connection", || {
        left.load(Ordering::SeqCst)
    });
    server.expect_access_log("499 ");
}

#[test]
fn proxy_ignore_client_abort_finishes_with_the_backend() {
    let backend = Backend::script(|conn| {
        conn.request();
        assert!(!conn.ends_within(200), "the backend was left");
        conn.ok("late");
    });
    let server = proxy(
        &backend,
        "proxy_read_timeout 3s; proxy_ignore_client_abort on;",
    );
    let mut client = server.connect();
    client.send("GET /leave HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the request", || !backend.requests().is_empty());
    drop(client);
    server.expect_access_log("200 200 /leave");
}

#[test]
fn a_client_that_leaves_in_a_streamed_response_frees_the_backend() {
    let left = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&left);
    let backend = Backend::script(move |conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\n\r\nfirst");
        if conn.ends_within(3000) {
            told.store(true, Ordering::SeqCst);
        }
    });
    let server = proxy(&backend, "proxy_read_timeout 30s; proxy_buffering off;");
    let mut client = server.connect();
    client
        .send("GET /leave HTTP/1.1\r\nHost: a\r\n\r\n")
        .head()
        .expect(200);
    client.reset();
    wait_until("the end of the backend's connection", || {
        left.load(Ordering::SeqCst)
    });
    server.get("/alive").expect(204);
}

#[test]
fn a_slow_backend_does_not_hold_up_others() {
    let backend = Backend::script(|conn| {
        conn.request();
        conn.hold();
    });
    let server = proxy(&backend, "proxy_read_timeout 3s;");
    let mut waiting: Vec<_> = (0..50).map(|_| server.connect()).collect();
    for client in &mut waiting {
        client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let start = Instant::now();
    for _ in 0..50 {
        server.get("/alive").expect(204);
    }
    assert!(start.elapsed().as_secs() < 2);
}

#[test]
fn an_early_answer_while_the_body_is_sent_is_passed() {
    let backend = Backend::script(|conn| {
        conn.head();
        conn.send("HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        conn.hold();
    });
    let server = Setup::http(
        "client_max_body_size 0;
         server { listen 127.0.0.1:{port}; location / { proxy_pass http://{backend}; } }",
    )
    .set("backend", backend.addr())
    .start();
    assert_eq!(
        server.post("/x", vec![b'x'; 300_000]).expect(413).text(),
        "no"
    );
}

#[test]
fn malformed_status_lines_are_never_taken_for_a_status() {
    for line in [
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 xyz",
        "HTTP/1.1",
        "HTTP/x.1 200",
    ] {
        let backend = Backend::answer(format!("{line}\r\nContent-Length: 0\r\n\r\n"));
        let server = proxy(&backend, "");
        drop(server.connect().send("GET /x HTTP/1.0\r\n\r\n").rest());
        server.expect_error_log("upstream sent no valid HTTP/1.0 header");
        server.expect_access_log(" /x");
        let log = server.read("access.log");
        assert!(
            !log.starts_with("20 ") && !log.starts_with("2000 "),
            "{line}: {log}"
        );
        server.get("/alive").expect(204);
    }
}
