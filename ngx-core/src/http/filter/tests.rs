//! Whole requests, through rewriting and all filters, for a client that is made up.

use std::path::Path;
use std::sync::Arc;

use crate::conf::MemorySource;
use crate::cycle::{BuildOptions, Cycle};
use crate::http::http_registry;
use crate::http::modules::ALL;
use crate::http::testing::Client;

/// The configuration of these tests, in a folder with the file `/ten` of ten bytes.
fn configure(folder: &Path) -> Arc<Cycle> {
    std::fs::write(folder.join("ten"), b"0123456789").unwrap();
    std::fs::create_dir(folder.join("logs")).unwrap();
    let http = format!(
        r#"events {{ }}
        http {{
          default_type text/plain; root {};
          server {{
            add_header X-Usual 1;
            add_header X-Always 2 always;
            rewrite ^/old/(.*)$ /new/$1;
            location / {{ }}
            location /text {{ return 200 "some text"; }}
            location /none {{ return 204; }}
            location /gone {{ return 410 "gone"; }}
            location /close {{ return 444; }}
            location /away {{ return 301 https://b/$arg_x; }}
            location /new/ {{
              set $first $uri;
              rewrite ^/new/(?<rest>.+)$ /newer/$rest?a=1 last;
            }}
            location /newer/ {{ return 200 "$first $uri $args $rest"; }}
            location /stay/ {{
              rewrite ^/stay/(.*)$ /$1 break;
              return 500;
            }}
            location /loop {{ rewrite ^ /loop last; }}
            location /moved {{ rewrite ^/moved/(.*)$ http://b/$1? permanent; }}
            error_page 403 =200 /text;
            location /forbidden {{ return 403; }}
          }}
        }}"#,
        folder.display()
    );
    let registry = http_registry(ALL.iter().copied())
        .unwrap()
        .with_extension(Arc::new(crate::log::LogFiles::default()));
    let source = MemorySource::new().with_file("/ngx.conf", http);
    let mut options = BuildOptions {
        test: true,
        ..BuildOptions::default()
    };
    options.load.prefix = folder.to_owned();
    Cycle::build(&registry, &source, Path::new("/ngx.conf"), &options, None).unwrap()
}

/// Everything that the client gets for a request.
fn serve(head: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let cycle = configure(folder.path());
    let client = Client::at("127.0.0.1:4321");
    client.send(cycle, &format!("{}\r\n\r\n", head.replace('\n', "\r\n")));
    client.got().unwrap_or_else(|| "aborted".to_owned())
}

fn get(path: &str) -> String {
    serve(&format!("GET {path} HTTP/1.1\nHost: a"))
}

fn ten(fields: &str) -> String {
    serve(&format!("GET /ten HTTP/1.1\nHost: a\n{fields}"))
}

#[track_caller]
fn check(response: &str, status: &str, with: &[&str], without: &[&str]) {
    let start = format!("HTTP/1.1 {status} ");
    assert!(response.starts_with(&start), "{status}: {response}");
    for text in with {
        assert!(response.contains(text), "lacks {text:?}: {response}");
    }
    for text in without {
        assert!(!response.contains(text), "has {text:?}: {response}");
    }
}

#[test]
fn returns_answer() {
    let type_and_length = "Content-Type: text/plain\r\nContent-Length: 9\r\n";
    let lines = ["X-Usual: 1\r\n", "X-Always: 2\r\n"];
    check(
        &get("/text"),
        "200",
        &[type_and_length, lines[0], lines[1]],
        &["chunked"],
    );
    assert!(get("/text").ends_with("\r\n\r\nsome text"));
    let head = serve("HEAD /text HTTP/1.1\nHost: a");
    check(&head, "200", &["Content-Length: 9"], &["some text"]);
    check(
        &get("/none"),
        "204",
        &[lines[0]],
        &["Content-Length", "Content-Type"],
    );
    check(
        &get("/gone"),
        "410",
        &["\r\n\r\ngone", lines[1]],
        &[lines[0], "<html>"],
    );
    check(
        &get("/away?x=c"),
        "301",
        &["Location: https://b/c\r\n", "<html>"],
        &[],
    );
    check(
        &get("/forbidden"),
        "200",
        &["\r\n\r\nsome text", lines[0]],
        &[],
    );
    assert_eq!(get("/close"), "aborted");
}

#[test]
fn rewrites_move_on() {
    check(
        &get("/old/x"),
        "200",
        &["\r\n\r\n/new/x /newer/x a=1 x"],
        &[],
    );
    check(
        &get("/new/y?b=2"),
        "200",
        &["\r\n\r\n/new/y /newer/y a=1&b=2 y"],
        &[],
    );
    check(&get("/stay/ten"), "200", &["\r\n\r\n0123456789"], &[]);
    check(
        &get("/moved/z?b=2"),
        "301",
        &["Location: http://b/z\r\n"],
        &[],
    );
    check(&get("/loop"), "500", &["X-Always: 2"], &["X-Usual"]);
}

#[test]
fn conditions_are_answered() {
    check(
        &ten(""),
        "200",
        &["Accept-Ranges: bytes\r\n", "ETag: \""],
        &[],
    );
    let all = "If-None-Match: *";
    check(
        &ten(all),
        "304",
        &["ETag: \"", "Last-Modified"],
        &["Content-", "Accept-Ranges"],
    );
    check(
        &ten("If-None-Match: \"other\""),
        "200",
        &["\r\n\r\n0123456789"],
        &[],
    );
    check(
        &ten("If-Match: \"other\""),
        "412",
        &["X-Always: 2\r\n", "<html>"],
        &["ETag"],
    );
}

#[test]
fn ranges_are_cut() {
    let part = ten("Range: bytes=2-4");
    check(
        &part,
        "206",
        &["Content-Range: bytes 2-4/10\r\n", "Content-Length: 3\r\n"],
        &["Accept"],
    );
    assert!(part.ends_with("\r\n\r\n234"), "{part}");
    let parts = ten("Range: bytes=-2,0-0");
    check(
        &parts,
        "206",
        &["bytes 8-9/10\r\n\r\n89\r\n", "bytes 0-0/10\r\n\r\n0\r\n"],
        &[],
    );
    let (head, body) = parts.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("Content-Length: {}\r\n", body.len())),
        "{parts}"
    );
    let beyond = ten("Range: bytes=10-");
    check(
        &beyond,
        "416",
        &["Content-Range: bytes */10\r\n", "<html>"],
        &["0123456789"],
    );
    assert_eq!(beyond.matches("X-Always").count(), 1, "{beyond}");
    check(
        &ten("Range: bytes=0-1\nIf-Range: \"other\""),
        "200",
        &["0123456789"],
        &[],
    );
}

#[test]
fn a_request_has_nothing_of_the_one_before_it() {
    let plain = || {
        let got = get("/newer/y");
        let lines = got.lines().filter(|line| !line.starts_with("Date: "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let fresh = std::thread::spawn(plain).join().unwrap();
    for before in [
        "GET /old/a?b=c HTTP/1.1\nHost: before",
        "GET /none HTTP/1.1\nHost: a",
        "HEAD /ten HTTP/1.0\nRange: bytes=1-2",
        "GET /forbidden HTTP/1.1\nHost: a",
        "GET /moved/x HTTP/1.1\nHost: a",
        "GET /close HTTP/1.1\nHost: a",
    ] {
        let _ = serve(before);
        assert_eq!(plain(), fresh, "after {before:?}");
    }
}
