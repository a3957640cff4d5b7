//! Bodies on their way through the proxy: buffers, temporary files, tunnels.

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use support::{Backend, Client, Request, Server, Setup, pattern, pause, wait_until};

fn proxy(backend: &Backend, directives: &str) -> Server {
    Setup::http(&format!(
        "client_max_body_size 0; proxy_http_version 1.1;
         server {{ listen 127.0.0.1:{{port}}; location / {{ proxy_pass http://{{backend}}; {directives} }} }}"
    ))
    .set("backend", backend.addr())
    .start()
}

#[test]
fn without_buffering_a_response_is_passed_as_it_comes() {
    let backend = Backend::script(|conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\none");
        // The client answers each part through another request.
        pause(150);
        conn.send("two");
        pause(150);
        conn.send("six");
    });
    let server = proxy(&backend, "proxy_buffering off;");
    let mut client = server.connect();
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .head()
        .expect(200);
    assert_eq!(client.exact(3), b"one");
    client.expect_silence(50);
    assert_eq!(client.exact(3), b"two");
    client.expect_silence(50);
    assert_eq!(client.exact(3), b"six");
}

#[test]
fn the_backend_can_switch_buffering_off() {
    let backend = Backend::script(|conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nX-Accel-Buffering: no\r\nContent-Length: 6\r\n\r\none");
        conn.hold();
    });
    let server = proxy(&backend, "");
    let mut client = server.connect();
    let head = client
        .send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .head()
        .expect(200);
    assert_eq!(head.header("x-accel-buffering"), None);
    assert_eq!(client.exact(3), b"one");
}

/// A backend that sends `body`, and tells when all of it was taken.
fn sending(body: Vec<u8>) -> (Backend, Arc<AtomicBool>) {
    let sent = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&sent);
    let backend = Backend::script(move |conn| {
        conn.request();
        conn.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ));
        conn.send(&body);
        told.store(true, Ordering::SeqCst);
        conn.hold();
    });
    (backend, sent)
}

#[test]
fn a_large_response_arrives_whole() {
    for directives in [
        "",
        "proxy_buffering off;",
        "proxy_buffer_size 1k; proxy_buffers 4 1k; proxy_busy_buffers_size 2k;",
        "proxy_max_temp_file_size 0;",
    ] {
        let body = pattern(5_000_000);
        let (backend, _) = sending(body.clone());
        let server = proxy(&backend, directives);
        assert!(
            server.get("/").expect(200).body == body,
            "other bytes: {directives:?}"
        );
    }
}

#[test]
fn a_large_chunked_response_arrives_whole() {
    for directives in [
        "",
        "proxy_buffering off;",
        "proxy_buffer_size 1k; proxy_buffers 4 1k;",
    ] {
        let body = pattern(1_000_000);
        let sent = body.clone();
        let backend = Backend::script(move |conn| {
            conn.request();
            conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for chunk in sent.chunks(7919) {
                conn.send([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
            }
            conn.send("0\r\n\r\n");
            conn.hold();
        });
        let server = proxy(&backend, directives);
        let mut client = server.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(
            client.response().expect(200).body == body,
            "other bytes: {directives:?}"
        );
    }
}

#[test]
fn buffering_frees_the_backend_of_a_slow_client() {
    let body = pattern(8_000_000);
    let (backend, sent) = sending(body.clone());
    let server = proxy(&backend, "");
    let mut client = Client::connect_narrow(&server.addr(), 4096);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    wait_until("the backend to be done", || sent.load(Ordering::SeqCst));
    server.expect_error_log("an upstream response is buffered to a temporary file");
    assert!(client.response().body == body);
    wait_until("no temporary file", || {
        count_files(&server.path("proxy")) == 0
    });
}

#[test]
fn without_a_temporary_file_the_backend_waits_for_a_slow_client() {
    // More than the kernel's buffers of both connections can hold.
    let body = pattern(40_000_000);
    for directives in ["proxy_max_temp_file_size 0;", "proxy_buffering off;"] {
        let (backend, sent) = sending(body.clone());
        let server = proxy(&backend, directives);
        let mut client = Client::connect_narrow(&server.addr(), 4096);
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        pause(300);
        assert!(
            !sent.load(Ordering::SeqCst),
            "{directives}: all of it was taken"
        );
        assert!(client.response().body == body, "{directives}: other bytes");
    }
}

#[test]
fn a_large_upload_goes_through_a_temporary_file() {
    let backend = Backend::script(|conn| {
        let body = conn.request().body;
        assert!(body == pattern(3_000_000), "other bytes than the client's");
        conn.ok("received");
    });
    let server = proxy(&backend, "client_body_buffer_size 16k;");
    assert_eq!(
        server.post("/", pattern(3_000_000)).expect(200).text(),
        "received"
    );
    server.expect_error_log("a client request body is buffered to a temporary file");
    wait_until("no temporary file", || {
        count_files(&server.path("body")) == 0
    });
}

#[test]
fn an_upload_within_the_buffer_stays_in_memory() {
    let backend = Backend::http(|request| request.body.len().to_string());
    let server = proxy(&backend, "client_body_buffer_size 64k;");
    assert_eq!(server.post("/", pattern(60_000)).text(), "60000");
    assert!(!server.error_log().contains("temporary file"));
}

#[test]
fn a_chunked_upload_is_passed_with_a_length() {
    let backend = Backend::http(|request| {
        format!(
            "{:?} {}",
            request.header("content-length"),
            request.body == pattern(200_000)
        )
    });
    let server = proxy(&backend, "client_body_buffer_size 16k;");
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for chunk in pattern(200_000).chunks(9973) {
        client.send([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.response().text(), "Some(\"200000\") true");
}

#[test]
fn with_request_buffering_the_backend_is_asked_when_the_body_is_there() {
    let backend = Backend::http(Request::text);
    let server = proxy(&backend, "proxy_request_buffering on;");
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
    pause(100);
    assert_eq!(backend.accepted(), 0);
    client.send("def");
    assert_eq!(client.response().text(), "abcdef");
}

#[test]
fn without_request_buffering_a_body_is_passed_as_it_comes() {
    let backend = Backend::script(|conn| {
        let head = conn.head();
        assert_eq!(head.header("content-length"), Some("6"));
        assert_eq!(conn.exact(3), b"abc");
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
        assert_eq!(conn.exact(3), b"def");
        conn.send("ok");
    });
    let server = proxy(
        &backend,
        "proxy_request_buffering off; proxy_buffering off;",
    );
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
    wait_until("the first half", || !backend.requests().is_empty());
    client.send("def");
    assert_eq!(client.response().expect(200).text(), "ok");
}

#[test]
fn without_request_buffering_chunks_stay_chunks() {
    let backend = Backend::http(|request| {
        format!(
            "{:?} {}",
            request.header("transfer-encoding"),
            request.body == pattern(100_000)
        )
    });
    let server = proxy(&backend, "proxy_request_buffering off;");
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for chunk in pattern(100_000).chunks(9973) {
        client.send([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.response().text(), "Some(\"chunked\") true");
}

#[test]
fn without_request_buffering_a_large_upload_arrives_whole() {
    let backend = Backend::http(|request| (request.body == pattern(3_000_000)).to_string());
    let server = proxy(&backend, "proxy_request_buffering off;");
    assert_eq!(server.post("/", pattern(3_000_000)).text(), "true");
    assert!(!server.error_log().contains("temporary file"));
}

/// A backend which accepts the upgrade and echoes.
fn echo() -> Backend {
    Backend::script(|conn| {
        let request = conn.request();
        assert_eq!(request.header("upgrade"), Some("websocket"));
        assert_eq!(request.header("connection"), Some("upgrade"));
        assert_eq!(request.header("sec-websocket-key"), Some("abc"));
        conn.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\
             welcome",
        );
        loop {
            let bytes = conn.some();
            if bytes.is_empty() {
                return;
            }
            conn.send(bytes);
        }
    })
}

const UPGRADE: &str =
    "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";
const ASK: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: abc\r\n\r\n";

#[test]
fn an_upgrade_becomes_a_tunnel() {
    let backend = echo();
    let server = proxy(&backend, UPGRADE);
    let mut client = server.connect();
    let response = client.send(ASK).response().expect(101);
    assert_eq!(response.header("upgrade"), Some("websocket"));
    assert_eq!(response.header("connection"), Some("upgrade"));
    assert_eq!(client.exact(7), b"welcome");
    for message in ["one", "two", "\0\r\n\r\nGET"] {
        client.send(message);
        assert_eq!(client.exact(message.len()), message.as_bytes());
    }
    drop(client);
    wait_until("the backend's end", || backend.closed() == 1);
    server.expect_access_log("\"GET /chat HTTP/1.1\" 101 ");
}

#[test]
fn a_tunnel_carries_much_both_ways() {
    let backend = echo();
    let server = proxy(&backend, UPGRADE);
    let mut client = server.connect();
    client.send(ASK).response().expect(101);
    client.exact(7);
    let bytes = pattern(3_000_000);
    for part in bytes.chunks(50_000) {
        client.send(part);
        assert!(client.exact(part.len()) == part, "other bytes than sent");
    }
}

#[test]
fn bytes_behind_the_upgrade_request_reach_the_backend() {
    let backend = echo();
    let server = proxy(&backend, UPGRADE);
    let mut client = server.connect();
    client.send(format!("{ASK}early")).response().expect(101);
    assert_eq!(client.exact(12), b"welcomeearly");
}

#[test]
fn a_tunnel_ends_with_the_backend() {
    let backend = Backend::script(|conn| {
        conn.request();
        conn.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nbye",
        );
    });
    let server = proxy(&backend, UPGRADE);
    let mut client = server.connect();
    client.send(ASK).response().expect(101);
    assert_eq!(client.rest(), b"bye");
}

#[test]
fn a_silent_tunnel_ends_after_proxy_read_timeout() {
    let backend = echo();
    let server = proxy(&backend, &format!("{UPGRADE} proxy_read_timeout 200ms;"));
    let mut client = server.connect();
    client.send(ASK).response().expect(101);
    assert_eq!(client.rest(), b"welcome");
    wait_until("the backend's end", || backend.closed() == 1);
}

#[test]
fn a_refused_upgrade_is_a_response() {
    let backend = Backend::answer("HTTP/1.1 426 No\r\nContent-Length: 2\r\n\r\nno");
    let server = proxy(&backend, UPGRADE);
    assert_eq!(
        server.connect().send(ASK).response().expect(426).text(),
        "no"
    );
}

#[test]
fn an_upgrade_nobody_asked_for_is_no_tunnel() {
    let backend = Backend::script(|conn| {
        conn.request();
        conn.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
        conn.hold();
    });
    let server = proxy(&backend, "proxy_read_timeout 300ms;");
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    drop(client.rest());
    assert!(backend.requests().iter().all(|request| request.uri == "/"));
}

fn count_files(dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| {
            if entry.path().is_dir() {
                count_files(&entry.path())
            } else {
                1
            }
        })
        .sum()
}
