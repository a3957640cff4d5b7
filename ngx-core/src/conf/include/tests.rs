use crate::conf::MemorySource;
use crate::conf::parser::tests::read;

fn source(main: &str) -> MemorySource {
    MemorySource::new()
        .with_file("/etc/ngx.conf", main)
        .with_file("/etc/types", "text/html html;\nimage/png png;")
        .with_file("/etc/sites/b.conf", "b;")
        .with_file("/etc/sites/a.conf", "a;")
        .with_file("/etc/sites/.hidden.conf", "hidden;")
        .with_file("/etc/sites/deep/c.conf", "c;")
        .with_file("/etc/self", "x; include self; y;")
        .with_file("/etc/ping", "include pong;")
        .with_file("/etc/pong", "include ping;")
        .with_file("/etc/broken", "a;\nb")
}

#[track_caller]
fn check(main: &str, nodes: &str, problems: &[&str]) {
    let (found_nodes, found) = read(&source(main));
    assert_eq!(found, problems, "{main}");
    assert_eq!(found_nodes, nodes, "{main}");
}

#[test]
fn files_take_the_place_of_their_include() {
    check(
        "types { include types; }",
        "types{text/html html;image/png png;}",
        &[],
    );
    check("x; include sites/*.conf; y;", "x;a;b;y;", &[]);
    check(
        "include /etc/sites/a.conf; include sites/a.conf;",
        "a;a;",
        &[],
    );
    check(
        "include sites/[b].conf sites/?.conf;",
        "",
        &["1: invalid number of arguments in \"include\" directive"],
    );
    check("include nothing/*.conf;", "", &[]);
    check("include $x*;", "", &[]);
}

#[test]
fn a_missing_file_is_an_error() {
    let message = "open() \"/etc/no\" failed (2: No such file or directory)";
    check("a;\ninclude no;\nb;", "a;b;", &[&format!("2: {message}")]);
    let (_, problems) = read(&MemorySource::new());
    assert_eq!(
        problems,
        [": open() \"/etc/ngx.conf\" failed (2: No such file or directory)"]
    );
}

#[test]
fn problems_name_the_file_they_are_in() {
    let message = "unexpected end of file, expecting \";\" or \"}\"";
    check(
        "include broken;\nc;",
        "a;c;",
        &[&format!("/etc/broken:2: {message}")],
    );
}

#[test]
fn loops_end() {
    check(
        "include self;",
        "x;y;",
        &["/etc/self:1: \"/etc/self\" includes itself"],
    );
    check(
        "include ping;",
        "",
        &["/etc/pong:1: \"/etc/ping\" includes itself"],
    );
}

#[test]
fn chains_end() {
    let mut source = MemorySource::new().with_file("/etc/ngx.conf", "include 0;");
    for i in 0..100 {
        source = source.with_file(format!("/etc/{i}"), format!("include {};", i + 1));
    }
    let (_, problems) = read(&source);
    assert_eq!(
        problems,
        ["/etc/62:1: includes are nested too deeply, at most 64 are allowed"]
    );
}

#[test]
fn a_missing_semicolon_is_seen_by_the_line() {
    let wrong = "1: invalid number of arguments in \"include\" directive";
    check(
        "include types\nuser a;",
        "text/html html;image/png png;user a;",
        &[wrong],
    );
    let wrong = "1: directive \"include\" is not terminated by \";\"";
    check(
        "include sites/a.conf\nserver { x; }",
        "a;server{x;}",
        &[wrong],
    );
    check("include sites/a.conf { x; }", "a;", &[wrong]);
}
