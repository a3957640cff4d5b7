//! Modules, workers, the configuration.

use super::{check, eval, eval_in};
use crate::{Host, Settings};

#[test]
fn texts_are_split() {
    // Where empty matches and others meet, lua-resty-core has pieces twice: `a`, `a1`, `b`, `b2`, `c`.
    check(&[
        (
            r#"require("ngx.re").split("a,b,c,d", ",")"#,
            r#"{[1]="a",[2]="b",[3]="c",[4]="d"}"#,
        ),
        (
            r#"require("ngx.re").split("a,b,c,d", ",", nil, nil, 3)"#,
            r#"{[1]="a",[2]="b",[3]="c,d"}"#,
        ),
        (
            r#"require("ngx.re").split("a,b,c,d", "(,)")"#,
            r#"{[1]="a",[2]=",",[3]="b",[4]=",",[5]="c",[6]=",",[7]="d"}"#,
        ),
        (
            r#"require("ngx.re").split("a,b,c,d", "(x)?,")"#,
            r#"{[1]="a",[2]="b",[3]="c",[4]="d"}"#,
        ),
        (
            r#"require("ngx.re").split("a,b,,", ",")"#,
            r#"{[1]="a",[2]="b"}"#,
        ),
        (
            r#"require("ngx.re").split("a,b,,", ",", nil, nil, 10)"#,
            r#"{[1]="a",[2]="b",[3]="",[4]=""}"#,
        ),
        (
            r#"require("ngx.re").split(",a,b", ",")"#,
            r#"{[1]="",[2]="a",[3]="b"}"#,
        ),
        (r#"require("ngx.re").split("", ",")"#, "{}"),
        (
            r#"require("ngx.re").split("abc", "")"#,
            r#"{[1]="a",[2]="b",[3]="c"}"#,
        ),
        (
            r#"require("ngx.re").split("abcd", "", nil, nil, 2)"#,
            r#"{[1]="a",[2]="bcd"}"#,
        ),
        (
            r#"require("ngx.re").split("abcd", "", nil, nil, 3)"#,
            r#"{[1]="a",[2]="b",[3]="cd"}"#,
        ),
        (r#"require("ngx.re").split("abcd", "x")"#, r#"{[1]="abcd"}"#),
        (r#"require("ngx.re").split(",,,", ",")"#, "{}"),
        (
            r#"require("ngx.re").split("a1b2c3", "[0-9]?", "jo")"#,
            r#"{[1]="a",[2]="b",[3]="c"}"#,
        ),
        (
            r#"require("ngx.re").split("a b  c", "\\s*", "jo")"#,
            r#"{[1]="a",[2]="b",[3]="c"}"#,
        ),
        (
            r#"require("ngx.re").split("a,b,c", ",", nil, {pos = 3})"#,
            r#"{[1]="b",[2]="c"}"#,
        ),
        (
            r#"require("ngx.re").split("a,b,c", ",", nil, {pos = 9})"#,
            "{}",
        ),
        (
            r#"require("ngx.re").split("a,b,c", ",", nil, {pos = 5})"#,
            r#"{[1]="c"}"#,
        ),
        (
            r#"require("ngx.re").split("a,b,c", ",", nil, nil, nil, {1, 2, 3, 4, 5, 6})"#,
            r#"{[1]="a",[2]="b",[3]="c",[5]=5,[6]=6}"#,
        ),
        (
            r#"require("ngx.re").split("a,b,c", ",", nil, nil, nil, {1, 2, 3, 4})"#,
            r#"{[1]="a",[2]="b",[3]="c"}"#,
        ),
        (
            r#"require("ngx.re").split("a,b,c", ",", nil, nil, nil, 1)"#,
            "error: res is not a table",
        ),
        (
            r#"require("ngx.re").split("a,b,c", ",", nil, nil, 1)"#,
            r#"{[1]="a,b,c"}"#,
        ),
        (
            r#"require("ngx.re").split("a,b,c", "(,)", nil, nil, 2)"#,
            r#"{[1]="a",[2]=",",[3]="b,c"}"#,
        ),
        (
            r#"require("ngx.re").split(12321, "2")"#,
            r#"{[1]="1",[2]="3",[3]="1"}"#,
        ),
        (
            r#"(function() local c = {} local t = require("ngx.re").split("a,b,c", ",", nil, c, 2) return t, c end)()"#,
            r#"{[1]="a",[2]="b,c"} {["pos"]=2}"#,
        ),
        (
            r#"(function() local c = {pos = 2} local t = require("ngx.re").split("abcd", "", nil, c, 2) return t, c end)()"#,
            r#"{[1]="b",[2]="cd"} {["pos"]=3}"#,
        ),
        (
            r#"(function() local c = {} local t = require("ngx.re").split("a,b,c", ",", nil, c) return t, c end)()"#,
            r#"{[1]="a",[2]="b",[3]="c"} {["pos"]=4}"#,
        ),
    ]);
}

#[test]
fn base64_for_urls() {
    check(&[
        (
            r#"require("ngx.base64").encode_base64url("hello\255\254?")"#,
            r#""aGVsbG___j8""#,
        ),
        (r#"require("ngx.base64").encode_base64url("a")"#, r#""YQ""#),
        (
            r#"require("ngx.base64").encode_base64url(1)"#,
            r#"nil "must provide a string""#,
        ),
        (
            r#"require("ngx.base64").decode_base64url("aGVsbG___j8")"#,
            r#""hello\255\254?""#,
        ),
        (
            r#"require("ngx.base64").decode_base64url("aGVsbG8=")"#,
            r#""hello""#,
        ),
        (
            r#"require("ngx.base64").decode_base64url("aGVsbG8+")"#,
            r#"nil "invalid input""#,
        ),
        (
            r#"require("ngx.base64").decode_base64url("a")"#,
            r#"nil "invalid input""#,
        ),
        (r#"require("ngx.base64").decode_base64url("")"#, r#""""#),
        (
            r#"require("ngx.base64").decode_base64url(nil)"#,
            r#"nil "must provide a string""#,
        ),
    ]);
}

#[test]
fn other_modules() {
    check(&[
        (
            r#"require("ngx.errlog").raw_log("x", "y")"#,
            "error: bad argument #1 to 'raw_log' (must be a number)",
        ),
        (
            r#"require("ngx.errlog").raw_log(1, 2)"#,
            "error: bad argument #2 to 'raw_log' (must be a string)",
        ),
        (
            r#"require("ngx.errlog").raw_log(9, "x")"#,
            "error: bad log level",
        ),
        (
            r#"require("ngx.errlog").raw_log(-1, "x")"#,
            "error: bad log level",
        ),
        (r#"require("ngx.errlog").raw_log(7, "x")"#, ""),
        (r#"type(require("resty.core").version)"#, r#""string""#),
        (
            r#"require("resty.core.time").monotonic_msec() <= require("resty.core.time").monotonic_time() * 1000 + 50"#,
            "true",
        ),
        (
            r#"require("ngx.re").opt("x", 1)"#,
            "error: unrecognized option name",
        ),
    ]);
}

#[test]
fn workers_and_configuration() {
    check(&[
        ("ngx.worker.id()", "0"),
        ("ngx.worker.count()", "1"),
        ("ngx.worker.exiting()", "false"),
        ("ngx.worker.pid() > 1", "true"),
        ("ngx.config.subsystem", r#""http""#),
        ("ngx.config.debug", "false"),
    ]);
}

#[test]
fn semaphores_that_need_no_waiting() {
    check(&[
        (r#"require("ngx.semaphore").new():count()"#, "0"),
        (r#"require("ngx.semaphore").new(3):count()"#, "3"),
        (r#"require("ngx.semaphore").new("3"):count()"#, "3"),
        (
            r#"require("ngx.semaphore").new(-1)"#,
            "error: no negative number",
        ),
        (r#"require("ngx.semaphore").new(1):wait(0)"#, "true"),
        (
            r#"require("ngx.semaphore").new(1):wait(-1)"#,
            "error: no negative number",
        ),
        (
            r#"require("ngx.semaphore").new(1):post(0)"#,
            "error: positive number required",
        ),
        (r#"require("ngx.semaphore").new(1):post("x")"#, "true"),
        (r#"require("ngx.semaphore").new(1):post(2)"#, "true"),
        (
            r#"require("ngx.semaphore").wait(1, 1)"#,
            "error: not a semaphore instance",
        ),
        (
            r#"require("ngx.semaphore").wait({}, 1)"#,
            "error: not a semaphore instance",
        ),
        (
            r#"require("ngx.semaphore").count(nil)"#,
            "error: not a semaphore instance",
        ),
    ]);
}

#[test]
fn the_settings_say_what_there_is() {
    let mut settings = Settings::default();
    settings.worker_count = 4;
    settings.worker_id = || None;
    settings.prefix = "/srv/ngx/".to_owned();
    settings.nginx_configure = "--with-x".to_owned();
    settings.nginx_version = 1_022_001;
    settings.debug = true;
    let host = Host::with_settings(settings).unwrap();
    let found = eval_in(
        &host,
        "local c, w = ngx.config, ngx.worker
         return w.count(), w.id(), c.prefix(), c.nginx_configure(), c.nginx_version, c.debug,
             c.ngx_lua_version",
    );
    assert_eq!(found, r#"4 nil "/srv/ngx/" "--with-x" 1022001 true 10032"#);
    assert_eq!(eval("return ngx.config.nginx_version"), "1031005");
}

#[test]
fn workers_learn_that_they_end() {
    let host = Host::new().unwrap();
    host.shut_down();
    assert_eq!(eval_in(&host, "return ngx.worker.exiting()"), "true");
}

#[test]
fn the_stack_of_compiled_patterns_can_be_chosen_before_any_is_kept() {
    let host = Host::new().unwrap();
    let set = "return require('ngx.re').opt('jit_stack_size', 256 * 1024)";
    assert_eq!(eval_in(&host, set), "");
    assert_eq!(eval_in(&host, set), "");
    let long = r#"return ngx.re.find(("ab"):rep(20000), "^(a|b|ab)*$", "jo")"#;
    assert_eq!(eval_in(&host, long), "1 40000");
    assert!(eval_in(&host, set).starts_with("error: changing jit stack size is not allowed"));
}
