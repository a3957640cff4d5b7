//! Reloads, other numbers of workers and the upgrade of the binary, under load.

mod support;

use rustix::process::Signal;
use support::processes::{children, is_alive, send};
use support::{Load, Server, Setup, ours, pause, wait_until};

const ONE: &str = "server { listen 127.0.0.1:{port}; location / { return 200 one; } }";

/// nginx ignores USR2 while the process that started it lives.
const FOREGROUND: &str = "a server in the foreground can be upgraded";

fn pid_in(server: &Server, name: &str) -> Option<u32> {
    server.read(name).strip_suffix('\n')?.parse().ok()
}

#[test]
fn reloads_under_load_take_one_process_and_lose_nothing() {
    if !ours("reloads keep every connection") {
        return;
    }
    let mut server = Setup::http(ONE).allow("unknown directive").start();
    let before = children(server.pid());
    let load = Load::new(&server.addr(), 50);
    for round in 0..10 {
        if round % 5 == 4 {
            server.rewrite("bogus on;");
            server.signal(Signal::HUP);
            server.expect_error_log("reconfiguring failed, the old configuration stays");
            continue;
        }
        let text = format!("round {round}");
        let content = ONE.replace("one", &format!("\"{text}\""));
        server.reload(&content, |server| server.get("/").text() == text);
    }
    load.end();
    assert_eq!(children(server.pid()), before);
}

#[test]
fn other_numbers_of_workers_under_load_lose_nothing() {
    if !ours("reloads keep every connection") {
        return;
    }
    let main = |workers: usize| {
        format!(
            "worker_processes {workers}; events {{ }} http {{ access_log off;
             client_body_temp_path {{dir}}/body; proxy_temp_path {{dir}}/proxy;
             server {{ listen 127.0.0.1:{{port}}; location / {{ return 200 {workers}; }} }} }}"
        )
    };
    let mut server = Setup::main(&main(4)).start();
    let before = children(server.pid());
    let load = Load::new(&server.addr(), 50);
    for workers in [1, 4, 2, 4] {
        server.rewrite_main(&main(workers));
        server.signal(Signal::HUP);
        wait_until("the new generation", || {
            server.get("/").text() == workers.to_string()
        });
        load.go_on();
    }
    load.end();
    assert_eq!(children(server.pid()), before);
}

#[test]
fn usr2_starts_the_binary_again_and_quit_ends_the_old_one() {
    if !ours(FOREGROUND) {
        return;
    }
    let mut server = Server::start(ONE);
    let old = server.pid();
    let load = Load::new(&server.addr(), 1);
    server.signal(Signal::USR2);
    wait_until("the new binary", || {
        pid_in(&server, "nginx.pid").is_some_and(|pid| pid != old)
    });
    let new = pid_in(&server, "nginx.pid").unwrap();
    assert_eq!(pid_in(&server, "nginx.pid.oldbin"), Some(old));
    wait_until("a worker of the new one", || !children(new).is_empty());
    load.go_on();
    assert!(server.stop_gracefully().success());
    assert!(!server.path("nginx.pid.oldbin").exists());
    load.go_on();
    load.end();
    // And once more, by the binary that was the new one.
    send(new, Signal::USR2);
    wait_until("the newest binary", || {
        pid_in(&server, "nginx.pid").is_some_and(|pid| pid != new)
    });
    send(new, Signal::QUIT);
    wait_until("the end of the second", || !is_alive(new));
    assert_eq!(server.get("/").text(), "one");
    let newest = pid_in(&server, "nginx.pid").unwrap();
    send(newest, Signal::QUIT);
    wait_until("the end of the newest", || !is_alive(newest));
    assert!(!server.path("nginx.pid").exists());
}

#[test]
fn a_new_binary_that_ends_gives_way_to_the_old_one() {
    if !ours(FOREGROUND) {
        return;
    }
    let server = Server::start(ONE);
    let old = server.pid();
    for signal in [Signal::QUIT, Signal::TERM] {
        server.signal(Signal::USR2);
        wait_until("the new binary", || {
            pid_in(&server, "nginx.pid").is_some_and(|pid| pid != old)
        });
        let new = pid_in(&server, "nginx.pid").unwrap();
        wait_until("a worker of the new one", || !children(new).is_empty());
        send(new, signal);
        wait_until("the old one's number", || {
            pid_in(&server, "nginx.pid") == Some(old)
        });
        assert!(!server.path("nginx.pid.oldbin").exists());
        assert_eq!(server.get("/").text(), "one");
    }
}

#[test]
fn a_new_binary_that_cannot_start_leaves_the_old_one_as_it_was() {
    if !ours(FOREGROUND) {
        return;
    }
    let mut server = Setup::http(ONE).allow("unknown directive").start();
    server.rewrite("bogus on;");
    server.signal(Signal::USR2);
    server.expect_error_log("unknown directive \"bogus\" in ");
    wait_until("the old one's number", || {
        pid_in(&server, "nginx.pid") == Some(server.pid())
    });
    pause(50);
    assert_eq!(server.get("/").text(), "one");
    assert!(!server.path("nginx.pid.oldbin").exists());
}

#[test]
fn the_file_of_a_unix_socket_stays_through_an_upgrade() {
    if !ours(FOREGROUND) {
        return;
    }
    let http = "server { listen 127.0.0.1:{port}; listen unix:{dir}/sock;
                location / { return 200 one; } }";
    let mut server = Server::start(http);
    let (old, socket) = (server.pid(), server.path("sock"));
    server.signal(Signal::USR2);
    wait_until("the new binary", || {
        pid_in(&server, "nginx.pid").is_some_and(|pid| pid != old)
    });
    let new = pid_in(&server, "nginx.pid").unwrap();
    wait_until("a worker of the new one", || !children(new).is_empty());
    assert!(server.stop_gracefully().success());
    std::os::unix::net::UnixStream::connect(&socket).expect("the socket still listens");
    send(new, Signal::QUIT);
    wait_until("the end of the new one", || !is_alive(new));
    assert!(!socket.exists());
}
