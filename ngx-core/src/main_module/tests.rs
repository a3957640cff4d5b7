use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::conf::{Diagnostics, MemorySource, User};
use crate::log::{Level, LogFiles};
use crate::module::{LoadOptions, Loaded, Registry, load};

fn read_with(text: &str, source: MemorySource) -> Result<Loaded, Diagnostics> {
    let registry = Registry::new(ALL)
        .unwrap()
        .with_extension(Arc::new(LogFiles::default()));
    let source = source
        .with_file("/p/ngx.conf", text)
        .with_user("www", User { uid: 33, gid: 34 });
    let options = LoadOptions {
        prefix: "/p".into(),
        directives: String::new(),
    };
    load(&registry, &source, Path::new("/p/ngx.conf"), &options)
}

fn read(text: &str) -> Result<Loaded, Diagnostics> {
    read_with(text, MemorySource::new())
}

/// The configuration of a text that must be good.
#[track_caller]
fn good(text: &str) -> Loaded {
    read(text).unwrap_or_else(|problems| panic!("{problems}"))
}

#[track_caller]
fn refused(text: &str, message: &str) {
    let problems = read(text).unwrap_err().to_string();
    assert!(problems.contains(message), "{problems}");
}

#[test]
fn defaults_are_those_of_nginx() {
    let loaded = good("events { }");
    let core = CoreConf::of(&loaded.global);
    assert!(core.daemon() && core.has_events());
    assert_eq!(core.workers(), 1);
    assert_eq!(core.pid_file(), None);
    assert_eq!(core.user(), None);
    assert_eq!(core.shutdown_timeout(), None);
    assert_eq!(core.rlimit_nofile(), None);
    assert_eq!(EventsConf::of(&loaded.global).worker_connections(), 512);
    assert!(main_error_log(&loaded.global).is_none());
}

#[test]
fn values_are_kept() {
    let loaded = good(
        "daemon off; worker_processes 3; pid run/x.pid; worker_rlimit_nofile 1000;
         worker_shutdown_timeout 5; worker_priority -5; working_directory /tmp;
         events { worker_connections 64; use epoll; multi_accept on; accept_mutex off; }
         master_process on; pcre_jit on; timer_resolution 100ms; worker_rlimit_core 10m;
         lock_file x; debug_points abort;",
    );
    let core = CoreConf::of(&loaded.global);
    assert!(!core.daemon());
    assert_eq!(core.workers(), 3);
    assert_eq!(core.pid_file(), Some(Path::new("/p/run/x.pid")));
    assert_eq!(core.rlimit_nofile(), Some(1000));
    assert_eq!(core.rlimit_core(), Some(10 << 20));
    assert_eq!(core.shutdown_timeout(), Some(Duration::from_secs(5)));
    assert_eq!(core.priority(), Some(-5));
    assert_eq!(core.working_directory(), Some(Path::new("/tmp")));
    assert_eq!(EventsConf::of(&loaded.global).worker_connections(), 64);
}

#[test]
fn auto_is_one_thread_per_processor() {
    let loaded = good("worker_processes auto;");
    // The machine of a MemorySource has one.
    assert_eq!(CoreConf::of(&loaded.global).workers(), 1);
}

#[test]
fn wrong_values_are_refused() {
    refused(
        "worker_processes 0;",
        "\"worker_processes\" directive invalid value",
    );
    refused(
        "worker_processes x;",
        "\"worker_processes\" directive invalid value",
    );
    refused(
        "worker_priority x;",
        "\"worker_priority\" directive invalid number",
    );
    refused(
        "events { use kqueue; }",
        "invalid event type \"kqueue\" in /p/ngx.conf:1",
    );
    refused("events { worker_connections 0; }", "value must be");
    refused(
        "worker_shutdown_timeout 5x;",
        "\"worker_shutdown_timeout\" directive invalid value",
    );
    refused("pid a; pid b;", "\"pid\" directive is duplicate");
    refused("events { } events { }", "\"events\" directive is duplicate");
    refused(
        "lock_file x; lock_file y;",
        "\"lock_file\" directive is duplicate",
    );
    refused("debug_points x;", "invalid value \"x\" in /p/ngx.conf:1");
    refused(
        "worker_rlimit_core 1x;",
        "\"worker_rlimit_core\" directive invalid value",
    );
    refused(
        "events { accept_mutex_delay 5x; }",
        "\"accept_mutex_delay\" directive invalid value",
    );
    refused(
        "events { epoll_events 5x; }",
        "\"epoll_events\" directive invalid number",
    );
    refused(
        "events { debug_connection 1.2.3.4/33; }",
        "host not found in debug_connection \"1.2.3.4/33\" in /p/ngx.conf:1",
    );
}

#[test]
fn the_user_is_looked_up_where_it_makes_sense() {
    let root = rustix::process::geteuid().is_root();
    let loaded = good("user www;");
    let user = CoreConf::of(&loaded.global).user();
    if root {
        let expected = Credentials {
            name: "www".into(),
            uid: 33,
            gid: 34,
        };
        assert_eq!(user, Some(&expected));
        refused("user nobody-here;", "getpwnam(\"nobody-here\") failed");
        refused("user www nobody-here;", "getgrnam(\"nobody-here\") failed");
    } else {
        assert_eq!(user, None);
        let warning = loaded.warnings.to_string();
        assert!(
            warning.contains("makes sense only if the master process runs with"),
            "{warning}"
        );
    }
    refused("user www; user www;", "\"user\" directive is duplicate");
}

#[test]
fn processors_are_shared_out() {
    let of = |text: &str, index| {
        let loaded = good(text);
        CoreConf::of(&loaded.global).affinity().of_worker(index, 4)
    };
    assert_eq!(of("", 0), None);
    let masks = "worker_processes 2; worker_cpu_affinity 0001 1010;";
    assert_eq!(of(masks, 0), Some(vec![0]));
    assert_eq!(of(masks, 1), Some(vec![1, 3]));
    assert_eq!(of(masks, 7), Some(vec![1, 3]));
    assert_eq!(of("worker_cpu_affinity auto;", 5), Some(vec![1]));
    assert_eq!(of("worker_cpu_affinity auto 1100;", 1), Some(vec![3]));
    refused(
        "worker_cpu_affinity 0102;",
        "invalid character \"2\" in \"worker_cpu_affinity\"",
    );
    let warning = good("worker_cpu_affinity 01 10;").warnings.to_string();
    assert!(warning.contains("using last mask"), "{warning}");
}

#[test]
fn the_environment_is_what_env_names() {
    let source = MemorySource::new()
        .with_env("TZ", "UTC")
        .with_env("HOME", "/h")
        .with_env("SECRET", "x");
    let shown = |text| {
        let loaded = read_with(text, source.clone()).unwrap();
        let core = CoreConf::of(&loaded.global);
        let shown = core
            .environment()
            .map(|(name, value)| format!("{name}={value}"));
        shown.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(shown("events { }"), "TZ=UTC");
    assert_eq!(
        shown("events { } env HOME; env A=b; env NONE; env A=c=d;"),
        "TZ=UTC HOME=/h A=c=d"
    );
    assert_eq!(shown("events { } env TZ=CET;"), "TZ=CET");
}

#[test]
fn modules_are_known_by_the_names_of_their_files() {
    let quiet = good("load_module modules/ngx_core_module.so;");
    assert!(quiet.warnings.is_empty());
    let twice = "load_module modules/ngx_x_module.so; load_module modules/ngx_x_module.so;";
    let warnings = good(twice).warnings;
    assert_eq!(warnings.problems().len(), 1);
    assert!(warnings.to_string().contains("ngx_x_module.so"));
}

#[test]
fn several_error_logs_are_one() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().display();
    let loaded = good(&format!(
        "error_log {dir}/a.log; error_log {dir}/b.log info; error_log stderr crit;"
    ));
    let log = main_error_log(&loaded.global).unwrap();
    log.write_line(Level::Error, b"one\n");
    log.write_line(Level::Info, b"two\n");
    let read = |name| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("a.log"), "one\n");
    assert_eq!(read("b.log"), "one\ntwo\n");
    assert!(!log.wants(Level::Debug));
}

#[test]
fn debug_is_one_level_and_json_a_format() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().display();
    let loaded = good(&format!(
        "error_log {dir}/a.log debug_core debug_http; error_log {dir}/b.log format=json warn;"
    ));
    let log = main_error_log(&loaded.global).unwrap();
    assert!(log.wants(Level::Debug));
    log.write_line(Level::Error, b"text\n");
    let read = |name| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(
        (read("a.log").as_str(), read("b.log").as_str()),
        ("text\n", "")
    );
}

#[test]
fn connections_to_debug_are_networks() {
    let loaded = good("events { debug_connection 127.0.0.1/8; debug_connection unix:; }");
    let warning = loaded.warnings.to_string();
    assert!(warning.contains("low address bits of 127.0.0.1/8 are meaningless"));
    let events = EventsConf::of(&loaded.global);
    let inet = |text: &str| text.parse::<std::net::SocketAddr>().unwrap().into();
    assert!(events.debugs(&inet("127.1.2.3:4")));
    assert!(!events.debugs(&inet("10.0.0.1:4")));
    assert!(events.debugs(&crate::net::Addr::unix_unnamed()));
}

#[test]
fn error_logs_that_cannot_be_are_refused() {
    refused("error_log stderr loud;", "invalid log level \"loud\"");
    refused(
        "error_log syslog:tag=x;",
        "no syslog server specified in /p/ngx.conf:1",
    );
    refused("error_log memory:32m debug;", "\"memory:\" logs are not");
    refused(
        "error_log stderr info error;",
        "duplicate log level \"error\"",
    );
    refused(
        "error_log stderr debug_http info;",
        "duplicate log level \"info\"",
    );
    refused(
        "error_log stderr debug_nope;",
        "invalid log level \"debug_nope\"",
    );
    refused(
        "error_log stderr format=xml;",
        "unknown error log format \"xml\"",
    );
    refused(
        "error_log /no/such/folder/x.log;",
        "open() \"/no/such/folder/x.log\" failed (2: No such file or directory)",
    );
}
