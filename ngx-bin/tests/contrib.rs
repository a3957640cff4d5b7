//! The files of `contrib/`, with other paths in them.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::geteuid;
use support::{Setup, ours, tool};

fn contrib(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib");
    fs::read_to_string(path.join(name)).unwrap_or_default()
}

/// The text with each `from` replaced by its `to`; every one must be there.
#[track_caller]
fn with(mut text: String, changes: &[(&str, &str)]) -> String {
    for (from, to) in changes {
        assert!(text.contains(from), "no {from} in {text}");
        text = text.replace(from, to);
    }
    text
}

#[test]
fn logs_are_rotated_and_go_on() {
    let Some(logrotate) = tool("logrotate") else {
        return;
    };
    if !geteuid().is_root() {
        return println!("skipped: the file gives logs to root");
    }
    let server = Setup::main(
        "error_log {dir}/logs/error.log;
         events { }
         http {
             access_log {dir}/logs/access.log;
             access_log {dir}/logs/buffered.log combined buffer=64k;
             server { listen 127.0.0.1:{port}; root {dir}/html; }
         }",
    )
    .file("logs/buffered.log", "an empty log is left alone\n")
    .start();
    let dir = server.path("").display().to_string();
    let rules = with(
        contrib("logrotate/ngx"),
        &[
            ("/var/log/ngx", &format!("{dir}logs")),
            ("/run/ngx.pid", &format!("{dir}nginx.pid")),
        ],
    );
    fs::write(server.path("rules"), rules).unwrap();
    server.get("/one").expect(404);
    server.expect_in("logs/access.log", "/one");
    let run = Command::new(logrotate)
        .args(["--force", "--state"])
        .args([server.path("state"), server.path("rules")])
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && complaint.is_empty(), "{complaint}");
    server.expect_in("logs/buffered.log.1", "/one");
    // The signal is on its way.
    support::wait_until("lines in the new log", || {
        server.get("/two").expect(404);
        server.read("logs/access.log").contains("/two")
    });
    server.expect_in("logs/error.log", "/two");
    assert!(server.read("logs/access.log.1").contains("/one"));
    assert!(!server.read("logs/access.log").contains("/one"));
}

#[test]
fn the_image_has_a_configuration_that_serves() {
    if !ours("the configuration of the image") {
        return;
    }
    let mime = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/mime.types");
    let text = with(
        contrib("docker/nginx.conf"),
        &[
            ("/etc/ngx/mime.types", "{mime}"),
            ("/etc/ngx/conf.d", "{dir}/conf.d"),
            ("/tmp/ngx.pid", "{dir}/nginx.pid"),
            ("/tmp/", "{dir}/"),
            ("listen       8080", "listen 127.0.0.1:{port}"),
            ("/srv/html", "{dir}/html"),
        ],
    );
    let server = Setup::raw(&format!("daemon off; {text}"))
        .set("mime", mime.display())
        .file("html/index.html", "<p>hello")
        .start();
    let response = server.get("/").expect(200);
    assert_eq!(response.text(), "<p>hello");
    assert_eq!(response.header("content-type"), Some("text/html"));
    server.expect_in("stderr", "start worker");
}

/// The unit's configuration, with the paths of the unit and of the rules for logs.
#[test]
fn the_unit_has_a_configuration_that_serves() {
    if !ours("the configuration beside the unit") {
        return;
    }
    let mime = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/mime.types");
    let text = with(
        contrib("systemd/nginx.conf"),
        &[
            ("user              ngx;", ""),
            ("/etc/ngx/mime.types", "{mime}"),
            ("/etc/ngx/conf.d", "{dir}/conf.d"),
            ("/run/ngx.pid", "{dir}/nginx.pid"),
            ("/var/log/ngx/", "{dir}/"),
            ("/var/lib/ngx/", "{dir}/"),
            ("listen       80;", "listen 127.0.0.1:{port};"),
            ("/srv/html", "{dir}/html"),
        ],
    );
    let server = Setup::raw(&format!("daemon off; {text}"))
        .set("mime", mime.display())
        .file("html/index.html", "<p>hello")
        .start();
    assert_eq!(server.get("/").expect(200).text(), "<p>hello");
    server.expect_access_log("GET / HTTP/1.1");
    assert_eq!(server.control(&["-s", "reload"]).code, Some(0));
}

/// What the unit and the image call exists: options and signals.
#[test]
fn the_commands_of_the_unit_and_of_the_image_are_right() {
    let unit = contrib("systemd/ngx.service");
    for line in [
        "Type=notify",
        "ExecStartPre=/usr/sbin/ngx -t -q",
        "ExecStart=/usr/sbin/ngx -g \"daemon off;\"",
        "ExecReload=/usr/sbin/ngx -s reload",
        "KillSignal=SIGQUIT",
    ] {
        assert!(unit.contains(line), "no {line}");
    }
    let image = contrib("docker/Dockerfile");
    assert!(
        image.contains(
            "ENTRYPOINT [\"/usr/sbin/ngx\", \"-e\", \"stderr\", \"-g\", \"daemon off;\"]"
        )
    );
    let mut setup = Setup::raw("pid {dir}/pid; events { }");
    let quiet = setup.run(&["-t", "-q", "-e", "stderr", "-g", "daemon off;"]);
    assert_eq!((quiet.code, &*quiet.stderr), (Some(0), ""));
    let mut broken = Setup::raw("pid {dir}/pid; evnts { }");
    broken
        .run(&["-t", "-q"])
        .expect(1, "unknown directive \"evnts\"");
}
