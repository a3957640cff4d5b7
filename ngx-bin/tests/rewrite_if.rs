//! `if`: its conditions, what a true one replaces, and its mistakes.

mod support;

use support::{Backend, Server, Setup};

/// A server that answers `yes` where the condition holds, `no` elsewhere, one location each.
fn conditions(list: &[(&str, &str)]) -> Server {
    let locations: String = list
        .iter()
        .map(|(name, condition)| {
            format!(
                "location = /{name} {{ if ({condition}) {{ return 200 \"yes $1\"; }} \
                 return 200 no; }}\n"
            )
        })
        .collect();
    Setup::http(&format!(
        "server {{ listen 127.0.0.1:{{port}};\n{locations}\n}}"
    ))
    .file("plain", "")
    .file("folder/inside", "")
    .start()
}

#[track_caller]
fn answers(server: &Server, uri: &str, text: &str) {
    assert_eq!(server.get(uri).text(), text, "{uri}");
}

#[test]
fn variables_are_true_unless_empty_or_zero() {
    let server = conditions(&[("a", "$arg_a"), ("b", " $arg_a ")]);
    for (args, text) in [
        ("", "no"),
        ("?a", "no"),
        ("?a=", "no"),
        ("?a=0", "no"),
        ("?a=00", "yes "),
        ("?a=1", "yes "),
        ("?a=no", "yes "),
    ] {
        answers(&server, &format!("/a{args}"), text);
        answers(&server, &format!("/b{args}"), text);
    }
}

#[test]
fn texts_are_compared_byte_by_byte() {
    let server = conditions(&[
        ("is", "$arg_a = Ab"),
        ("not", "$arg_a != Ab"),
        ("empty", "$arg_a = \"\""),
        ("both", "$arg_a = $arg_b"),
        ("quoted", "$arg_a = \"a$arg_b\""),
        ("method", "$request_method = GET"),
    ]);
    for (uri, text) in [
        ("/is?a=Ab", "yes "),
        ("/is?a=ab", "no"),
        ("/is?a=Abc", "no"),
        ("/not?a=Ab", "no"),
        ("/not", "yes "),
        ("/empty", "yes "),
        ("/empty?a=", "yes "),
        ("/empty?a=1", "no"),
        ("/both?a=1&b=1", "yes "),
        ("/both?a=1&b=2", "no"),
        ("/quoted?a=ab&b=b", "yes "),
        ("/method", "yes "),
    ] {
        answers(&server, uri, text);
    }
}

#[test]
fn expressions_match_and_capture() {
    let server = conditions(&[
        ("is", "$arg_a ~ ^x(.*)$"),
        ("any", "$arg_a ~* ^x(.*)$"),
        ("not", "$arg_a !~ ^x"),
        ("notany", "$arg_a !~* ^x"),
        ("quoted", "$arg_a ~ \"^(x{2,3})$\""),
    ]);
    for (uri, text) in [
        ("/is?a=xyz", "yes yz"),
        ("/is?a=Xyz", "no"),
        ("/any?a=Xyz", "yes yz"),
        ("/not?a=Xyz", "yes "),
        ("/not?a=xyz", "no"),
        ("/notany?a=Xyz", "no"),
        ("/notany?a=yz", "yes "),
        ("/quoted?a=xxx", "yes xxx"),
        ("/quoted?a=x", "no"),
    ] {
        answers(&server, uri, text);
    }
}

#[test]
fn files_are_asked_for() {
    let server = conditions(&[
        ("f", "-f {dir}/$arg_a"),
        ("d", "-d {dir}/$arg_a"),
        ("e", "-e {dir}/$arg_a"),
        ("x", "-x {dir}/$arg_a"),
        ("nf", "!-f {dir}/$arg_a"),
        ("nd", "!-d {dir}/$arg_a"),
        ("ne", "!-e {dir}/$arg_a"),
        ("nx", "!-x {dir}/$arg_a"),
        ("null", "-e /dev/null"),
    ]);
    for (name, plain, folder, missing) in [
        ("f", "yes ", "no", "no"),
        ("d", "no", "yes ", "no"),
        ("e", "yes ", "yes ", "no"),
        ("x", "no", "yes ", "no"),
        ("nf", "no", "yes ", "yes "),
        ("nd", "yes ", "no", "yes "),
        ("ne", "no", "no", "yes "),
        ("nx", "yes ", "no", "yes "),
    ] {
        answers(&server, &format!("/{name}?a=plain"), plain);
        answers(&server, &format!("/{name}?a=folder"), folder);
        answers(&server, &format!("/{name}?a=missing"), missing);
        answers(&server, &format!("/{name}?a=plain/below"), missing);
    }
    // As in nginx, a device is neither a file nor a folder.
    answers(&server, "/null", "no");
}

#[test]
fn named_captures_become_variables() {
    let server = Server::start(
        r#"server { listen 127.0.0.1:{port};
           if ($http_user_agent ~ "(?<browser>\w+)/(?<major>\d+)") { set $seen "$browser-$major"; }
           location / {
             if ($arg_a ~ ^(?<first>.)(?<rest>.*)) { return 200 "$rest$first $2$1 $seen"; }
             return 200 "$first-$1-$seen";
           } }"#,
    );
    let response = server.get_with("/?a=xyz", "User-Agent: Lynx/2.8\r\n");
    assert_eq!(response.text(), "yzx yzx Lynx-2");
    assert_eq!(server.get("/").text(), "--");
}

#[test]
fn instructions_run_in_the_order_of_the_file() {
    let server = Server::start(
        r#"server { listen 127.0.0.1:{port};
           set $a 1;
           if ($arg_s) { set $a "${a}2"; set $a "${a}3"; }
           set $a "${a}4";
           if ($arg_stop) { break; set $a "${a}never"; }
           if ($arg_go) { rewrite ^ /gone; }
           location / {
             set $a "${a}5";
             if ($arg_l) { set $a "${a}6"; break; }
             set $a "${a}7";
             return 200 "$a $uri";
           }
           location /last {
             if ($arg_l) { rewrite ^/last/(.*) /$1 last; }
             return 200 "last $a";
           }
           location /moved {
             if ($arg_to) { rewrite ^ http://$arg_to/? permanent; }
             if ($arg_now) { return 303 /now; }
           } }"#,
    );
    for (uri, text) in [
        ("/", "1457 /"),
        ("/?s=1", "123457 /"),
        ("/?go=1", "1457 /gone"),
        ("/?go=1&stop=1", "1457 /"),
        ("/last/a?l=1", "1456"),
        ("/last/a", "last 14"),
    ] {
        let response = server.get(uri);
        if uri == "/last/a?l=1" {
            // `break` in the location leaves its `return` out: the file is looked for.
            assert_eq!(response.status, 404, "{uri}");
        } else {
            assert_eq!(response.text(), text, "{uri}");
        }
    }
    let moved = server.get("/moved?to=example.com").expect(301);
    assert_eq!(moved.header("Location"), Some("http://example.com/"));
    let location = server.get("/moved?now=1").expect(303);
    assert!(location.header("Location").unwrap().ends_with("/now"));
}

#[test]
fn captures_are_escaped_as_in_set() {
    let server = Server::start(
        r#"server { listen 127.0.0.1:{port};
           location ~ ^/x/(.*) {
             if ($arg_a = $1) { return 200 "as it came"; }
             return 200 other;
           } }"#,
    );
    assert_eq!(server.get("/x/a%20b?a=a%20b").text(), "as it came");
    assert_eq!(server.get("/x/ab?a=ab").text(), "as it came");
    assert_eq!(server.get("/x/a%20b?a=a+b").text(), "other");
}

/// The settings of a true `if` apply in place of those of the location, which it inherits.
#[test]
fn settings_of_a_true_if_apply() {
    let server = Setup::http(
        r#"server { listen 127.0.0.1:{port}; root {dir}/outer;
           add_header X-Server yes always;
           location / {
             error_page 404 = @missing;
             if ($arg_inner) { root {dir}/inner; }
             if ($arg_head) { add_header X-If yes; }
             if ($arg_nothing) { }
             if ($arg_log) { access_log {dir}/if.log; }
           }
           location @missing { return 200 "missing $uri"; }
           }"#,
    )
    .file("outer/file", "outer")
    .file("inner/file", "inner")
    .start();
    let plain = server.get("/file").expect(200);
    assert_eq!(plain.text(), "outer");
    assert_eq!(plain.header("X-Server"), Some("yes"));
    let inner = server.get("/file?inner=1").expect(200);
    assert_eq!(inner.text(), "inner");
    assert_eq!(inner.header("X-Server"), Some("yes"));
    let head = server.get("/file?head=1").expect(200);
    assert_eq!(head.header("X-If"), Some("yes"));
    assert_eq!(head.header("X-Server"), None, "its own lines replace all");
    // The last true one replaces those before it: its location has one root, and that is the
    // outer one.
    assert_eq!(server.get("/file?inner=1&nothing=1").text(), "outer");
    let both = server.get("/file?inner=1&head=1");
    assert_eq!(both.text(), "outer");
    assert_eq!(both.header("X-If"), Some("yes"));
    assert_eq!(server.get("/none?inner=1").text(), "missing /none");
    server.get("/file?log=1").expect(200);
    server.expect_in("if.log", "/file?log=1");
}

/// What a location does not hand down to those inside of it does not apply where an `if` is true:
/// nginx's best known trap.
#[test]
fn a_true_if_loses_what_is_not_inherited() {
    let server = Setup::http(
        "server { listen 127.0.0.1:{port}; root {dir};\n\
         location / { try_files /there =403; if ($arg_a) { set $b 1; } }\n\
         }",
    )
    .file("there", "found")
    .file("own", "own")
    .start();
    assert_eq!(server.get("/own").text(), "found");
    assert_eq!(server.get("/own?a=1").text(), "own");
    server.get("/none?a=1").expect(404);
}

#[test]
fn handlers_of_a_true_if_take_the_request() {
    let backend = Backend::http(|request| request.uri.clone());
    let server = Setup::http(
        "server { listen 127.0.0.1:{port}; root {dir};\n\
         location /uri { proxy_pass http://{backend}/replaced; if ($arg_a) { } }\n\
         location /uri/inner { if ($arg_a) { } }\n\
         location /only { if ($arg_a) { proxy_pass http://{backend}; } }\n\
         location /lost { if ($arg_a) { proxy_pass http://{backend}; } if ($arg_b) { } }\n\
         location /other { proxy_pass http://{backend}/outer/$host;\n\
           if ($arg_a) { proxy_pass http://{backend}; } }\n\
         }",
    )
    .set("backend", backend.addr())
    .allow("no upstream configuration")
    .file("only", "file")
    .file("lost", "file")
    .start();
    for (uri, text) in [
        ("/uri?a=1", "/replaced?a=1"),
        ("/only", "file"),
        ("/only?a=1", "/only?a=1"),
        ("/lost?a=1", "/lost?a=1"),
        ("/lost?b=1", "file"),
        ("/other", "/outer/localhost"),
        ("/other?a=1", "/other?a=1"),
    ] {
        answers(&server, uri, text);
    }
    server.get("/uri/inner?a=1").expect(404);
    // The handler of the first is kept, and the second has nothing for it: 500, as in nginx.
    server.get("/lost?a=1&b=1").expect(500);
}

#[test]
fn rewriting_is_logged_where_it_is_wanted() {
    let server = Setup::http(
        "server { listen 127.0.0.1:{port}; error_log {dir}/error.log notice; rewrite_log on;\n\
         if ($arg_a ~ ^b) { set $c 1; }\n\
         location / { return 204; } }",
    )
    .start();
    server.get("/?a=bc").expect(204);
    server.expect_error_log("\"^b\" matches \"bc\"");
    server.get("/?a=cd").expect(204);
    server.expect_error_log("\"^b\" does not match \"cd\"");
}

#[test]
fn mistakes_are_nginx_s() {
    for (text, message) in [
        ("if $a { }", "invalid condition \"$a\""),
        ("if () { }", "invalid condition \")\""),
        ("if ( ) { }", "invalid condition \")\""),
        ("if ($a { }", "invalid condition \"$a\""),
        ("if ($a = ) { }", "invalid condition \"$a\""),
        ("if ($a =) { }", "invalid condition \"$a\""),
        ("if ($a = b c) { }", "invalid condition \"$a\""),
        ("if ($a == b) { }", "unexpected \"==\" in condition"),
        ("if ($a =~ b) { }", "unexpected \"=~\" in condition"),
        ("if ($a && $b) { }", "unexpected \"&&\" in condition"),
        ("if (a = b) { }", "invalid condition \"a\""),
        ("if (!$a) { }", "invalid condition \"!$a\""),
        ("if (-f) { }", "invalid condition \"-f\""),
        ("if (-f a b) { }", "invalid condition \"-f\""),
        ("if (-g a) { }", "invalid condition \"-g\""),
        ("if (!-g a) { }", "invalid condition \"!-g\""),
        ("if ($) { }", "invalid condition \"$\""),
        ("if ($a=b) { }", "unknown \"a=b\" variable"),
        ("if ($1) { }", "unknown \"1\" variable"),
        ("if ($nobody) { }", "unknown \"nobody\" variable"),
        (
            "if ($a) { root x; }",
            "\"root\" directive is not allowed here",
        ),
        (
            "if ($a) { if ($b) { } }",
            "\"if\" directive is not allowed here",
        ),
        (
            "location / { if ($a) { location /b { } } }",
            "\"location\" directive is not allowed here",
        ),
        ("if ($a);", "directive \"if\" has no opening \"{\""),
        ("if { }", "invalid number of arguments in \"if\" directive"),
        (
            "location / { if ($a) { proxy_pass http://127.0.0.1:1/x; } }",
            "\"proxy_pass\" cannot have URI part",
        ),
    ] {
        let config = format!("server {{ listen 127.0.0.1:1; set $a 1; set $b 1;\n{text}\n}}");
        Setup::http(&config).run(&["-t"]).expect(1, message);
    }
}
