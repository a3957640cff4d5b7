//! Lua and a real redis: values, pipelines, pools, and the filters that ask it.

mod support;

use support::{Redis, Server, Setup, ours};

/// `redis` in Lua: `command(sock, ...)` and `reply(sock)`.
const CLIENT: &str = "
local redis = {}
function redis.connect(options)
    local sock = ngx.socket.tcp()
    sock:settimeout(5000)
    assert(sock:connect('127.0.0.1', {redis}, options))
    return sock
end
function redis.command(...)
    local parts = { '*', select('#', ...), '\\r\\n' }
    for _, word in ipairs({ ... }) do
        parts[#parts + 1] = { '$', #tostring(word), '\\r\\n', word, '\\r\\n' }
    end
    return parts
end
function redis.reply(sock)
    local line = assert(sock:receive())
    if line:sub(1, 1) ~= '$' then return line end
    local size = tonumber(line:sub(2))
    if size < 0 then return nil end
    local value = assert(sock:receive(size))
    assert(sock:receive(2))
    return value
end
function redis.ask(sock, ...)
    assert(sock:send(redis.command(...)))
    return redis.reply(sock)
end
return redis
";

fn server(redis: &Redis, locations: &str) -> Server {
    let setup = Setup::lua(&format!(
        "lua_package_path '{{dir}}/?.lua;;';
         init_by_lua_block {{ require 'redis_client' }}
         server {{ listen 127.0.0.1:{{port}}; default_type text/plain; {locations} }}"
    ));
    let client = CLIENT.replace("{redis}", &redis.port().to_string());
    setup.file("redis_client.lua", client).start()
}

#[test]
fn values_pipelines_and_pools() {
    let Some(redis) = Redis::start() else { return };
    let server = server(
        &redis,
        "location /values {
             content_by_lua_block {
                 local redis = require 'redis_client'
                 local sock = redis.connect()
                 ngx.say(redis.ask(sock, 'SET', 'key', 'a value'))
                 ngx.say(redis.ask(sock, 'GET', 'key'))
                 ngx.say(tostring(redis.ask(sock, 'GET', 'no such key')))
                 local large = ('x'):rep(1000000)
                 redis.ask(sock, 'SET', 'large', large)
                 ngx.say(tostring(redis.ask(sock, 'GET', 'large') == large))
                 sock:close()
             }
         }
         location /pipeline {
             content_by_lua_block {
                 local redis = require 'redis_client'
                 local sock = redis.connect()
                 local all = {}
                 for i = 1, 1000 do all[i] = redis.command('INCR', 'counter') end
                 assert(sock:send(all))
                 local last
                 for i = 1, 1000 do last = redis.reply(sock) end
                 ngx.say(last)
                 assert(sock:setkeepalive())
             }
         }
         location /reused {
             content_by_lua_block {
                 local redis = require 'redis_client'
                 local sock = redis.connect({ pool = 'mine', pool_size = 10 })
                 redis.ask(sock, 'PING')
                 ngx.say(sock:getreusedtimes())
                 assert(sock:setkeepalive(10000))
             }
         }",
    );
    assert_eq!(
        server.get("/values").expect(200).text(),
        "+OK\na value\nnil\ntrue\n"
    );
    assert_eq!(server.get("/pipeline").expect(200).text(), ":1000\n");
    for times in 0..3 {
        let text = server.get("/reused").expect(200).text();
        assert_eq!(text, format!("{times}\n"));
    }
}

#[test]
fn a_header_filter_asks_redis_for_a_hundred_requests_at_once() {
    if !ours("sockets in header filters") {
        return;
    }
    let Some(redis) = Redis::start() else { return };
    let server = server(
        &redis,
        "location /set {
             content_by_lua_block {
                 local redis = require 'redis_client'
                 local sock = redis.connect()
                 for i = 0, 99 do redis.ask(sock, 'SET', 'key' .. i, 'value of ' .. i) end
                 sock:setkeepalive()
             }
         }
         location /get {
             return 200 \"body of $arg_n\";
             header_filter_by_lua_block {
                 local redis = require 'redis_client'
                 local sock = redis.connect({ pool_size = 16 })
                 -- Slow enough that all of them wait together.
                 ngx.sleep(0.05)
                 ngx.header['X-Value'] = redis.ask(sock, 'GET', 'key' .. ngx.var.arg_n)
                 sock:setkeepalive()
             }
         }",
    );
    server.get("/set").expect(200);
    for _round in 0..3 {
        let mut clients: Vec<_> = (0..100)
            .map(|n| {
                let mut client = server.connect();
                client.send(format!("GET /get?n={n} HTTP/1.1\r\nHost: h\r\n\r\n"));
                client
            })
            .collect();
        for (n, client) in clients.iter_mut().enumerate() {
            let response = client.response().expect(200);
            assert_eq!(response.text(), format!("body of {n}"));
            let value = format!("value of {n}");
            assert_eq!(response.header("x-value"), Some(value.as_str()));
        }
    }
}

#[test]
fn the_script_of_the_crates_example_runs_in_the_server_and_as_a_command() {
    let Some(redis) = Redis::start() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../ngx-lua/examples/redis.lua");
    let port = redis.port();
    let server = server(
        &redis,
        &format!(
            "location / {{
                 content_by_lua_block {{
                     local script = assert(loadfile('{script}'))
                     ngx.say(script('127.0.0.1', {port}))
                 }}
             }}"
        ),
    );
    let answer = server.get("/").expect(200).text();
    assert!(answer.contains("sum of squares 385"), "{answer}");
    assert!(answer.contains("reused yes"), "{answer}");
    if !ours("ngx lua") {
        return;
    }
    // As empty as the first one was.
    let Some(redis) = Redis::start() else { return };
    let port = redis.port();
    let code = format!("print(assert(loadfile('{script}'))('127.0.0.1', {port}))");
    let output = std::process::Command::new(support::binary())
        .args(["lua", "-e", &code])
        .output();
    let output = output.expect("run ngx lua");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), answer);
}
