//! The configuration language and what is said about mistakes in it.

mod support;

use support::{Server, Setup, ours};

/// Runs `-t` on an `http` block of this content and expects it to fail with `message`.
#[track_caller]
fn refused(content: &str, message: &str) {
    Setup::http(content).run(&["-t"]).expect(1, message);
}

/// Runs `-t` on an `http` block of this content and expects it to pass.
#[track_caller]
fn accepted(content: &str) {
    Setup::http(content).run(&["-t"]).expect(0, "successful");
}

#[test]
fn an_unknown_directive_is_said_with_file_and_line() {
    let mut setup = Setup::raw("events { }\nhttp {\n    prox_pass on;\n}\n");
    let ran = setup.run(&["-t"]);
    let conf = setup.path("nginx.conf").display().to_string();
    ran.expect(
        1,
        &format!("nginx: [emerg] unknown directive \"prox_pass\" in {conf}:3"),
    );
}

#[test]
fn a_mistake_in_an_included_file_is_said_with_that_file() {
    let mut setup = Setup::http("include parts/*.conf;")
        .file("parts/a.conf", "tcp_nopush on;\n")
        .file("parts/b.conf", "\n\nbogus;\n");
    let ran = setup.run(&["-t"]);
    let part = setup.path("parts/b.conf").display().to_string();
    ran.expect(1, &format!("unknown directive \"bogus\" in {part}:3"));
}

#[test]
fn ten_mistakes_are_reported_in_one_run() {
    if !ours("all mistakes at once") {
        return;
    }
    let content = "sendfil on;\n\
        sendfile maybe;\n\
        keepalive_timeout 5 5 5;\n\
        client_max_body_size 1x;\n\
        location / { }\n\
        default_type a b;\n\
        server { listen 127.0.0.1:99999; }\n\
        server { listen 127.0.0.1:1; location ~ ( { } }\n\
        server { listen 127.0.0.1:2; proxy_pass http://localhost; }\n\
        server { listen 127.0.0.1:3; location / { proxy_http_version 7; } }\n";
    let ran = Setup::http(content).run(&["-t"]);
    ran.expect(1, "test failed");
    let count = ran
        .stderr
        .lines()
        .filter(|line| line.starts_with("nginx: [emerg]"))
        .count();
    assert!(count >= 10, "{count}: {}", ran.stderr);
}

#[test]
fn a_directive_almost_right_gets_a_suggestion() {
    if !ours("suggestions") {
        return;
    }
    let ran = Setup::http("server { location / { prox_pass http://a; } }").run(&["-t"]);
    ran.expect(1, "unknown directive \"prox_pass\"");
    ran.expect(1, "did you mean").expect(1, "proxy_pass");
}

#[test]
fn a_directive_in_the_wrong_context_is_said() {
    refused(
        "server { worker_processes 2; }",
        "\"worker_processes\" directive is not allowed here",
    );
    refused(
        "proxy_pass http://127.0.0.1;",
        "\"proxy_pass\" directive is not allowed here",
    );
    refused(
        "server { server { } }",
        "\"server\" directive is not allowed here",
    );
}

#[test]
fn a_duplicate_is_said() {
    refused(
        "sendfile on; sendfile off;",
        "\"sendfile\" directive is duplicate",
    );
    refused(
        "server { location /a { } location /a { } }",
        "duplicate location \"/a\" in ",
    );
}

#[test]
fn the_number_of_arguments_is_checked() {
    refused(
        "sendfile;",
        "invalid number of arguments in \"sendfile\" directive",
    );
    refused(
        "sendfile on on;",
        "invalid number of arguments in \"sendfile\" directive",
    );
}

#[test]
fn the_values_of_arguments_are_checked() {
    refused("sendfile maybe;", "it must be \"on\" or \"off\"");
    refused(
        "client_max_body_size 1x;",
        "\"client_max_body_size\" directive invalid value",
    );
    refused(
        "client_body_timeout 1x;",
        "\"client_body_timeout\" directive invalid value",
    );
}

#[test]
fn the_shape_of_blocks_is_checked() {
    refused("server { ", "unexpected end of file, expecting \"}\"");
    refused("} }", "unexpected \"}\"");
    refused("server;", "directive \"server\" has no opening \"{\"");
    refused(
        "sendfile on { }",
        "directive \"sendfile\" is not terminated by \";\"",
    );
    refused("sendfile on", "unexpected \"}\"");
}

#[test]
fn an_unknown_variable_is_said() {
    refused(
        "server { location / { return 200 $bogus; } }",
        "unknown \"bogus\" variable",
    );
}

#[test]
fn a_bad_listen_is_said() {
    refused(
        "server { listen 127.0.0.1:99999; }",
        "invalid port in \"127.0.0.1:99999\"",
    );
    refused(
        "server { listen 127.0.0.1:1 bogus; }",
        "invalid parameter \"bogus\"",
    );
    refused(
        "server { listen 127.0.0.1:1 default_server; } server { listen 127.0.0.1:1 default_server; }",
        "a duplicate default server for 127.0.0.1:1",
    );
}

#[test]
fn a_missing_upstream_host_is_said() {
    refused(
        "upstream a { } server { location / { proxy_pass http://a; } }",
        "no servers are inside upstream",
    );
    refused(
        "upstream a { server 127.0.0.1:1; } upstream a { server 127.0.0.1:1; }",
        "duplicate upstream \"a\"",
    );
    refused(
        "server { location / { proxy_pass 127.0.0.1; } }",
        "invalid URL prefix",
    );
}

#[test]
fn events_must_be_there() {
    Setup::raw("http { }")
        .run(&["-t"])
        .expect(1, "no \"events\" section in configuration");
}

#[test]
fn a_missing_include_is_an_error_and_an_empty_glob_is_not() {
    refused(
        "include none.conf;",
        "none.conf\" failed (2: No such file or directory)",
    );
    accepted("include none/*.conf;");
}

#[test]
fn globs_include_in_alphabetical_order() {
    let server = Setup::http(
        "server { listen 127.0.0.1:{port}; location / { include parts/*.inc; return 200 $v; } }",
    )
    .file("parts/2.inc", "set $v \"${v}b\";")
    .file("parts/1.inc", "set $v a;")
    .file("parts/3.inc", "set $v \"${v}c\";")
    .start();
    assert_eq!(server.get("/").text(), "abc");
}

#[test]
fn quotes_and_escapes_make_one_argument() {
    let server = Server::start(
        r#"server {
            listen 127.0.0.1:{port};
            location = /double { return 200 "a b;{}#\"'"; }
            location = /single { return 200 'a b;{}#"\''; }
            location = /bare   { return 200 a\;c#d; }
            location = /escape { return 200 "a\tb\\c\n"; }
            location = /brace  { return 200 "${uri}x"; }
        }"#,
    );
    assert_eq!(server.get("/double").text(), "a b;{}#\"'");
    assert_eq!(server.get("/single").text(), "a b;{}#\"'");
    assert_eq!(server.get("/bare").text(), "a\\;c#d");
    assert_eq!(server.get("/escape").text(), "a\tb\\c\n");
    assert_eq!(server.get("/brace").text(), "/bracex");
}

#[test]
fn comments_and_line_ends_do_not_matter() {
    let server = Server::start(
        "# a comment { ; \"\r\n\
         server{listen 127.0.0.1:{port};# behind a directive\r\n\
         return\n200\n\"ok\"\n;}",
    );
    assert_eq!(server.get("/").text(), "ok");
}

#[test]
fn units_of_sizes_and_times_are_understood() {
    accepted(
        "client_max_body_size 1M; client_body_buffer_size 16k; client_header_timeout 500ms;
         keepalive_timeout 1m; client_body_timeout 1h; send_timeout 1m30s;
         large_client_header_buffers 4 8k; server { listen 127.0.0.1:{port}; }",
    );
}

#[test]
fn inner_levels_inherit_and_override() {
    let server = Setup::http(
        "add_header X-Level http;
         default_type text/one;
         server {
             listen 127.0.0.1:{port};
             location /inherits { return 200 a; }
             location /overrides { default_type text/two; add_header X-Level location; return 200 a; }
         }",
    )
    .start();
    let inherits = server.get("/inherits");
    assert_eq!(inherits.header("x-level"), Some("http"));
    assert_eq!(inherits.header("content-type"), Some("text/one"));
    let overrides = server.get("/overrides");
    assert_eq!(overrides.header("x-level"), Some("location"));
    assert_eq!(overrides.header("content-type"), Some("text/two"));
}

#[test]
fn a_module_nobody_knows_warns_once() {
    if !ours("unknown modules warn") {
        return;
    }
    let mut setup = Setup::raw("load_module modules/ngx_http_bogus_module.so;\nevents { }\n");
    let ran = setup.run(&["-t"]);
    ran.expect(0, "[warn]").expect(0, "ngx_http_bogus_module");
}

/// What a freshly installed Debian has in `/etc/nginx/nginx.conf`, in its own order.
const DEBIAN: &str = r"
worker_processes auto;
include {dir}/modules-enabled/*.conf;
events { worker_connections 768; }
http {
    sendfile on;
    tcp_nopush on;
    types_hash_max_size 2048;
    include {dir}/mime.types;
    default_type application/octet-stream;
    ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;
    ssl_prefer_server_ciphers on;
    access_log {dir}/access.log;
    gzip on;
    include {dir}/conf.d/*.conf;
    include {dir}/sites-enabled/*;
}
";

/// The default site of Debian, but for its port.
const DEBIAN_SITE: &str = r"
server {
    listen 127.0.0.1:PORT default_server;
    listen [::1]:PORT default_server;
    root DIR/html;
    index index.html index.htm index.nginx-debian.html;
    server_name _;
    location / {
        try_files $uri $uri/ =404;
    }
}
";

fn debian() -> Setup {
    let mut setup = Setup::main(DEBIAN)
        .file(
            "mime.types",
            "types { text/html html htm shtml; text/css css; }",
        )
        .file("html/index.nginx-debian.html", "<h1>Welcome</h1>");
    let port = setup.fill("{port}");
    let dir = setup.path("").display().to_string();
    let site = DEBIAN_SITE.replace("PORT", &port).replace("DIR", &dir);
    setup.file("sites-enabled/default", site)
}

#[test]
fn the_stock_configuration_of_debian_passes_the_test() {
    let ran = debian().run(&["-t"]);
    ran.expect(0, "syntax is ok")
        .expect(0, "test is successful");
    assert!(!ran.stderr.contains("[emerg]"), "{}", ran.stderr);
}

#[test]
fn the_stock_configuration_of_debian_serves_its_page() {
    let server = debian().start();
    let page = server.get("/").expect(200);
    assert_eq!(page.text(), "<h1>Welcome</h1>");
    assert_eq!(page.header("content-type"), Some("text/html"));
    server.get("/none").expect(404);
    server.expect_access_log("\"GET /none HTTP/1.1\" 404");
}

#[test]
fn stock_directives_to_come_warn_once_by_name() {
    if !ours("warnings about gzip and ssl") {
        return;
    }
    let ran = debian().run(&["-t"]);
    for name in ["gzip", "ssl_protocols", "ssl_prefer_server_ciphers"] {
        let warned = |line: &&str| {
            let mut words =
                line.split(|letter: char| !letter.is_ascii_lowercase() && letter != '_');
            line.contains("[warn]") && words.any(|word| word == name)
        };
        let count = ran.stderr.lines().filter(warned).count();
        assert_eq!(count, 1, "{name}: {}", ran.stderr);
    }
}

#[test]
fn a_configuration_larger_than_a_buffer_is_read_whole() {
    let types: String = (0..2000).map(|i| format!("text/x-{i} ext{i};\n")).collect();
    let server = Setup::http("include big.types; server { listen 127.0.0.1:{port}; }")
        .file(
            "big.types",
            format!("types_hash_max_size 4096; types {{\n{types}}}\n"),
        )
        .file("html/a.ext1999", "")
        .start();
    assert_eq!(
        server.get("/a.ext1999").header("content-type"),
        Some("text/x-1999")
    );
}

#[test]
fn the_file_must_not_be_binary_noise() {
    let setup = Setup::raw("").file("noise.conf", [0xff_u8; 64]);
    let dir = setup.path("").display().to_string();
    let ran = setup.run_plain(&["-p", &dir, "-e", "error.log", "-c", "noise.conf", "-t"]);
    ran.expect(1, "nginx: [emerg] ");
}
