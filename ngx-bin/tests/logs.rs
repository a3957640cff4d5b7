//! Access logs and error logs.

mod support;

use support::{Server, Setup, ours, wait_until};

#[test]
fn the_combined_format_has_its_fields() {
    let server =
        Server::start("server { listen 127.0.0.1:{port}; location / { return 200 hello; } }");
    server.get_with("/a?b", "Referer: http://r/\r\nUser-Agent: agent\r\n");
    server.expect_access_log("] \"GET /a?b HTTP/1.1\" 200 5 \"http://r/\" \"agent\"\n");
    let log = server.read("access.log");
    assert!(log.starts_with("127.0.0.1 - - ["), "{log}");
}

#[test]
fn log_format_logs_what_was_sent() {
    let server = Server::start(
        r#"log_format own "$status $body_bytes_sent $bytes_sent $request_length $request_time "
                          "[$sent_http_x_a] $request_completion";
           access_log {dir}/own.log own;
           server {
               listen 127.0.0.1:{port};
               location / { add_header X-A b; return 200 hello; }
           }"#,
    );
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut client = server.connect();
    let sent = client.send(request).rest().len();
    server.expect_in("own.log", "\n");
    let log = server.read("own.log");
    let words: Vec<&str> = log.trim_end().split(' ').collect();
    assert_eq!(
        words[..4],
        ["200", "5", &sent.to_string(), &request.len().to_string()],
        "{log}"
    );
    assert!(
        words[4].parse::<f64>().is_ok_and(|time| time < 5.0),
        "{log}"
    );
    assert_eq!(words[5..], ["[b]", "OK"], "{log}");
}

#[test]
fn values_are_escaped_in_a_log() {
    let server = Server::start(
        r#"log_format plain  "$arg_a|$http_x";
           log_format json escape=json "$http_x|$http_none";
           log_format raw escape=none "$http_x|$http_none";
           access_log {dir}/plain.log plain;
           access_log {dir}/json.log json;
           access_log {dir}/raw.log raw;
           server { listen 127.0.0.1:{port}; location / { return 204; } }"#,
    );
    server.get_with("/", "X: a\"b\\c\td\r\n").expect(204);
    server.expect_in("plain.log", "-|a\\x22b\\x5Cc\\x09d\n");
    server.expect_in("json.log", "a\\\"b\\\\c\\td|\n");
    server.expect_in("raw.log", "a\"b\\c\td|\n");
}

#[test]
fn an_unknown_format_is_said() {
    let mut setup = Setup::http("access_log {dir}/a.log bogus; server { listen 127.0.0.1:1; }");
    setup.run(&["-t"]).expect(1, "unknown log format \"bogus\"");
}

#[test]
fn access_log_off_logs_nothing() {
    let server = Server::start(
        "server {
             listen 127.0.0.1:{port};
             location /off { access_log off; return 204; }
             location /on { return 204; }
         }",
    );
    server.get("/off").expect(204);
    server.get("/on").expect(204);
    server.expect_access_log("/on");
    assert!(!server.read("access.log").contains("/off"));
}

#[test]
fn a_request_goes_to_every_log_of_its_location() {
    let server = Server::start(
        "server {
             listen 127.0.0.1:{port};
             access_log {dir}/outer.log;
             location /inner {
                 access_log {dir}/one.log;
                 access_log {dir}/two.log combined;
                 return 204;
             }
             location / { return 204; }
         }",
    );
    server.get("/inner").expect(204);
    server.get("/outer").expect(204);
    server.expect_in("one.log", "/inner");
    server.expect_in("two.log", "/inner");
    server.expect_in("outer.log", "/outer");
    assert!(!server.read("outer.log").contains("/inner"));
    assert_eq!(server.read("access.log"), "");
}

#[test]
fn a_condition_chooses_what_is_logged() {
    let server = Server::start(
        "access_log {dir}/some.log combined if=$arg_log;
         server { listen 127.0.0.1:{port}; location / { return 204; } }",
    );
    for uri in ["/a", "/b?log=0", "/c?log=1"] {
        server.get(uri).expect(204);
    }
    server.expect_in("some.log", "/c?log=1");
    assert_eq!(server.read("some.log").lines().count(), 1);
}

#[test]
fn the_path_of_a_log_may_have_variables() {
    let server = Server::start(
        "server {
             listen 127.0.0.1:{port};
             access_log {dir}/$arg_name.log;
             location / { return 204; }
         }",
    );
    server.get("/?name=left").expect(204);
    server.get("/?name=right").expect(204);
    server.expect_in("left.log", "name=left");
    server.expect_in("right.log", "name=right");
}

#[test]
fn pipelined_requests_are_logged_one_by_one() {
    let server = Server::start("server { listen 127.0.0.1:{port}; location / { return 204; } }");
    let mut client = server.connect();
    client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20));
    for _ in 0..20 {
        client.response().expect(204);
    }
    wait_until("twenty lines", || {
        server.read("access.log").lines().count() == 20
    });
}

#[test]
fn a_refused_request_is_logged_as_it_came() {
    let server = Server::start("server { listen 127.0.0.1:{port}; location / { } }");
    server.request("BAD\0REQUEST\r\n\r\n").expect(400);
    server.expect_access_log("\"BAD\\x00REQUEST\" 400 ");
}

#[test]
fn error_log_is_per_location() {
    let server = Server::start(
        "server {
             listen 127.0.0.1:{port};
             location /a/ { error_log {dir}/a-error.log; }
             location /b/ { error_log {dir}/b-error.log crit; }
         }",
    );
    server.get("/a/none").expect(404);
    server.get("/b/none").expect(404);
    server.expect_in(
        "a-error.log",
        "a/none\" failed (2: No such file or directory)",
    );
    server.expect_access_log("/b/none");
    assert_eq!(server.read("b-error.log"), "");
    assert!(!server.error_log().contains("none"));
}

#[test]
fn a_line_of_the_error_log_has_time_level_pid_and_connection() {
    let server = Server::start("server { listen 127.0.0.1:{port}; }");
    server.get("/none").expect(404);
    server.expect_error_log("/none");
    let log = server.error_log();
    let line = log
        .lines()
        .find(|line| line.contains("/none"))
        .expect("a line");
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(
        (words[0].len(), words[1].len(), words[2]),
        (10, 8, "[error]"),
        "{line}"
    );
    let (pid, tid) = words[3]
        .trim_end_matches(':')
        .split_once('#')
        .expect("pid#tid");
    assert!(
        pid.parse::<u32>().is_ok() && tid.parse::<u32>().is_ok(),
        "{line}"
    );
    assert!(words[4].starts_with('*'), "{line}");
}

#[test]
fn what_is_refused_for_another_reason_is_logged_with_its_path() {
    let server = Server::start(
        "log_format paths '$status <$uri> <$args>'; access_log {dir}/paths.log paths;
         server { listen 127.0.0.1:{port}; location / { } }",
    );
    for (request, line) in [
        (
            "TRACE /a%20b?c HTTP/1.1\r\nHost: a\r\n\r\n",
            "405 </a b> <c>\n",
        ),
        ("GET /a?c HTTP/1.1\r\nHost: a..b\r\n\r\n", "400 </a> <c>\n"),
        ("GET /a/../.. HTTP/1.1\r\nHost: a\r\n\r\n", "400 <-> <->\n"),
    ] {
        let mut client = server.connect();
        client.send(request);
        client.response();
        server.expect_in("paths.log", line);
    }
}

#[test]
fn error_logs_may_be_in_json() {
    if !ours("error logs in JSON") {
        return;
    }
    let server = Server::start(
        "error_log {dir}/error.log info;
         error_log {dir}/json.log info format=json;
         server { listen 127.0.0.1:{port}; server_name a; root {dir}/html; }",
    );
    let headers = "Referer: \"x\"\r\n";
    server.get_with("/none", headers).expect(404);
    server.expect_in("json.log", "/none");
    server.expect_error_log("/none");
    let log = server.read("json.log");
    let line = log.lines().find(|line| line.contains("/none")).unwrap();
    let time = line.strip_prefix(r#"{"time":""#).unwrap();
    assert!(
        time.get(10..11) == Some("T") && time.get(25..26) == Some("\""),
        "{line}"
    );
    let dir = server.path("html");
    let message = format!(
        r#","message":"open() \"{}/none\" failed (2: No such file or directory)","client":"127.0.0.1","server":"a","request":"GET /none HTTP/1.1","host":"localhost","referrer":"\"x\""}}"#,
        dir.display()
    );
    assert!(line.ends_with(&message), "{line}");
    for field in [
        r#","level":"error","pid":"#,
        r#","tid":"#,
        r#","connection":"#,
    ] {
        assert!(line.contains(field), "no {field} in {line}");
    }
}

#[test]
fn of_debug_connections_everything_is_logged() {
    let debugged = |clients: &str| {
        let server = Setup::main(&format!(
            "events {{ debug_connection {clients}; }}
             http {{
                 access_log {{dir}}/access.log;
                 server {{
                     listen 127.0.0.1:{{port}};
                     root {{dir}}/html;
                     error_log {{dir}}/own.log;
                     location / {{ try_files $uri /x; }}
                 }}
             }}"
        ))
        .file("html/x", "x")
        .start();
        server.get("/y").expect(200);
        server.expect_access_log("/y");
        server.read("own.log")
    };
    let message = "trying to use file: \"";
    let log = debugged("127.0.0.0/8");
    let line = log.lines().find(|line| line.contains(message));
    assert!(line.is_some_and(|line| line.contains(" [debug] ")), "{log}");
    assert_eq!(debugged("10.0.0.0/8"), "");
}

/// Several threads write to one file; no line is two or half of one.
#[test]
fn lines_of_many_threads_are_whole() {
    let server = Setup::http(
        "error_log {dir}/error.log; error_log {dir}/second.log;
         access_log {dir}/buffered.log combined buffer=1k flush=1s;
         server { listen 127.0.0.1:{port}; root {dir}/html; }",
    )
    .workers(4)
    .start();
    let addr = server.addr();
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let addr = addr.clone();
            std::thread::spawn(move || {
                let mut client = support::Client::connect(&addr);
                for i in 0..100 {
                    let name = "z".repeat(i + 100);
                    client.send(format!(
                        "GET /{number}-{i}-{name} HTTP/1.1\r\nHost: h\r\n\r\n"
                    ));
                    client.response().expect(404);
                }
            })
        })
        .collect();
    clients
        .into_iter()
        .for_each(|client| client.join().unwrap());
    let count = |name: &str| server.read(name).matches('\n').count();
    wait_until("all lines", || count("buffered.log") == 800);
    for name in ["error.log", "second.log"] {
        let log = server.read(name);
        let lines: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("[error]"))
            .collect();
        assert_eq!(lines.len(), 800);
        for line in lines {
            assert!(
                line.starts_with("20") && line.ends_with(", host: \"h\""),
                "{line}"
            );
            assert_eq!(line.matches("[error]").count(), 1, "{line}");
        }
    }
    for line in server.read("buffered.log").lines() {
        assert!(
            line.starts_with("127.0.0.1 - - [") && line.ends_with(" \"-\" \"-\""),
            "{line}"
        );
    }
}

#[test]
fn parts_of_debug_are_levels() {
    let mut good = Setup::raw("error_log stderr debug_core debug_http; pid {dir}/pid; events { }");
    assert_eq!(good.run(&["-t"]).code, Some(0));
    for (levels, message) in [
        ("info error", "duplicate log level \"error\" in "),
        ("debug_http info", "duplicate log level \"info\" in "),
        ("debug_nope", "invalid log level \"debug_nope\" in "),
    ] {
        let mut bad = Setup::raw("error_log stderr {levels}; events { }").set("levels", levels);
        bad.run(&["-t"]).expect(1, message);
    }
}
