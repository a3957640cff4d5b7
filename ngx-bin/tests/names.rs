//! Names of backends: the system's resolver at start-up, `resolver` at run time.

mod support;

use std::net::UdpSocket;
use std::time::Instant;

use support::{Backend, Dns, Server, Setup};

#[test]
fn a_name_is_resolved_at_start_up() {
    let backend = Backend::named("by name");
    let port = backend.addr().replace("127.0.0.1:", "");
    let server = Setup::http(
        "upstream u { server localhost:{backend}; }
         server {
             listen 127.0.0.1:{port};
             location /direct { proxy_pass http://localhost:{backend}; }
             location /group { proxy_pass http://u; }
         }",
    )
    .set("backend", port)
    .start();
    assert_eq!(server.get("/direct").text(), "by name");
    assert_eq!(server.get("/group").text(), "by name");
}

#[test]
fn without_a_resolver_a_name_in_a_variable_is_502() {
    let server = Server::start(
        "server { listen 127.0.0.1:{port}; location / { proxy_pass http://$arg_host; } }",
    );
    server.get("/?host=backend.test").expect(502);
    server.expect_error_log(
        "no resolver defined to resolve backend.test, client: 127.0.0.1, server: , \
         request: \"GET /?host=backend.test HTTP/1.1\", host: \"localhost\"",
    );
}

#[test]
fn an_address_in_a_variable_needs_no_resolver() {
    let backend = Backend::named("by address");
    let server = Server::start(
        "server { listen 127.0.0.1:{port}; location / { proxy_pass http://$arg_to; } }",
    );
    assert_eq!(
        server.get(&format!("/?to={}", backend.addr())).text(),
        "by address"
    );
}

/// A server that proxies to `$arg_host`, at the backend's port, asking `dns`.
fn resolving(backend: &Backend, dns: &str) -> Server {
    Setup::http(
        "server {
             listen 127.0.0.1:{port};
             resolver {dns};
             resolver_timeout 300ms;
             location / { proxy_pass http://$arg_host:{backend}; }
         }",
    )
    .set("dns", dns)
    .set("backend", backend.addr().replace("127.0.0.1:", ""))
    .start()
}

#[test]
fn a_resolver_is_asked_at_run_time() {
    let (backend, dns) = (Backend::named("resolved"), Dns::knowing("backend.test"));
    let server = resolving(&backend, &format!("{} ipv6=off", dns.addr()));
    assert_eq!(
        server.get("/?host=backend.test").expect(200).text(),
        "resolved"
    );
    let host = backend.addr().replace("127.0.0.1", "backend.test");
    assert_eq!(backend.request().header("host"), Some(host.as_str()));
}

#[test]
fn an_answer_is_kept_for_its_time_to_live() {
    let (backend, dns) = (Backend::named("resolved"), Dns::knowing("backend.test"));
    let server = resolving(&backend, &format!("{} ipv6=off", dns.addr()));
    for _ in 0..5 {
        server.get("/?host=backend.test").expect(200);
    }
    assert_eq!(dns.asked(), 1);
}

#[test]
fn a_name_of_one_address_family_is_enough() {
    let (backend, dns) = (Backend::named("resolved"), Dns::knowing("backend.test"));
    let server = resolving(&backend, &dns.addr());
    assert_eq!(
        server.get("/?host=backend.test").expect(200).text(),
        "resolved"
    );
}

#[test]
fn an_unknown_name_is_502() {
    let (backend, dns) = (Backend::named("unused"), Dns::knowing("backend.test"));
    let server = resolving(&backend, &dns.addr());
    server.get("/?host=other.test").expect(502);
    server.expect_error_log("other.test could not be resolved (3: Host not found)");
    assert_eq!(backend.accepted(), 0);
}

#[test]
fn a_silent_resolver_is_502_after_resolver_timeout() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let backend = Backend::named("unused");
    let server = resolving(&backend, &silent.local_addr().unwrap().to_string());
    let start = Instant::now();
    server.get("/?host=backend.test").expect(502);
    assert!(start.elapsed().as_secs() < 4);
    server.expect_error_log("backend.test could not be resolved (110: Operation timed out)");
}

#[test]
fn waiting_for_a_resolver_holds_nobody_up() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = Setup::http(
        "resolver {dns}; resolver_timeout 5s;
         server {
             listen 127.0.0.1:{port};
             location / { proxy_pass http://$arg_host; }
             location = /alive { return 204; }
         }",
    )
    .set("dns", silent.local_addr().unwrap())
    .start();
    let mut waiting = server.connect();
    waiting.send("GET /?host=backend.test HTTP/1.1\r\nHost: a\r\n\r\n");
    let start = Instant::now();
    server.get("/alive").expect(204);
    assert!(start.elapsed().as_secs() < 2);
}
