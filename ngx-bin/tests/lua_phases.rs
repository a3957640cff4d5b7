//! Lua in every phase: `x_by_lua` in its forms, filters, waiting, errors.

mod support;

use support::{Server, Setup, ours};

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
fn code_is_a_string_a_block_or_a_file() {
    let server = Setup::lua(
        "server {
             listen 127.0.0.1:{port};
             location /string { content_by_lua 'ngx.print(\"a string\")'; }
             location /block { content_by_lua_block { ngx.print({\"a\", \" block }\"}) } }
             location /file { content_by_lua_file {dir}/a.lua; }
             location /relative { content_by_lua_file a.lua; }
             location ~ ^/named/(?<name>.*) { content_by_lua_file $name.lua; }
         }",
    )
    .file("a.lua", "#!/usr/bin/env lua\nngx.print(\"a file\")")
    .start();
    assert_eq!(text(&server, "/string"), "a string");
    assert_eq!(text(&server, "/block"), "a block }");
    assert_eq!(text(&server, "/file"), "a file");
    assert_eq!(text(&server, "/relative"), "a file");
    assert_eq!(text(&server, "/named/a"), "a file");
    server.get("/named/b").expect(404);
    server.expect_error_log("failed to load external Lua file");
}

#[test]
fn errors_name_directive_file_and_line() {
    let server = server(
        "location /syntax { content_by_lua_block { x = = 1 } }
         location /runtime {
             content_by_lua_block {
                 local function inner()
                     error(\"on purpose\")
                 end
                 inner()
             }
         }
         location /nil { content_by_lua_block { local t; return t.x } }
         location /table { content_by_lua_block { error({ code = 3 }) } }
         location /recursion { content_by_lua_block { local function f() return 1 + f() end f() } }
         location /fine { content_by_lua_block { ngx.print(\"fine\") } }",
    );
    for uri in ["/syntax", "/runtime", "/nil", "/table", "/recursion"] {
        server.get(uri).expect(500);
    }
    for line in [
        "failed to load inlined Lua code: content_by_lua(nginx.conf:",
        "lua entry thread aborted: runtime error: content_by_lua(nginx.conf:",
        "on purpose",
        "attempt to index local 't' (a nil value)",
        "stack traceback:\ncoroutine 0:",
        "stack overflow",
    ] {
        server.expect_error_log(line);
    }
    assert_eq!(text(&server, "/fine"), "fine");
}

#[test]
fn a_phase_ends_the_request_or_lets_it_pass() {
    let server = server(
        "location /pass {
             rewrite_by_lua_block { ngx.sleep(0.001) }
             access_by_lua_block { ngx.exit(ngx.OK) }
             content_by_lua_block { ngx.print(\"content\") }
         }
         location /forbid {
             access_by_lua_block { ngx.sleep(0.001) ngx.exit(403) }
             content_by_lua_block { ngx.print(\"content\") }
         }
         location /answer {
             rewrite_by_lua_block { ngx.print(\"early\") }
             content_by_lua_block { ngx.print(\"content\") }
         }
         location /fail {
             access_by_lua_block { error(\"no\") }
             content_by_lua_block { ngx.print(\"content\") }
         }",
    );
    assert_eq!(text(&server, "/pass"), "content");
    server.get("/forbid").expect(403);
    assert_eq!(text(&server, "/answer"), "early");
    server.get("/fail").expect(500);
}

#[test]
fn phases_are_inherited_and_the_rewrite_phase_comes_behind_its_directives() {
    let server = Setup::lua(
        "access_by_lua_block { if ngx.var.deny == \"1\" then ngx.exit(403) end }
         server {
             listen 127.0.0.1:{port};
             set $deny 0;
             location /open { return 200 open; }
             location /lua { content_by_lua_block { ngx.print(\"lua\") } }
             location /closed { rewrite_by_lua_block { ngx.var.deny = 1 } content_by_lua_block { } }
             location /own { access_by_lua_block { } set $deny 1; content_by_lua_block { ngx.print(\"own\") } }
         }",
    )
    .start();
    assert_eq!(text(&server, "/open"), "open");
    assert_eq!(text(&server, "/lua"), "lua");
    server.get("/closed").expect(403);
    assert_eq!(text(&server, "/own"), "own");
}

#[test]
fn variables_are_set_by_lua() {
    let server = server(
        "location /block { set_by_lua_block $x { return 40 + 2 } return 200 $x; }
         location /arguments {
             set $a 3;
             set_by_lua $sum 'return ngx.arg[1] + ngx.arg[2]' $a 4;
             return 200 $sum;
         }
         location /nothing { set_by_lua_block $x { } return 200 \"[$x]\"; }
         location /order {
             set $a one;
             set_by_lua_block $b { return ngx.var.a .. \" two\" }
             set $a three;
             return 200 \"$b $a\";
         }
         location /fail { set_by_lua_block $x { error(\"no value\") } return 200 $x; }
         location /wait { set_by_lua_block $x { ngx.sleep(1) } return 200 $x; }",
    );
    assert_eq!(text(&server, "/block"), "42");
    assert_eq!(text(&server, "/arguments"), "7");
    assert_eq!(text(&server, "/nothing"), "[]");
    assert_eq!(text(&server, "/order"), "one two three");
    server.get("/fail").expect(500);
    server.get("/wait").expect(500);
    server.expect_error_log("no value");
    server.expect_error_log("API disabled in the context of set_by_lua*");
}

#[test]
fn the_body_is_changed_piece_by_piece() {
    let server = server(
        "location /upper {
             content_by_lua_block { ngx.print(\"one \") ngx.flush(true) ngx.print(\"two\") }
             body_filter_by_lua_block { ngx.arg[1] = string.upper(ngx.arg[1]) }
         }
         location /append {
             return 200 text;
             header_filter_by_lua_block { ngx.header.content_length = nil }
             body_filter_by_lua_block { if ngx.arg[2] then ngx.arg[1] = {ngx.arg[1], \" and\", {\" more\"}} end }
         }
         location /end {
             content_by_lua_block { ngx.print(\"first\") ngx.flush(true) ngx.print(\"second\") }
             body_filter_by_lua_block { ngx.arg[2] = true }
         }
         location /drop {
             content_by_lua_block { ngx.print(\"gone\") }
             body_filter_by_lua_block { ngx.arg[1] = nil }
         }
         location /file {
             alias {dir}/html/;
             header_filter_by_lua_block { ngx.header.content_length = nil }
             body_filter_by_lua_block { ngx.arg[1] = ngx.arg[1]:gsub(\"a\", \"bb\") }
         }",
    );
    assert_eq!(text(&server, "/upper"), "ONE TWO");
    assert_eq!(text(&server, "/append"), "text and more");
    assert_eq!(text(&server, "/end"), "first");
    assert_eq!(text(&server, "/drop"), "");
    std::fs::write(server.path("html/f"), "banana").unwrap();
    assert_eq!(text(&server, "/file/f"), "bbbnbbnbb");
}

#[test]
fn filters_and_the_log_phase_wait() {
    if !ours("filters and the log phase may wait") {
        return;
    }
    let server = server(
        "location / {
             content_by_lua_block { for i = 1, 3 do ngx.print(i) ngx.flush(true) end }
             header_filter_by_lua_block { ngx.sleep(0.02) }
             body_filter_by_lua_block { ngx.sleep(0.005) ngx.arg[1] = ngx.arg[1] .. \",\" }
             log_by_lua_block { ngx.sleep(0.02) ngx.log(ngx.WARN, \"logged late\") }
         }",
    );
    let body = text(&server, "/");
    let digits: String = body.chars().filter(char::is_ascii_digit).collect();
    assert_eq!(digits, "123", "{body}");
    server.expect_error_log("logged late");
}

#[test]
fn a_failing_filter_spares_the_next_request() {
    let server = server(
        "location /header { header_filter_by_lua_block { error(\"bad header\") } content_by_lua_block { ngx.print(1) } }
         location /body { body_filter_by_lua_block { error(\"bad body\") } content_by_lua_block { ngx.print(1) } }
         location /log { log_by_lua_block { error(\"bad log\") } content_by_lua_block { ngx.print(1) } }",
    );
    server.connect().send("GET /header HTTP/1.0\r\n\r\n").rest();
    server.connect().send("GET /body HTTP/1.0\r\n\r\n").rest();
    assert_eq!(text(&server, "/log"), "1");
    server
        .expect_error_log("failed to run header_filter_by_lua*: header_filter_by_lua(nginx.conf:");
    server.expect_error_log("failed to run body_filter_by_lua*: body_filter_by_lua(nginx.conf:");
    server.expect_error_log("failed to run log_by_lua*: log_by_lua(nginx.conf:");
}

#[test]
fn init_runs_before_the_first_request_and_workers_begin_with_their_own() {
    let server = Setup::lua(
        "init_by_lua_block { package.loaded.shared = { name = \"from init\" } }
         init_worker_by_lua_block {
             local shared = require \"shared\"
             ngx.timer.at(0, function(premature) shared.timer = not premature end)
         }
         server {
             listen 127.0.0.1:{port};
             location / {
                 content_by_lua_block {
                     local shared = require \"shared\"
                     for i = 1, 100 do if shared.timer then break end ngx.sleep(0.01) end
                     ngx.print(shared.name, \" \", tostring(shared.timer))
                 }
             }
         }",
    )
    .start();
    assert_eq!(text(&server, "/"), "from init true");
}

#[test]
fn an_init_that_fails_keeps_the_server_from_starting() {
    let mut setup = Setup::lua(
        "init_by_lua_block { error(\"init is broken\") } server { listen 127.0.0.1:{port}; }",
    );
    let ran = setup.run(&[]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let told = ran.stderr + &std::fs::read_to_string(setup.path("error.log")).unwrap_or_default();
    assert!(
        told.contains("init_by_lua error: init_by_lua(nginx.conf:"),
        "{told}"
    );
    assert!(told.contains("init is broken"), "{told}");
}

#[test]
fn packages_are_found_where_the_path_says() {
    let server = Setup::lua(
        "lua_package_path '{dir}/lua/?.lua;;';
         server {
             listen 127.0.0.1:{port};
             location / { content_by_lua_block { ngx.print(require(\"my.module\").answer) } }
             location /none { content_by_lua_block { require \"no.such.module\" } }
         }",
    )
    .file("lua/my/module.lua", "return { answer = 42 }")
    .start();
    assert_eq!(text(&server, "/"), "42");
    server.get("/none").expect(500);
    server.expect_error_log("module 'no.such.module' not found");
}

#[test]
fn without_the_code_cache_each_request_has_its_own_vm() {
    let server = Setup::lua(
        "lua_code_cache off;
         init_by_lua_block { started = (started or 0) + 1 }
         server {
             listen 127.0.0.1:{port};
             location / { content_by_lua_file count.lua; }
         }",
    )
    .file(
        "count.lua",
        "count = (count or 0) + 1 ngx.print(count, started)",
    )
    .allow("lua_code_cache is off")
    .start();
    assert_eq!(text(&server, "/"), "11");
    assert_eq!(text(&server, "/"), "11");
    std::fs::write(server.path("count.lua"), "ngx.print(\"changed\")").unwrap();
    assert_eq!(text(&server, "/"), "changed");
    server.expect_error_log("[alert]");
}

#[test]
fn many_requests_wait_side_by_side() {
    let server =
        server("location / { content_by_lua_block { ngx.sleep(0.3) ngx.print(ngx.var.arg_n) } }");
    let start = std::time::Instant::now();
    let mut clients: Vec<_> = (0..100)
        .map(|n| {
            let mut client = server.connect();
            client.send(format!(
                "GET /?n={n} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
            ));
            client
        })
        .collect();
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.response().expect(200).text(), n.to_string());
    }
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

#[test]
fn a_client_that_leaves_while_lua_waits_costs_nothing_else() {
    let server = server(
        "location /slow { content_by_lua_block { ngx.sleep(0.2) ngx.print(\"late\") } }
         location /fine { content_by_lua_block { ngx.print(\"fine\") } }",
    );
    for _ in 0..20 {
        let mut client = server.connect();
        client.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
        client.reset();
    }
    support::pause(400);
    assert_eq!(text(&server, "/fine"), "fine");
}

#[test]
fn ten_thousand_light_threads_end() {
    let server = server(
        "location / {
             content_by_lua_block {
                 local n, threads = 0, {}
                 for i = 1, 10000 do
                     threads[i] = ngx.thread.spawn(function() ngx.sleep(0.001) n = n + 1 end)
                 end
                 for i = 1, #threads do ngx.thread.wait(threads[i]) end
                 ngx.print(n)
             }
         }",
    );
    assert_eq!(text(&server, "/"), "10000");
}

#[test]
fn a_long_string_is_sent_whole() {
    let server = server(
        "location / { content_by_lua_block { ngx.print(string.rep(\"x\", 100 * 1024 * 1024)) } }",
    );
    assert_eq!(server.get("/").expect(200).body.len(), 100 * 1024 * 1024);
}

#[test]
fn the_body_is_read_before_lua_that_needs_it() {
    let server = server(
        r#"client_body_buffer_size 1k; client_max_body_size 2k;
           location /rewrite { lua_need_request_body on; set $body "";
               rewrite_by_lua_block { ngx.var.body = ngx.req.get_body_data() or "none" }
               content_by_lua_block { ngx.print(ngx.var.body) } }
           location /access { lua_need_request_body on; set $a "";
               access_by_lua_block { ngx.var.a = ngx.req.get_body_data() or "none" }
               content_by_lua_block { ngx.print(ngx.var.a) } }
           location /content { lua_need_request_body on;
               content_by_lua_block { ngx.print(ngx.req.get_body_data() or "none") } }
           location /off { content_by_lua_block { ngx.print(ngx.req.get_body_data() or "none") } }"#,
    );
    let post = |uri: &str, body: &str| server.post(uri, body).expect(200).text();
    for uri in ["/rewrite", "/access", "/content"] {
        assert_eq!(post(uri, "a=b"), "a=b", "{uri}");
        assert_eq!(post(uri, ""), "none", "{uri}");
    }
    assert_eq!(post("/off", "a=b"), "none");
    // It comes in two parts.
    let mut client = server.connect();
    client.send("POST /content HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    client.expect_silence(50);
    client.send("cd");
    assert_eq!(client.response().expect(200).text(), "abcd");
    server.post("/content", "x".repeat(3000)).expect(413);
}

#[test]
fn lua_runs_first_where_it_is_not_postponed() {
    let server = Setup::lua(
        r#"rewrite_by_lua_no_postpone on;
           access_by_lua_no_postpone on;
           server {
               listen 127.0.0.1:{port};
               location / {
                   set $a set;
                   rewrite_by_lua_block { seen = tostring(ngx.var.a) }
                   access_by_lua_block { ngx.ctx.access = "access" }
                   content_by_lua_block { ngx.print("[", seen, "]", ngx.var.a, ngx.ctx.access) }
               }
           }"#,
    )
    .start();
    assert_eq!(text(&server, "/"), "[]setaccess");
}

#[test]
fn what_changes_nothing_is_said() {
    if !ours("OpenResty does something about these") {
        return;
    }
    let run = |directive: &str| {
        let location = "location / { content_by_lua_block { } }";
        let content = format!("{directive} server {{ listen 127.0.0.1:{{port}}; {location} }}");
        Setup::lua(&content).run(&["-t"])
    };
    for (directive, message) in [
        (
            "lua_load_resty_core off;",
            "\"lua_load_resty_core\" directive has no effect",
        ),
        (
            "lua_malloc_trim 10;",
            "\"lua_malloc_trim\" directive has no effect",
        ),
        (
            "lua_sa_restart off;",
            "\"lua_sa_restart\" directive has no effect",
        ),
    ] {
        run(directive).expect(0, message);
    }
    let quiet = "lua_load_resty_core on; lua_malloc_trim 0; lua_sa_restart on;
                 lua_thread_cache_max_entries 1;";
    let ran = run(quiet);
    ran.expect(0, "test is successful");
    assert!(!ran.stderr.contains("[warn]"), "{}", ran.stderr);
}
