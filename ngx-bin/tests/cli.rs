//! The command line: options, messages and exit codes.

mod support;

use std::fs;

use support::{Setup, wait_until};

const EMPTY: &str = "server { listen 127.0.0.1:{port}; return 204; }";

#[test]
fn small_v_prints_the_version_on_stderr() {
    let ran = Setup::raw("").run_plain(&["-v"]);
    ran.expect(0, "version: ");
    assert_eq!(ran.stdout, "");
    assert_eq!(ran.stderr.lines().count(), 1);
}

#[test]
fn capital_v_prints_the_version_and_how_it_was_built() {
    let ran = Setup::raw("").run_plain(&["-V"]);
    ran.expect(0, "version: ");
    assert!(ran.stderr.lines().count() > 1, "{}", ran.stderr);
}

#[test]
fn help_names_every_option() {
    let ran = Setup::raw("").run_plain(&["-h"]);
    assert_eq!(ran.code, Some(0));
    let said = ran.stdout + &ran.stderr;
    for option in [
        "-h", "-v", "-V", "-t", "-T", "-q", "-s", "-p", "-e", "-c", "-g",
    ] {
        let named = said.lines().any(|line| {
            let mut words = line.split([' ', ',']).filter(|word| !word.is_empty());
            words.any(|word| word == option)
        });
        assert!(named, "no {option} in: {said}");
    }
}

#[test]
fn an_unknown_option_is_named() {
    let ran = Setup::raw("").run_plain(&["-z"]);
    ran.expect(1, "nginx: invalid option: \"z\"");
}

#[test]
fn an_argument_that_is_no_option_is_named() {
    let ran = Setup::raw("").run_plain(&["start"]);
    ran.expect(1, "nginx: invalid option: \"start\"");
}

#[test]
fn an_unknown_signal_is_named() {
    let ran = Setup::raw("").run_plain(&["-s", "sleep"]);
    ran.expect(1, "nginx: invalid option: \"-s sleep\"");
}

#[test]
fn an_option_without_its_parameter_is_an_error() {
    let setup = Setup::raw("");
    setup
        .run_plain(&["-c"])
        .expect(1, "nginx: option \"-c\" requires file name");
    setup
        .run_plain(&["-p"])
        .expect(1, "nginx: option \"-p\" requires directory name");
    setup
        .run_plain(&["-g"])
        .expect(1, "nginx: option \"-g\" requires parameter");
    setup
        .run_plain(&["-s"])
        .expect(1, "nginx: option \"-s\" requires parameter");
}

#[test]
fn a_missing_configuration_file_is_said_with_its_full_name() {
    let setup = Setup::raw("");
    let dir = setup.path("").display().to_string();
    let ran = setup.run_plain(&["-p", &dir, "-e", "error.log", "-c", "none.conf", "-t"]);
    let full = setup.path("none.conf");
    let message = format!(
        "nginx: [emerg] open() \"{}\" failed (2: No such file or directory)",
        full.display()
    );
    ran.expect(1, &message);
}

#[test]
fn small_t_says_that_a_good_configuration_is_good() {
    let mut setup = Setup::http(EMPTY);
    let ran = setup.run(&["-t"]);
    let conf = setup.path("nginx.conf").display().to_string();
    ran.expect(
        0,
        &format!("nginx: the configuration file {conf} syntax is ok"),
    );
    ran.expect(
        0,
        &format!("nginx: configuration file {conf} test is successful"),
    );
    assert_eq!(ran.stdout, "");
}

#[test]
fn small_t_says_that_a_bad_configuration_failed() {
    let mut setup = Setup::http("bogus on;");
    let ran = setup.run(&["-t"]);
    let conf = setup.path("nginx.conf").display().to_string();
    ran.expect(1, "nginx: [emerg] unknown directive \"bogus\" in ");
    ran.expect(1, &format!("nginx: configuration file {conf} test failed"));
}

#[test]
fn small_t_starts_nothing() {
    let mut setup = Setup::http(EMPTY);
    setup.run(&["-t"]).expect(0, "successful");
    assert_eq!(
        fs::read_to_string(setup.path("nginx.pid")).unwrap_or_default(),
        ""
    );
}

#[test]
fn quiet_keeps_what_is_no_error_to_itself() {
    let ran = Setup::http(EMPTY).run(&["-t", "-q"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

#[test]
fn quiet_still_says_errors() {
    Setup::http("bogus on;")
        .run(&["-t", "-q"])
        .expect(1, "unknown directive \"bogus\"");
}

#[test]
fn capital_t_dumps_every_file_read() {
    let mut setup =
        Setup::http("include extra.conf; # a comment\n").file("extra.conf", "server_tokens off;\n");
    let ran = setup.run(&["-T"]);
    ran.expect(0, "test is successful");
    let main = setup.path("nginx.conf").display().to_string();
    let extra = setup.path("extra.conf").display().to_string();
    let main = ran
        .stdout
        .find(&format!("# configuration file {main}:\n"))
        .expect("the main file");
    let extra = ran.stdout.find(&format!(
        "# configuration file {extra}:\nserver_tokens off;\n"
    ));
    assert!(main < extra.expect("the included file"), "{}", ran.stdout);
    assert!(ran.stdout.contains("# a comment"));
}

#[test]
fn directives_of_the_command_line_are_global() {
    let mut setup = Setup::http(EMPTY);
    setup
        .run(&["-t", "-g", "worker_processes 2; env A=b;"])
        .expect(0, "successful");
    setup
        .run(&["-t", "-g", "bogus on;"])
        .expect(1, "unknown directive \"bogus\" in command line");
}

#[test]
fn the_error_log_of_the_command_line_takes_early_messages() {
    let setup = Setup::raw("bogus;").file("nginx.conf", "bogus;");
    let dir = setup.path("").display().to_string();
    setup
        .run_plain(&["-p", &dir, "-c", "nginx.conf", "-e", "early.log"])
        .expect(1, "bogus");
    let early = fs::read_to_string(setup.path("early.log")).unwrap();
    assert!(
        early.contains("[emerg]") && early.contains("unknown directive \"bogus\""),
        "{early}"
    );
}

#[test]
fn relative_names_start_at_the_prefix() {
    let setup =
        Setup::http("server { listen 127.0.0.1:{port}; root pages; access_log logs/a.log; }");
    let server = setup
        .file("pages/x.txt", "of the prefix")
        .file("logs/a.log", "")
        .start();
    assert_eq!(server.get("/x.txt").text(), "of the prefix");
    server.expect_in("logs/a.log", "\"GET /x.txt HTTP/1.1\" 200 13");
}

#[test]
fn signal_stop_ends_the_server() {
    let mut server = Setup::http(EMPTY).start();
    assert_eq!(server.control(&["-s", "stop"]).code, Some(0));
    assert!(server.wait().success());
}

#[test]
fn signal_quit_ends_the_server() {
    let mut server = Setup::http(EMPTY).start();
    assert_eq!(server.control(&["-s", "quit"]).code, Some(0));
    assert!(server.wait().success());
}

#[test]
fn signal_reload_takes_a_new_configuration() {
    let mut server = Setup::http(EMPTY).start();
    server.rewrite("server { listen 127.0.0.1:{port}; return 200 new; }");
    assert_eq!(server.control(&["-s", "reload"]).code, Some(0));
    wait_until("the new answer", || server.get("/").status == 200);
}

#[test]
fn signal_reopen_writes_to_a_new_file() {
    let server = Setup::http(EMPTY).start();
    server.get("/before").expect(204);
    server.expect_access_log("/before");
    fs::rename(server.path("access.log"), server.path("access.log.1")).unwrap();
    assert_eq!(server.control(&["-s", "reopen"]).code, Some(0));
    wait_until("a new file", || server.path("access.log").exists());
}

#[test]
fn a_signal_without_a_server_is_an_error() {
    let mut setup = Setup::http(EMPTY);
    let pid = setup.path("nginx.pid").display().to_string();
    let ran = setup.run(&["-s", "stop"]);
    ran.expect(
        1,
        &format!("open() \"{pid}\" failed (2: No such file or directory)"),
    );
}
