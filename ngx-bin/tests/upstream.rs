//! Groups of backends: who is chosen, who is tried next, which connections are kept.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::{Backend, Port, Request, Server, Setup, pause};

/// One worker, an `upstream u` with these servers, `/` proxied to it.
fn group(servers: &str, directives: &str, backends: &[(&str, String)]) -> Server {
    let setup = Setup::http(&format!(
        "log_format up '$status $upstream_addr $upstream_status';
         access_log {{dir}}/access.log up;
         proxy_http_version 1.1;
         proxy_set_header Connection '';
         upstream u {{ {servers} }}
         server {{ listen 127.0.0.1:{{port}}; location / {{ proxy_pass http://u; {directives} }} }}"
    ));
    backends
        .iter()
        .fold(setup, |setup, (name, addr)| setup.set(name, addr))
        .start()
}

/// The answers to `count` requests, one letter each.
fn sequence(server: &Server, count: usize) -> String {
    (0..count)
        .map(|_| server.get("/").expect(200).text())
        .collect()
}

fn abc() -> [Backend; 3] {
    ["a", "b", "c"].map(Backend::named)
}

fn addrs([a, b, c]: &[Backend; 3]) -> [(&'static str, String); 3] {
    [("a", a.addr()), ("b", b.addr()), ("c", c.addr())]
}

#[test]
fn servers_take_turns() {
    let backends = abc();
    let server = group("server {a}; server {b}; server {c};", "", &addrs(&backends));
    assert_eq!(sequence(&server, 6), "abcabc");
}

#[test]
fn weights_are_spread_smoothly() {
    let backends = abc();
    let servers = "server {a} weight=5; server {b}; server {c};";
    let server = group(servers, "", &addrs(&backends));
    assert_eq!(sequence(&server, 14), "aabacaaaabacaa");
}

#[test]
fn a_server_that_is_down_gets_nothing() {
    let backends = abc();
    let server = group(
        "server {a}; server {b} down; server {c};",
        "",
        &addrs(&backends),
    );
    assert_eq!(sequence(&server, 4), "acac");
}

#[test]
fn a_backup_works_when_all_others_fail() {
    let [a, ..] = abc();
    let port = Port::reserve();
    let servers = "server {dead} max_fails=0; server {a} backup;";
    let server = group(servers, "", &[("dead", port.addr()), ("a", a.addr())]);
    assert_eq!(sequence(&server, 3), "aaa");
    server.expect_access_log(&format!("200 {}, {} 502, 200", port.addr(), a.addr()));
}

#[test]
fn a_backup_rests_while_others_work() {
    let backends = abc();
    let server = group(
        "server {a}; server {b} backup; server {c};",
        "",
        &addrs(&backends),
    );
    assert_eq!(sequence(&server, 4), "acac");
}

#[test]
fn a_failed_server_rests_for_fail_timeout() {
    let [a, ..] = abc();
    let hits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&hits);
    let bad = Backend::script(move |_conn| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let servers = "server {bad} fail_timeout=1s; server {a};";
    let server = group(servers, "", &[("bad", bad.addr()), ("a", a.addr())]);
    assert_eq!(sequence(&server, 6), "aaaaaa");
    assert_eq!(hits.load(Ordering::SeqCst), 1);
    pause(2100);
    assert_eq!(sequence(&server, 4), "aaaa");
    assert!(hits.load(Ordering::SeqCst) >= 2);
}

#[test]
fn max_fails_allows_some() {
    let [a, ..] = abc();
    let bad = Backend::script(|_conn| {});
    let servers = "server {bad} max_fails=3 fail_timeout=60s; server {a};";
    let server = group(servers, "", &[("bad", bad.addr()), ("a", a.addr())]);
    sequence(&server, 12);
    assert_eq!(bad.accepted(), 3);
}

#[test]
fn max_fails_zero_never_gives_up() {
    let [a, ..] = abc();
    let bad = Backend::script(|_conn| {});
    let servers = "server {bad} max_fails=0; server {a};";
    let server = group(servers, "", &[("bad", bad.addr()), ("a", a.addr())]);
    sequence(&server, 8);
    assert!(bad.accepted() >= 4, "{}", bad.accepted());
}

#[test]
fn no_live_upstreams_is_502() {
    let ports = [Port::reserve(), Port::reserve()];
    let servers = "server {one} fail_timeout=60s; server {two} fail_timeout=60s;";
    let server = group(
        servers,
        "",
        &[("one", ports[0].addr()), ("two", ports[1].addr())],
    );
    server.get("/").expect(502);
    server.get("/").expect(502);
    server.expect_error_log(
        "no live upstreams while connecting to upstream, client: 127.0.0.1, server: , \
         request: \"GET / HTTP/1.1\", upstream: \"http://u/\", host: \"localhost\"",
    );
}

#[test]
fn an_upstream_name_may_be_a_variable() {
    let backends = abc();
    let server = Setup::http(
        "upstream one { server {a}; } upstream two { server {b}; }
         server { listen 127.0.0.1:{port}; location / { proxy_pass http://$arg_to; } }",
    )
    .set("a", backends[0].addr())
    .set("b", backends[1].addr())
    .start();
    assert_eq!(server.get("/?to=one").text(), "a");
    assert_eq!(server.get("/?to=two").text(), "b");
}

// Which failures go to the next server.

#[test]
fn an_error_goes_to_the_next_server() {
    let [a, ..] = abc();
    let bad = Backend::script(|conn| drop(conn.request()));
    let server = group(
        "server {bad}; server {a};",
        "",
        &[("bad", bad.addr()), ("a", a.addr())],
    );
    assert_eq!(sequence(&server, 1), "a");
    server.expect_access_log(&format!("200 {}, {} 502, 200", bad.addr(), a.addr()));
}

#[test]
fn a_timeout_goes_to_the_next_server() {
    let [a, ..] = abc();
    let bad = Backend::script(|conn| {
        conn.request();
        conn.hold();
    });
    let directives = "proxy_read_timeout 150ms;";
    let backends = [("bad", bad.addr()), ("a", a.addr())];
    let server = group("server {bad}; server {a};", directives, &backends);
    assert_eq!(sequence(&server, 1), "a");
    server.expect_access_log(" 504, 200");
}

#[test]
fn an_http_status_goes_to_the_next_server_when_asked() {
    let [a, ..] = abc();
    let bad = Backend::answer("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
    let backends = [("bad", bad.addr()), ("a", a.addr())];
    let server = group("server {bad} max_fails=0; server {a};", "", &backends);
    assert_eq!(server.get("/").expect(503).text(), "busy");
    let directives = "proxy_next_upstream error http_503;";
    let server = group(
        "server {bad} max_fails=0; server {a};",
        directives,
        &backends,
    );
    assert_eq!(server.get("/").expect(200).text(), "a");
}

#[test]
fn the_last_server_s_status_is_passed() {
    let backends =
        [0, 1].map(|i| Backend::answer(format!("HTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\n{i}")));
    let addrs = [("a", backends[0].addr()), ("b", backends[1].addr())];
    let server = group(
        "server {a}; server {b};",
        "proxy_next_upstream http_404;",
        &addrs,
    );
    assert_eq!(server.get("/").expect(404).text(), "1");
}

#[test]
fn next_upstream_off_tries_once() {
    let [a, ..] = abc();
    let bad = Backend::script(|conn| drop(conn.request()));
    let backends = [("bad", bad.addr()), ("a", a.addr())];
    let server = group(
        "server {bad}; server {a};",
        "proxy_next_upstream off;",
        &backends,
    );
    server.get("/").expect(502);
    assert_eq!(a.accepted(), 0);
}

#[test]
fn next_upstream_tries_bounds_them() {
    let bad: Vec<Backend> = (0..3)
        .map(|_| Backend::script(|conn| drop(conn.request())))
        .collect();
    let addrs = [
        ("a", bad[0].addr()),
        ("b", bad[1].addr()),
        ("c", bad[2].addr()),
    ];
    let servers = "server {a}; server {b}; server {c};";
    let server = group(servers, "proxy_next_upstream_tries 2;", &addrs);
    server.get("/").expect(502);
    assert_eq!(bad.iter().map(Backend::accepted).sum::<usize>(), 2);
}

#[test]
fn a_post_is_not_repeated_after_it_was_sent() {
    let [a, ..] = abc();
    let bad = Backend::script(|conn| drop(conn.request()));
    let backends = [("bad", bad.addr()), ("a", a.addr())];
    let server = group("server {bad}; server {a};", "", &backends);
    server.post("/", "once").expect(502);
    assert_eq!((bad.requests().len(), a.accepted()), (1, 0));
}

#[test]
fn a_post_is_repeated_when_asked() {
    let a = Backend::http(Request::text);
    let bad = Backend::script(|conn| drop(conn.request()));
    let backends = [("bad", bad.addr()), ("a", a.addr())];
    let directives = "proxy_next_upstream error non_idempotent;";
    let server = group("server {bad}; server {a};", directives, &backends);
    assert_eq!(server.post("/", "twice").expect(200).text(), "twice");
    assert_eq!(
        (bad.request().text(), a.request().text()),
        ("twice".into(), "twice".into())
    );
}

#[test]
fn a_post_that_was_not_sent_goes_to_the_next_server() {
    let a = Backend::http(Request::text);
    let port = Port::reserve();
    let backends = [("dead", port.addr()), ("a", a.addr())];
    let server = group("server {dead}; server {a};", "", &backends);
    assert_eq!(server.post("/", "body").expect(200).text(), "body");
}

#[test]
fn a_response_that_began_is_not_tried_again() {
    let [a, ..] = abc();
    let bad = Backend::answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    let backends = [("bad", bad.addr()), ("a", a.addr())];
    let server = group("server {bad}; server {a};", "", &backends);
    let mut client = server.connect();
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .head()
        .expect(200);
    assert_eq!(client.rest(), b"half");
    assert_eq!(a.accepted(), 0);
}

// Connections kept to the backends.

#[test]
fn keepalive_reuses_a_connection() {
    let [a, ..] = abc();
    let server = group("server {a}; keepalive 4;", "", &[("a", a.addr())]);
    assert_eq!(sequence(&server, 10), "a".repeat(10));
    assert_eq!((a.accepted(), a.requests().len()), (1, 10));
    assert_eq!(a.requests()[0].header("connection"), None);
}

#[test]
fn keepalive_is_not_for_backends_that_close() {
    let backend = Backend::script(|conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nc");
    });
    let server = group("server {a}; keepalive 4;", "", &[("a", backend.addr())]);
    assert_eq!(sequence(&server, 5), "ccccc");
    assert_eq!(backend.accepted(), 5);
}

#[test]
fn keepalive_bounds_the_idle_connections() {
    let backend = Backend::http(|_| {
        pause(100);
        "x".into()
    });
    let server = group("server {a}; keepalive 2;", "", &[("a", backend.addr())]);
    let mut clients: Vec<_> = (0..6).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for client in &mut clients {
        client.response().expect(200);
    }
    support::wait_until("four closed connections", || backend.closed() == 4);
    pause(50);
    assert_eq!((backend.accepted(), backend.closed()), (6, 4));
}

#[test]
fn a_stale_connection_gives_its_try_back() {
    let backend = Backend::script(|conn| {
        conn.request();
        conn.ok("x");
        if conn.number == 0 {
            // Ends only when the next request is on its way.
            conn.request();
        } else {
            conn.hold();
        }
    });
    let server = group("server {a}; keepalive 4;", "", &[("a", backend.addr())]);
    server.get("/first").expect(200);
    assert_eq!(server.get("/second").expect(200).text(), "x");
    assert_eq!(backend.accepted(), 2);
}

#[test]
fn a_connection_closed_while_idle_is_not_used() {
    let backend = Backend::script(|conn| {
        conn.request();
        conn.ok("x");
    });
    let server = group(
        "server {a}; keepalive 4;",
        "proxy_next_upstream off;",
        &[("a", backend.addr())],
    );
    for _ in 0..5 {
        server.get("/").expect(200);
        pause(20);
    }
    assert_eq!(backend.accepted(), 5);
}

#[test]
fn an_idle_connection_with_unasked_bytes_is_not_used() {
    let backend = Backend::script(|conn| {
        conn.request();
        conn.ok("x");
        pause(20);
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nunasked");
        conn.hold();
    });
    let server = group("server {a}; keepalive 4;", "", &[("a", backend.addr())]);
    assert_eq!(server.get("/").text(), "x");
    pause(100);
    assert_eq!(server.get("/").text(), "x");
    assert_eq!(backend.accepted(), 2);
}

#[test]
fn keepalive_timeout_closes_idle_connections() {
    let [a, ..] = abc();
    let server = group(
        "server {a}; keepalive 4; keepalive_timeout 150ms;",
        "",
        &[("a", a.addr())],
    );
    server.get("/").expect(200);
    support::wait_until("the idle connection's end", || a.closed() == 1);
}

#[test]
fn keepalive_requests_bounds_a_connection() {
    let [a, ..] = abc();
    let server = group(
        "server {a}; keepalive 4; keepalive_requests 2;",
        "",
        &[("a", a.addr())],
    );
    assert_eq!(sequence(&server, 4), "aaaa");
    assert_eq!(a.accepted(), 2);
}

#[test]
fn head_and_bodiless_statuses_keep_the_connection() {
    let backend = Backend::script(|conn| {
        while let Some(request) = conn.try_request() {
            conn.send(match request.method.as_str() {
                "HEAD" => "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n",
                "GET" => "HTTP/1.1 304 Not Modified\r\n\r\n",
                _ => "HTTP/1.1 204 No Content\r\n\r\n",
            });
        }
    });
    let server = group("server {a}; keepalive 4;", "", &[("a", backend.addr())]);
    let mut client = server.connect();
    for _ in 0..3 {
        client
            .send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
            .response_to_head()
            .expect(200);
        client
            .send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .response()
            .expect(304);
        client
            .send("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n")
            .response()
            .expect(204);
    }
    assert_eq!(backend.accepted(), 1);
}

#[test]
fn a_chunked_response_keeps_the_connection() {
    let backend = Backend::script(|conn| {
        while conn.try_request().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
            conn.send("1\r\nb\r\n0\r\nX-Trailer: t\r\n\r\n");
        }
    });
    let server = group("server {a}; keepalive 4;", "", &[("a", backend.addr())]);
    assert_eq!(sequence(&server, 5), "ab".repeat(5));
    assert_eq!(backend.accepted(), 1);
}

#[test]
fn a_slow_connect_is_a_504_after_proxy_connect_timeout() {
    // A listener whose queue is full lets further connections hang.
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener
        .bind(
            &"127.0.0.1:0"
                .parse::<std::net::SocketAddr>()
                .unwrap()
                .into(),
        )
        .unwrap();
    listener.listen(0).unwrap();
    let addr = listener.local_addr().unwrap().as_socket().unwrap();
    let short = Duration::from_millis(100);
    let queued: Vec<_> = (0..4)
        .map(|_| std::net::TcpStream::connect_timeout(&addr, short))
        .collect();
    assert!(queued.iter().any(Result::is_err), "the queue is not full");
    let server = group(
        "server {a};",
        "proxy_connect_timeout 200ms;",
        &[("a", addr.to_string())],
    );
    let start = Instant::now();
    server.get("/").expect(504);
    assert!(start.elapsed().as_secs() < 5);
    server.expect_error_log(
        "upstream timed out (110: Connection timed out) while connecting to upstream",
    );
}
