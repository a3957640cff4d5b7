//! The response as Lua makes it: body, header, status, what is sent when.

mod support;

use support::{Client, Server, Setup, ours};

fn server(locations: &str) -> Server {
    Setup::lua(&format!(
        "server {{ listen 127.0.0.1:{{port}}; default_type text/plain; {locations} }}"
    ))
    .start()
}

/// A server whose location `/` has this content.
fn content(code: &str) -> Server {
    server(&format!(
        "location / {{ content_by_lua_block {{ {code} }} }}"
    ))
}

fn text(server: &Server, uri: &str) -> String {
    server.get(uri).expect(200).text()
}

#[test]
fn say_writes_values_as_text() {
    let server = server(
        r#"location /say {
             content_by_lua_block {
                 ngx.say("a ", 1, " ", -2.5, " ", 1e15, " ", true, false, nil, ngx.null)
                 ngx.say({"b", {1, {true, ngx.null}}, " ", 0})
                 ngx.say({"a", nil, "b"})
                 ngx.say()
                 ngx.say("")
             }
         }
         location /print { content_by_lua_block { ngx.print("a", nil) ngx.print({}) ngx.print("b") } }"#,
    );
    assert_eq!(
        text(&server, "/say"),
        "a 1 -2.5 1e+15 truefalsenilnull\nb1truenull 0\nanilb\n\n\n"
    );
    assert_eq!(text(&server, "/print"), "anilb");
}

#[test]
fn what_is_no_text_is_refused_before_anything_is_sent() {
    let server = content(
        r#"for _, bad in ipairs{function() end, {a = 1}, {1, {print}}, {[1.5] = 1}} do
               local ok, err = pcall(ngx.say, "x", bad)
               ngx.header["X-" .. _] = err
           end
           ngx.say(ngx.headers_sent)"#,
    );
    let response = server.get("/").expect(200);
    assert_eq!(response.text(), "false\n");
    for (at, message) in [
        (
            1,
            "bad argument #2 to '?' (string, number, boolean, nil, ngx.null, or array table expected, but got function)",
        ),
        (2, "bad argument #2 to '?' (non-array table found)"),
        (3, "bad argument #2 to '?' (bad data type function found)"),
        (4, "bad argument #2 to '?' (non-array table found)"),
    ] {
        let name = format!("x-{at}");
        assert_eq!(response.header(&name), Some(message));
    }
}

#[test]
fn large_bodies_arrive_whole() {
    let server = content(
        r#"local piece = string.rep("0123456789", 1000)
           for i = 1, 200 do ngx.print(piece, i, "\n") end"#,
    );
    let body = text(&server, "/");
    assert_eq!(body.lines().count(), 200);
    assert!(
        body.lines()
            .enumerate()
            .all(|(at, line)| { line.len() > 10_000 && line.ends_with(&format!("9{}", at + 1)) })
    );
}

#[test]
fn small_responses_go_out_at_once() {
    let server = content(
        r#"ngx.print("a") ngx.print("b")
           ngx.sleep(0.2)
           ngx.say("c")"#,
    );
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.expect_silence(100);
    assert_eq!(client.response().text(), "abc\n");
}

#[test]
fn flush_sends_what_there_is() {
    let server = server(
        r#"location /flush {
             content_by_lua_block {
                 ngx.say("a")
                 local ok, err = ngx.flush(true)
                 ngx.sleep(0.3)
                 ngx.say(ok, err)
             }
         }
         location /early {
             content_by_lua_block {
                 local none = {ngx.flush()}
                 ngx.send_headers()
                 local empty = {ngx.flush(false)}
                 local header = {ngx.flush(true)}
                 ngx.say(none[1], none[2], ";", empty[1], empty[2], ";", header[1], header[2])
             }
         }
         location /bad {
             content_by_lua_block {
                 local a, one = pcall(ngx.flush, 1)
                 local b, two = pcall(ngx.flush, true, true)
                 ngx.say(one) ngx.say(two)
             }
         }"#,
    );
    let mut client = server.connect();
    client.send("GET /flush HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head();
    assert_eq!(head.header("transfer-encoding"), Some("chunked"));
    assert_eq!(client.exact(7), b"2\r\na\n\r\n");
    client.expect_silence(100);
    assert_eq!(client.exact(15), b"5\r\n1nil\n\r\n0\r\n\r\n");
    assert_eq!(
        text(&server, "/early"),
        "nilnothing to flush;nilnothing to flush;1nil\n"
    );
    assert_eq!(
        text(&server, "/bad"),
        "bad argument #1 to '?' (boolean expected, got number)\n\
         attempt to pass 2 arguments, but accepted 0 or 1\n"
    );
}

#[test]
fn flush_waits_for_a_slow_client() {
    let server = Setup::lua(
        r#"server {
             listen 127.0.0.1:{port} sndbuf=8k;
             location / {
                 content_by_lua_block {
                     local piece = string.rep("x", 100000)
                     local waited = 0
                     for _ = 1, 20 do
                         ngx.print(piece)
                         local before = ngx.now()
                         assert(ngx.flush(true))
                         ngx.update_time()
                         waited = waited + ngx.now() - before
                     end
                     ngx.log(ngx.WARN, "waited long: ", waited > 0.2)
                 }
             }
         }"#,
    )
    .start();
    let mut client = Client::connect_narrow(&server.addr(), 4096);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    support::pause(400);
    assert_eq!(client.response().body.len(), 2_000_000);
    server.expect_error_log("waited long: true");
}

#[test]
fn a_client_that_takes_nothing_times_out() {
    let server = Setup::lua(
        r#"server {
             listen 127.0.0.1:{port} sndbuf=8k;
             send_timeout 200ms;
             location / {
                 content_by_lua_block {
                     local piece = string.rep("x", 1000000)
                     local ok, err
                     for _ = 1, 20 do
                         ngx.print(piece)
                         ok, err = ngx.flush(true)
                         if not ok then break end
                     end
                     ngx.log(ngx.WARN, "flush: ", ok, " ", err)
                     ok, err = ngx.say("more")
                     ngx.log(ngx.WARN, "say: ", ok, " ", err)
                 }
             }
         }"#,
    )
    .start();
    let mut client = Client::connect_narrow(&server.addr(), 4096);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    server.expect_error_log("flush: nil timeout");
    if ours("nginx takes more for a client that is gone") {
        server.expect_error_log("say: nil nginx output filter error");
    }
}

#[test]
fn eof_ends_the_response_and_lua_goes_on() {
    let server = content(
        r#"ngx.print("a")
           local one = {ngx.eof()}
           local two = {ngx.eof()}
           local three = {ngx.say("more")}
           local four = {ngx.flush(true)}
           ngx.sleep(0.2)
           local bad, err = pcall(ngx.eof, 1)
           ngx.log(ngx.WARN, "results: ", one[1], ";", two[1], two[2], ";", three[1], three[2], ";",
               four[1], four[2], ";", err)"#,
    );
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().text(), "a");
    assert!(!server.error_log().contains("results"));
    server
        .expect_error_log("results: 1;nilseen eof;nilseen eof;nilseen eof;no argument is expected");
    // The connection goes on.
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().text(), "a");
}

#[test]
fn head_has_a_header_alone() {
    let server = content(
        r#"local one = {ngx.say("a")}
           local two = {ngx.say("b")}
           local three = {ngx.flush(true)}
           ngx.log(ngx.WARN, "head: ", one[1], one[2], ";", two[1], two[2], ";", three[1], three[2])"#,
    );
    let mut client = server.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = client.response_to_head();
    assert_eq!(response.status, 200);
    server.expect_error_log("head: 1nil;nilheader only;nilheader only");
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response_to_head().status, 200);
}

#[test]
fn http10_clients_get_a_length() {
    let server = server(
        r#"location /on {
             content_by_lua_block {
                 ngx.say("a")
                 local ok, err = ngx.flush(true)
                 ngx.header["X-Late"] = ngx.headers_sent
                 ngx.say(ok, err)
             }
         }
         location /off { lua_http10_buffering off; content_by_lua_block { ngx.say("a") ngx.say("b") } }
         location /own { content_by_lua_block { ngx.header.content_length = 2 ngx.print("ab") } }
         location /none { content_by_lua_block { } }
         location /exit { content_by_lua_block { ngx.say("a") ngx.exit(403) } }
         location /access { access_by_lua_block { ngx.say("a") } content_by_lua_block { ngx.say("b") } }"#,
    );
    let get =
        |uri: &str| server.request(format!("GET {uri} HTTP/1.0\r\nConnection: close\r\n\r\n"));
    let on = get("/on").expect(200);
    assert_eq!(on.text(), "a\nnilbuffering\n");
    assert_eq!(on.header("content-length"), Some("15"));
    assert_eq!(on.header("x-late"), Some("false"));
    let off = get("/off").expect(200);
    assert_eq!(
        (off.text().as_str(), off.header("content-length")),
        ("a\nb\n", None)
    );
    assert_eq!(get("/own").expect(200).header("content-length"), Some("2"));
    assert_eq!(get("/none").expect(200).header("content-length"), Some("0"));
    assert_eq!(get("/exit").expect(200).text(), "a\n");
    if ours("lua-nginx-module 0.10.23 goes on to the content") {
        assert_eq!(get("/access").expect(200).text(), "a\n");
    }
}

#[test]
fn the_type_is_that_of_the_uri_unless_lua_says_otherwise() {
    let server = server(
        r#"location /none.html { content_by_lua_block { ngx.header.content_type = nil ngx.say("x") } }
         location /own.html { content_by_lua_block { ngx.header["Content-Type"] = "a/b" ngx.say("x") } }
         location /off.html { lua_use_default_type off; content_by_lua_block { ngx.say("x") } }
         location / { types { text/html html; } content_by_lua_block { ngx.say(ngx.header.content_type) } }"#,
    );
    let kind = |uri: &str| {
        server
            .get(uri)
            .expect(200)
            .header("content-type")
            .map(str::to_owned)
    };
    assert_eq!(kind("/a.html").as_deref(), Some("text/html"));
    assert_eq!(kind("/a").as_deref(), Some("text/plain"));
    assert_eq!(kind("/own.html").as_deref(), Some("a/b"));
    assert_eq!(kind("/none.html"), None);
    assert_eq!(kind("/off.html"), None);
}

#[test]
fn a_filter_that_fails_ends_the_output() {
    let server = server(
        r#"location / {
             content_by_lua_block {
                 local ok, err = ngx.say("a")
                 ngx.log(ngx.WARN, "say: ", ok, " ", err)
             }
             header_filter_by_lua_block { error("no header") }
         }"#,
    );
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    server.expect_error_log("say: nil nginx output filter error");
    if ours("nginx closes the connection") {
        assert_eq!(client.response().status, 500);
    }
}

#[test]
fn output_is_disabled_where_there_is_none() {
    let server = server(
        r#"location / {
             set_by_lua_block $x { local ok, err = pcall(ngx.say, "x") ngx.log(ngx.WARN, "set: ", err) return 1 }
             header_filter_by_lua_block { local ok, err = pcall(ngx.print, "x") ngx.log(ngx.WARN, "header: ", err) }
             body_filter_by_lua_block { local ok, err = pcall(ngx.flush) ngx.log(ngx.WARN, "body: ", err) }
             log_by_lua_block { local ok, err = pcall(ngx.say) ngx.log(ngx.WARN, "log: ", err) }
             content_by_lua_block {
                 ngx.timer.at(0, function()
                     local ok, err = pcall(ngx.send_headers) ngx.log(ngx.WARN, "timer: ", err)
                 end)
                 ngx.print("ok")
             }
         }"#,
    );
    assert_eq!(text(&server, "/"), "ok");
    for line in [
        "set: API disabled in the context of set_by_lua*",
        "header: API disabled in the context of header_filter_by_lua*",
        "body: API disabled in the context of body_filter_by_lua*",
        "log: API disabled in the context of log_by_lua*",
        "timer: API disabled in the context of ngx.timer",
    ] {
        server.expect_error_log(line);
    }
}
