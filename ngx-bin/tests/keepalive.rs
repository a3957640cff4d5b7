//! Which connections of clients are kept, by location and browser.

mod support;

use support::{Client, Server};

const LIMITS: &str = "server {
    listen 127.0.0.1:{port};
    keepalive_requests 2;
    location / { return 200 a; }
    location /more { keepalive_requests 4; return 200 a; }
    location /never { keepalive_timeout 0; rewrite ^ /more last; }
}";

fn ask(client: &mut Client, uri: &str) -> bool {
    client.send(format!("GET {uri} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let response = client.response().expect(200);
    response.header("connection") == Some("keep-alive")
}

#[test]
fn the_location_has_the_last_word_on_the_number_of_requests() {
    let server = Server::start(LIMITS);
    let mut client = server.connect();
    for kept in [true, true, true, false] {
        assert_eq!(ask(&mut client, "/more"), kept);
    }
    client.expect_close();
}

#[test]
fn a_location_that_was_left_keeps_its_word() {
    let server = Server::start(LIMITS);
    let mut client = server.connect();
    assert!(!ask(&mut client, "/never"));
    client.expect_close();
}

/// Whether the connection is kept after this request.
#[track_caller]
fn kept(server: &Server, method: &str, uri: &str, agent: &str) -> bool {
    let mut client = server.connect();
    client.send(format!(
        "{method} {uri} HTTP/1.1\r\nHost: a\r\nUser-Agent: {agent}\r\nContent-Length: 0\r\n\r\n"
    ));
    client.response().header("connection") == Some("keep-alive")
}

#[test]
fn keepalive_disable_is_about_browsers() {
    const OLD: &str = "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)";
    const SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_7) Safari/534.48";
    let server = Server::start(
        "server {
             listen 127.0.0.1:{port};
             location / { return 200 a; }
             location /safari { keepalive_disable safari; return 200 a; }
             location /both { keepalive_disable msie6 safari; return 200 a; }
             location /none { keepalive_disable none; return 200 a; }
         }",
    );
    for (method, uri, agent, expected) in [
        ("POST", "/", OLD, false),
        ("GET", "/", OLD, true),
        ("POST", "/", SAFARI, true),
        ("POST", "/safari", OLD, true),
        ("GET", "/safari", SAFARI, false),
        ("POST", "/both", OLD, false),
        ("GET", "/both", SAFARI, false),
        ("POST", "/none", OLD, true),
    ] {
        let kept = kept(&server, method, uri, agent);
        assert_eq!(kept, expected, "{method} {uri} {agent}");
    }
}
