//! `ngx.header`, `ngx.resp`, `ngx.status`.

mod support;

use support::{Server, Setup, ours};

fn server(locations: &str) -> Server {
    Setup::lua(&format!(
        "server {{ listen 127.0.0.1:{{port}}; default_type text/plain; {locations} }}"
    ))
    .start()
}

fn content(code: &str) -> Server {
    server(&format!(
        "location / {{ content_by_lua_block {{ {code} }} }}"
    ))
}

#[test]
fn headers_are_set_replaced_and_removed() {
    let server = content(
        r#"ngx.header.x_one = "1"
           ngx.header["X-Two"] = {"a", 2, true}
           ngx.header.x_three = "x"
           ngx.header.x_three = {"y"}
           ngx.header.x_four = {"1", "2"}
           ngx.header.x_four = "3"
           ngx.header.x_five = "5"
           ngx.header.x_five = nil
           ngx.header.x_six = {}
           ngx.header.x_seven = ""
           ngx.header.x_eight = 8.5
           ngx.header["X-" .. 9] = true
           local two = ngx.header.x_two
           ngx.say(ngx.header.X_ONE, type(two), #two, two[3], ngx.header.x_five, ngx.header["x-four"])"#,
    );
    let response = server.get("/").expect(200);
    assert_eq!(response.text(), "1table3truenil3\n");
    assert_eq!(response.headers.all("x-one"), ["1"]);
    assert_eq!(response.headers.all("x-two"), ["a", "2", "true"]);
    assert_eq!(response.headers.all("x-three"), ["y"]);
    assert_eq!(response.headers.all("x-four"), ["3"]);
    assert_eq!(response.header("x-five"), None);
    assert_eq!(response.header("x-six"), None);
    assert_eq!(response.header("x-seven"), None);
    assert_eq!(response.header("x-eight"), Some("8.5"));
    assert_eq!(response.header("x-9"), Some("true"));
}

#[test]
fn headers_of_the_server_itself_are_lua_s_too() {
    let server = server(
        r#"location /set {
             content_by_lua_block {
                 ngx.header.server = "mine"
                 ngx.header.date = "never"
                 ngx.header.content_length = 3
                 ngx.header.location = "/elsewhere"
                 ngx.header.etag = '"tag"'
                 ngx.header.last_modified = "Thu, 18 Nov 2010 11:27:35 GMT"
                 ngx.header.cache_control = {"private", "no-store"}
                 ngx.header.expires = {"one", "two"}
                 ngx.header.set_cookie = {"a=1", "b=2"}
                 ngx.header.vary = ngx.header.content_length .. ngx.header.last_modified
                     .. ngx.header.etag .. ngx.header.location .. ngx.header.server
                 ngx.print("abc")
             }
         }
         location /none {
             content_by_lua_block {
                 ngx.header.server = nil
                 ngx.header.date = nil
                 ngx.header.content_length = 5
                 ngx.header.content_length = nil
                 ngx.header.last_modified = "x"
                 ngx.header.last_modified = nil
                 ngx.header.location = "http://a/"
                 ngx.header.location = nil
                 ngx.header.etag = "x"
                 ngx.header.etag = nil
                 ngx.print("abc")
             }
         }
         location /status {
             content_by_lua_block {
                 ngx.status = 404
                 ngx.header.last_modified = "Thu, 18 Nov 2010 11:27:35 GMT"
                 ngx.header.location = "http://b/c"
                 ngx.print("abc")
             }
         }"#,
    );
    let set = server.get("/set").expect(200);
    assert_eq!(set.headers.all("server"), ["mine"]);
    assert_eq!(set.headers.all("date"), ["never"]);
    assert_eq!(set.headers.all("content-length"), ["3"]);
    assert_eq!(set.headers.all("location"), ["/elsewhere"]);
    assert_eq!(set.headers.all("etag"), ["\"tag\""]);
    assert_eq!(
        set.headers.all("last-modified"),
        ["Thu, 18 Nov 2010 11:27:35 GMT"]
    );
    assert_eq!(set.headers.all("cache-control"), ["private", "no-store"]);
    assert_eq!(set.headers.all("expires"), ["two"]);
    assert_eq!(set.headers.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(
        set.header("vary"),
        Some("3Thu, 18 Nov 2010 11:27:35 GMT\"tag\"/elsewheremine")
    );
    let none = server.get("/none").expect(200);
    for name in [
        "server",
        "date",
        "content-length",
        "last-modified",
        "location",
        "etag",
    ] {
        assert_eq!(none.header(name), None, "{name}");
    }
    let status = server.get("/status").expect(404);
    assert!(status.header("last-modified").is_some());
    assert_eq!(status.headers.all("location"), ["http://b/c"]);
}

#[test]
fn a_date_of_lua_s_answers_conditional_requests() {
    let server = content(
        r#"ngx.header.last_modified = "Thu, 18 Nov 2010 11:27:35 GMT"
           ngx.say("x")"#,
    );
    let since = "If-Modified-Since: Thu, 18 Nov 2010 11:27:35 GMT\r\n";
    let response = server.get_with("/", since).expect(304);
    assert!(response.header("last-modified").is_some());
    assert!(response.body.is_empty());
}

#[test]
fn line_breaks_cannot_be_smuggled() {
    let server = content(
        r#"ngx.header["X-A\r\nX-B: c"] = "d\r\nX-C: e\tf"
           ngx.header.location = "/a\nX-D: b"
           ngx.header["X Y(Z)"] = "\0\127"
           ngx.say("x")"#,
    );
    let response = server.get("/").expect(200);
    for name in ["x-b", "x-c", "x-d"] {
        assert_eq!(response.header(name), None);
    }
    assert_eq!(
        response.header("x-a%0D%0AX-B%3A%20c"),
        Some("d%0D%0AX-C: e\tf")
    );
    assert_eq!(response.header("location"), Some("/a%0AX-D: b"));
    assert_eq!(response.header("X%20Y%28Z%29"), Some("%00%7F"));
}

#[test]
fn underscores_stay_where_the_location_says_so() {
    let server = server(
        r#"location / {
             lua_transform_underscores_in_response_headers off;
             content_by_lua_block {
                 ngx.header.x_one = "1"
                 ngx.say(ngx.header.x_one, ngx.header["x-one"])
             }
         }"#,
    );
    let response = server.get("/").expect(200);
    assert_eq!(response.header("x_one"), Some("1"));
    assert_eq!(response.text(), "1nil\n");
}

#[test]
fn what_comes_too_late_is_logged() {
    let server = content(
        r#"ngx.say(ngx.headers_sent)
           ngx.say(ngx.headers_sent)
           ngx.header.x_late = "1"
           ngx.status = 404
           ngx.say(ngx.header.x_late, ngx.status)"#,
    );
    let response = server.get("/").expect(200);
    assert_eq!(response.text(), "false\ntrue\nnil200\n");
    assert_eq!(response.header("x-late"), None);
    server.expect_error_log("attempt to set ngx.header.HEADER after sending out response headers");
    server.expect_error_log("attempt to set ngx.status after sending out response headers");
}

#[test]
fn bad_values_raise() {
    let server = content(
        r#"local _, length = pcall(function() ngx.header.content_length = "many" end)
           local _, ctx = pcall(function() ngx.ctx = 3 end)
           local _, add = pcall(require("ngx.resp").add_header, "X", nil)
           ngx.say(length) ngx.say(ctx) ngx.say(add)"#,
    );
    let text = server.get("/").expect(200).text();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].ends_with("failed to set header"), "{text}");
    assert!(
        lines[1].ends_with("ctx should be a table while getting a number"),
        "{text}"
    );
    assert!(lines[2].ends_with("invalid header value"), "{text}");
}

#[test]
fn the_status_is_lua_s() {
    let server = server(
        r#"location /set { content_by_lua_block { ngx.say_ = 1 ngx.status = 201 ngx.say(ngx.status) } }
         location /text { content_by_lua_block { ngx.status = "202" ngx.say(ngx.status) } }
         location /none { content_by_lua_block { ngx.say(ngx.status) } }
         location /reason { content_by_lua_block { require("ngx.resp").set_status(299, "Fine Enough") ngx.say("x") } }
         location /own { content_by_lua_block { ngx.status = 599 ngx.say("x") } }
         location /page { error_page 404 = /set; return 404; }
         location /keep { error_page 404 /see; return 404; }
         location /see { content_by_lua_block { ngx.say(ngx.status) } }"#,
    );
    assert_eq!(server.get("/set").expect(201).text(), "201\n");
    assert_eq!(server.get("/text").expect(202).text(), "202\n");
    assert_eq!(server.get("/none").expect(200).text(), "0\n");
    if ours("Debian's lua-resty-core has no set_status") {
        assert_eq!(server.get("/reason").expect(299).reason, "Fine Enough");
    }
    assert_eq!(server.get("/own").expect(599).text(), "x\n");
    assert_eq!(server.get("/page").expect(201).text(), "201\n");
    assert_eq!(server.get("/keep").expect(404).text(), "404\n");
}

#[test]
fn all_headers_in_one_table() {
    let server = server(
        r#"location /all {
             content_by_lua_block {
                 ngx.header.x_one = "1"
                 ngx.header["X-Two"] = {"a", "b"}
                 local all = ngx.resp.get_headers()
                 ngx.say(all["x-one"], all["X-One"], all.x_one, table.concat(all.x_two, ","), all.connection)
                 local raw = ngx.resp.get_headers(0, true)
                 ngx.say(raw["x-one"], raw["X-Two"][2], raw["x-two"])
             }
         }
         location /many {
             content_by_lua_block {
                 for at = 1, 120 do ngx.header["X-" .. at] = at end
                 local function count(...)
                     local all, err = ngx.resp.get_headers(...)
                     local n = 0
                     for _ in pairs(all) do n = n + 1 end
                     return n .. " " .. tostring(err)
                 end
                 ngx.say(count(), ";", count(10), ";", count(0), ";", count(nil))
             }
         }
         location /filter {
             content_by_lua_block { ngx.header.content_length = 2 ngx.print("ok") }
             header_filter_by_lua_block {
                 local all = ngx.resp.get_headers()
                 ngx.header.x_seen = all["content-length"] .. all["content-type"] .. ngx.status
                 ngx.header.content_type = "a/b"
             }
             log_by_lua_block { ngx.log(ngx.WARN, "logged: ", ngx.header.x_seen, ngx.status) }
         }"#,
    );
    assert_eq!(
        server.get("/all").expect(200).text(),
        "111a,bclose\n1bnil\n"
    );
    assert_eq!(
        server.get("/many").expect(200).text(),
        "100 truncated;10 truncated;121 nil;100 truncated\n"
    );
    let filter = server.get("/filter").expect(200);
    assert_eq!(filter.header("x-seen"), Some("2text/plain200"));
    assert_eq!(filter.header("content-type"), Some("a/b"));
    server.expect_error_log("logged: 2text/plain200200");
}

#[test]
fn headers_are_added() {
    let server = content(
        r#"local resp = require "ngx.resp"
           resp.add_header("X-One", "1")
           resp.add_header("X-One", {"2", "3"})
           resp.add_header("X-One", {})
           resp.add_header("Content-Type", "a/b")
           ngx.say("x")"#,
    );
    let response = server.get("/").expect(200);
    assert_eq!(response.headers.all("x-one"), ["1", "2", "3"]);
    assert_eq!(response.headers.all("content-type"), ["a/b"]);
}

#[test]
fn headers_of_a_backend_are_lua_s() {
    let server = server(
        r#"location = /proxied/ {
             proxy_pass http://127.0.0.1:{port}/backend;
             header_filter_by_lua_block {
                 local date = ngx.header.last_modified
                 if not date then return end
                 ngx.header.last_modified = nil
                 ngx.header.x_seen = date .. ngx.header.etag .. ngx.header.x_own
                 ngx.header.etag = nil
                 ngx.header.x_own = nil
             }
         }
         location /backend {
             content_by_lua_block {
                 ngx.header.last_modified = "Thu, 18 Nov 2010 11:27:35 GMT"
                 ngx.header.etag = "tag"
                 ngx.header.x_own = "own"
                 ngx.print("x")
             }
         }"#,
    );
    let response = server.get("/proxied/").expect(200);
    assert_eq!(
        response.header("x-seen"),
        Some("Thu, 18 Nov 2010 11:27:35 GMTtagown")
    );
    for name in ["last-modified", "etag", "x-own"] {
        assert_eq!(response.header(name), None, "{name}");
    }
    let missing = server.get("/proxied").expect(301);
    let location = missing.header("location").unwrap();
    assert!(location.ends_with("/proxied/"), "{location}");
}
