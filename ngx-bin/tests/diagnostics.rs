//! What is said about configurations: mistakes with a caret and advice, warnings of traps, the
//! reference, and how a URL would be served. All of it is ours; nginx's part of the messages is
//! in `config.rs`.

mod support;

use support::{Server, Setup, ours};

/// What `-t` says about an `http` block of this content, a line of which begins at its left.
fn said(content: &str) -> (Option<i32>, String) {
    let mut setup = Setup::raw(&format!(
        "events {{ }}\nhttp {{ access_log off;\n{content}\n}}\n"
    ));
    let ran = setup.run(&["-t"]);
    let conf = setup.path("nginx.conf").display().to_string();
    (ran.code, ran.stderr.replace(&conf, "CONF"))
}

/// The mistake, its line with the caret, and the advice: all lines of a message but the first.
#[track_caller]
fn advised(content: &str, headline: &str, rest: &[&str]) {
    if !ours("advice") {
        return;
    }
    let (code, stderr) = said(content);
    assert_eq!(code, Some(1), "{stderr}");
    let expected = format!("nginx: [emerg] {headline}\n{}\n", rest.join("\n"));
    assert!(stderr.contains(&expected), "{expected}\nnot in\n{stderr}");
}

#[test]
fn a_misspelt_name_is_advised() {
    advised(
        "server { listen 1; lcation / { } }",
        "unknown directive \"lcation\" in CONF:3",
        &[
            "   3 | server { listen 1; lcation / { } }",
            "     |                    ^^^^^^^",
            "       help: did you mean \"location\"?",
        ],
    );
}

#[test]
fn a_directive_of_nginx_that_is_not_there_is_named() {
    advised(
        "perl_modules /x;",
        "unknown directive \"perl_modules\" in CONF:3",
        &[
            "   3 | perl_modules /x;",
            "     | ^^^^^^^^^^^^",
            "       help: nginx has \"perl_modules\" (in http), ngx does not implement it yet",
        ],
    );
}

#[test]
fn the_right_context_is_advised() {
    advised(
        "server { worker_connections 1; }",
        "\"worker_connections\" directive is not allowed here in CONF:3",
        &[
            "   3 | server { worker_connections 1; }",
            "     |          ^^^^^^^^^^^^^^^^^^",
            "       help: allowed in: events",
        ],
    );
}

#[test]
fn a_missing_semicolon_is_advised() {
    advised(
        "sendfile on\ntcp_nopush on;",
        "invalid number of arguments in \"sendfile\" directive in CONF:3",
        &[
            "   3 | sendfile on",
            "     | ^^^^^^^^",
            "       note: a \";\" may be missing in CONF:3",
            "   3 | sendfile on",
            "     |            -",
            "       help: \"sendfile\" takes one argument, 3 given",
        ],
    );
}

#[test]
fn the_beginning_of_an_open_block_is_shown() {
    advised(
        "server {\n  location / {\n    return 204;\n}",
        "unexpected end of file, expecting \"}\" in CONF:8",
        &[
            "   8 |",
            "     | ^",
            "       note: the block that begins here may lack its \"}\" in CONF:4",
            "   4 |   location / {",
            "     |   --------",
        ],
    );
}

#[test]
fn the_first_of_two_is_shown() {
    advised(
        "sendfile on;\nsendfile off;",
        "\"sendfile\" directive is duplicate in CONF:4",
        &[
            "   4 | sendfile off;",
            "     | ^^^^^^^^",
            "       note: first set in CONF:3",
            "   3 | sendfile on;",
            "     | --------",
        ],
    );
}

#[test]
fn a_unit_is_advised_at_its_argument() {
    advised(
        "client_max_body_size 10MB;",
        "\"client_max_body_size\" directive invalid value in CONF:3",
        &[
            "   3 | client_max_body_size 10MB;",
            "     |                      ^^^^",
            "       help: did you mean \"10m\"? a size is a number of bytes with an optional unit \
             \"k\", \"m\" or \"g\", such as \"1m\"",
        ],
    );
}

#[test]
fn an_unknown_variable_is_shown_where_it_is_used() {
    advised(
        "server { listen 1; location / { return 200 \"a $hosst\"; } }",
        "unknown \"hosst\" variable in CONF:3",
        &[
            "   3 | server { listen 1; location / { return 200 \"a $hosst\"; } }",
            "     |                                               ^^^^^^",
            "       help: did you mean \"$host\"?",
        ],
    );
}

#[test]
fn mistakes_of_all_files_come_in_one_run_each_with_its_place() {
    if !ours("all mistakes at once") {
        return;
    }
    let mut setup = Setup::http("include parts/*;\nsendfil on;")
        .file("parts/a", "bogus_a;\n\"no end")
        .file("parts/b", "server {\n root a b;\n");
    let ran = setup.run(&["-t"]);
    let part = |name: &str| setup.path("parts").join(name).display().to_string();
    ran.expect(
        1,
        &format!("unknown directive \"bogus_a\" in {}:1", part("a")),
    )
    .expect(1, &format!("expecting \";\" or \"}}\" in {}:2", part("a")))
    .expect(
        1,
        &format!("arguments in \"root\" directive in {}:2", part("b")),
    )
    .expect(1, &format!("expecting \"}}\" in {}:3", part("b")))
    .expect(1, "unknown directive \"sendfil\" in ");
}

/// The warning, and that the configuration is good all the same.
#[track_caller]
fn warned(content: &str, headline: &str, help: &str) {
    if !ours("warnings of traps") {
        return;
    }
    let (code, stderr) = said(content);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stderr.contains(&format!("nginx: [warn] {headline}\n")),
        "{stderr}"
    );
    assert!(stderr.contains(&format!("help: {help}\n")), "{stderr}");
}

#[test]
fn slashes_of_alias_and_location_that_differ_are_warned_about() {
    warned(
        "server { listen 127.0.0.1:1;\nlocation /img/ { alias /data/img; } }",
        "location \"/img/\" ends with \"/\" and its alias \"/data/img\" does not in CONF:4",
        "write \"alias /data/img/;\": now \"/img/x\" is the file \"/data/imgx\"",
    );
    warned(
        "server { listen 127.0.0.1:1;\nlocation /img { alias /data/; } }",
        "alias \"/data/\" ends with \"/\" and its location \"/img\" does not in CONF:4",
        "write \"location /img/\": now \"/img../x\" is \"/data/../x\", outside of the folder",
    );
}

#[test]
fn headers_that_an_inner_block_drops_are_warned_about() {
    warned(
        "add_header X-A a;\nserver { listen 127.0.0.1:1; location / {\nadd_header X-B b; } }",
        "this \"add_header\" drops those of the enclosing block: \"X-A\" in CONF:5",
        "repeat it here, or move this one out; a block inherits all or none",
    );
    warned(
        "proxy_set_header Host $host;\nproxy_set_header X-A a;\n\
         server { listen 127.0.0.1:1; location / {\n\
         proxy_pass http://127.0.0.1:2; proxy_set_header X-B b; } }",
        "this \"proxy_set_header\" drops those of the enclosing block: \"Host\" and \"X-A\" in CONF:6",
        "repeat them here, or move this one out; a block inherits all or none",
    );
}

#[test]
fn an_if_that_does_more_than_it_seems_is_warned_about() {
    warned(
        "server { listen 127.0.0.1:1; location / {\n\
         if ($arg_a) { set $b 1; expires 1h; add_header X-A a; add_header X-B b; } } }",
        "\"if\" in a location with \"expires\" and \"add_header\" in it in CONF:4",
        "of several \"if\" that are true the settings of the last apply alone; safe in \"if\" are \
         \"return\", \"rewrite ... last\", \"set\" and \"break\": let \"rewrite ... last\" lead to a \
         location with the rest, or set a variable and use that outside",
    );
    warned(
        "server { listen 127.0.0.1:1; location / {\ntry_files $uri =404;\n\
         if ($arg_a) { set $b 1; } } }",
        "\"try_files\" does not apply where this \"if\" is true in CONF:5",
        "end the block with \"return\" or \"rewrite ... last\", or move the \"if\" to the server block",
    );
}

#[test]
fn what_is_meant_is_not_warned_about() {
    let (code, stderr) = said(
        "add_header X-A a;\n\
         proxy_set_header Host $host;\n\
         server {\n\
         listen 127.0.0.1:1;\n\
         location /a/ { alias /data/a/; add_header x-a b; add_header X-B b; }\n\
         location /b { alias /data/b; }\n\
         location = /c { alias /data/; }\n\
         location ~ ^/d/(.*) { alias /data/$1; }\n\
         location / { proxy_pass http://127.0.0.1:2; proxy_set_header Host a; }\n\
         if ($arg_a) { set $b 1; rewrite ^ /c; }\n\
         location /e { try_files $uri =404; if ($arg_a) { return 403; } }\n\
         location /f { try_files $uri =404; if ($arg_a) { rewrite ^ /c last; } }\n\
         location /g { if ($arg_a) { set $b 1; rewrite ^/(.*)$ /h/$1; break; } }\n\
         location /h { if ($arg_a) { add_header X-A a; add_header X-C c always; return 403; } }\n\
         }",
    );
    assert_eq!(code, Some(0), "{stderr}");
    assert!(!stderr.contains("[warn]"), "{stderr}");
}

#[test]
fn the_reference_is_what_the_repository_has() {
    if !ours("a reference") {
        return;
    }
    for page in ["directives", "variables"] {
        let path = format!("{}/../docs/{page}.md", env!("CARGO_MANIFEST_DIR"));
        let printed = Setup::raw("").run_plain(&[&format!("--{page}")]).stdout;
        let kept = std::fs::read_to_string(&path).unwrap();
        assert!(
            printed == kept,
            "docs/{page}.md is old: cargo run -p ngx-bin -- --{page} >docs/{page}.md"
        );
    }
}

#[test]
fn a_url_is_explained() {
    if !ours("--explain") {
        return;
    }
    let mut setup = Setup::http(
        "server {\n\
         listen 127.0.0.1:{port};\n\
         location /api/ {\n\
         proxy_pass http://127.0.0.1:1/;\n\
         proxy_set_header Host $host;\n\
         } }",
    );
    let port = setup.fill("{port}");
    let ran = setup.run(&["--explain", &format!("http://127.0.0.1:{port}/api/x")]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for text in [
        "location   /api/: the longest prefix  (",
        "content    proxy_pass http://127.0.0.1:1/  (",
        "  proxy_set_header Host $host ",
    ] {
        assert!(ran.stdout.contains(text), "{text} in {}", ran.stdout);
    }
    setup
        .run(&["--explain", "ftp://a/"])
        .expect(1, "is not a URL of http");
}

/// Every flag that a location may inherit is shown with its place: no module keeps its settings
/// from `--explain`.
#[test]
fn settings_of_every_module_are_explained() {
    if !ours("--explain") {
        return;
    }
    let reference = Setup::raw("").run_plain(&["--directives"]).stdout;
    let flags: Vec<&str> = reference
        .lines()
        .filter_map(|line| {
            let cells: Vec<_> = line.split(" | ").collect();
            let [name, "done", contexts, "`on`" | "`off`", ..] = cells.as_slice() else {
                return None;
            };
            let inherited = contexts.contains("http") && contexts.contains("location");
            inherited.then(|| name.trim_start_matches("| ").trim_matches('`'))
        })
        .filter(|name| !NO_FLAGS.contains(name))
        .collect();
    assert!(flags.len() > 20, "{flags:?}");
    let lines: String = flags.iter().map(|name| format!("{name} off;\n")).collect();
    let mut setup = Setup::http(&format!(
        "{lines} server {{ listen 127.0.0.1:{{port}}; location / {{ default_type a/b; }} }}"
    ));
    let port = setup.fill("{port}");
    let ran = setup.run(&["--explain", &format!("http://127.0.0.1:{port}/")]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for name in flags {
        let line = format!("  {name} off ");
        assert!(ran.stdout.contains(&line), "{name} in {}", ran.stdout);
    }
}

/// Of those with such a default, the ones that are more than a flag, or are checked and keep nothing.
const NO_FLAGS: &[&str] = &["client_body_in_single_buffer", "lua_code_cache"];

#[test]
fn what_is_explained_is_what_happens() {
    let server = Server::start(
        "server {\n\
         listen 127.0.0.1:{port};\n\
         rewrite ^/old/(.*) /new/$1 last;\n\
         location /new/ { return 200 new:$uri; }\n\
         location ~ x$ { return 200 regex:$uri; }\n\
         }",
    );
    for uri in ["/old/a", "/new/ax", "/new/a", "/other"] {
        let answer = server.get(uri);
        if !ours("--explain") {
            continue;
        }
        let url = format!("http://{}{uri}", server.addr());
        let told = server.control(&["--explain", &url]);
        assert_eq!(told.code, Some(0), "{}", told.stderr);
        let text = if answer.status == 200 {
            format!("answers 200 with {:?}", answer.text())
        } else {
            "no location fits".to_owned()
        };
        assert!(told.stdout.contains(&text), "{text} in {}", told.stdout);
    }
}

#[test]
fn an_if_is_explained() {
    if !ours("--explain") {
        return;
    }
    let mut setup = Setup::http(
        "server {\n\
         listen 127.0.0.1:{port};\n\
         if ($arg_old) { rewrite ^ /moved; }\n\
         location /a {\n\
         expires 1h;\n\
         if ($arg_b ~ ^x(.*)) { expires 2h; }\n\
         if (-d {dir}) {\n set $c $1; \n}\n\
         if ($arg_end) { return 403; }\n\
         } }",
    );
    let port = setup.fill("{port}");
    let mut explain = |uri: &str| {
        let ran = setup.run(&["--explain", &format!("http://127.0.0.1:{port}{uri}")]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let folder = setup.path("").display().to_string();
        ran.stdout.replace(folder.trim_end_matches('/'), "DIR")
    };
    let told = explain("/a?b=xy");
    for text in [
        "if         ($arg_old): is not true  (DIR/nginx.conf:",
        "if         ($arg_b ~ ^x(.*)): is true: the settings of its block apply  (DIR/nginx.conf:",
        "if         (-d DIR): is true: the settings of its block apply  (DIR/nginx.conf:",
        "set        $c $1: sets $c to \"y\"  (DIR/nginx.conf:",
        "if         ($arg_end): is not true  (DIR/nginx.conf:",
        "  location /a  DIR/nginx.conf:12\n",
    ] {
        assert!(told.contains(text), "{text} in {told}");
    }
    let told = explain("/x?old=1");
    for text in [
        "if         ($arg_old): is true  (DIR/nginx.conf:",
        "the URI is now /moved",
    ] {
        assert!(told.contains(text), "{text} in {told}");
    }
    assert!(explain("/a?end=1").contains("return     403: answers 403  ("));
}
