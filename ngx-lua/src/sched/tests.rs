use std::future::Future;
use std::time::Duration;

use mlua::MultiValue;

use crate::{Error, Host, Settings};

mod every;
mod semaphore;

/// Runs a future as a program would.
fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(Duration::from_secs(30), future)
            .await
            .expect("the test hangs")
    })
}

/// Runs a chunk on a fresh VM and returns its results as one line.
fn line(source: &str) -> String {
    block_on(async { line_on(&Host::new().unwrap(), source).await })
}

async fn line_on(host: &Host, source: &str) -> String {
    let results: MultiValue = match host.load("test", source).unwrap().call(()).await {
        Ok(results) => results,
        Err(error) => return error.to_string(),
    };
    let words: Vec<String> = results.iter().map(|v| v.to_string().unwrap()).collect();
    words.join(" ")
}

fn both(source: &str) -> String {
    let waiting = line(source);
    let host = Host::new().unwrap();
    let blocking: MultiValue = host.load("test", source).unwrap().run(()).unwrap();
    let words: Vec<String> = blocking.iter().map(|v| v.to_string().unwrap()).collect();
    assert_eq!(words.join(" "), waiting, "both kinds of runs agree");
    waiting
}

#[test]
fn coroutines_are_lua_s() {
    assert_eq!(
        both(
            "local co = coroutine.create(function(a, b)
                 local c = coroutine.yield(a + b)
                 local d, e = coroutine.yield(c * 2)
                 return d, e, nil
             end)
             local out = { coroutine.resume(co, 1, 2) }
             out[#out + 1] = coroutine.status(co)
             for _, v in ipairs({ coroutine.resume(co, 10) }) do out[#out + 1] = v end
             local a, b, c, d = coroutine.resume(co, 'x', 'y')
             return out[1], out[2], out[3], out[4], out[5], a, b, c, d,
                 coroutine.status(co), coroutine.resume(co)"
        ),
        "true 3 suspended true 20 true x y nil dead false cannot resume dead coroutine"
    );
}

#[test]
fn statuses_are_told_apart() {
    assert_eq!(
        both(
            "local outer
             outer = coroutine.create(function()
                 local inner = coroutine.wrap(function()
                     local _, err = coroutine.resume(outer)
                     return coroutine.status(outer), err
                 end)
                 local s, err = inner()
                 local me, main = coroutine.running()
                 return s, err, coroutine.status(me), main, select(2, coroutine.resume(me))
             end)
             return coroutine.resume(outer)"
        ),
        "true normal cannot resume normal coroutine running false cannot resume running coroutine"
    );
}

#[test]
fn errors_come_out_of_coroutines_as_they_are() {
    assert_eq!(
        both(
            "local ok, e = coroutine.resume(coroutine.create(function() error({ code = 7 }) end))
             local f = coroutine.wrap(function() error('plain', 0) end)
             local _, plain = pcall(f)
             local _, again = pcall(f)
             return ok, e.code, plain, again"
        ),
        "false 7 plain cannot resume dead coroutine"
    );
}

#[test]
fn waits_go_through_everything_that_lua_can_yield_from() {
    let source = "
        local log = {}
        local function nap(word) ngx.sleep(0.001) log[#log + 1] = word return word end
        pcall(nap, 'pcall')
        xpcall(nap, print, 'xpcall')
        select(2, pcall(function() nap('deep') error('x') end))
        local t = setmetatable({}, {
            __index = function(_, k) return nap('index') end,
            __newindex = function(_, k, v) nap('newindex') end,
            __add = function() return nap('add') end,
            __concat = function() return nap('concat') end,
            __eq = function() nap('eq') return true end,
            __lt = function() nap('lt') return true end,
            __len = function() nap('len') return 3 end,
            __call = function() return nap('call') end,
        })
        local u = setmetatable({}, getmetatable(t))
        local _ = t.x, t + 1, t .. '', t == u, t < u, #t, t()
        t.y = 1
        for i in function(_, last) nap('iter') if not last then return 1 end end do end
        for v in coroutine.wrap(function() nap('wrapped') coroutine.yield(1) nap('again') end) do end
        assert((loadstring or load)('ngx.sleep(0.001)'))()
        return table.concat(log, ' ')";
    assert_eq!(
        line(source),
        "pcall xpcall deep index add concat eq lt len call newindex iter iter wrapped again"
    );
}

#[test]
fn where_luajit_cannot_yield_it_says_so() {
    for source in [
        "table.sort({ 2, 1 }, function() ngx.sleep(0) end)",
        "string.gsub('a', 'a', function() ngx.sleep(0) end)",
        "string.gsub('a', 'a', function() coroutine.yield() end)",
    ] {
        let said = line(source);
        assert!(
            said.contains("attempt to yield across C-call boundary"),
            "{said}"
        );
    }
}

#[test]
fn runaway_recursion_of_every_kind_is_an_error() {
    // A thread of tokio has 2 MiB of stack; so has this one.
    for source in [
        "local function f() return (string.gsub('a', 'a', f)) end f()",
        "local function f() table.sort({ 3, 2, 1 }, f) end f()",
        "local t t = setmetatable({}, { __tostring = function() return string.format('%s', t) end })
         return tostring(t)",
        "local function f() return coroutine.wrap(f)() end f()",
        "local function f() local ok, e = coroutine.resume(coroutine.create(f)) error(e, 0) end f()",
        "local function f() return assert(load(f)) end assert(load(f))",
        "local function f(n) return 1 + f(n) end return f(1)",
        "local function f() return pcall(f) end assert(f())  error('stack overflow')",
    ] {
        let host = Host::new().unwrap();
        let said = host.load("deep", source).unwrap().run::<_, ()>(());
        let said = said.unwrap_err().to_string();
        assert!(said.contains("overflow"), "{source}: {said}");
        let after: i64 = host.load("after", "return 1").unwrap().run(()).unwrap();
        assert_eq!(after, 1, "the VM goes on");
    }
}

#[test]
fn an_error_names_its_place_and_shows_the_stack() {
    let error = block_on(async {
        let host = Host::new().unwrap();
        let chunk = host.load(
            "x",
            "ngx.sleep(0)\nlocal function f() error('no luck') end f()",
        );
        chunk.unwrap().call::<_, ()>(()).await.unwrap_err()
    });
    let Error::Runtime { message, traceback } = error else {
        panic!("{error:?}")
    };
    assert_eq!(message, "x:2: no luck");
    assert!(traceback.starts_with("stack traceback:\n"), "{traceback}");
    assert!(traceback.contains("x:2: in local 'f'"), "{traceback}");
}

#[test]
fn arguments_are_checked() {
    for (source, said) in [
        ("ngx.sleep()", "attempt to pass 0 arguments, but accepted 1"),
        (
            "ngx.sleep(1, 2)",
            "attempt to pass 2 arguments, but accepted 1",
        ),
        (
            "ngx.sleep({})",
            "bad argument #1 to 'sleep' (number expected, got table)",
        ),
        ("ngx.sleep(-1)", "invalid sleep duration \"-1000\""),
        ("ngx.sleep(0/0)", "invalid sleep duration"),
        ("ngx.sleep(1e300)", "invalid sleep duration"),
        ("ngx.now(1)", "expecting zero arguments, but got 1"),
        (
            "ngx.thread.spawn()",
            "bad argument #1 to 'spawn' (Lua function expected)",
        ),
        (
            "ngx.thread.spawn(print)",
            "bad argument #1 to 'spawn' (Lua function expected)",
        ),
        (
            "ngx.thread.wait()",
            "at least one coroutine should be specified",
        ),
        (
            "ngx.thread.wait(1)",
            "bad argument #1 to 'wait' (lua thread expected)",
        ),
        (
            "ngx.thread.wait(coroutine.create(print))",
            "attempt to wait on a coroutine that is not a user thread",
        ),
        (
            "ngx.timer.at(1)",
            "expecting at least 2 arguments but got 1",
        ),
        (
            "ngx.timer.at(1, print)",
            "bad argument #2 to 'at' (Lua function expected)",
        ),
        (
            "ngx.timer.at('x', function() end)",
            "bad argument #1 to 'at' (number expected, got string)",
        ),
        (
            "ngx.timer.at(-1, function() end)",
            "bad argument #1 to 'at' (delay out of range)",
        ),
        (
            "ngx.log()",
            "bad argument #1 to 'log' (number expected, got no value)",
        ),
        (
            "ngx.log(99, 'x')",
            "bad argument #1 to 'log' (bad log level: 99)",
        ),
        (
            "ngx.log(ngx.ERR, {})",
            "bad argument #2 to 'log' (expected table to have __tostring metamethod)",
        ),
        (
            "ngx.log(ngx.ERR, print)",
            "bad argument #2 to 'log' (string, number, boolean, or nil expected, got function)",
        ),
        (
            "coroutine.resume(1)",
            "bad argument #1 to 'resume' (coroutine expected)",
        ),
        (
            "coroutine.status({})",
            "bad argument #1 to 'status' (coroutine expected)",
        ),
    ] {
        let text = line(source);
        assert!(text.contains(said), "{source}: {text}");
    }
}

#[test]
fn a_run_that_cannot_wait_refuses() {
    let host = Host::new().unwrap();
    for source in [
        "ngx.sleep(1)",
        "ngx.thread.spawn(function() end)",
        "coroutine.wrap(function() ngx.sleep(1) end)()",
    ] {
        let error = host
            .load("x", source)
            .unwrap()
            .run::<_, ()>(())
            .unwrap_err();
        let said = "API disabled in the context of a run that cannot wait";
        assert!(error.to_string().contains(said), "{error}");
    }
    let error = host.lua().load("ngx.sleep(1)").exec().unwrap_err();
    assert!(error.to_string().contains("no request found"), "{error}");
}

#[test]
fn light_threads_run_at_once_and_are_waited_for() {
    assert_eq!(
        line(
            "local log = {}
             local function work(name, time)
                 log[#log + 1] = name .. '+'
                 ngx.sleep(time)
                 log[#log + 1] = name .. '-'
                 return name, time
             end
             local a = ngx.thread.spawn(work, 'a', 0.1)
             log[#log + 1] = 'main'
             local b = ngx.thread.spawn(work, 'b', 0.01)
             local ok, first = ngx.thread.wait(a, b)
             local ok2, second = ngx.thread.wait(a)
             local none, err = ngx.thread.wait(a)
             return ok, first, ok2, second, none, err, table.concat(log, ' '), coroutine.status(a)"
        ),
        "true b true a nil already waited or killed a+ main b+ b- a- dead"
    );
}

#[test]
fn a_light_thread_that_raises_hands_over_the_error() {
    assert_eq!(
        line(
            "local t = ngx.thread.spawn(function() error({ code = 3 }) end)
             local z = coroutine.status(t)
             local ok, e = ngx.thread.wait(t)
             return z, ok, e.code"
        ),
        "zombie false 3"
    );
}

#[test]
fn light_threads_are_killed_by_their_parents_alone() {
    assert_eq!(
        line(
            "local done = false
             local t = ngx.thread.spawn(function() ngx.sleep(60) done = true end)
             local stranger = ngx.thread.spawn(function()
                 local r = { ngx.thread.kill(t) }
                 local ok, err = pcall(ngx.thread.wait, t)
                 return r[2], err
             end)
             local _, not_parent, only_parent = ngx.thread.wait(stranger)
             local ok = ngx.thread.kill(t)
             local no, again = ngx.thread.kill(t)
             local z = ngx.thread.spawn(function() end)
             local zno, over = ngx.thread.kill(z)
             local cno, co = ngx.thread.kill(coroutine.create(function() end))
             return not_parent, only_parent, ok, no, again, zno, over, cno, co, done"
        ),
        "killer not parent only the parent coroutine can wait on the thread 1 nil already waited or \
         killed nil already terminated nil not user thread false"
    );
}

#[test]
fn a_run_ends_when_its_light_threads_have_ended() {
    let host = Host::new().unwrap();
    block_on(async {
        let source =
            "n = 0 for i = 1, 5 do ngx.thread.spawn(function() ngx.sleep(0.01) n = n + 1 end) end";
        line_on(&host, source).await;
    });
    assert_eq!(host.lua().globals().get::<i64>("n").unwrap(), 5);
}

#[test]
fn an_error_of_the_entry_thread_ends_the_light_threads() {
    let host = Host::new().unwrap();
    block_on(async {
        let source = "t = ngx.thread.spawn(function() ngx.sleep(0.01) late = true end) error('x')";
        assert!(line_on(&host, source).await.contains("x"));
        tokio::time::sleep(Duration::from_millis(30)).await;
    });
    assert!(
        host.lua()
            .globals()
            .get::<Option<bool>>("late")
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_dropped_run_leaves_nothing() {
    let host = Host::new().unwrap();
    block_on(async {
        let source = "for i = 1, 10 do
                ngx.thread.spawn(function() coroutine.wrap(function() ngx.sleep(60) end)() end)
            end
            ngx.sleep(60)";
        let chunk = host.load("x", source).unwrap();
        let run = chunk.call::<_, ()>(());
        let waited = tokio::time::timeout(Duration::from_millis(20), run).await;
        assert!(waited.is_err(), "it was to wait");
        assert_eq!(chunk.busy_threads(), 0);
        assert_eq!(
            line_on(&host, "return coroutine.wrap(function() return 1 end)()").await,
            "1"
        );
    });
}

#[test]
fn ten_thousand_light_threads() {
    assert_eq!(
        line(
            "local threads, sum = {}, 0
             for i = 1, 10000 do
                 threads[i] = ngx.thread.spawn(function(n) ngx.sleep(0.01) return n end, i)
             end
             for i = 1, 10000 do
                 local ok, n = ngx.thread.wait(threads[i])
                 sum = sum + n
             end
             return sum"
        ),
        "50005000"
    );
}

#[test]
fn light_threads_inside_light_threads() {
    assert_eq!(
        line(
            "local function nest(n)
                 if n == 0 then ngx.sleep(0.001) return 'bottom' end
                 return select(2, ngx.thread.wait(ngx.thread.spawn(nest, n - 1)))
             end
             return nest(2000)"
        ),
        "bottom"
    );
}

#[test]
fn threads_are_used_again_unless_somebody_knows_them() {
    block_on(async {
        let host = Host::new().unwrap();
        let mine = host.load("x", "return coroutine.running()").unwrap();
        let first: mlua::Thread = mine.call(()).await.unwrap();
        let second: mlua::Thread = mine.call(()).await.unwrap();
        assert_ne!(first, second);
        assert_eq!(
            line_on(&host, "local _ = ... return 'clean', select('#', ...)").await,
            "clean 0"
        );
    });
}

#[test]
fn globals_of_a_thread_end_with_its_run() {
    block_on(async {
        let host = Host::new().unwrap();
        assert_eq!(line_on(&host, "setfenv(0, { left = 1 })").await, "");
        let source = "return type(getfenv(0).ngx), getfenv(0).left, left";
        assert_eq!(line_on(&host, source).await, "table nil nil");
    });
}

#[test]
fn timers_run_later_with_their_arguments() {
    let host = Host::new().unwrap();
    block_on(async {
        let source = "local ok = ngx.timer.at(0.005, function(premature, a, b)
                ngx.sleep(0.001) seen = tostring(premature) .. a .. b
            end, 'x', 'y')
            return ok, ngx.timer.pending_count(), ngx.timer.running_count()";
        assert_eq!(line_on(&host, source).await, "1 1 0");
        tokio::time::sleep(Duration::from_millis(50)).await;
    });
    assert_eq!(
        host.lua().globals().get::<String>("seen").unwrap(),
        "falsexy"
    );
    assert_eq!((host.pending_timers(), host.running_timers()), (0, 0));
}

#[test]
fn timers_end_early_when_the_host_does() {
    let host = Host::new().unwrap();
    block_on(async {
        line_on(&host, "ngx.timer.at(60, function(p) early = p end)").await;
        tokio::task::yield_now().await;
        host.shut_down();
        tokio::time::sleep(Duration::from_millis(10)).await;
        let source = "return early, ngx.timer.at(1, function() end)";
        assert_eq!(line_on(&host, source).await, "true nil process exiting");
    });
}

#[test]
fn timers_are_limited() {
    let settings = Settings {
        max_pending_timers: 2,
        max_running_timers: 1,
        ..Settings::default()
    };
    let host = Host::with_settings(settings).unwrap();
    block_on(async {
        let source = "ran = 0
            local function f() ran = ran + 1 ngx.sleep(0.01) end
            return ngx.timer.at(0, f), ngx.timer.at(0, f), ngx.timer.at(0, f)";
        assert_eq!(
            line_on(&host, source).await,
            "1 1 nil too many pending timers"
        );
        tokio::time::sleep(Duration::from_millis(30)).await;
    });
    assert_eq!(host.lua().globals().get::<i64>("ran").unwrap(), 1);
}

#[test]
fn clocks_and_constants() {
    assert_eq!(
        line(
            "ngx.update_time()
             local now = ngx.now()
             return math.abs(now - ngx.time()) < 2, now > 1.6e9, ngx.OK, ngx.ERROR, ngx.AGAIN,
                 ngx.DONE, ngx.DECLINED, tostring(ngx.null), ngx.ERR, ngx.DEBUG, type(ngx.null)"
        ),
        "true true 0 -1 -2 -4 -5 userdata: NULL 4 8 userdata"
    );
}
