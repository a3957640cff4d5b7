use std::time::Duration;

use super::{block_on, echo, line_on};
use crate::Host;

/// Light threads, coroutines, kept and forgotten sockets, errors, and waits that nobody waits for.
const MIXTURE: &str = "
    local port = ...
    jit.off() -- compiled traces are memory, too, until all that is hot has been compiled
    collectgarbage('setpause', 50)
    local function talk(n)
        local sock = ngx.socket.tcp()
        assert(sock:connect('127.0.0.1', port))
        assert(sock:send({ 'line ', n, '\\n' }))
        local data = coroutine.wrap(function()
            coroutine.yield(sock:receiveuntil('\\n')())
        end)()
        assert(data == 'line ' .. n, data)
        if n % 3 == 0 then return sock:setkeepalive(1000, 5) end
        if n % 3 == 1 then return sock:close() end
    end
    local threads = {}
    for n = 1, 10 do threads[n] = ngx.thread.spawn(talk, n) end
    local stuck = ngx.thread.spawn(function()
        local sock = assert(ngx.socket.connect('127.0.0.1', port))
        sock:receive()
    end)
    for n = 1, 10 do assert(ngx.thread.wait(threads[n])) end
    local broken = ngx.thread.spawn(function() error({}) end)
    pcall(error, setmetatable({}, { __tostring = error }))
    turn = (turn or 0) + 1
    if turn % 3 == 0 then error('third') end
    if turn % 3 == 1 then ngx.sleep(60) end
    ngx.thread.kill(stuck)
";

#[test]
fn nothing_grows() {
    block_on(async {
        let port = echo().await;
        let host = Host::new().unwrap();
        let chunk = host.load("mixture", MIXTURE).unwrap();
        let mut used = Vec::new();
        for turn in 1..=45 {
            let run = chunk.call::<_, ()>(port);
            let ended = tokio::time::timeout(Duration::from_millis(200), run).await;
            match turn % 3 {
                1 => assert!(ended.is_err(), "it was to be left"),
                2 => ended.unwrap().unwrap(),
                _ => {
                    let error = ended.unwrap().unwrap_err().to_string();
                    assert!(error.contains("third"), "{error}");
                }
            }
            if turn % 15 == 0 {
                tokio::task::yield_now().await;
                assert_eq!(chunk.busy_threads(), 0);
                host.lua().gc_collect().unwrap();
                host.lua().gc_collect().unwrap();
                used.push(host.lua().used_memory());
            }
        }
        assert!(used[2] < used[0] + used[0] / 10, "{used:?}");
        assert_eq!(line_on(&host, "return turn", 0).await, "45");
    });
}
