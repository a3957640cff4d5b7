//! What operators fear, under load: reloads, other numbers of workers, upgrades of the binary, and
//! a worker process that is killed. Nobody may notice.
//!
//! ```sh
//! NGX_SOAK_SECONDS=60 cargo test -p ngx-bin --release --test reload_soak -- --nocapture
//! ```
//!
//! With the variable the times of answers are asserted too, so the machine has to be quiet.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::processes::{children, is_alive, send, status};
use support::websocket::{self, WebSocket};
use support::{Client, Load, Server, Setup, Tally, ours, pause, wait_until};

/// How long each of the tests goes on: a tenth of a minute, with nothing asserted about times,
/// without the variable.
struct Plan {
    time: Duration,
    is_long: bool,
}

impl Plan {
    fn of_environment() -> Self {
        let seconds = std::env::var("NGX_SOAK_SECONDS").ok();
        let number = |text: &String| text.parse().unwrap();
        Self {
            time: Duration::from_secs(seconds.as_ref().map_or(6, number)),
            is_long: seconds.is_some(),
        }
    }
}

/// One test at a time: each wants the machine for itself.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A hundred reloads in a minute.
const PACE: Duration = Duration::from_millis(600);

/// `init_by_lua` that takes `{init}` seconds, as that of a large application does.
const MAIN: &str = "
    worker_processes 2; events { } http {
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; access_log off;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    lua_shared_dict kept 100k;
    init_by_lua_block {
        local done = ngx.now() + {init}
        repeat ngx.update_time() until ngx.now() >= done
        ngx.shared.kept:add('first', '{text}')
    }
    server {
        listen 127.0.0.1:{port};
        location / { return 200 '{text}'; }
        location /kept { content_by_lua_block { ngx.print(ngx.shared.kept:get('first')) } }
        location /websocket {
            proxy_pass http://{echo};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_read_timeout 600s;
        }
    } }";

fn main_with(init: &str, text: &str) -> String {
    MAIN.replace("{init}", init).replace("{text}", text)
}

/// A WebSocket on which something comes back ten times a second, and a kept connection whose
/// requests come a few bytes at a time: what a reload must not end.
struct Held {
    over: Arc<AtomicBool>,
    echoed: Arc<AtomicUsize>,
    threads: [JoinHandle<()>; 2],
}

impl Held {
    fn new(addr: &str) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let echoed = Arc::new(AtomicUsize::new(0));
        let threads = [
            thread::spawn({
                let (over, echoed) = (Arc::clone(&over), Arc::clone(&echoed));
                let mut socket = WebSocket::open(addr, "/websocket");
                move || {
                    while !over.load(Ordering::SeqCst) {
                        let count = echoed.fetch_add(1, Ordering::SeqCst);
                        let back = socket.echo(&format!("frame {count}"));
                        back.unwrap();
                        pause(100);
                    }
                    socket.close();
                }
            }),
            thread::spawn({
                let over = Arc::clone(&over);
                let mut client = Client::connect(addr);
                move || {
                    while !over.load(Ordering::SeqCst) {
                        for part in ["GET / HT", "TP/1.1\r\nHo", "st: a\r\n", "\r\n"] {
                            client.send(part);
                            pause(150);
                        }
                        let response = client.response().expect(200);
                        assert_eq!(response.header("connection"), Some("keep-alive"));
                    }
                }
            }),
        ];
        Self {
            over,
            echoed,
            threads,
        }
    }

    #[track_caller]
    fn end(self) {
        self.over.store(true, Ordering::SeqCst);
        for thread in self.threads {
            assert!(thread.join().is_ok(), "a connection was lost: see above");
        }
        assert!(self.echoed.load(Ordering::SeqCst) > 5);
    }
}

/// In KiB, of the worker process.
fn resident(worker: u32) -> usize {
    let size = status(worker, "VmRSS");
    size.split(' ').next().unwrap().parse().unwrap()
}

#[track_caller]
fn worker(server: &Server) -> u32 {
    let pids = children(server.pid());
    assert_eq!(pids.len(), 1, "one worker process: {pids:?}");
    pids[0]
}

/// Reloads at a steady pace: every other one brings another configuration, every tenth a broken
/// one. What is resident after the fifth and after the last, in KiB.
fn reload(server: &mut Server, init: &str, plan: &Plan) -> [usize; 2] {
    let (start, mut text) = (Instant::now(), String::from("0"));
    let is_slow = init != "0";
    let rounds = u32::try_from(plan.time.as_millis() / PACE.as_millis()).unwrap();
    let (before, mut after_fifth) = (worker(server), 0);
    for round in 1..=rounds {
        let failures = server.error_log().matches(FAILED).count();
        let is_broken = round % 10 == 7;
        if is_broken {
            server.rewrite("bogus on;");
        } else {
            if round % 2 == 0 {
                text = round.to_string();
            }
            server.rewrite_main(&main_with(init, &text));
        }
        server.signal(Signal::HUP);
        thread::sleep((start + PACE * round).saturating_duration_since(Instant::now()));
        // Those that come while one is under way become one reload, which begins behind it.
        if is_broken {
            wait_until("a failure", || {
                server.error_log().matches(FAILED).count() > failures
            });
        } else if !is_slow {
            wait_until("the new generation", || server.get("/").text() == text);
        }
        if round == 5 {
            after_fifth = resident(before);
        }
    }
    server.rewrite_main(&main_with(init, "last"));
    server.signal(Signal::HUP);
    wait_until("the last generation", || server.get("/").text() == "last");
    // What the old ones had is given back when their last connections have moved on.
    pause(1000);
    assert_eq!(worker(server), before, "the worker process stays");
    [after_fifth, resident(before)]
}

const FAILED: &str = "reconfiguring failed, the old configuration stays";

/// What a phase of a test has to say for itself.
fn print(phase: &str, tally: &Tally) {
    println!(
        "{phase}: {} answers, p50 {} us, p99 {} us, longest {} us",
        tally.times.len(),
        tally.percentile(50),
        tally.percentile(99),
        tally.percentile(100),
    );
}

fn reloads_go_unnoticed(init: &str) {
    if !ours("reloads keep every connection and the worker process") {
        return;
    }
    let (_turn, plan) = (alone(), Plan::of_environment());
    let echo = websocket::echo();
    let mut server = Setup::main(&main_with(init, "0"))
        .set("echo", echo.addr())
        .allow("unknown directive \"bogus\"")
        .start();
    let held = Held::new(&server.addr());

    let load = Load::kept(&server.addr());
    thread::sleep(plan.time / 3);
    let quiet = load.end();
    print("quiet", &quiet);
    let load = Load::kept(&server.addr());
    let [fifth, last] = reload(&mut server, init, &plan);
    let busy = load.end();
    print("reloads", &busy);
    held.end();

    assert_eq!(
        (quiet.closed, busy.closed),
        (0, 0),
        "connections were closed"
    );
    assert_eq!(server.get("/kept").text(), "0", "the dictionary was lost");
    println!("resident: {fifth} KiB after the fifth reload, {last} KiB after the last");
    if plan.is_long {
        assert!(
            last <= fifth + fifth / 10,
            "memory: {fifth} KiB, then {last}"
        );
        let [quiet, busy] = [quiet, busy].map(|tally| tally.percentile(99));
        assert!(busy <= 2 * quiet, "p99: {quiet} us, then {busy}");
    }
}

#[test]
fn reloads_go_unnoticed_by_those_who_are_served() {
    reloads_go_unnoticed("0");
}

#[test]
fn an_init_script_that_takes_a_second_holds_nobody_up() {
    reloads_go_unnoticed("1");
}

#[test]
fn workers_come_and_go_without_a_reset() {
    if !ours("worker threads leave with their connections") {
        return;
    }
    let (_turn, plan) = (alone(), Plan::of_environment());
    let main = |workers: usize| {
        format!(
            "worker_processes {workers}; events {{ }} http {{ access_log off;
             client_body_temp_path {{dir}}/body; proxy_temp_path {{dir}}/proxy;
             server {{ listen 127.0.0.1:{{port}}; location / {{ return 200 {workers}; }} }} }}"
        )
    };
    let mut server = Setup::main(&main(4)).start();
    let before = worker(&server);
    let (start, load) = (Instant::now(), Load::kept(&server.addr()));
    while start.elapsed() < plan.time {
        for workers in [1, 4] {
            server.rewrite_main(&main(workers));
            server.signal(Signal::HUP);
            wait_until("the new generation", || {
                server.get("/").text() == workers.to_string()
            });
            load.go_on();
        }
    }
    let tally = load.end();
    print("4, 1, 4 workers", &tally);
    assert_eq!(worker(&server), before);
}

#[test]
fn ten_upgrades_of_the_binary_lose_no_request() {
    if !ours("a server in the foreground can be upgraded") {
        return;
    }
    let _turn = alone();
    let http = "server { listen 127.0.0.1:{port}; location / { return 200 one; } }";
    let server = Server::start(http);
    let load = Load::kept(&server.addr());
    let number = || server.read("nginx.pid").trim().parse::<u32>().ok();
    let mut old = server.pid();
    for _ in 0..10 {
        send(old, Signal::USR2);
        wait_until("the new binary", || number().is_some_and(|pid| pid != old));
        let new = number().unwrap();
        wait_until("its worker process", || !children(new).is_empty());
        load.go_on();
        send(old, Signal::QUIT);
        wait_until("the end of the old one", || !is_alive(old));
        load.go_on();
        old = new;
    }
    let tally = load.end();
    print("ten upgrades", &tally);
    send(old, Signal::QUIT);
    wait_until("the end of the last one", || !is_alive(old));
}

#[test]
fn a_worker_process_that_is_killed_is_missed_for_less_than_a_second() {
    if !ours("the worker process is one") {
        return;
    }
    let (_turn, plan) = (alone(), Plan::of_environment());
    let server = Setup::http("server { listen 127.0.0.1:{port}; location / { return 200 one; } }")
        .workers(2)
        .allow("exited on signal 9")
        .start();
    let load = Load::kept(&server.addr());
    for _ in 0..if plan.is_long { 10 } else { 2 } {
        load.go_on();
        let killed = Instant::now();
        let old = worker(&server);
        send(old, Signal::KILL);
        wait_until("an answer", || {
            let Ok(mut client) = Client::try_connect(&server.addr()) else {
                return false;
            };
            let sent = client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            sent.is_ok() && client.try_response().is_ok_and(|it| it.text() == "one")
        });
        let took = killed.elapsed();
        println!("killed, and back in {} ms", took.as_millis());
        assert!(took < Duration::from_secs(1));
        wait_until("another worker process", || {
            let now = children(server.pid());
            now.len() == 1 && now[0] != old
        });
        pause(400);
    }
    load.go_on();
    let tally = load.stop();
    println!("longest without an answer: {} ms", tally.gap.as_millis());
    assert!(tally.gap < Duration::from_secs(1), "{:?}", tally.gap);
}
