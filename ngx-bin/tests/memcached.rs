//! `memcached_pass`, with a real memcached where there is one and with scripted ones.

mod support;

use support::{Backend, Memcached, Port, Server, Setup, pattern};

fn server(addr: &str, directives: &str) -> Server {
    Setup::http(&format!(
        "server {{
             listen 127.0.0.1:{{port}};
             location / {{ set $memcached_key $uri; memcached_pass {{memcached}}; {directives} }}
             location = /alive {{ return 204; }}
         }}"
    ))
    .set("memcached", addr)
    .start()
}

#[test]
fn a_stored_value_is_served() {
    let Some(memcached) = Memcached::start() else {
        return;
    };
    memcached.set("/key", b"value");
    let server = server(&memcached.addr(), "default_type text/x;");
    let response = server.get("/key").expect(200);
    assert_eq!(response.text(), "value");
    assert_eq!(response.header("content-length"), Some("5"));
    assert_eq!(response.header("content-type"), Some("text/x"));
}

#[test]
fn a_missing_key_is_404() {
    let Some(memcached) = Memcached::start() else {
        return;
    };
    let server = server(&memcached.addr(), "");
    server.get("/none").expect(404);
    server.expect_error_log("key: \"/none\" was not found by memcached");
}

#[test]
fn a_missing_key_falls_back() {
    let Some(memcached) = Memcached::start() else {
        return;
    };
    let server = Setup::http(
        "server {
             listen 127.0.0.1:{port};
             location / {
                 set $memcached_key $uri;
                 memcached_pass {memcached};
                 error_page 404 502 504 = @fallback;
             }
             location @fallback { return 200 \"made $uri\"; }
         }",
    )
    .set("memcached", memcached.addr())
    .start();
    assert_eq!(server.get("/none").expect(200).text(), "made /none");
}

#[test]
fn odd_letters_in_a_key_are_escaped() {
    let Some(memcached) = Memcached::start() else {
        return;
    };
    memcached.set("/a%20b%25", b"odd");
    let server = server(&memcached.addr(), "");
    assert_eq!(server.get("/a%20b%25").expect(200).text(), "odd");
}

#[test]
fn a_large_value_arrives_whole() {
    let Some(memcached) = Memcached::start() else {
        return;
    };
    memcached.set("/large", &pattern(900_000));
    let server = server(&memcached.addr(), "");
    assert!(
        server.get("/large").expect(200).body == pattern(900_000),
        "other bytes"
    );
}

#[test]
fn an_empty_value_is_empty() {
    let Some(memcached) = Memcached::start() else {
        return;
    };
    memcached.set("/empty", b"");
    let server = server(&memcached.addr(), "");
    assert_eq!(server.get("/empty").expect(200).body, b"");
}

#[test]
fn connections_to_memcached_are_kept() {
    let Some(memcached) = Memcached::start() else {
        return;
    };
    memcached.set("/key", b"value");
    let server = Setup::http(
        "upstream m { server {memcached}; keepalive 2; }
         server {
             listen 127.0.0.1:{port};
             location / { set $memcached_key $uri; memcached_pass m; }
         }",
    )
    .set("memcached", memcached.addr())
    .start();
    for _ in 0..5 {
        assert_eq!(server.get("/key").expect(200).text(), "value");
        server.get("/none").expect(404);
    }
}

/// A backend which reads one line and answers with `bytes`.
fn answering(bytes: &'static str) -> Backend {
    Backend::script(move |conn| {
        let mut command = Vec::new();
        while !command.ends_with(b"\r\n") {
            let bytes = conn.some();
            assert!(!bytes.is_empty(), "no command");
            command.extend(bytes);
        }
        assert_eq!(String::from_utf8_lossy(&command), "get /key\r\n");
        for byte in bytes.bytes() {
            conn.send([byte]);
        }
    })
}

#[test]
fn an_answer_may_come_one_byte_at_a_time() {
    let backend = answering("VALUE /key 7 5\r\nhello\r\nEND\r\n");
    let response = server(&backend.addr(), "").get("/key").expect(200);
    assert_eq!(response.text(), "hello");
}

#[test]
fn head_is_asked_like_get() {
    let backend = answering("VALUE /key 0 5\r\nhello\r\nEND\r\n");
    let server = server(&backend.addr(), "");
    let mut client = server.connect();
    client.send("HEAD /key HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        client
            .response_to_head()
            .expect(200)
            .header("content-length"),
        Some("5")
    );
}

#[test]
fn other_methods_are_405() {
    let port = Port::reserve();
    server(&port.addr(), "").post("/key", "abc").expect(405);
}

#[test]
fn a_memcached_that_is_down_is_502() {
    let port = Port::reserve();
    let server = server(&port.addr(), "");
    server.get("/key").expect(502);
    server.expect_error_log(&format!(
        "connect() failed (111: Connection refused) while connecting to upstream, \
         client: 127.0.0.1, server: , request: \"GET /key HTTP/1.1\", upstream: \"memcached://{}\"",
        port.addr()
    ));
}

#[test]
fn an_answer_that_is_no_memcached_is_502() {
    for (bytes, log) in [
        (
            "VALUE /other 0 5\r\nhello\r\nEND\r\n",
            "memcached sent invalid key in response",
        ),
        (
            "VALUE /key x x\r\n",
            "memcached sent invalid length in response",
        ),
        ("ERROR\r\n", "memcached sent invalid response: \"ERROR"),
    ] {
        let backend = answering(bytes);
        let server = server(&backend.addr(), "");
        server.get("/key").expect(502);
        server.expect_error_log(log);
    }
}

#[test]
fn a_value_cut_short_is_cut_and_logged() {
    let backend = answering("VALUE /key 0 10\r\nhello");
    let server = server(&backend.addr(), "");
    let mut client = server.connect();
    client
        .send("GET /key HTTP/1.1\r\nHost: a\r\n\r\n")
        .head()
        .expect(200);
    assert_eq!(client.rest(), b"hello");
    server.expect_error_log("upstream prematurely closed connection");
    server.get("/alive").expect(204);
}

#[test]
fn a_wrong_end_of_a_value_is_logged() {
    let backend = answering("VALUE /key 0 5\r\nhello, not the END\r\n");
    let server = server(&backend.addr(), "");
    let mut client = server.connect();
    client.send("GET /key HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    drop(client.rest());
    server.expect_error_log("memcached sent invalid trailer");
    server.get("/alive").expect(204);
}

#[test]
fn a_silent_memcached_is_504() {
    let backend = Backend::script(support::Conn::hold);
    let server = server(&backend.addr(), "memcached_read_timeout 150ms;");
    server.get("/key").expect(504);
}

#[test]
fn a_key_that_was_not_set_is_500() {
    let server = Server::start(
        "server {
             listen 127.0.0.1:{port};
             location / { memcached_pass 127.0.0.1:1; }
             location /other { set $memcached_key a; }
         }",
    );
    server.get("/").expect(500);
    server.expect_error_log("the \"$memcached_key\" variable is not set");
}
