//! Logs that go to a syslog server, over UDP and over a Unix-domain socket.

mod support;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::{Server, Setup, Syslog, ours, pause};

const SERVER: &str = "server {
        listen 127.0.0.1:{port};
        root {dir}/html;
        location = /ok { return 200 ok; }
    }";

#[test]
fn access_logs_have_a_header_of_syslog() {
    let (plain, own) = (Syslog::udp(), Syslog::udp());
    let server = Setup::http(&format!(
        "log_format uri '$uri $status';
         access_log syslog:server={{plain}} uri;
         access_log syslog:server={{own}},facility=user,severity=warn,tag=web_1,nohostname uri;
         {SERVER}"
    ))
    .set("plain", plain.addr())
    .set("own", own.addr())
    .start();
    server.get("/ok").expect(200);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let host = host.trim().to_lowercase();
    // local7 is 23, info 6; user is 1, warn 4.
    let line = plain.line("/ok");
    assert_eq!(
        Syslog::parts(&line),
        ("190", &*format!("{host} nginx: /ok 200"))
    );
    let line = own.line("/ok");
    assert_eq!(Syslog::parts(&line), ("12", "web_1: /ok 200"));
}

#[test]
fn error_logs_have_the_severity_of_their_lines() {
    let setup = Setup::http(&format!(
        "error_log {{dir}}/error.log info;
         error_log syslog:server=unix:{{dir}}/log.sock,facility=local0,severity=debug,nohostname;
         {SERVER}"
    ));
    let socket = Syslog::unix(&setup.path("log.sock"));
    let server = setup.start();
    server.get("/none").expect(404);
    let line = socket.line("none");
    // local0 is 16, error 3.
    let (number, rest) = Syslog::parts(&line);
    assert_eq!(number, "131");
    assert!(rest.starts_with("nginx: 20"), "{line}");
    for part in [
        " [error] ",
        "html/none\" failed (2: No such file or directory), client: 127.0.0.1, server: ",
        ", request: \"GET /none HTTP/1.1\", host: \"localhost\"",
    ] {
        assert!(rest.contains(part), "{line}");
    }
    assert!(line.ends_with('"'), "{line}");
}

#[test]
fn a_server_that_was_started_anew_is_found() {
    let setup = Setup::http(&format!(
        "access_log syslog:server=unix:{{dir}}/log.sock;
         {SERVER}"
    ));
    let path = setup.path("log.sock");
    let first = Syslog::unix(&path);
    let server = setup.start();
    server.get("/ok").expect(200);
    first.line("GET /ok");
    drop(first);
    let second = Syslog::unix(&path);
    // nginx loses what it finds out with; nothing is lost here.
    if ours("no line is lost when the server of syslog is started anew") {
        server.get("/ok?1").expect(200);
        second.line("GET /ok?1");
    } else {
        server.get("/ok").expect(200);
    }
    server.get("/ok?2").expect(200);
    second.line("GET /ok?2");
}

#[test]
fn without_a_server_requests_go_on() {
    let server = Setup::http(&format!(
        "access_log syslog:server=unix:{{dir}}/nobody;
         access_log syslog:server=127.0.0.1:1;
         error_log {{dir}}/error.log info;
         error_log syslog:server=unix:{{dir}}/nobody;
         {SERVER}"
    ))
    .allow("while logging to syslog")
    .allow("connect() failed (2: No such file or directory)")
    .start();
    for _ in 0..50 {
        server.get("/ok").expect(200);
        server.get("/none").expect(404);
    }
    if ours("trouble with syslog is one line, not one for each request") {
        let message = "connect() failed (2: No such file or directory) while logging to syslog, \
                       server: unix:";
        server.expect_error_log(message);
        let log = server.error_log();
        assert!(log.matches("while logging to syslog").count() <= 3, "{log}");
    }
}

/// A receiver that does not read: its queue fills, and nobody waits for it.
#[test]
fn a_server_that_does_not_read_stops_nobody() {
    let setup = Setup::http(&format!(
        "log_format long '$uri {}';
         access_log syslog:server=unix:{{dir}}/log.sock long;
         {SERVER}",
        "x".repeat(500)
    ))
    .allow("syslog");
    let socket = Syslog::unix(&setup.path("log.sock"));
    let server = setup.start();
    let start = Instant::now();
    let mut client = server.connect();
    for _ in 0..900 {
        client.send("GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().text(), "ok");
    }
    assert!(start.elapsed() < Duration::from_secs(20));
    socket.line("/ok xxx");
}

#[test]
fn the_log_of_the_process_may_be_syslog() {
    let setup = Setup::main(
        "error_log syslog:server=unix:{dir}/log.sock notice;
         events { }
         http { access_log off; server { listen 127.0.0.1:{port}; } }",
    );
    let socket = Syslog::unix(&setup.path("log.sock"));
    let server = setup.start();
    server.signal(Signal::USR1);
    let line = socket.line("signal 10 (SIGUSR1) received");
    // local7 is 23, notice 5.
    assert_eq!(Syslog::parts(&line).0, "189");
    assert!(line.contains(" [notice] "), "{line}");
}

#[test]
fn what_is_wrong_with_a_destination_is_said() {
    let long = "t".repeat(33);
    for (parameters, message) in [
        ("", "unknown syslog parameter \"\""),
        ("server=", "no host in syslog server \"\""),
        (
            "server=127.0.0.1:x",
            "invalid port in syslog server \"127.0.0.1:x\"",
        ),
        (
            "server=a.invalid",
            "host not found in syslog server \"a.invalid\"",
        ),
        ("facility=user", "no syslog server specified"),
        (
            "server=127.0.0.1,facility=x",
            "unknown syslog facility \"x\"",
        ),
        (
            "server=127.0.0.1,severity=x",
            "unknown syslog severity \"x\"",
        ),
        ("server=127.0.0.1,tag=a,tag=b", "duplicate syslog \"tag\""),
        (
            "server=127.0.0.1,tag=a-b",
            "syslog \"tag\" only allows alphanumeric characters and underscore",
        ),
        (
            &format!("server=127.0.0.1,tag={long}"),
            "syslog tag length exceeds 32",
        ),
        ("server=127.0.0.1,x", "unknown syslog parameter \"x\""),
    ] {
        let message = format!("[emerg] {message} in ");
        let mut error_log =
            Setup::raw("error_log syslog:{parameters}; events { }").set("parameters", parameters);
        error_log.run(&["-t"]).expect(1, &message);
        let mut access_log = Setup::http("access_log syslog:{parameters}; server { listen 1; }")
            .set("parameters", parameters);
        access_log.run(&["-t"]).expect(1, &message);
    }
    let mut buffered = Setup::http("access_log syslog:server=127.0.0.1 combined buffer=1k;");
    buffered
        .run(&["-t"])
        .expect(1, "logs to syslog cannot be buffered in ");
}

/// Several threads write through one destination; no datagram is two lines or half of one.
#[test]
fn lines_of_many_threads_are_whole() {
    let setup = Setup::http(&format!(
        "log_format long '$arg_n {} $arg_n';
         access_log syslog:server={{udp}},nohostname long;
         {SERVER}",
        "y".repeat(300)
    ))
    .workers(4);
    let socket = Syslog::udp();
    let server = setup.set("udp", socket.addr()).start();
    let addr = server.addr();
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let addr = addr.clone();
            std::thread::spawn(move || {
                for i in 0..25 {
                    let mut client = support::Client::connect(&addr);
                    client.send(format!(
                        "GET /ok?n={number}-{i} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
                    ));
                    client.response().expect(200);
                }
            })
        })
        .collect();
    let mut names: Vec<String> = (0..100)
        .map(|_| {
            let line = socket.line(" nginx: ");
            let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
            let [.., tag, first, middle, last] = words[..] else {
                panic!("{line}");
            };
            assert_eq!((tag, first, middle.len()), ("nginx:", last, 300), "{line}");
            first.to_owned()
        })
        .collect();
    clients
        .into_iter()
        .for_each(|client| client.join().unwrap());
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 100);
}

/// A reload keeps logging, to another destination if there is one.
#[test]
fn a_reload_changes_the_destination() {
    let (first, second) = (Syslog::udp(), Syslog::udp());
    let log = |socket: &Syslog| {
        let addr = socket.addr();
        format!("access_log syslog:server={addr}; {SERVER}")
    };
    let mut server = Server::start(&log(&first));
    server.get("/ok?1").expect(200);
    first.line("/ok?1");
    server.rewrite(&log(&second));
    server.signal(Signal::HUP);
    pause(500);
    server.get("/ok?2").expect(200);
    second.line("/ok?2");
}
