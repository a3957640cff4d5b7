//! `ngx_http_headers_more_filter_module`.

mod support;

use support::{Server, Setup, ours};

fn setup(content: &str) -> Setup {
    let names = ["ngx_http_headers_more_filter"];
    Setup::with_modules(&names, content)
}

fn server(locations: &str) -> Server {
    setup(&format!(
        "server {{ listen 127.0.0.1:{{port}}; default_type text/plain; {locations} }}"
    ))
    .start()
}

#[test]
fn response_fields_are_set_with_variables() {
    let server = server(
        r#"location / {
               more_set_headers "X-One: 1" 'X-Two : two  words' X-Three:$arg_a;
               more_set_headers "X-One: again" "X-Uri: $uri!" "X-None: $arg_none" X-Four;
               return 200 text;
           }"#,
    );
    let response = server.get("/a?a=b").expect(200);
    assert_eq!(response.headers.all("x-one"), ["again"]);
    assert_eq!(response.header("x-two"), Some("two  words"));
    assert_eq!(response.header("x-three"), Some("b"));
    assert_eq!(response.header("x-uri"), Some("/a!"));
    assert_eq!(response.header("x-none"), None);
    assert_eq!(response.header("x-four"), None);
    assert_eq!(response.text(), "text");
}

#[test]
fn fields_of_the_server_itself_are_changed_too() {
    let server = setup(
        r#"server {
               listen 127.0.0.1:{port}; root {dir}/html;
               location /set/ {
                   alias {dir}/html/;
                   more_set_headers "Server: mine" "Date: never" "Content-Type: text/x; charset=y"
                       "Last-Modified: Thu, 18 Nov 2010 11:27:35 GMT" "Cache-Control: no-store" "ETag: tag";
               }
               location /clear/ {
                   alias {dir}/html/;
                   more_clear_headers Server Date Content-Type Last-Modified ETag Content-Length Accept-Ranges;
               }
               location /empty/ { alias {dir}/html/; more_set_headers "Server: " Date: Content-Type; }
               location /moved { more_set_headers "Location: http://else/"; return 302 /here; }
               location /still { more_clear_headers Location; return 302 /here; }
               location /length { more_set_headers "Content-Length: 2"; return 200 ab; }
           }"#,
    )
    .file("html/a.txt", "content")
    .start();
    let set = server.get("/set/a.txt").expect(200);
    for (name, value) in [
        ("server", "mine"),
        ("date", "never"),
        ("content-type", "text/x; charset=y"),
        ("last-modified", "Thu, 18 Nov 2010 11:27:35 GMT"),
        ("cache-control", "no-store"),
        ("etag", "tag"),
    ] {
        assert_eq!(set.headers.all(name), [value], "{name}");
    }
    let clear = server.get("/clear/a.txt").expect(200);
    for name in [
        "server",
        "date",
        "content-type",
        "last-modified",
        "etag",
        "accept-ranges",
    ] {
        assert_eq!(clear.header(name), None, "{name}");
    }
    assert_eq!(clear.header("transfer-encoding"), Some("chunked"));
    assert_eq!(clear.text(), "content");
    let empty = server.get("/empty/a.txt").expect(200);
    for name in ["server", "date", "content-type"] {
        assert_eq!(empty.header(name), None, "{name}");
    }
    assert_eq!(
        server.get("/moved").expect(302).headers.all("location"),
        ["http://else/"]
    );
    assert_eq!(server.get("/still").expect(302).header("location"), None);
    assert_eq!(
        server.get("/length").expect(200).header("content-length"),
        Some("2")
    );
}

#[test]
fn an_asterisk_clears_all_that_begin_so() {
    let server = server(
        r#"location / {
               add_header X-Hidden-One 1;
               more_set_headers "X-Hidden-Two: 2" "x-hidden-three: 3" "X-Hid: stays";
               more_clear_headers "X-HIDDEN-*";
               return 200 text;
           }
           location /all { more_set_headers "X-A: 1" "X-B: 2"; more_clear_headers X* S* C*; return 200; }"#,
    );
    let response = server.get("/").expect(200);
    // The filter of add_header comes later.
    assert_eq!(response.header("x-hidden-one"), Some("1"));
    assert_eq!(response.header("x-hidden-two"), None);
    assert_eq!(response.header("x-hidden-three"), None);
    assert_eq!(response.header("x-hid"), Some("stays"));
    let all = server.get("/all").expect(200);
    assert_eq!(all.header("x-a").or_else(|| all.header("x-b")), None);
    assert!(all.header("server").is_some() && all.header("content-type").is_some());
}

#[test]
fn commands_are_for_some_statuses_and_types() {
    let server = server(
        r#"more_set_headers -s 404 -s "500 503" "X-Bad: $status";
           more_set_headers -t "text/html text/plain; text/css" "X-Text: 1";
           more_set_headers -s 200 -t text/html "X-Both: 1";
           location /plain { return 200 a; }
           location /html { default_type text/html; return 200 a; }
           location /json { default_type application/json; return 200 a; }
           location /503 { return 503; }"#,
    );
    let plain = server.get("/plain").expect(200);
    assert_eq!(plain.header("x-text"), Some("1"));
    assert_eq!(
        plain.header("x-bad").or_else(|| plain.header("x-both")),
        None
    );
    assert_eq!(server.get("/html").expect(200).header("x-both"), Some("1"));
    assert_eq!(server.get("/json").expect(200).header("x-text"), None);
    let bad = server.get("/503").expect(503);
    assert_eq!(bad.header("x-bad"), Some("503"));
    assert_eq!(bad.header("x-both"), None);
    assert_eq!(
        server.get("/nosuch").expect(404).header("x-bad"),
        Some("404")
    );
}

#[test]
fn commands_of_outer_blocks_run_first() {
    let server = setup(
        r#"more_set_headers "X-One: http" "X-Two: http" "X-Three: http";
           server {
               listen 127.0.0.1:{port};
               more_set_headers "X-Two: server";
               location / { return 200 a; }
               location /own { more_set_headers "X-Three: location"; return 200 a; }
               location /clear { more_clear_headers X-One; return 200 a; }
           }"#,
    )
    .start();
    let fields = |uri: &str| {
        let response = server.get(uri).expect(200);
        ["x-one", "x-two", "x-three"]
            .map(|name| response.header(name).unwrap_or("-").to_owned())
            .join(" ")
    };
    assert_eq!(fields("/"), "http server http");
    assert_eq!(fields("/own"), "http server location");
    assert_eq!(fields("/clear"), "- server http");
}

#[test]
fn fields_are_added_with_a() {
    if !ours("Debian's module is too old for -a") {
        return;
    }
    let server = server(
        r#"location / { more_set_headers "X-A: 1"; more_set_headers -a "X-A: 2" "Set-Cookie: a"; return 200 a; }"#,
    );
    let response = server.get("/").expect(200);
    assert_eq!(response.headers.all("x-a"), ["1", "2"]);
    assert_eq!(response.headers.all("set-cookie"), ["a"]);
}

#[test]
fn what_a_client_has_sent_breaks_no_line() {
    if !ours("the original sends line breaks as they are") {
        return;
    }
    let server = server(r#"location ~ "^/([^x]*)" { more_set_headers "X-A: $1"; return 200 a; }"#);
    let response = server.get("/a%0D%0AX-B:%20evil").expect(200);
    assert_eq!(response.header("x-b"), None);
    assert_eq!(response.header("x-a"), Some("a  X-B: evil"));
}

#[test]
fn request_fields_are_changed_behind_rewrites() {
    let server = server(
        r#"more_set_input_headers "X-Outer: outer";
           location /show {
               set $early "[$http_x_zero]";
               more_set_input_headers "X-Zero: new" "X-One: new" "X-Two: $arg_a" "Host: Other.Example:80";
               more_set_input_headers "Cookie: c=3" "User-Agent: mine";
               try_files /none @show;
           }
           location @show { return 200 "$early $http_x_one $http_x_two $host $http_cookie $http_user_agent $http_x_outer"; }
           location /clear {
               more_clear_input_headers X-One "x-hidden-*";
               more_set_input_headers -r "X-Two: there" "X-Three: not there";
               more_set_input_headers -t "text/plain" "X-Four: text";
               try_files /none @clear;
           }
           location @clear { return 200 "[$http_x_one][$http_x_hidden_a][$http_x_hidden_b][$http_x_two][$http_x_three][$http_x_four]"; }"#,
    );
    let shown = server.get_with(
        "/show?a=2",
        "X-Zero: zero\r\nX-One: old\r\nX-One: older\r\nCookie: a=1\r\nCookie: b=2\r\n",
    );
    assert_eq!(
        shown.expect(200).text(),
        "[zero] new 2 other.example c=3 mine outer"
    );
    let sent = "X-One: 1\r\nX-Hidden-A: a\r\nX-HIDDEN-B: b\r\nX-Two: 2\r\n";
    assert_eq!(
        server.get_with("/clear", sent).expect(200).text(),
        "[][][][there][][]"
    );
    let typed = format!("{sent}Content-Type: text/plain\r\n");
    assert_eq!(
        server.get_with("/clear", &typed).expect(200).text(),
        "[][][][there][][text]"
    );
}

#[test]
fn a_bad_host_is_a_failure() {
    let server = server(
        r#"location / { more_set_input_headers "Host: $arg_h"; try_files /none @to; }
           location @to { return 200 "$host"; }"#,
    );
    assert_eq!(server.get("/?h=a").expect(200).text(), "a");
    if ours("the original closes the connection without a word") {
        server.get("/?h=a/b").expect(500);
    }
}

#[test]
fn what_is_wrong_is_said_while_configuring() {
    if !ours("the wording is ours") {
        return;
    }
    for (directive, message) in [
        ("more_set_headers -x a;", "invalid option name: \"-x\""),
        ("more_set_headers -r a;", "invalid option name: \"-r\""),
        ("more_clear_headers -a b;", "invalid option name: \"-a\""),
        (
            "more_set_input_headers -s 404 a;",
            "invalid option name: \"-s\"",
        ),
        ("more_set_headers -t;", "option -t takes an argument"),
        (
            "more_set_headers -s 4x4 a;",
            "invalid status \"4x4\" in the list",
        ),
        ("more_set_headers ': a';", "no name of a field found"),
        ("more_clear_headers '*';", "needs a beginning"),
        (
            "more_set_headers 'X: $nosuch';",
            "unknown \"nosuch\" variable",
        ),
        (
            "more_set_headers -a 'Server: x';",
            "can not append builtin headers \"Server\"",
        ),
    ] {
        let mut setup = setup(&format!(
            "{directive} server {{ listen 127.0.0.1:{{port}}; }}"
        ));
        setup.run(&["-t"]).expect(1, message);
    }
}
