//! Processes and signals: start, reload, reopen, the ways to end.

mod support;

use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::process::Signal;
use support::{Backend, Client, Port, Server, Setup, ours, pause, wait_until};

const ONE: &str = "server { listen 127.0.0.1:{port}; location / { return 200 one; } }";
const TWO: &str = "server { listen 127.0.0.1:{port}; location / { return 200 two; } }";

fn is_two(server: &Server) -> bool {
    server.get("/").text() == "two"
}

/// A backend that answers `late` after `millis`.
fn late(millis: u64) -> Backend {
    Backend::http(move |_| {
        pause(millis);
        "late".into()
    })
}

const LATE: &str =
    "server { listen 127.0.0.1:{port}; location / { proxy_pass http://{backend}; } }";

#[test]
fn the_pid_file_has_the_pid_and_goes_with_the_process() {
    let mut server = Server::start(ONE);
    assert_eq!(server.read("nginx.pid"), format!("{}\n", server.pid()));
    assert!(server.stop_gracefully().success());
    assert!(!server.path("nginx.pid").exists());
}

#[test]
fn term_int_and_quit_end_with_success() {
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let mut server = Server::start(ONE);
        server.get("/").expect(200);
        server.signal(signal);
        assert!(server.wait().success(), "{signal:?}");
        assert!(Client::try_connect(&server.addr()).is_err());
    }
}

#[test]
fn quit_finishes_running_requests() {
    let backend = late(400);
    let mut server = Setup::http(LATE).set("backend", backend.addr()).start();
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the request", || !backend.requests().is_empty());
    server.signal(Signal::QUIT);
    wait_until("the end of listening", || {
        Client::try_connect(&server.addr()).is_err()
    });
    let response = client.response().expect(200);
    assert_eq!(response.text(), "late");
    if ours("a client is told that its connection is about to end") {
        assert_eq!(response.header("connection"), Some("close"));
    }
    client.expect_close();
    assert!(server.wait().success());
}

#[test]
fn quit_closes_idle_connections() {
    let mut server = Server::start(ONE);
    let mut client = server.connect();
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .response()
        .expect(200);
    server.signal(Signal::QUIT);
    client.expect_close();
    assert!(server.wait().success());
}

#[test]
fn term_does_not_wait_for_requests() {
    let backend = late(3000);
    let mut server = Setup::http(LATE).set("backend", backend.addr()).start();
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the request", || !backend.requests().is_empty());
    let start = std::time::Instant::now();
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    assert!(start.elapsed().as_secs() < 2);
}

#[test]
fn hup_swaps_the_configuration() {
    let mut server = Server::start(ONE);
    assert_eq!(server.get("/").text(), "one");
    server.reload(TWO, is_two);
    for _ in 0..20 {
        assert_eq!(server.get("/").text(), "two");
    }
    server.reload(ONE, |server| !is_two(server));
    assert_eq!(server.get("/").text(), "one");
}

#[test]
fn hup_with_a_bad_configuration_keeps_the_old_one() {
    let mut server = Setup::http(ONE).allow("unknown directive").start();
    server.rewrite("bogus on;");
    server.signal(Signal::HUP);
    server.expect_error_log("[emerg]");
    server.expect_error_log("unknown directive \"bogus\" in ");
    pause(100);
    assert_eq!(server.get("/").text(), "one");
    server.reload(TWO, is_two);
    assert_eq!(server.get("/").text(), "two");
}

#[test]
fn hup_finishes_running_requests_on_the_old_configuration() {
    let backend = late(600);
    let mut server = Setup::http(LATE).set("backend", backend.addr()).start();
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the request", || !backend.requests().is_empty());
    server.reload(TWO, is_two);
    assert_eq!(client.response().expect(200).text(), "late");
}

#[test]
fn hup_frees_the_old_generation_and_says_so() {
    let mut server = Server::start(ONE);
    server.reload(TWO, is_two);
    server.expect_error_log("exited with code 0");
}

#[test]
fn hup_opens_and_closes_listeners() {
    let mut server = Server::start(ONE);
    let both = "server { listen 127.0.0.1:{port}; listen 127.0.0.1:{port2}; \
                location / { return 200 two; } }";
    server.reload(both, is_two);
    let second = format!("127.0.0.1:{}", server.port(1));
    Client::connect(&second);
    server.reload(ONE, |server| !is_two(server));
    wait_until("the second listener's end", || {
        Client::try_connect(&second).is_err()
    });
    server.get("/").expect(200);
}

#[test]
fn a_tunnel_outlives_a_reload() {
    let backend = Backend::script(|conn| {
        conn.request();
        conn.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
        loop {
            let bytes = conn.some();
            if bytes.is_empty() {
                return;
            }
            conn.send(bytes);
        }
    });
    let tunnel = "server {
        listen 127.0.0.1:{port};
        location / { return 200 one; }
        location /tunnel {
            proxy_pass http://{backend};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
        }
    }";
    let mut server = Setup::http(tunnel).set("backend", backend.addr()).start();
    let mut client = server.connect();
    client.send("GET /tunnel HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
    client.response().expect(101);
    server.reload(TWO, is_two);
    client.send("still here");
    assert_eq!(client.exact(10), b"still here");
}

#[test]
fn a_kept_connection_takes_the_new_generation() {
    if !ours("kept connections take the new generation") {
        return;
    }
    let mut server = Server::start(ONE);
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().text(), "one");
    server.reload(TWO, is_two);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().text(), "two");
}

#[test]
fn reloads_under_load_lose_nothing() {
    if !ours("reloads keep every connection") {
        return;
    }
    let mut server = Server::start(ONE);
    let (stop, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let addr = server.addr();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (addr, stop, answered) = (addr.clone(), Arc::clone(&stop), Arc::clone(&answered));
            thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let mut client = Client::connect(&addr);
                    for _ in 0..50 {
                        client
                            .send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                            .response()
                            .expect(200);
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                }
            })
        })
        .collect();
    for _ in 0..5 {
        server.reload(TWO, is_two);
        server.reload(ONE, |server| !is_two(server));
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().expect("a client without an error");
    }
    assert!(answered.load(Ordering::SeqCst) > 100);
}

#[test]
fn usr1_reopens_the_logs() {
    let server = Server::start(ONE);
    server.get("/before").expect(200);
    server.expect_access_log("/before");
    for log in ["access.log", "error.log"] {
        fs::rename(server.path(log), server.path(&format!("{log}.1"))).unwrap();
    }
    server.signal(Signal::USR1);
    wait_until("new logs", || {
        server.path("access.log").exists() && server.path("error.log").exists()
    });
    wait_until("a line in the new log", || {
        server.get("/after").expect(200);
        server.read("access.log").contains("/after")
    });
    assert!(server.read("access.log.1").contains("/before"));
}

#[test]
fn a_port_in_use_is_said() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = busy.local_addr().unwrap();
    let mut setup = Setup::http("server { listen {addr}; }").set("addr", addr);
    let ran = setup.run(&[]);
    ran.expect(
        1,
        &format!("[emerg] bind() to {addr} failed (98: Address already in use)"),
    );
    ran.expect(1, "[emerg] still could not bind()");
}

#[test]
fn a_port_in_use_at_reload_keeps_the_old_configuration() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = busy.local_addr().unwrap().to_string();
    let mut server = Setup::http(ONE).set("busy", &addr).allow("bind()").start();
    server.rewrite(
        "server { listen 127.0.0.1:{port}; listen {busy}; location / { return 200 two; } }",
    );
    server.signal(Signal::HUP);
    server.expect_error_log(&format!(
        "bind() to {addr} failed (98: Address already in use)"
    ));
    assert_eq!(server.get("/").text(), "one");
    wait_until("the last try", || {
        server.error_log().contains("still could not bind()")
    });
    assert_eq!(server.get("/").text(), "one");
}

#[test]
fn an_address_that_is_not_here_is_said() {
    let mut setup = Setup::http("server { listen 192.0.2.1:{port}; }");
    let addr = setup.fill("192.0.2.1:{port}");
    let ran = setup.run(&[]);
    ran.expect(
        1,
        &format!("[emerg] bind() to {addr} failed (99: Cannot assign requested address)"),
    );
}

#[test]
fn a_log_that_cannot_be_opened_is_said() {
    let mut setup = Setup::http("access_log {dir}/none/a.log; server { listen 127.0.0.1:{port}; }");
    let file = setup.path("none/a.log").display().to_string();
    let message = format!("[emerg] open() \"{file}\" failed (2: No such file or directory)");
    setup.run(&[]).expect(1, &message);
}

#[test]
fn master_process_off_serves() {
    let mut server = Setup::main(
        "master_process off; events { }
         http { access_log off; server { listen 127.0.0.1:{port}; location / { return 200 ok; } } }",
    )
    .start();
    assert_eq!(server.get("/").text(), "ok");
    assert!(server.stop_gracefully().success());
}

#[test]
fn a_daemon_leaves_its_terminal() {
    let mut setup = Setup::raw(
        "daemon on; pid {dir}/nginx.pid; error_log {dir}/error.log; events { }
         http { access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
                server { listen 127.0.0.1:{port}; location / { return 200 daemon; } } }",
    );
    let ran = setup.run(&[]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let port = setup.fill("{port}");
    let pid_file = setup.path("nginx.pid");
    wait_until("the pid", || {
        fs::read_to_string(&pid_file).is_ok_and(|pid| !pid.is_empty())
    });
    let mut client = Client::connect(&format!("127.0.0.1:{port}"));
    assert_eq!(
        client.send("GET / HTTP/1.0\r\n\r\n").response().text(),
        "daemon"
    );
    assert_eq!(setup.run(&["-s", "quit"]).code, Some(0));
    wait_until("the end of the daemon", || !pid_file.exists());
}

#[test]
fn a_free_port_is_free_again_after_the_end() {
    let port = Port::reserve();
    for _ in 0..3 {
        let setup = Setup::http("server { listen {addr}; location / { return 200 ok; } }");
        let mut server = setup.set("addr", port.addr()).start();
        let mut client = Client::connect(&port.addr());
        client
            .send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .response()
            .expect(200);
        assert!(server.stop_gracefully().success());
    }
}
