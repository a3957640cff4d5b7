//! Hours of everything that goes wrong, in short: clients that leave, timeouts, errors, light threads,
//! timers and pools at random, while memory, descriptors and coroutines are counted.
//!
//! ```sh
//! NGX_SOAK_SECONDS=600 cargo test -p ngx-bin --release --test lua_soak -- --nocapture
//! ```

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::{Backend, Client, Port, Server, Setup, ours, pause};

const LUA: &str = "
    lua_socket_log_errors off;
    lua_max_pending_timers 4096;
    lua_max_running_timers 4096;
    init_by_lua_block {
        -- Who runs is remembered weakly: what is still there after a collection is counted.
        live = setmetatable({}, { __mode = 'k' })
        function enter() live[coroutine.running()] = true end
        function ask(port, options)
            enter()
            local sock = ngx.socket.tcp()
            sock:settimeouts(2000, 2000, 2000)
            assert(sock:connect('127.0.0.1', port, options))
            assert(sock:send('hello\\n'))
            local line = assert(sock:receive())
            if math.random(3) > 1 then sock:setkeepalive(math.random(500), 8) end
            return line
        end
    }
    server {
        listen 127.0.0.1:{port};
        default_type text/plain;
        location /ask { content_by_lua_block { ngx.say(ask({echo})) } }
        location /queue {
            content_by_lua_block { ngx.say(ask({echo}, { pool = 'q', pool_size = 4, backlog = 100 })) }
        }
        location /timeout {
            content_by_lua_block {
                enter()
                local sock = ngx.socket.tcp()
                sock:settimeout(math.random(30))
                sock:connect('127.0.0.1', {silent})
                ngx.say(select(2, sock:receive()))
            }
        }
        location /refused {
            content_by_lua_block { ngx.say(select(2, ngx.socket.connect('127.0.0.1', {nobody}))) }
        }
        location /error {
            content_by_lua_block {
                local sock = ngx.socket.connect('127.0.0.1', {echo})
                ngx.thread.spawn(function() enter() sock:receive() end)
                error('on purpose')
            }
        }
        location /threads {
            content_by_lua_block {
                local threads = {}
                for i = 1, 6 do threads[i] = ngx.thread.spawn(ask, {echo}) end
                local idle = ngx.thread.spawn(function() enter() ngx.sleep(60) end)
                for i = 1, 6 do ngx.thread.wait(threads[i]) end
                ngx.thread.kill(idle)
                ngx.say('waited')
            }
        }
        location /timer {
            content_by_lua_block {
                ngx.timer.at(math.random() / 20, function() pcall(ask, {echo}) end)
                ngx.timer.at(0, function() enter() error('on purpose') end)
                ngx.say('later')
            }
        }
        location /large {
            content_by_lua_block {
                enter()
                for i = 1, 200 do
                    ngx.print(('x'):rep(10000))
                    ngx.flush(true)
                end
            }
        }
        location /sleep { content_by_lua_block { enter() ngx.sleep(0.2) ngx.say(ask({echo})) } }
        location /filters {
            content_by_lua_block { ngx.print('body') }
            header_filter_by_lua_block { ngx.header.X = ask({echo}) ngx.header.content_length = nil }
            body_filter_by_lua_block { ngx.arg[1] = ngx.arg[1] .. ask({echo}) }
            log_by_lua_block { ask({echo}) }
        }
        location /state {
            content_by_lua_block {
                collectgarbage() collectgarbage()
                local count = 0
                for _ in pairs(live) do count = count + 1 end
                ngx.say(math.floor(collectgarbage('count')), ' ', count, ' ',
                        ngx.timer.pending_count(), ' ', ngx.timer.running_count())
            }
        }
    }";

const URIS: &[&str] = &[
    "/ask", "/queue", "/timeout", "/refused", "/error", "/threads", "/timer", "/large", "/sleep",
    "/filters",
];

#[test]
fn nothing_grows() {
    if !ours("sockets in filters and the log phase") {
        return;
    }
    let seconds = std::env::var("NGX_SOAK_SECONDS").ok();
    let seconds: u64 = seconds.map_or(12, |text| text.parse().expect("a number of seconds"));
    let echo = Backend::script(|conn| {
        loop {
            let bytes = conn.some();
            if bytes.is_empty() {
                return;
            }
            conn.send(&bytes);
        }
    });
    let silent = Backend::script(support::Conn::hold);
    let nobody = Port::reserve();
    let port = |addr: String| addr.rsplit_once(':').unwrap().1.to_owned();
    let server = Setup::lua(LUA)
        .set("echo", port(echo.addr()))
        .set("silent", port(silent.addr()))
        .set("nobody", nobody.number())
        .allow("on purpose")
        .allow("refused")
        .start();

    let round = Duration::from_secs((seconds / 6).max(2));
    stir(&server, round);
    let first = State::of(&server);
    println!("after {:>4} s: {first:?}", round.as_secs());
    for n in 2..=6 {
        stir(&server, round);
        let now = State::of(&server);
        println!("after {:>4} s: {now:?}", round.as_secs() * n);
        first.compare(&now);
    }
}

/// Lets clients do what they like for a time.
fn stir(server: &Server, time: Duration) {
    let over = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (1..=16)
        .map(|seed| {
            let (addr, over, served) = (server.addr(), Arc::clone(&over), Arc::clone(&served));
            thread::spawn(move || {
                let mut dice = Dice(0x9e37_79b9_7f4a_7c15 >> seed);
                while !over.load(Ordering::SeqCst) {
                    one(&addr, &mut dice);
                    served.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let start = Instant::now();
    while start.elapsed() < time {
        pause(50);
    }
    over.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().unwrap();
    }
    assert!(
        served.load(Ordering::SeqCst) > 100,
        "hardly anything was served"
    );
}

/// One client, which may leave early.
fn one(addr: &str, dice: &mut Dice) {
    let Ok(mut client) = Client::try_connect(addr) else {
        return pause(10);
    };
    let uri = URIS[dice.roll(URIS.len())];
    let request = format!("GET {uri} HTTP/1.1\r\nHost: a\r\n\r\n");
    if client.try_send(&request).is_err() {
        return;
    }
    match dice.roll(4) {
        0 => client.reset(),
        1 => pause(dice.roll(20) as u64),
        _ => drop(client.try_response()),
    }
}

/// Numbers by chance, the same ones each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

/// What the server uses when nobody asks anything of it.
#[derive(Debug)]
struct State {
    resident_kib: usize,
    descriptors: usize,
    lua_kib: usize,
    coroutines: usize,
    timers: usize,
}

impl State {
    fn of(server: &Server) -> Self {
        // What goes on by itself ends, and idle connections of pools with it.
        pause(1500);
        let said = server.get("/state").expect(200).text();
        let numbers: Vec<usize> = said
            .split_whitespace()
            .map(|n| n.parse().unwrap())
            .collect();
        let pid = server.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let processes: Vec<u32> = children
            .unwrap_or_default()
            .split_whitespace()
            .map(|pid| pid.parse().unwrap())
            .chain([pid])
            .collect();
        let resident = |pid: &u32| -> usize {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            line.map_or(0, |line| {
                line.trim().trim_end_matches(" kB").parse().unwrap()
            })
        };
        let descriptors = |pid: &u32| fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        Self {
            resident_kib: processes.iter().map(resident).sum(),
            descriptors: processes.iter().map(descriptors).sum(),
            lua_kib: numbers[0],
            coroutines: numbers[1],
            timers: numbers[2] + numbers[3],
        }
    }

    /// Fails if there is more now.
    #[track_caller]
    fn compare(&self, now: &Self) {
        assert!(
            now.descriptors <= self.descriptors + 8,
            "descriptors: {self:?}, {now:?}"
        );
        assert!(
            now.lua_kib <= self.lua_kib * 5 / 4 + 512,
            "Lua's memory: {self:?}, {now:?}"
        );
        assert!(
            now.coroutines <= self.coroutines + 64,
            "coroutines: {self:?}, {now:?}"
        );
        assert_eq!(now.timers, 0, "timers: {now:?}");
        let most = self.resident_kib * 5 / 4 + 8 * 1024;
        assert!(now.resident_kib <= most, "memory: {self:?}, {now:?}");
    }
}
