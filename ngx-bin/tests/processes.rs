//! The master and the worker process: rights, death, replacement, the service manager.

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Signal, geteuid};
use support::processes::{children, is_alive, open_files, send, status, threads, title};
use support::{Backend, Client, Server, Setup, binary, ours, pause, wait_until};

const ONE: &str = "server { listen 127.0.0.1:{port}; location / { return 200 one; } }";
const TWO: &str = "server { listen 127.0.0.1:{port}; location / { return 200 two; } }";

fn is_two(server: &Server) -> bool {
    server.get("/").text() == "two"
}

/// The one worker process.
#[track_caller]
fn worker(server: &Server) -> u32 {
    let pids = children(server.pid());
    assert_eq!(pids.len(), 1, "{pids:?}");
    pids[0]
}

/// False, with a note, when the test has not the rights to give any up.
fn is_root() -> bool {
    let root = geteuid().is_root();
    if !root {
        println!("skipped: only root can give up rights");
    }
    root
}

/// Serves as nobody; the prefix folder is root's alone.
fn as_nobody(http: &str) -> Setup {
    Setup::raw(&format!(
        "user nobody nogroup; daemon off; pid {{dir}}/nginx.pid;
         error_log {{dir}}/error.log info; events {{ }}
         http {{ client_body_temp_path {{dir}}/body; proxy_temp_path {{dir}}/proxy;
                 access_log {{dir}}/access.log; include {{dir}}/secret.conf; {http} }}"
    ))
}

#[test]
fn a_worker_without_rights_serves_what_root_alone_may_open() {
    if !is_root() || !ours("the worker process is one, with threads") {
        return;
    }
    let setup = as_nobody(
        "server { listen 127.0.0.1:{port}; listen 127.0.0.77:81;
                  location / { return 200 ok; } }",
    )
    .file("secret.conf", "add_header X-Secret one always;");
    let only_root = fs::Permissions::from_mode(0o600);
    fs::set_permissions(setup.path("secret.conf"), only_root).unwrap();
    let server = setup.start();
    let response = server.get("/").expect(200);
    assert_eq!(response.header("x-secret"), Some("one"));
    let mut low = Client::connect("127.0.0.77:81");
    low.send("GET / HTTP/1.0\r\n\r\n").response().expect(200);
    server.expect_access_log("GET / HTTP/1.1");
    assert_eq!(status(server.pid(), "Uid"), "0 0 0 0");
    let worker = worker(&server);
    assert_eq!(status(worker, "Uid"), "65534 65534 65534 65534");
    assert_eq!(status(worker, "Gid"), "65534 65534 65534 65534");
    assert_eq!(status(worker, "Groups"), "65534");
    assert_eq!(status(worker, "CapEff"), "0000000000000000");

    // What a reload needs of root is the master's too.
    fs::write(
        server.path("secret.conf"),
        "add_header X-Secret two always;",
    )
    .unwrap();
    server.signal(Signal::HUP);
    wait_until("the new generation", || {
        server.get("/").header("x-secret") == Some("two")
    });
    for log in ["access.log", "error.log"] {
        fs::rename(server.path(log), server.path(&format!("{log}.1"))).unwrap();
    }
    server.signal(Signal::USR1);
    wait_until("a line in the new log", || {
        server.get("/after").expect(200);
        server.read("access.log").contains("/after")
    });
    assert_eq!(children(server.pid()), [worker]);
}

#[test]
fn a_worker_that_is_killed_is_started_again_within_a_second() {
    let server = Setup::http(ONE).allow("exited on signal 9").start();
    server.get("/").expect(200);
    for _ in 0..2 {
        let old = children(server.pid());
        let killed = Instant::now();
        old.iter().for_each(|pid| send(*pid, Signal::KILL));
        // Its listening socket is the master's too, so that nobody is refused.
        let mut waiting = Client::connect(&server.addr());
        waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        // The connection may have been taken by the process on its last instructions.
        let answered = waiting.try_response().is_ok_and(|it| it.text() == "one");
        assert!(answered || server.get("/").text() == "one");
        assert!(killed.elapsed() < Duration::from_secs(1));
        wait_until("another worker process", || {
            let now = children(server.pid());
            now.len() == 1 && now != old
        });
        let pid = old[0];
        server.expect_error_log(&format!("worker process {pid} exited on signal 9"));
        pause(400);
    }
}

#[test]
fn a_worker_that_is_told_to_end_by_signal_is_replaced() {
    let server = Server::start(ONE);
    for signal in [Signal::TERM, Signal::QUIT] {
        server.get("/").expect(200);
        let old = children(server.pid())[0];
        send(old, signal);
        server.expect_error_log(&format!("worker process {old} exited with code 0"));
        assert_eq!(server.get("/").text(), "one");
    }
}

#[test]
fn processes_say_what_they_are() {
    let slow = Backend::http(|_| {
        pause(700);
        "late".into()
    });
    let http = "server { listen 127.0.0.1:{port}; location / { proxy_pass http://{slow}; } }";
    let server = Setup::http(http).set("slow", slow.addr()).start();
    let name = if ours("what ps shows") {
        "ngx"
    } else {
        "nginx"
    };
    let (master, worker) = (title(server.pid()), children(server.pid())[0]);
    let folder = server.path("");
    let args = format!(
        "{name}: master process {} -p {} -c nginx.conf -e error.log",
        binary().display(),
        folder.to_str().unwrap().trim_end_matches('/')
    );
    assert_eq!(master, args);
    wait_until("its name", || {
        title(worker) == format!("{name}: worker process")
    });
    for pid in [server.pid(), worker] {
        assert_eq!(status(pid, "Name"), name);
    }
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("a request", || slow.requests().len() == 1);
    server.signal(Signal::QUIT);
    wait_until("its farewell", || {
        title(worker) == format!("{name}: worker process is shutting down")
    });
    assert_eq!(client.response().text(), "late");
}

#[test]
fn a_reload_keeps_the_worker_process() {
    if !ours("a reload swaps configurations in one worker process") {
        return;
    }
    let mut server = Server::start(ONE);
    let before = worker(&server);
    server.reload(TWO, is_two);
    let open = open_files(before).len();
    for _ in 0..3 {
        server.reload(ONE, |server| !is_two(server));
        server.reload(TWO, is_two);
    }
    assert_eq!(worker(&server), before);
    wait_until("as many descriptors as before", || {
        open_files(before).len() <= open
    });
}

#[test]
fn other_rights_take_another_worker_process() {
    let http = "http { access_log off; client_body_temp_path {dir}/body;
        proxy_temp_path {dir}/proxy; lua_shared_dict seen 100k;
        server { listen 127.0.0.1:{port}; location / { content_by_lua_block {
            ngx.print(os.getenv('COLOUR'), ' ', (ngx.shared.seen:incr('count', 1, 0)))
        } } } }";
    if !ours("the worker process is one") {
        return;
    }
    let main = |colour: &str| format!("env COLOUR={colour}; events {{ }} {http}");
    let mut server = Setup::main(&main("red")).start();
    assert_eq!(server.get("/").text(), "red 1");
    let mut kept = server.connect();
    let ask = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(kept.send(ask).response().text(), "red 2");
    let before = worker(&server);
    server.rewrite_main(&main("blue"));
    server.signal(Signal::HUP);
    wait_until("the other process", || {
        server.get("/").text().starts_with("blue")
    });
    kept.expect_close();
    wait_until("the end of the old process", || !is_alive(before));
    assert_ne!(worker(&server), before);
    let environment = fs::read(format!("/proc/{}/environ", worker(&server))).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    assert!(environment.contains("COLOUR=blue"), "{environment:?}");
    let mut names = environment.split('\0').map(|entry| entry.split('=').next());
    assert!(!names.any(|name| name == Some("PATH")), "{environment:?}");
}

#[test]
fn an_error_of_init_by_lua_keeps_the_server_from_starting() {
    let mut setup = Setup::lua(
        "init_by_lua_block { error('no luck today') }
         server { listen 127.0.0.1:{port}; }",
    );
    let ran = setup.run(&[]);
    ran.expect(1, "no luck today");
    assert!(!setup.path("nginx.pid").exists());
}

#[test]
fn an_error_of_init_by_lua_keeps_the_old_configuration() {
    if !ours("a reload is refused by init_by_lua") {
        return;
    }
    let mut server = Server::start(ONE);
    let before = worker(&server);
    server.rewrite(&format!("init_by_lua_block {{ error('no luck') }} {TWO}"));
    server.signal(Signal::HUP);
    server.expect_error_log("no luck");
    server.expect_error_log("reconfiguring failed, the old configuration stays");
    assert_eq!(server.get("/").text(), "one");
    server.reload(TWO, is_two);
    assert_eq!(worker(&server), before);
}

#[test]
fn without_a_master_the_worker_ends_with_its_connections() {
    if !ours("a worker process does not outlive its master") {
        return;
    }
    let mut server = Server::start(ONE);
    let worker = worker(&server);
    server.signal(Signal::KILL);
    server.wait();
    wait_until("the end of the worker process", || !is_alive(worker));
    assert!(Client::try_connect(&server.addr()).is_err());
}

#[test]
fn a_daemon_that_cannot_serve_fails_in_the_terminal() {
    if !ours("the command that starts a daemon waits for it") {
        return;
    }
    let mut setup = Setup::raw(
        "daemon on; pid {dir}/none/nginx.pid; error_log {dir}/error.log; events { }
         http { access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
                server { listen 127.0.0.1:{port}; } }",
    );
    let ran = setup.run(&[]);
    ran.expect(1, "nginx.pid\" failed (2: No such file or directory)");
}

#[test]
fn winch_dismisses_the_workers_of_a_daemon_and_hup_brings_them_back() {
    let mut setup = Setup::raw(
        "daemon on; pid {dir}/nginx.pid; error_log {dir}/error.log info; events { }
         http { access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
                server { listen 127.0.0.1:{port}; location / { return 200 daemon; } } }",
    );
    let ran = setup.run(&[]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let pid_file = setup.path("nginx.pid");
    let read = || fs::read_to_string(&pid_file).unwrap_or_default();
    wait_until("the pid", || read().ends_with('\n'));
    let pid: u32 = read().trim().parse().unwrap();
    wait_until("a worker", || !children(pid).is_empty());
    send(pid, Signal::WINCH);
    wait_until("no worker", || children(pid).is_empty());
    assert!(is_alive(pid));
    send(pid, Signal::HUP);
    let addr = setup.fill("127.0.0.1:{port}");
    let mut client = Client::connect(&addr);
    let text = client.send("GET / HTTP/1.0\r\n\r\n").response();
    assert_eq!(text.text(), "daemon");
    send(pid, Signal::QUIT);
    wait_until("the end of the daemon", || !pid_file.exists());
}

#[test]
fn a_service_manager_hears_of_start_reload_and_end() {
    if !ours("readiness for systemd") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager
        .set_read_timeout(Some(support::PATIENCE))
        .expect("a timeout");
    let script = folder.path().join("start");
    let text = format!(
        "#!/bin/sh\nNOTIFY_SOCKET={} exec {} \"$@\"\n",
        path.display(),
        binary().display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    let heard = || {
        let mut text = [0; 200];
        let length = manager.recv(&mut text).expect("a message");
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    let mut server = Setup::http(ONE).start_with(&script);
    let ready = format!("READY=1\nMAINPID={}\n", server.pid());
    assert_eq!(heard(), ready);
    server.reload(TWO, is_two);
    let reloading = heard();
    assert!(
        reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
        "{reloading}"
    );
    assert_eq!(heard(), ready);
    assert!(server.stop_gracefully().success());
    assert_eq!(heard(), "STOPPING=1\n");
}

#[test]
fn sockets_of_a_service_manager_are_taken_over() {
    if !ours("socket activation") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let conf = folder.path().join("nginx.conf");
    let dir = folder.path().display();
    let text = format!(
        "daemon off; pid {dir}/nginx.pid; error_log {dir}/error.log info; events {{ }}
         http {{ access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
                 server {{ listen {addr}; location / {{ return 200 activated; }} }} }}"
    );
    fs::write(&conf, text).unwrap();
    let start = format!(
        "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec {} -p {dir} -c {}",
        binary().display(),
        conf.display()
    );
    let mut child = Command::new("sh")
        .args(["-c", &start])
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .spawn()
        .expect("start");
    let mut client = Client::connect(&addr);
    let response = client.send("GET / HTTP/1.0\r\n\r\n").response();
    send(child.id(), Signal::QUIT);
    let status = child.wait().unwrap();
    assert_eq!(response.text(), "activated");
    assert!(status.success());
}

#[test]
fn the_terminal_hears_how_a_reload_went() {
    if !ours("-s reload waits for the outcome") {
        return;
    }
    for master in ["on", "off"] {
        let main = |init: &str| {
            format!(
                "master_process {master}; events {{ }} http {{ access_log off;
                 client_body_temp_path {{dir}}/body; proxy_temp_path {{dir}}/proxy;
                 init_by_lua_block {{ {init} }}
                 server {{ listen 127.0.0.1:{{port}}; location / {{ return 200 '{init}'; }} }} }}"
            )
        };
        let mut server = Setup::main(&main("x = 1")).start();
        server.rewrite_main(&main("error(42)"));
        let refused = server.control(&["-s", "reload"]);
        refused.expect(1, "42");
        refused.expect(1, "reconfiguring failed, the old configuration stays");
        assert_eq!(server.get("/").text(), "x = 1");
        server.rewrite_main(&main("x = 2"));
        server.control(&["-s", "reload"]).expect(0, "");
        assert_eq!(server.get("/").text(), "x = 2");
        assert!(!server.path("nginx.pid.reload").exists());
    }
}

/// Says which thread serves it; the sockets of `reuseport` share connections out evenly.
fn by_threads(master: &str, workers: usize) -> String {
    format!(
        "master_process {master}; worker_processes {workers}; events {{ }}
         http {{ access_log off; client_body_temp_path {{dir}}/body;
                 proxy_temp_path {{dir}}/proxy;
                 server {{ listen 127.0.0.1:{{port}} reuseport;
                           location / {{ return 200 $pid; }} }} }}"
    )
}

/// The process that serves, which may be the only one.
fn serving(server: &Server) -> u32 {
    let children = children(server.pid());
    children.first().copied().unwrap_or_else(|| server.pid())
}

#[test]
fn a_lone_worker_has_a_process_of_one_thread() {
    if !ours("workers are threads") {
        return;
    }
    const ASK: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for master in ["on", "off"] {
        let mut server = Setup::main(&by_threads(master, 1)).start();
        let pid = serving(&server);
        let mut kept = server.connect();
        let alone = pid.to_string();
        assert_eq!(kept.send(ASK).response().text(), alone);
        wait_until("the end of threads that build", || threads(pid) == 1);
        pause(300);
        assert_eq!(threads(pid), 1, "master_process {master}");

        server.rewrite_main(&by_threads(master, 2));
        server.control(&["-s", "reload"]).expect(0, "");
        let (mut by_main, mut by_other) = (false, false);
        wait_until("connections of both workers", || {
            let is_main = server.get("/").text() == alone;
            by_main |= is_main;
            by_other |= !is_main;
            by_main && by_other
        });
        assert_eq!(kept.send(ASK).response().text(), alone);

        server.rewrite_main(&by_threads(master, 1));
        server.control(&["-s", "reload"]).expect(0, "");
        wait_until("the end of the other threads", || threads(pid) == 1);
        for _ in 0..10 {
            assert_eq!(server.get("/").text(), alone);
        }
        assert_eq!(kept.send(ASK).response().text(), alone);
        assert_eq!(serving(&server), pid);
        assert!(server.stop_gracefully().success());
    }
}

#[test]
fn a_worker_with_rights_of_its_own_has_a_thread_of_its_own() {
    if !ours("workers are threads") {
        return;
    }
    for master in ["on", "off"] {
        let conf = by_threads(master, 1);
        let mut server = Setup::main(&format!("worker_cpu_affinity 1; {conf}")).start();
        let pid = serving(&server);
        let thread = server.get("/").text();
        assert_ne!(thread, pid.to_string());
        let allowed = |thread: &str| {
            let status = fs::read_to_string(format!("/proc/{pid}/task/{thread}/status"));
            let status = status.unwrap_or_default();
            let line = status
                .lines()
                .find(|line| line.starts_with("Cpus_allowed_list"));
            line.unwrap_or_default().to_owned()
        };
        assert_eq!(allowed(&thread), "Cpus_allowed_list:\t0");
        let every = allowed(&pid.to_string());
        // What comes in its place is a thread too, with all that the process may have.
        server.rewrite_main(&conf);
        server.control(&["-s", "reload"]).expect(0, "");
        wait_until("another thread", || server.get("/").text() != thread);
        assert_eq!(allowed(&server.get("/").text()), every);
        assert!(server.stop_gracefully().success());
    }
}

#[test]
fn a_worker_that_is_busy_for_ever_is_ended_by_its_master() {
    let http = "server { listen 127.0.0.1:{port};
        location / { content_by_lua_block { while true do end } } }";
    let mut server = Setup::lua(http).allow("exited on signal 9").start();
    let worker = children(server.pid())[0];
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.expect_silence(200);
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    assert!(!is_alive(worker));
}
