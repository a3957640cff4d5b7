//! Which server answers: addresses and names.

mod support;

use support::{Client, Server, Setup};

const NAMES: &str = r#"
    server { listen 127.0.0.1:{port}; server_name first; return 200 first; }
    server { listen 127.0.0.1:{port}; server_name exact.org www.exact.org; return 200 "exact $server_name"; }
    server { listen 127.0.0.1:{port}; server_name *.wild.org; return 200 "*.wild"; }
    server { listen 127.0.0.1:{port}; server_name *.long.wild.org; return 200 "*.long.wild"; }
    server { listen 127.0.0.1:{port}; server_name .dot.org; return 200 dot; }
    server { listen 127.0.0.1:{port}; server_name mail.*; return 200 "mail.*"; }
    server { listen 127.0.0.1:{port}; server_name ~^(?<user>\w+)\.user\.org$; return 200 "user=$user 1=$1"; }
    server { listen 127.0.0.1:{port}; server_name ~^re; return 200 regex; }
    server { listen 127.0.0.1:{port}; server_name ""; return 200 nameless; }
"#;

#[track_caller]
fn answers(host: &str, text: &str) {
    let server = Server::start(NAMES);
    let response = server.request(format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    ));
    assert_eq!(response.text(), text, "{host}");
}

#[test]
fn an_exact_name_wins_whatever_its_case_and_port() {
    answers("exact.org", "exact exact.org");
    answers("WWW.Exact.ORG:8080", "exact exact.org");
    answers("exact.org.", "exact exact.org");
}

#[test]
fn a_wildcard_in_front_matches_one_or_more_labels() {
    answers("a.wild.org", "*.wild");
    answers("a.b.wild.org", "*.wild");
    answers("wild.org", "first");
}

#[test]
fn the_longest_wildcard_wins() {
    answers("a.long.wild.org", "*.long.wild");
}

#[test]
fn a_leading_dot_matches_the_name_and_what_is_below() {
    answers("dot.org", "dot");
    answers("a.dot.org", "dot");
}

#[test]
fn a_wildcard_behind_matches() {
    answers("mail.example.net", "mail.*");
    answers("mail.wild.org", "*.wild");
}

#[test]
fn a_regex_matches_last_and_captures() {
    answers("joe.user.org", "user=joe 1=joe");
    answers("re.wild.org", "*.wild");
    answers("re.example", "regex");
}

#[test]
fn an_unknown_name_gets_the_first_server() {
    answers("unknown", "first");
}

#[test]
fn no_name_gets_the_server_without_one() {
    let response = Server::start(NAMES).request("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(response.text(), "nameless");
}

#[test]
fn default_server_gets_unknown_names() {
    let server = Server::start(
        "server { listen 127.0.0.1:{port}; server_name a; return 200 a; }
         server { listen 127.0.0.1:{port} default_server; server_name b; return 200 b; }",
    );
    assert_eq!(server.get("/").text(), "b");
}

#[test]
fn a_server_may_listen_at_several_addresses() {
    let server = Server::start(
        "server { listen 127.0.0.1:{port}; listen 127.0.0.1:{port2}; return 200 $server_port; }",
    );
    for index in 0..2 {
        let port = server.port(index);
        let mut client = Client::connect(&format!("127.0.0.1:{port}"));
        client.send("GET / HTTP/1.0\r\n\r\n");
        assert_eq!(client.response().text(), port.to_string());
    }
}

#[test]
fn the_address_decides_before_the_name() {
    let server = Server::start(
        "server { listen 127.0.0.1:{port}; server_name other; return 200 one; }
         server { listen 127.0.0.1:{port2}; server_name localhost; return 200 two; }",
    );
    assert_eq!(server.get("/").text(), "one");
}

#[test]
fn a_port_alone_listens_at_every_address() {
    let server = Server::start("server { listen {port}; return 200 $server_addr; }");
    assert_eq!(server.get("/").text(), "127.0.0.1");
    let mut client = Client::connect(&format!("127.0.0.2:{}", server.port(0)));
    assert_eq!(
        client.send("GET / HTTP/1.0\r\n\r\n").response().text(),
        "127.0.0.2"
    );
}

#[test]
fn an_exact_address_wins_over_every_address() {
    let server = Server::start(
        "server { listen {port}; return 200 any; }
         server { listen 127.0.0.2:{port}; return 200 exact; }",
    );
    assert_eq!(server.get("/").text(), "any");
    let mut client = Client::connect(&format!("127.0.0.2:{}", server.port(0)));
    assert_eq!(
        client.send("GET / HTTP/1.0\r\n\r\n").response().text(),
        "exact"
    );
}

#[test]
fn ipv6_is_served() {
    let server =
        Server::start(r#"server { listen [::1]:{port}; return 200 "$server_addr $remote_addr"; }"#);
    let mut client = Client::connect(&format!("[::1]:{}", server.port(0)));
    client.send("GET / HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response().text(), "::1 ::1");
}

#[test]
fn a_unix_socket_is_served_and_removed() {
    let mut server =
        Server::start(r#"server { listen unix:{dir}/s.sock; return 200 "[$remote_addr]"; }"#);
    let path = server.path("s.sock");
    let mut client = Client::connect_unix(&path);
    assert_eq!(
        client.send("GET / HTTP/1.0\r\n\r\n").response().text(),
        "[unix:]"
    );
    assert!(server.stop_gracefully().success());
    assert!(!path.exists());
}

#[test]
fn backlog_and_reuseport_are_accepted() {
    let server = Setup::main(
        "worker_processes 2; events { }
         http { access_log off; server { listen 127.0.0.1:{port} reuseport backlog=64; return 200 ok; } }",
    )
    .start();
    for _ in 0..50 {
        assert_eq!(server.get("/").text(), "ok");
    }
}

#[test]
fn several_workers_share_a_listener() {
    let server = Setup::main(
        "worker_processes 4; events { }
         http { access_log off; server { listen 127.0.0.1:{port}; return 200 ok; } }",
    )
    .start();
    for _ in 0..100 {
        assert_eq!(server.get("/").text(), "ok");
    }
}
