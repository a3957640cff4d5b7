//! What the engine must get right about one request after another: error pages of error pages,
//! settings that belong to one location, ends that nobody has asked for.

mod support;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::{Backend, Client, Server, Setup, wait_until};

#[test]
fn an_error_page_that_fails_for_ever_ends() {
    let server = Server::start(
        "server {
             listen 127.0.0.1:{port};
             recursive_error_pages on;
             error_page 500 /error;
             error_page 404 @named;
             location / { return 500; }
             location /none { return 404; }
             location @named { return 404; }
             location /fine { return 200 fine; }
         }",
    );
    server.get("/").expect(500);
    server.get("/none").expect(500);
    server.get("/fine").expect(200);
}

#[test]
fn a_body_that_is_too_large_has_its_error_page() {
    let server = Server::start(
        "server {
             listen 127.0.0.1:{port};
             client_max_body_size 10;
             error_page 413 /large;
             location /large { return 200 mine; }
         }",
    );
    assert_eq!(server.post("/", "x".repeat(20)).expect(413).text(), "mine");
}

#[test]
fn a_limit_of_one_response_does_not_slow_down_the_next() {
    let server = Setup::http(
        "server {
             listen 127.0.0.1:{port};
             location /slow/ { limit_rate 1000; alias {dir}/html/; }
         }",
    )
    .file("html/page", "x".repeat(500))
    .file("html/long", "x".repeat(4000))
    .start();
    let mut client = server.connect();
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    client.send(ask("/slow/page")).response().expect(200);
    let begun = Instant::now();
    client.send(ask("/long")).response().expect(200);
    assert!(begun.elapsed() < Duration::from_secs(2), "{begun:?}");
}

#[test]
fn a_location_may_keep_connections_that_its_server_would_not() {
    let server = Server::start(
        "server {
             listen 127.0.0.1:{port};
             keepalive_timeout 0;
             location /kept { keepalive_timeout 10; return 204; }
             location / { return 204; }
         }",
    );
    let mut client = server.connect();
    for _ in 0..2 {
        let response = client
            .send("GET /kept HTTP/1.1\r\nHost: a\r\n\r\n")
            .response()
            .expect(204);
        assert_eq!(response.header("connection"), Some("keep-alive"));
    }
    let response = client
        .send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .response()
        .expect(204);
    assert_eq!(response.header("connection"), Some("close"));
    client.expect_close();
}

#[test]
fn what_a_client_sends_cannot_add_lines_to_a_redirect() {
    let server = Server::start(
        "server {
             listen 127.0.0.1:{port};
             error_page 404 http://other.example$uri;
             location / { return 404; }
         }",
    );
    let response = server.get("/a%0d%0aX-Evil:%201").expect(302);
    assert_eq!(response.header("x-evil"), None);
    assert_eq!(
        response.header("location"),
        Some("http://other.example/a%0D%0AX-Evil: 1")
    );
}

#[test]
fn a_named_location_has_settings_of_its_own() {
    let server = Server::start(
        "server {
             listen 127.0.0.1:{port};
             location / { error_page 404 @none; return 404; }
             location @none { keepalive_timeout 0; return 200 none; }
         }",
    );
    let mut client = server.connect();
    let response = client
        .send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .response()
        .expect(404);
    assert_eq!(response.header("connection"), Some("close"));
    client.expect_close();
}

#[test]
fn a_fast_download_leaves_the_others_their_turn() {
    let server = Setup::http(
        "server { listen 127.0.0.1:{port}; sendfile off; output_buffers 1 4k; location /fine { return 200 fine; } }",
    )
    .file("html/large", "")
    .start();
    let file = File::options()
        .write(true)
        .open(server.path("html/large"))
        .expect("the file");
    file.set_len(128 << 20).expect("a file with nothing in it");
    let mut download = TcpStream::connect(server.addr()).expect("connect");
    download
        .write_all(b"GET /large HTTP/1.0\r\n\r\n")
        .expect("send");
    let mut memory = vec![0; 1 << 20];
    let begun = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&begun);
    let reader = thread::spawn(move || {
        while download.read(&mut memory).expect("bytes") > 0 {
            tell.store(true, Ordering::SeqCst);
        }
        Instant::now()
    });
    wait_until("the download", || begun.load(Ordering::SeqCst));
    server.get("/fine").expect(200);
    let answered = Instant::now();
    let ended = reader.join().expect("the end of the download");
    assert!(answered < ended, "the answer came behind the download");
}

#[test]
fn an_ignored_line_is_logged_once_however_slowly_the_rest_comes() {
    let server = Server::start("server { listen 127.0.0.1:{port}; location / { return 204; } }");
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nbad_name: 1\r\n");
    client.send_slowly("X-Slow: 1\r\nConnection: close\r\n\r\n");
    client.response().expect(204);
    let log = server.error_log();
    let count = log.matches("client sent invalid header line: \"bad_name: 1\"");
    assert_eq!(count.count(), 1, "{log}");
}

/// A server whose requests are in work for as long as the backend holds them.
fn holding(main: &str) -> (Server, Backend) {
    let backend = Backend::script(|conn| {
        conn.request();
        conn.hold();
    });
    let server = Setup::main(&format!(
        "worker_processes 2; {main} events {{ }}
         http {{
             access_log {{dir}}/access.log;
             server {{
                 listen 127.0.0.1:{{port}};
                 location / {{ proxy_pass http://{{backend}}; }}
                 location /fine {{ return 200 fine; }}
             }}
         }}"
    ))
    .set("backend", backend.addr())
    .start();
    (server, backend)
}

const NEXT: &str = "worker_processes 1; worker_shutdown_timeout 200ms; events { }
     http { access_log off; server { listen 127.0.0.1:{port}; } }";

/// Waits for the end of a connection that is sent nothing any more; how long that took.
fn end_of(mut client: Client) -> Duration {
    let begun = Instant::now();
    client.expect_close();
    begun.elapsed()
}

#[test]
fn requests_of_an_old_configuration_end_with_the_shutdown_timeout() {
    let (mut server, backend) = holding("worker_shutdown_timeout 200ms;");
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let mut client = server.connect();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        })
        .collect();
    wait_until("eight requests", || backend.requests().len() == 8);
    server.rewrite_main(NEXT);
    server.signal(Signal::HUP);
    for client in clients {
        assert!(end_of(client) < Duration::from_secs(5));
    }
    server.expect_error_log("exited with code 0");
    wait_until("eight lines in the log", || {
        server.read("access.log").lines().count() == 8
    });
}

#[test]
fn a_graceful_end_has_its_timeout() {
    let (mut server, backend) = holding("worker_shutdown_timeout 200ms;");
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the request", || backend.requests().len() == 1);
    server.signal(Signal::QUIT);
    assert!(end_of(client) < Duration::from_secs(5));
    assert!(server.wait().success());
    assert_eq!(server.read("access.log").lines().count(), 1);
}
