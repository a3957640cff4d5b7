//! Which location answers.

mod support;

use support::{Server, Setup};

const KINDS: &str = r#"server {
    listen 127.0.0.1:{port};
    location / { return 200 "/"; }
    location = / { return 200 "= /"; }
    location = /exact { return 200 "= /exact"; }
    location /docs/ { return 200 "/docs/"; }
    location /docs/long/ { return 200 "/docs/long/"; }
    location ^~ /images/ { return 200 "^~ /images/"; }
    location ~ \.GIF$ { return 200 "~ GIF"; }
    location ~* \.(gif|jpg)$ { return 200 "~* $1"; }
    location ~ ^/(?<first>\w+)/(?<second>\w+)\.php$ { return 200 "$first+$second"; }
    location "/with space" { return 200 "space"; }
}"#;

#[track_caller]
fn answers(uri: &str, text: &str) {
    assert_eq!(Server::start(KINDS).get(uri).text(), text, "{uri}");
}

#[test]
fn exact_wins_over_prefix() {
    answers("/", "= /");
    answers("/exact", "= /exact");
    answers("/exact?args", "= /exact");
    answers("/exact/", "/");
}

#[test]
fn the_longest_prefix_wins() {
    answers("/docs/a", "/docs/");
    answers("/docs/long/a", "/docs/long/");
    answers("/docs", "/");
}

#[test]
fn a_regex_wins_over_a_prefix() {
    answers("/docs/a.gif", "~* gif");
}

#[test]
fn the_first_matching_regex_wins() {
    answers("/a.GIF", "~ GIF");
    answers("/a.JPG", "~* JPG");
}

#[test]
fn a_prefix_with_caret_tilde_keeps_regexes_out() {
    answers("/images/a.gif", "^~ /images/");
}

#[test]
fn captures_of_a_regex_are_variables() {
    answers("/one/two.php", "one+two");
}

#[test]
fn a_prefix_matches_the_decoded_target() {
    answers("/with%20space/x", "space");
    answers("/%64ocs/x", "/docs/");
}

#[test]
fn locations_nest() {
    let server = Server::start(
        r#"server {
            listen 127.0.0.1:{port};
            location /a/ {
                add_header X-From outer;
                location /a/b/ { return 200 inner; }
                location ~ \.txt$ { return 200 regex; }
                return 200 outer;
            }
            location ~ \.txt$ { return 200 top-regex; }
        }"#,
    );
    assert_eq!(server.get("/a/x").text(), "outer");
    assert_eq!(server.get("/a/b/x").text(), "inner");
    assert_eq!(server.get("/a/b/x").header("x-from"), Some("outer"));
    assert_eq!(server.get("/a/x.txt").text(), "regex");
    assert_eq!(server.get("/x.txt").text(), "top-regex");
}

#[test]
fn a_nested_location_must_be_inside_of_its_outer_one() {
    let mut setup = Setup::http("server { location /a/ { location /b/ { } } }");
    setup
        .run(&["-t"])
        .expect(1, "location \"/b/\" is outside location \"/a/\"");
}

#[test]
fn a_named_location_is_reached_by_try_files() {
    let server = Server::start(
        r#"server {
            listen 127.0.0.1:{port};
            location / { try_files $uri @fallback; }
            location @fallback { return 200 "named $uri"; }
        }"#,
    );
    assert_eq!(server.get("/none").text(), "named /none");
}

#[test]
fn a_named_location_is_reached_by_error_page() {
    let server = Server::start(
        r#"server {
            listen 127.0.0.1:{port};
            error_page 404 = @missing;
            location @missing { return 200 "missing $uri"; }
        }"#,
    );
    assert_eq!(server.get("/none").expect(200).text(), "missing /none");
}

#[test]
fn a_named_location_must_be_at_the_server_level() {
    let mut setup = Setup::http("server { location /a { location @b { } } }");
    let ran = setup.run(&["-t"]);
    ran.expect(1, "named location \"@b\" can be on the server level only");
}

#[test]
fn a_proxied_prefix_with_a_slash_redirects_its_name_without() {
    let server = Server::start(
        "server { listen 127.0.0.1:{port}; location /app/ { proxy_pass http://127.0.0.1:1; } }",
    );
    let response = server.get("/app").expect(301);
    let location = format!("http://localhost:{}/app/", server.port(0));
    assert_eq!(response.header("location"), Some(location.as_str()));
}

#[test]
fn a_broken_regex_is_said() {
    let mut setup = Setup::http("server { location ~ (a { } }");
    setup
        .run(&["-t"])
        .expect(1, "[emerg]")
        .expect(1, "nginx.conf:");
}

#[test]
fn a_missing_slash_is_found_among_names_that_sort_before_it() {
    let server = Server::start(
        r#"server {
            listen 127.0.0.1:{port};
            location /app/ { proxy_pass http://127.0.0.1:1; }
            location /app-b { return 200 b; }
            location "/app c/" { proxy_pass http://127.0.0.1:1; }
        }"#,
    );
    for (uri, target) in [("/app?x=1", "/app/?x=1"), ("/app%20c", "/app%20c/")] {
        let response = server.get(uri).expect(301);
        let location = format!("http://localhost:{}{target}", server.port(0));
        assert_eq!(response.header("location"), Some(location.as_str()));
    }
    assert_eq!(server.get("/app-b").text(), "b");
}

#[test]
fn a_name_without_the_slash_wins_over_the_redirect() {
    let server = Server::start(
        "server {
             listen 127.0.0.1:{port};
             location /app/ { proxy_pass http://127.0.0.1:1; }
             location /app { return 200 app; }
         }",
    );
    assert_eq!(server.get("/app").text(), "app");
}
