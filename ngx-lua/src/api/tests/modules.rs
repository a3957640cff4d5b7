//! Modules, workers, the configuration.

use super::{check, eval, eval_in};
use crate::{Host, Settings};

#[test]
fn texts_are_split() {
    // Where empty matches and others meet, lua-resty-core has pieces twice: `a`, `a1`, `b`, `b2`, `c`.
    check(include_str!("cases/texts_are_split.txt"));
}

#[test]
fn base64_for_urls() {
    check(include_str!("cases/base64_for_urls.txt"));
}

#[test]
fn other_modules() {
    check(include_str!("cases/other_modules.txt"));
}

#[test]
fn workers_and_configuration() {
    check(include_str!("cases/workers_and_configuration.txt"));
}

#[test]
fn semaphores_that_need_no_waiting() {
    check(include_str!("cases/semaphores_that_need_no_waiting.txt"));
}

#[test]
fn the_settings_say_what_there_is() {
    let settings = Settings {
        worker_count: 4,
        worker_id: || None,
        prefix: "/srv/ngx/".to_owned(),
        nginx_configure: "--with-x".to_owned(),
        nginx_version: 1_022_001,
        debug: true,
        ..Settings::default()
    };
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
