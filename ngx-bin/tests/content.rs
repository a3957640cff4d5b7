//! What makes the content and the headers of a response, but for the files themselves.

mod support;

use support::{Server, Setup};

#[test]
fn return_sends_a_text() {
    let server = Server::start(
        r#"server { listen 127.0.0.1:{port}; default_type text/x; location / { return 201 "a $uri"; } }"#,
    );
    let response = server.get("/b").expect(201);
    assert_eq!(response.text(), "a /b");
    assert_eq!(response.header("content-type"), Some("text/x"));
    assert_eq!(response.header("content-length"), Some("4"));
}

#[test]
fn return_of_a_code_sends_its_page() {
    let server = Server::start(
        "server { listen 127.0.0.1:{port}; location /503 { return 503; } location /204 { return 204; } }",
    );
    let page = server.get("/503").expect(503);
    assert_eq!(page.reason, "Service Temporarily Unavailable");
    assert!(
        page.text()
            .contains("<title>503 Service Temporarily Unavailable</title>")
    );
    let empty = server.get("/204").expect(204);
    assert_eq!(
        (empty.header("content-length"), empty.body.len()),
        (None, 0)
    );
}

#[test]
fn return_redirects() {
    let server = Server::start(
        "server {
             listen 127.0.0.1:{port};
             location /301 { return 301 http://example.org$request_uri; }
             location /302 { return https://example.org/; }
             location /307 { return 307 /elsewhere; }
             location /308 { return 308 //example.org/; }
         }",
    );
    let to = |uri, status| {
        let response = server.get(uri).expect(status);
        response.header("location").expect("a location").to_owned()
    };
    assert_eq!(to("/301?a=b", 301), "http://example.org/301?a=b");
    assert_eq!(to("/302", 302), "https://example.org/");
    assert_eq!(
        to("/307", 307),
        format!("http://localhost:{}/elsewhere", server.port(0))
    );
    assert!(to("/308", 308).ends_with("//example.org/"));
}

#[test]
fn absolute_redirect_off_keeps_the_path() {
    let server = Server::start(
        "absolute_redirect off; server { listen 127.0.0.1:{port}; location / { return 302 /x; } }",
    );
    assert_eq!(server.get("/").header("location"), Some("/x"));
}

#[test]
fn return_444_closes_without_a_word() {
    let server = Server::start("server { listen 127.0.0.1:{port}; location / { return 444; } }");
    let mut client = server.connect();
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect_close();
    server.expect_access_log("\" 444 0 ");
}

fn files() -> Setup {
    Setup::http(
        "server {
             listen 127.0.0.1:{port};
             location / { try_files $uri $uri/ /fallback.html; index index.html; }
             location /code { try_files $uri =418; }
             location /named { try_files $uri.html @named; }
             location /args { try_files $uri /show?from=$uri; }
             location = /show { return 200 \"$uri $args\"; }
             location @named { return 200 \"named $uri\"; }
         }",
    )
    .file("html/fallback.html", "fallback")
    .file("html/a.txt", "a")
    .file("html/dir/index.html", "index of dir")
    .file("html/named/x.html", "x.html")
}

#[test]
fn try_files_takes_the_first_that_exists() {
    let server = files().start();
    assert_eq!(server.get("/a.txt").text(), "a");
    assert_eq!(server.get("/dir/").text(), "index of dir");
    assert_eq!(server.get("/none").text(), "fallback");
    assert_eq!(server.get("/named/x").text(), "x.html");
}

#[test]
fn try_files_ends_with_a_code_a_name_or_an_uri() {
    let server = files().start();
    assert_eq!(server.get("/code/none").status, 418);
    assert_eq!(server.get("/named/none").text(), "named /named/none");
    assert_eq!(server.get("/args/x").text(), "/show from=/args/x");
}

#[test]
fn index_tries_its_names_in_order() {
    let server = Setup::http(
        "server {
             listen 127.0.0.1:{port};
             index first.html second.$arg_kind /last.html;
         }",
    )
    .file("html/a/second.txt", "second")
    .file("html/a/first.html/keep", "a folder is no index")
    .file("html/b/second.txt", "second")
    .file("html/b/first.html", "first")
    .file("html/c/other", "")
    .file("html/last.html", "last")
    .start();
    assert_eq!(server.get("/b/?kind=txt").text(), "first");
    assert_eq!(server.get("/c/").text(), "last");
}

#[test]
fn a_folder_without_an_index_is_forbidden() {
    let server = Setup::http("server { listen 127.0.0.1:{port}; }")
        .file("html/a/x", "")
        .start();
    server.get("/a/").expect(403);
    server.expect_error_log("html/a/\" is forbidden, client: 127.0.0.1");
}

#[test]
fn autoindex_lists_a_folder() {
    let server = Setup::http("server { listen 127.0.0.1:{port}; autoindex on; }")
        .file("html/list/b.txt", "12345")
        .file("html/list/a &<>.txt", "")
        .file("html/list/sub/x", "")
        .file("html/list/.hidden", "")
        .start();
    let page = server.get("/list/").expect(200);
    assert_eq!(page.header("content-type"), Some("text/html"));
    let text = page.text();
    assert!(text.contains("<title>Index of /list/</title>"), "{text}");
    let links: Vec<&str> = text
        .split("<a href=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap_or_default())
        .collect();
    assert_eq!(
        links,
        ["../", "sub/", "a%20%26%3C%3E.txt", "b.txt"],
        "{text}"
    );
    assert!(text.contains("a &amp;&lt;&gt;.txt</a>"), "{text}");
    let line = text
        .lines()
        .find(|line| line.contains("b.txt"))
        .expect("a line");
    assert!(line.trim_end().ends_with(" 5"), "{line:?}");
}

#[test]
fn alias_replaces_the_prefix() {
    let server = Setup::http(
        "server {
             listen 127.0.0.1:{port};
             location /a/ { alias {dir}/other/; }
             location = /one { alias {dir}/other/x.txt; }
             location ~ ^/user/(\\w+)/(.*)$ { alias {dir}/other/$1-$2; }
             location /var/ { alias {dir}/$arg_dir/; }
         }",
    )
    .file("other/x.txt", "x")
    .file("other/joe-file", "joe's")
    .start();
    assert_eq!(server.get("/a/x.txt").text(), "x");
    assert_eq!(server.get("/one").text(), "x");
    assert_eq!(server.get("/user/joe/file").text(), "joe's");
    assert_eq!(server.get("/var/x.txt?dir=other").text(), "x");
    server.get("/a/../x.txt").expect(404);
}

#[test]
fn root_appends_the_whole_uri() {
    let server =
        Setup::http("server { listen 127.0.0.1:{port}; location /a/ { root {dir}/$host; } }")
            .file("localhost/a/x", "of localhost")
            .start();
    assert_eq!(server.get("/a/x").text(), "of localhost");
}

#[test]
fn types_map_extensions() {
    let server = Setup::http(
        "types { text/html html HTM; image/x-one one; } default_type a/b;
         server { listen 127.0.0.1:{port}; location /t/ { types { } default_type c/d; } }",
    )
    .file("html/a.html", "")
    .file("html/a.htm", "")
    .file("html/a.b.ONE", "")
    .file("html/none", "")
    .file("html/t/a.html", "")
    .start();
    for (uri, kind) in [
        ("/a.html", "text/html"),
        ("/a.htm", "text/html"),
        ("/a.b.ONE", "image/x-one"),
        ("/none", "a/b"),
        ("/t/a.html", "c/d"),
    ] {
        assert_eq!(server.get(uri).header("content-type"), Some(kind), "{uri}");
    }
}

#[test]
fn error_page_serves_an_uri_with_the_status() {
    let server = Setup::http(
        "server {
             listen 127.0.0.1:{port};
             error_page 404 500 502 /error.html;
             location /500 { return 500; }
         }",
    )
    .file("html/error.html", "sorry")
    .start();
    assert_eq!(server.get("/none").expect(404).text(), "sorry");
    assert_eq!(server.get("/500").expect(500).text(), "sorry");
}

#[test]
fn error_page_changes_the_status() {
    let server = Setup::http(
        "server {
             listen 127.0.0.1:{port};
             error_page 404 =200 /empty.html;
             error_page 403 = /own;
             location = /own { return 202 own; }
             location /403 { return 403; }
         }",
    )
    .file("html/empty.html", "nothing")
    .start();
    assert_eq!(server.get("/none").expect(200).text(), "nothing");
    assert_eq!(server.get("/403").expect(202).text(), "own");
}

#[test]
fn error_page_redirects_to_another_site() {
    let server = Server::start(
        "server {
             listen 127.0.0.1:{port};
             error_page 404 http://example.org/$uri;
             error_page 403 =301 http://example.org/moved;
             location /403 { return 403; }
         }",
    );
    let response = server.get("/none").expect(302);
    assert_eq!(
        response.header("location"),
        Some("http://example.org//none")
    );
    assert_eq!(
        server.get("/403").expect(301).header("location"),
        Some("http://example.org/moved")
    );
}

#[test]
fn error_page_does_not_follow_itself() {
    let server = Server::start("server { listen 127.0.0.1:{port}; error_page 404 /none.html; }");
    assert!(
        server
            .get("/x")
            .expect(404)
            .text()
            .contains("404 Not Found")
    );
}

#[test]
fn recursive_error_pages_follow_once_more() {
    let server = Server::start(
        "server {
             listen 127.0.0.1:{port};
             recursive_error_pages on;
             error_page 404 /gone;
             error_page 410 =200 /last;
             location = /gone { return 410; }
             location = /last { return 200 last; }
         }",
    );
    assert_eq!(server.get("/x").text(), "last");
}

#[test]
fn an_endless_recursion_of_error_pages_is_500() {
    let server = Server::start(
        "server { listen 127.0.0.1:{port}; recursive_error_pages on; error_page 404 /none; }",
    );
    server.get("/x").expect(500);
    server.expect_error_log("rewrite or internal redirection cycle");
}

#[test]
fn the_page_of_an_error_after_a_post_is_fetched_by_get() {
    let server = Server::start(
        "server {
             listen 127.0.0.1:{port};
             error_page 403 /method;
             location = /method { return 200 $request_method; }
             location / { return 403; }
         }",
    );
    let response = server.post("/", "abc");
    assert_eq!(response.text(), "GET");
}

#[test]
fn add_header_is_for_good_statuses() {
    let server = Server::start(
        "server {
             listen 127.0.0.1:{port};
             add_header X-Some some-$uri;
             add_header X-Always always always;
             location /200 { return 200 a; }
             location /302 { return 302 /; }
             location /404 { return 404; }
         }",
    );
    for (uri, some) in [
        ("/200", Some("some-/200")),
        ("/302", Some("some-/302")),
        ("/404", None),
    ] {
        let response = server.get(uri);
        assert_eq!(response.header("x-some"), some, "{uri}");
        assert_eq!(response.header("x-always"), Some("always"), "{uri}");
    }
}

#[test]
fn add_header_with_an_empty_value_adds_nothing() {
    let server = Server::start(
        "server { listen 127.0.0.1:{port}; location / { add_header X-A $arg_a; return 200 a; } }",
    );
    assert_eq!(server.get("/").header("x-a"), None);
    assert_eq!(server.get("/?a=b").header("x-a"), Some("b"));
}

#[test]
fn set_makes_variables() {
    let server = Server::start(
        r#"server {
            listen 127.0.0.1:{port};
            set $a one;
            set $b "$a-${a}x";
            location / { set $a two; return 200 "$a $b"; }
            location /plain { return 200 "$a $b"; }
        }"#,
    );
    assert_eq!(server.get("/").text(), "two one-onex");
    assert_eq!(server.get("/plain").text(), "one one-onex");
}

#[test]
fn variables_of_the_request_have_their_values() {
    let server = Server::start(
        r#"server {
            listen 127.0.0.1:{port};
            server_name localhost other;
            location / {
                root {dir}/html;
                return 200 "$request_method|$request_uri|$uri|$args|$query_string|$is_args|$arg_b|$host|$http_x_one|$cookie_k|$scheme|$server_protocol|$server_name|$server_port|$server_addr|$remote_addr|$content_length|$content_type|$document_root|$request_filename|$request";
            }
        }"#,
    );
    let response = server.request(
        "POST /a%20b?a=1&b=2 HTTP/1.1\r\nHost: LOCALHOST:99\r\nX-One: one\r\n\
         Cookie: j=1; k=v\r\nContent-Type: t/x\r\nContent-Length: 3\r\n\r\nabc",
    );
    let (root, port) = (server.path("html").display().to_string(), server.port(0));
    let expected = format!(
        "POST|/a%20b?a=1&b=2|/a b|a=1&b=2|a=1&b=2|?|2|localhost|one|v|http|HTTP/1.1|localhost|\
         {port}|127.0.0.1|127.0.0.1|3|t/x|{root}|{root}/a b|POST /a%20b?a=1&b=2 HTTP/1.1"
    );
    assert_eq!(response.text(), expected);
}

#[test]
fn variables_of_the_connection_have_their_values() {
    let server = Server::start(
        r#"server {
            listen 127.0.0.1:{port};
            location / { return 200 "$connection $connection_requests $remote_port $pid $msec $time_iso8601 $hostname"; }
        }"#,
    );
    let mut client = server.connect();
    let mut ask = || {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client
            .response()
            .text()
            .split(' ')
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (first, second) = (ask(), ask());
    assert_eq!(first[0], second[0]);
    assert_eq!((first[1].as_str(), second[1].as_str()), ("1", "2"));
    assert!(
        first[2].parse::<u16>().is_ok() && first[3].parse::<u32>().is_ok(),
        "{first:?}"
    );
    assert!(
        first[4].parse::<f64>().is_ok() && first[5].contains('T'),
        "{first:?}"
    );
    assert!(!first[6].is_empty());
}

#[test]
fn server_tokens_off_hides_the_version() {
    let server = Server::start("server_tokens off; server { listen 127.0.0.1:{port}; }");
    let response = server.get("/none").expect(404);
    let name = response.header("server").expect("a server header");
    assert!(
        !name.contains(|letter: char| letter.is_ascii_digit()),
        "{name}"
    );
    assert!(
        !response.text().contains(&format!("{name}/")),
        "{}",
        response.text()
    );
}

#[test]
fn a_text_may_say_its_own_status() {
    let server = Server::start(
        "server { listen 127.0.0.1:{port}; return 202 \"$status $server_protocol\"; }",
    );
    assert_eq!(server.get("/").expect(202).text(), "202 HTTP/1.1");
    let mut client = server.connect();
    client.send("GET /\r\n");
    assert_eq!(client.rest(), b"202 ");
}

#[test]
fn the_page_of_302_says_found() {
    let server = Server::start("server { listen 127.0.0.1:{port}; return 302 /elsewhere; }");
    let response = server.get("/").expect(302);
    assert_eq!(response.reason, "Moved Temporarily");
    assert!(
        response.text().contains("<title>302 Found</title>"),
        "{}",
        response.text()
    );
}

#[test]
fn an_error_page_from_a_file_says_nothing_of_its_age() {
    let server = Setup::http("server { listen 127.0.0.1:{port}; error_page 404 /404.html; }")
        .file("html/404.html", "gone")
        .start();
    let response = server.get("/none").expect(404);
    assert_eq!(response.text(), "gone");
    assert_eq!(response.header("last-modified"), None);
    let page = server.get("/404.html").expect(200);
    assert!(page.header("last-modified").is_some());
}
