//! Limits and timeouts towards clients.

mod support;

use std::time::Instant;

use support::{Backend, Client, Request, Server, Setup, pattern, wait_until};

fn log_of_statuses(content: &str) -> Setup {
    Setup::http(&format!(
        "log_format status '$status $request_uri'; access_log {{dir}}/access.log status; {content}"
    ))
}

#[test]
fn an_announced_body_over_the_limit_is_413() {
    let server = Server::start(
        "client_max_body_size 10; server { listen 127.0.0.1:{port}; location / { } }",
    );
    let response = server.post("/", "12345678901").expect(413);
    assert!(
        response.text().contains("413 Request Entity Too Large"),
        "{}",
        response.text()
    );
    server.expect_error_log("client intended to send too large body: 11 bytes");
}

#[test]
fn a_chunked_body_over_the_limit_is_413() {
    let backend = Backend::named("not asked");
    let server = Setup::http(
        "client_max_body_size 10;
         server { listen 127.0.0.1:{port}; location / { proxy_pass http://{backend}; } }",
    )
    .set("backend", backend.addr())
    .start();
    let response = server.request(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         8\r\n12345678\r\n8\r\n12345678\r\n0\r\n\r\n",
    );
    assert_eq!(response.status, 413);
    assert_eq!(backend.accepted(), 0);
}

#[test]
fn the_body_limit_is_per_location() {
    let backend = Backend::http(|request| request.body.len().to_string());
    let server = Setup::http(
        "client_max_body_size 10;
         server {
             listen 127.0.0.1:{port};
             location /small { proxy_pass http://{backend}; }
             location /large { client_max_body_size 0; proxy_pass http://{backend}; }
         }",
    )
    .set("backend", backend.addr())
    .start();
    server.post("/small", "1234567890").expect(200);
    server.post("/small", "12345678901").expect(413);
    assert_eq!(
        server.post("/large", pattern(2_000_000)).expect(200).text(),
        "2000000"
    );
}

#[test]
fn lingering_close_lets_a_client_read_why() {
    let server = Server::start(
        "client_max_body_size 1k; server { listen 127.0.0.1:{port}; location / { } }",
    );
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n");
    for _ in 0..30 {
        client.send([b'x'; 100_000]);
    }
    assert_eq!(client.response().status, 413);
}

#[test]
fn lingering_timeout_ends_the_wait_for_a_silent_client() {
    let server = Server::start(
        "client_max_body_size 1k; lingering_timeout 150ms; lingering_time 400ms;
         server { listen 127.0.0.1:{port}; location / { } }",
    );
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n");
    client.response().expect(413);
    client.expect_close();
}

const HEADERS: &str = "client_header_buffer_size 256; large_client_header_buffers 2 1k;
    server { listen 127.0.0.1:{port}; return 200 ok; }";

#[test]
fn a_request_line_over_a_buffer_is_414() {
    let server = Server::start(HEADERS);
    assert_eq!(server.get(&format!("/{}", "a".repeat(900))).status, 200);
    let response = server.get(&format!("/{}", "a".repeat(1100))).expect(414);
    assert!(
        response.text().contains("414 Request-URI Too Large"),
        "{}",
        response.text()
    );
    server.expect_error_log("client sent too long URI");
}

#[test]
fn a_header_line_over_a_buffer_is_400() {
    let server = Server::start(HEADERS);
    server
        .get_with("/", &format!("X: {}\r\n", "a".repeat(900)))
        .expect(200);
    let response = server
        .get_with("/", &format!("X: {}\r\n", "a".repeat(1100)))
        .expect(400);
    assert!(
        response
            .text()
            .contains("Request Header Or Cookie Too Large"),
        "{}",
        response.text()
    );
    server.expect_error_log("client sent too long header line: \"X: aaa");
}

#[test]
fn header_lines_over_all_buffers_are_400() {
    let server = Server::start(HEADERS);
    let line = format!("X: {}\r\n", "a".repeat(600));
    server.get_with("/", &line.repeat(5)).expect(400);
}

#[test]
fn a_head_of_many_lines_within_the_buffers_passes() {
    let server = Server::start("server { listen 127.0.0.1:{port}; return 200 $http_x499; }");
    let lines: String = (0..500).map(|i| format!("X{i}: value {i}\r\n")).collect();
    assert_eq!(server.get_with("/", &lines).expect(200).text(), "value 499");
}

#[test]
fn a_silent_client_is_closed_after_client_header_timeout() {
    let server = log_of_statuses(
        "server { listen 127.0.0.1:{port}; client_header_timeout 150ms; return 200 ok; }",
    )
    .start();
    server.connect().expect_close();
    assert_eq!(server.read("access.log"), "");
}

#[test]
fn a_head_that_does_not_end_is_408_in_the_log() {
    let server = log_of_statuses(
        "server { listen 127.0.0.1:{port}; client_header_timeout 150ms; return 200 ok; }",
    )
    .start();
    let mut client = server.connect();
    client.send("GET /slow HTTP/1.1\r\n").expect_close();
    server.expect_access_log("408 /slow");
    server.expect_error_log("client timed out");
}

#[test]
fn a_trickle_does_not_extend_client_header_timeout() {
    let server = Server::start(
        "server { listen 127.0.0.1:{port}; client_header_timeout 300ms; return 200 ok; }",
    );
    let mut client = server.connect();
    let start = Instant::now();
    client.send("GET / HTTP/1.1\r\n");
    wait_until("the close", || client.try_send("X: y\r\n").is_err());
    assert!(start.elapsed().as_secs() < 4);
    server.get("/").expect(200);
}

#[test]
fn a_body_that_does_not_come_is_408_in_the_log() {
    let backend = Backend::named("not asked");
    let server = log_of_statuses(
        "server {
             listen 127.0.0.1:{port};
             client_body_timeout 150ms;
             location / { proxy_pass http://{backend}; }
         }",
    )
    .set("backend", backend.addr())
    .start();
    let mut client = server.connect();
    client
        .send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        .expect_close();
    server.expect_access_log("408 /slow");
    assert_eq!(backend.accepted(), 0);
}

#[test]
fn a_body_shorter_than_announced_is_not_passed_on() {
    let backend = Backend::named("not asked");
    let server = log_of_statuses(
        "server { listen 127.0.0.1:{port}; location / { proxy_pass http://{backend}; } }",
    )
    .set("backend", backend.addr())
    .start();
    let mut client = server.connect();
    client.send("POST /short HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    client.shutdown_write();
    drop(client.rest());
    server.expect_access_log("400 /short");
    server.expect_error_log("client prematurely closed connection");
    assert_eq!(backend.accepted(), 0);
}

#[test]
fn a_body_longer_than_announced_is_the_next_request() {
    let backend = Backend::http(Request::text);
    let server = Setup::http(
        "server { listen 127.0.0.1:{port}; location / { proxy_pass http://{backend}; } }",
    )
    .set("backend", backend.addr())
    .start();
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcdef\r\n\r\n");
    assert_eq!(client.response().text(), "abc");
    assert_eq!(client.response().status, 400);
}

#[test]
fn a_client_that_does_not_read_is_dropped_after_send_timeout() {
    let server = Setup::http("server { listen 127.0.0.1:{port}; send_timeout 200ms; }")
        .file("html/big", pattern(8_000_000))
        .start();
    let mut client = Client::connect_narrow(&server.addr(), 4096);
    client.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    server.expect_error_log("client timed out");
    server.expect_error_log("while sending response to client");
    drop(client);
    server.get("/big").expect(200);
}

#[test]
fn a_client_that_vanishes_in_a_response_harms_nobody() {
    let server = Setup::http("server { listen 127.0.0.1:{port}; }")
        .file("html/big", pattern(8_000_000))
        .start();
    for _ in 0..5 {
        let mut client = Client::connect_narrow(&server.addr(), 4096);
        client.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").head();
        client.reset();
    }
    assert_eq!(server.get("/big").body.len(), 8_000_000);
}

#[test]
fn reset_timedout_connection_resets() {
    let server = Setup::http(
        "server { listen 127.0.0.1:{port}; send_timeout 200ms; reset_timedout_connection on; }",
    )
    .file("html/big", pattern(8_000_000))
    .start();
    let mut client = Client::connect_narrow(&server.addr(), 4096);
    client.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    server.expect_error_log("client timed out");
    let rest = client.rest();
    assert!(rest.len() < 8_000_000);
}

#[test]
fn limit_rate_may_depend_on_the_request() {
    let server = Setup::http(
        "server {
             listen 127.0.0.1:{port};
             location / { limit_rate $arg_rate; limit_rate_after $arg_after; }
         }",
    )
    .file("html/file", "x".repeat(20_000))
    .start();
    let took = |args: &str| {
        let start = Instant::now();
        let response = server.get(&format!("/file{args}")).expect(200);
        assert_eq!(response.body.len(), 20_000);
        start.elapsed().as_millis()
    };
    assert!(took("?rate=10k") >= 500);
    for fast in ["", "?rate=0", "?rate=10k&after=1m", "?rate=fast"] {
        assert!(took(fast) < 500, "{fast}");
    }
    server.expect_error_log("invalid size \"fast\"");
}
