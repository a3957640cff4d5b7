mod request;

use std::path::Path;

use super::*;
use crate::conf::{Diagnostics, MemorySource};
use crate::http::HttpConf;
use crate::http::module::http_registry;
use crate::module::{LoadOptions, Loaded, Registry, load};

/// A prefix with a folder for logs.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("logs")).unwrap();
        Self(dir)
    }

    /// The modules, and a configuration with this `http` block.
    fn parts(&self, http: &str) -> (Registry, MemorySource) {
        static HTTP: &[&HttpModule] = &[&core::MODULE, &MODULE];
        let registry = http_registry(HTTP.iter().copied())
            .unwrap()
            .with_extension(Arc::new(LogFiles::default()));
        let text = format!("events {{ }} http {{ {http} }}");
        (registry, MemorySource::new().with_file("/ngx.conf", text))
    }

    fn load(&self, http: &str) -> Result<Loaded, Diagnostics> {
        let (registry, source) = self.parts(http);
        let prefix = self.0.path().to_owned();
        let options = LoadOptions {
            prefix,
            ..LoadOptions::default()
        };
        load(&registry, &source, Path::new("/ngx.conf"), &options)
    }

    /// The names of the files that each location logs to, those of the servers themselves
    /// included.
    fn logs(&self, http: &str) -> Vec<String> {
        let loaded = self
            .load(http)
            .unwrap_or_else(|problems| panic!("{problems}"));
        let http: &HttpConf = loaded.parts.get().unwrap();
        let of = |location: &crate::http::Location| {
            let logs = LOGS.of(&location.slots).list.iter();
            let names: Vec<String> = logs.map(|log| file(log).name()).collect();
            names.join(" ")
        };
        http.locations.iter().map(of).collect()
    }

    fn has(&self, name: &str) -> bool {
        self.0.path().join(name).exists()
    }

    fn errors(&self, http: &str) -> Vec<String> {
        let problems = self.load(http).map(|_| ()).unwrap_err();
        problems
            .problems()
            .iter()
            .map(|problem| problem.message.clone())
            .collect()
    }
}

#[test]
fn a_block_with_logs_of_its_own_has_those_alone() {
    let place = Place::new();
    let logs = place.logs(
        "access_log logs/http.log;
         server {
             listen 1;
             location /a { access_log logs/a.log; access_log logs/b.log combined; }
             location /off { access_log off; location /off/on { access_log logs/on.log; } }
             location /c { }
         }
         server { listen 2; access_log logs/server.log; location / { } }",
    );
    assert_eq!(
        logs,
        [
            "http.log",
            "a.log b.log",
            "",
            "on.log",
            "http.log",
            "server.log",
            "server.log"
        ]
    );
}

#[test]
fn off_wins_over_logs_beside_it() {
    let place = Place::new();
    let logs = place.logs("server { listen 1; access_log logs/a.log; access_log off; }");
    assert_eq!(logs, [""]);
}

#[test]
fn servers_without_logs_have_the_default() {
    let place = Place::new();
    let logs = place.logs("server { listen 1; location / { access_log off; } }");
    assert_eq!(logs, ["access.log", ""]);
    assert!(place.has("logs/access.log"));
}

#[test]
fn the_default_is_not_opened_where_nobody_needs_it() {
    let place = Place::new();
    place.logs("server { listen 1; access_log off; }");
    place.logs("access_log off; server { listen 1; }");
    place.logs("");
    assert!(!place.has("logs/access.log"));
}

/// The file of a log whose path has no variables.
fn file(log: &AccessLog) -> &Arc<Target> {
    match &log.target {
        Destination::File(target) => target,
        Destination::Named(_) | Destination::Syslog(_) => panic!("a log that is no file"),
    }
}

#[test]
fn one_path_is_one_target() {
    let place = Place::new();
    let loaded = place
        .load(
            "server { listen 1; access_log logs/a.log combined buffer=4k flush=1s;
                      location / { access_log logs/a.log; } }",
        )
        .unwrap();
    let http: &HttpConf = loaded.parts.get().unwrap();
    let target = |i: usize| file(&LOGS.of(&http.locations[i].slots).list[0]);
    assert!(Arc::ptr_eq(target(0), target(1)));
    assert_eq!(
        (target(0).buffer, target(0).flush),
        (4096, Some(Duration::from_secs(1)))
    );
}

#[test]
fn lines_are_buffered_until_the_time_has_come() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let file = LogFiles::default().open(&path).unwrap();
    let target = Arc::new(Target::new(file, 1024, Some(Duration::from_secs(5))));
    let written = || std::fs::read_to_string(&path).unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        for line in ["one\n", "two\n"] {
            target.write(line.as_bytes());
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        assert_eq!(written(), "one\ntwo\n");
        target.write(b"three\n");
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(written(), "one\ntwo\n");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(written(), "one\ntwo\nthree\n");
    });
}

#[test]
fn what_is_wrong_is_said_in_nginx_words() {
    let place = Place::new();
    let server = |access: &str| format!("server {{ listen 1; {access} }}");
    for (http, expected) in [
        (
            "log_format x a; log_format x b;".to_owned(),
            "duplicate \"log_format\" name \"x\"",
        ),
        (
            "log_format combined a;".to_owned(),
            "duplicate \"log_format\" name \"combined\"",
        ),
        (
            "log_format x escape=xml a;".to_owned(),
            "unknown log format escaping \"xml\"",
        ),
        (
            "log_format x $;".to_owned(),
            "invalid variable name in \"$\"",
        ),
        (
            "log_format x $no_such;".to_owned(),
            "unknown \"no_such\" variable",
        ),
        (server("access_log a x;"), "unknown log format \"x\""),
        (server("access_log off x;"), "invalid parameter \"x\""),
        (
            server("access_log a combined buffer=0;"),
            "invalid buffer size \"0\"",
        ),
        (
            server("access_log a combined buffer=4k flush=x;"),
            "invalid flush time \"x\"",
        ),
        (
            server("access_log a combined flush=1s;"),
            "no buffer is defined for access_log \"a\"",
        ),
        (
            server("access_log a combined what;"),
            "invalid parameter \"what\"",
        ),
        (
            server("access_log a combined gzip;"),
            "compressed access logs are not implemented",
        ),
        (
            server("access_log syslog:tag=a;"),
            "no syslog server specified",
        ),
        (
            server("access_log syslog:server=127.0.0.1 combined buffer=1k;"),
            "logs to syslog cannot be buffered",
        ),
        (
            server("access_log $host.log combined buffer=4k;"),
            "buffered logs cannot have variables in name",
        ),
    ] {
        assert_eq!(place.errors(&http), [expected], "{http}");
    }
    let path = place.0.path().display();
    assert_eq!(
        place.errors(&server(
            "access_log a combined buffer=1k; access_log a combined buffer=2k;"
        )),
        [format!(
            "access_log \"{path}/a\" already defined with conflicting parameters"
        )]
    );
    assert_eq!(
        place.errors(&server("access_log no/a;")),
        [format!(
            "open() \"{path}/no/a\" failed (2: No such file or directory)"
        )]
    );
}
