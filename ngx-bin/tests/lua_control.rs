//! What Lua does with a request: `ngx.exit`, `redirect`, `exec`, `ctx`, clients that leave.

mod support;

use support::{Server, Setup};

fn server(locations: &str) -> Server {
    Setup::lua(&format!(
        "server {{ listen 127.0.0.1:{{port}}; default_type text/plain; {locations} }}"
    ))
    .start()
}

fn text(server: &Server, uri: &str) -> String {
    server.get(uri).expect(200).text()
}

#[test]
fn exit_ends_phase_or_request() {
    let server = server(
        r#"location /rewrite { rewrite_by_lua_block { ngx.exit(ngx.OK) ngx.log(ngx.ERR, "went on") } return 200 "r"; }
         location /ok { access_by_lua_block { ngx.exit(0) error("went on") } content_by_lua_block { ngx.print("c") } }
         location /declined { access_by_lua_block { ngx.exit(ngx.DECLINED) } content_by_lua_block { ngx.print("c") } }
         location /403 { access_by_lua_block { ngx.exit(ngx.HTTP_FORBIDDEN) } content_by_lua_block { ngx.print("c") } }
         location /200 { access_by_lua_block { ngx.exit(200) } content_by_lua_block { ngx.print("c") } }
         location /said { access_by_lua_block { ngx.say("a") } content_by_lua_block { ngx.print("c") } }
         location /503 { content_by_lua_block { ngx.exit(503) } }
         location /204 { content_by_lua_block { ngx.exit(204) } }
         location /own { content_by_lua_block { ngx.status = 410 ngx.say("gone") ngx.exit(410) } }
         location /status { content_by_lua_block { ngx.status = 201 ngx.exit(ngx.OK) } }
         location /page { error_page 404 /page.txt; content_by_lua_block { ngx.exit(404) } }
         location /page.txt { internal; content_by_lua_block { ngx.print("page ", ngx.status) } }
         location /nested { content_by_lua_block {
             local function deep(n) if n == 0 then ngx.say("deep") ngx.exit(200) end deep(n - 1) end
             local co = coroutine.wrap(function() deep(10) end)
             co() ngx.say("went on")
         } }
         location /thread { content_by_lua_block {
             ngx.thread.spawn(function() ngx.sleep(0.05) ngx.say("thread") ngx.exit(200) end)
             ngx.sleep(10) ngx.say("went on")
         } }"#,
    );
    assert_eq!(text(&server, "/ok"), "c");
    assert_eq!(text(&server, "/declined"), "c");
    server.get("/403").expect(403);
    assert_eq!(text(&server, "/200"), "");
    assert_eq!(text(&server, "/said"), "a\n");
    assert!(
        server
            .get("/503")
            .expect(503)
            .text()
            .contains("503 Service")
    );
    let empty = server.get("/204").expect(204);
    assert_eq!(empty.header("content-length"), None);
    assert_eq!(server.get("/own").expect(410).text(), "gone\n");
    assert_eq!(server.get("/status").expect(201).text(), "");
    assert_eq!(server.get("/page").expect(404).text(), "page 404");
    assert_eq!(text(&server, "/nested"), "deep\n");
    assert_eq!(text(&server, "/thread"), "thread\n");
    assert!(!server.error_log().contains("went on"));
}

#[test]
fn exit_after_the_header() {
    let server = server(
        r#"location /late { content_by_lua_block { ngx.say("a") ngx.exit(500) } }
         location /same { content_by_lua_block { ngx.status = 403 ngx.say("b") ngx.exit(403) } }
         location /444 { content_by_lua_block { ngx.say(string.rep("c", 3000)) ngx.exit(444) } }
         location /error { content_by_lua_block { ngx.exit(ngx.ERROR) } }
         location /close { rewrite_by_lua_block { ngx.exit(444) } content_by_lua_block { } }
         location /bad { content_by_lua_block {
             local _, again = pcall(ngx.exit, ngx.AGAIN)
             local _, done = pcall(ngx.exit, ngx.DONE)
             ngx.say(again) ngx.say(done)
         } }"#,
    );
    assert_eq!(text(&server, "/late"), "a\n");
    server.expect_error_log(
        "attempt to set status 500 via ngx.exit after sending out the response status 200",
    );
    assert_eq!(server.get("/same").expect(403).text(), "b\n");
    assert!(!server.error_log().contains("set status 403"));
    let mut client = server.connect();
    client.send("GET /444 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(!client.rest().ends_with(b"0\r\n\r\n"));
    for uri in ["/error", "/close"] {
        let mut client = server.connect();
        client.send(format!("GET {uri} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.expect_close();
    }
    let bad = "bad argument to 'ngx.exit': does not accept NGX_AGAIN or NGX_DONE";
    assert_eq!(text(&server, "/bad").matches(bad).count(), 2);
}

#[test]
fn exit_in_a_header_filter_notes_the_status() {
    let server = server(
        r#"location / {
             content_by_lua_block { ngx.say("a") }
             header_filter_by_lua_block { ngx.exit(404) ngx.log(ngx.WARN, "behind exit") }
             body_filter_by_lua_block {
                 local ok, err = pcall(ngx.exit, 200)
                 ngx.log(ngx.WARN, "body: ", err)
             }
         }"#,
    );
    server.get("/").expect(404);
    server.expect_error_log("behind exit");
    server.expect_error_log("body: API disabled in the context of body_filter_by_lua*");
}

#[test]
fn redirects_name_their_target() {
    let server = server(
        r#"location /to { content_by_lua_block { ngx.redirect("/there?a=b") error("went on") } }
         location /301 { rewrite_by_lua_block { return ngx.redirect("http://a.b/c", 301) } }
         location /308 { access_by_lua_block { ngx.redirect("relative", ngx.HTTP_PERMANENT_REDIRECT) } }
         location /bad { content_by_lua_block {
             local errors = {}
             for at, try in ipairs{{"/a", 200}, {}, {"/a\nb"}, {{}}} do
                 local _, err = pcall(ngx.redirect, unpack(try))
                 errors[at] = err
             end
             ngx.say(table.concat(errors, "\n"))
             local _, err = pcall(ngx.redirect, "/a")
             ngx.say(err)
         } }"#,
    );
    let to = server.get("/to").expect(302);
    assert_eq!(to.headers.all("location"), ["/there?a=b"]);
    assert!(to.text().contains("302 Found"));
    let moved = server.get("/301").expect(301);
    assert_eq!(moved.headers.all("location"), ["http://a.b/c"]);
    let relative = server.get("/308").expect(308);
    assert_eq!(relative.headers.all("location"), ["relative"]);
    assert_eq!(
        text(&server, "/bad"),
        "only ngx.HTTP_MOVED_TEMPORARILY, ngx.HTTP_MOVED_PERMANENTLY, \
         ngx.HTTP_PERMANENT_REDIRECT, ngx.HTTP_SEE_OTHER, and ngx.HTTP_TEMPORARY_REDIRECT are \
         allowed\n\
         expecting one or two arguments\n\
         unsafe byte \"0x0a\" in redirect uri \"/a\\x0Ab\"\n\
         bad argument #1 to '?' (string expected, got table)\n\
         attempt to call ngx.redirect after sending out the headers\n"
    );
}

#[test]
fn exec_goes_elsewhere_inside() {
    let server = server(
        r#"location /uri { content_by_lua_block { ngx.ctx.a = 1 ngx.exec("/see?x=1", "y=2") error("went on") } }
         location /table { rewrite_by_lua_block { ngx.exec("/see", {a = "b c", d = true}) } }
         location /number { access_by_lua_block { ngx.exec("/see", 12) } }
         location /escaped { content_by_lua_block { ngx.exec("/see%20it") } }
         location /named { content_by_lua_block { ngx.ctx.a = 1 ngx.exec("@name") } }
         location /args { content_by_lua_block { ngx.exec("@name", "ignored") } }
         location /loop { content_by_lua_block { ngx.exec("/loop") } }
         location /nobody { content_by_lua_block { ngx.exec("@nobody") } }
         location /see { internal; content_by_lua_block { ngx.say(ngx.ctx.a, " ", ngx.get_phase()) ngx.exit(200) } header_filter_by_lua_block { ngx.header.x_uri = "$" } add_header X-Uri "$uri?$args"; }
         location @name { content_by_lua_block { ngx.say("named ", ngx.ctx.a) } add_header X-Uri "$uri?$args"; }
         location /bad { content_by_lua_block {
             for _, try in ipairs{{}, {""}, {"/../a"}, {"/a", print}, {"/a", {[1] = 2}}, {"/a", {b = print}}} do
                 local _, err = pcall(ngx.exec, unpack(try))
                 ngx.say(err)
             end
             local _, err = pcall(ngx.exec, "/see")
             ngx.say(err)
         } }"#,
    );
    let uri = |uri: &str| {
        let response = server.get(uri).expect(200);
        let seen = response
            .headers
            .all("x-uri")
            .last()
            .map(ToString::to_string);
        (seen.unwrap_or_default(), response.text())
    };
    let own = |seen: &str, body: &str| (seen.to_owned(), body.to_owned());
    assert_eq!(uri("/uri"), own("/see?x=1&y=2", "nil content\n"));
    let table = uri("/table").0;
    assert!(
        ["/see?a=b%20c&d", "/see?d&a=b%20c"].contains(&table.as_str()),
        "{table}"
    );
    assert_eq!(uri("/number").0, "/see?12");
    assert_eq!(uri("/escaped").0, "/see it?");
    assert_eq!(uri("/named"), own("/named?", "named nil\n"));
    assert_eq!(uri("/args?x"), own("/args?x", "named nil\n"));
    server.expect_error_log("query strings ignored ignored when exec'ing named location @name");
    server.get("/loop").expect(500);
    server.expect_error_log("rewrite or internal redirection cycle");
    server.get("/nobody").expect(500);
    assert_eq!(
        text(&server, "/bad"),
        "expecting one or two arguments, but got 0\n\
         The uri argument is empty\n\
         unsafe uri\n\
         bad argument #2 to '?' (string, number, or table expected, but got function)\n\
         attempt to use a non-string key in the \"args\" option table\n\
         attempt to use function as query arg value\n\
         attempt to call ngx.exec after sending out response headers\n"
    );
}

#[test]
fn ctx_lives_as_long_as_the_request() {
    let server = server(
        r#"location /phases {
             rewrite_by_lua_block { ngx.ctx.list = {"rewrite"} }
             access_by_lua_block { table.insert(ngx.ctx.list, "access") }
             content_by_lua_block {
                 table.insert(ngx.ctx.list, "content")
                 ngx.thread.wait(ngx.thread.spawn(function() table.insert(ngx.ctx.list, "thread") end))
                 ngx.say(table.concat(ngx.ctx.list, " "))
             }
             log_by_lua_block { ngx.log(ngx.WARN, "ctx of ", #ngx.ctx.list) }
         }
         location /fresh { content_by_lua_block { ngx.say(next(ngx.ctx)) ngx.ctx.a = 1 } }
         location /set { content_by_lua_block {
             local own = {a = 1}
             ngx.ctx = own
             ngx.ctx.b = 2
             ngx.say(ngx.ctx == own, own.b, rawget(ngx, "ctx"))
         } }
         location /redirect { error_page 403 /see; access_by_lua_block { ngx.ctx.a = 1 ngx.exit(403) } }
         location /see { content_by_lua_block { ngx.say(ngx.ctx.a) } }
         location /timer { content_by_lua_block {
             ngx.ctx.a = 1
             ngx.timer.at(0, function()
                 local before = ngx.ctx.a
                 ngx.ctx.a = 2
                 ngx.sleep(0.01)
                 ngx.log(ngx.WARN, "timer: ", before, " ", ngx.ctx.a)
             end)
             ngx.sleep(0.05)
             ngx.say(ngx.ctx.a)
         } }
         location /free { content_by_lua_block { ngx.my_own = 3 ngx.say(ngx.my_own, ngx.nothing, ngx.is_subrequest) } }"#,
    );
    assert_eq!(text(&server, "/phases"), "rewrite access content thread\n");
    server.expect_error_log("ctx of 4");
    let mut client = server.connect();
    for _ in 0..2 {
        client.send("GET /fresh HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().text(), "nil\n");
    }
    assert_eq!(text(&server, "/set"), "true2nil\n");
    assert_eq!(server.get("/redirect").expect(403).text(), "nil\n");
    assert_eq!(text(&server, "/timer"), "1\n");
    server.expect_error_log("timer: nil 2");
    assert_eq!(text(&server, "/free"), "3nilfalse\n");
}

#[test]
fn constants_and_phases_have_names() {
    let server = server(
        r#"set_by_lua_block $phase { return ngx.get_phase() }
         location / {
             set_by_lua_block $set { return ngx.get_phase() }
             rewrite_by_lua_block { ngx.ctx.seen = ngx.get_phase() }
             access_by_lua_block { ngx.ctx.seen = ngx.ctx.seen .. " " .. ngx.get_phase() }
             content_by_lua_block {
                 ngx.timer.at(0, function() ngx.log(ngx.WARN, "phase: ", ngx.get_phase()) end)
                 ngx.say(ngx.ctx.seen, " ", ngx.get_phase())
                 ngx.say(ngx.HTTP_GET, " ", ngx.HTTP_TRACE, " ", ngx.HTTP_OK, " ", ngx.HTTP_ILLEGAL, " ",
                     ngx.HTTP_METHOD_NOT_IMPLEMENTED, " ", ngx.HTTP_INSUFFICIENT_STORAGE)
             }
             header_filter_by_lua_block { ngx.header.x_phase = ngx.get_phase() }
             log_by_lua_block { ngx.log(ngx.WARN, "phase: ", ngx.get_phase()) }
         }"#,
    );
    let response = server.get("/").expect(200);
    assert_eq!(
        response.text(),
        "rewrite access content\n2 32768 200 451 501 507\n"
    );
    assert_eq!(response.header("x-phase"), Some("header_filter"));
    server.expect_error_log("phase: log");
    server.expect_error_log("phase: timer");
}

#[test]
fn a_client_that_leaves_ends_lua_where_it_is_asked_for() {
    let server = server(
        r#"location /checked { lua_check_client_abort on; content_by_lua_block {
             ngx.log(ngx.WARN, "began") ngx.sleep(0.5) ngx.log(ngx.WARN, "went on checked")
         } }
         location /unchecked { content_by_lua_block {
             ngx.log(ngx.WARN, "began") ngx.sleep(0.3) ngx.log(ngx.WARN, "went on unchecked ", ngx.say("x"))
         } }
         location /rewrite { lua_check_client_abort on; rewrite_by_lua_block {
             ngx.log(ngx.WARN, "began") ngx.sleep(0.5) ngx.log(ngx.WARN, "went on rewrite")
         } content_by_lua_block { } }"#,
    );
    for uri in ["/checked", "/unchecked", "/rewrite"] {
        let mut client = server.connect();
        client.send(format!("GET {uri} HTTP/1.1\r\nHost: a\r\n\r\n"));
        server.expect_error_log(&format!("GET {uri} "));
        drop(client);
    }
    server.expect_error_log("went on unchecked");
    server.expect_access_log("GET /checked HTTP/1.1\" 499");
    server.expect_access_log("GET /rewrite HTTP/1.1\" 499");
    support::pause(500);
    let log = server.error_log();
    assert!(!log.contains("went on checked") && !log.contains("went on rewrite"));
    assert_eq!(
        log.matches("client prematurely closed connection").count(),
        2
    );
    server.get("/nothing").expect(404);
}

#[test]
fn on_abort_runs_when_the_client_leaves() {
    let server = server(
        r#"location /exit { lua_check_client_abort on; content_by_lua_block {
             local ok, err = ngx.on_abort(function()
                 ngx.sleep(0.01)
                 ngx.log(ngx.WARN, "callback of exit")
                 ngx.exit(499)
             end)
             ngx.log(ngx.WARN, "set ", ok, err, ";", ngx.on_abort(print))
             ngx.sleep(0.5)
             ngx.log(ngx.WARN, "went on exit")
         } }
         location /stay { lua_check_client_abort on; content_by_lua_block {
             ngx.on_abort(function() ngx.log(ngx.WARN, "callback of stay") end)
             ngx.log(ngx.WARN, "began")
             ngx.sleep(0.3)
             ngx.log(ngx.WARN, "went on stay")
         } }
         location /off { content_by_lua_block { ngx.say(ngx.on_abort(function() end)) } }
         location /fine { lua_check_client_abort on; content_by_lua_block {
             ngx.on_abort(function() ngx.log(ngx.ERR, "callback of fine") end)
             ngx.sleep(0.05)
             ngx.say("fine")
         } }
         location /bad { lua_check_client_abort on; content_by_lua_block {
             local _, err = pcall(ngx.on_abort, 1) ngx.say(err)
         } }"#,
    );
    for uri in ["/exit", "/stay"] {
        let mut client = server.connect();
        client.send(format!("GET {uri} HTTP/1.1\r\nHost: a\r\n\r\n"));
        server.expect_error_log(&format!("GET {uri} "));
        drop(client);
    }
    server.expect_error_log("set 1nil;nilduplicate call");
    server.expect_error_log("callback of exit");
    server.expect_error_log("callback of stay");
    server.expect_error_log("went on stay");
    server.expect_access_log("GET /exit HTTP/1.1\" 499");
    support::pause(300);
    assert!(!server.error_log().contains("went on exit"));
    assert_eq!(text(&server, "/off"), "nillua_check_client_abort is off\n");
    assert_eq!(text(&server, "/fine"), "fine\n");
    assert!(!server.error_log().contains("callback of fine"));
    assert_eq!(
        text(&server, "/bad"),
        "bad argument #1 to '?' (Lua function expected)\n"
    );
}

#[test]
fn clients_that_leave_hurt_nobody() {
    let server = server(
        r#"location /wait { content_by_lua_block { ngx.sleep(0.2) ngx.say("done") } }
         location /stream { content_by_lua_block {
             for _ = 1, 50 do if not ngx.say(string.rep("x", 10000)) then return end ngx.flush(true) ngx.sleep(0.005) end
         } }"#,
    );
    let mut stays = server.connect();
    stays.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    for at in 0..40 {
        let uri = if at % 2 == 0 { "/wait" } else { "/stream" };
        let mut client = server.connect();
        client.send(format!("GET {uri} HTTP/1.1\r\nHost: a\r\n\r\n"));
        if at % 3 == 0 {
            client.reset();
        }
    }
    assert_eq!(stays.response().text(), "done\n");
    support::wait_until("no request is left", || {
        text(&server, "/wait") == "done\n" && {
            let log = server.read("access.log");
            log.matches("GET /wait").count() + log.matches("GET /stream").count() >= 41
        }
    });
}
