//! What each method answers. Where nothing else is said, an nginx 1.22 with lua-nginx-module 0.10.23
//! and the `resty.core.shdict` of Debian answers the same.

use std::time::Duration;

use super::*;
use crate::{Host, Settings};

fn dict() -> Arc<Dict> {
    Arc::new(Dict::new("d", 1 << 20).unwrap())
}

fn host(dicts: &[&Arc<Dict>]) -> Host {
    let named = |dict: &&Arc<Dict>| (dict.name().to_owned(), Arc::clone(dict));
    let settings = Settings {
        shared_dicts: dicts.iter().map(named).collect(),
        ..Settings::default()
    };
    Host::with_settings(settings).unwrap()
}

/// `p(f, ...)` is `pcall` and a text of how many values came and which.
const PRELUDE: &str = "
    local d = ngx.shared.d
    local function show(...)
        local all = {}
        for i = 1, select('#', ...) do all[i] = tostring((select(i, ...))) end
        return #all .. ': ' .. table.concat(all, ', ')
    end
    local function p(f, ...) return show(pcall(f, ...)) end
    ";

fn eval(host: &Host, source: &str) -> String {
    let text = format!("{PRELUDE} return {source}");
    let chunk = host.load("test", text).unwrap();
    chunk.run::<_, String>(()).unwrap_or_else(|error| {
        panic!("{source}: {error}");
    })
}

/// Calls, one after the other in one VM, and what each answers.
fn check(lines: &[(&str, &str)]) {
    let host = host(&[&dict()]);
    for (call, answer) in lines {
        assert_eq!(eval(&host, call), *answer, "{call}");
    }
}

#[test]
fn storing_and_reading() {
    check(&[
        ("p(d.get, d, 'k')", "2: true, nil"),
        ("p(d.get_stale, d, 'k')", "2: true, nil"),
        (
            "p(d.set, d, 'k', 'v', 0.0005, 7)",
            "4: true, true, nil, false",
        ),
        ("p(d.get, d, 'k')", "3: true, v, 7"),
        ("p(d.get_stale, d, 'k')", "4: true, v, 7, false"),
        ("p(d.add, d, 'k', 1)", "4: true, false, exists, false"),
        ("p(d.safe_add, d, 'k', 1)", "4: true, false, exists, false"),
        (
            "p(d.replace, d, 'none', 1)",
            "4: true, false, not found, false",
        ),
        ("p(d.replace, d, 'k', false)", "4: true, true, nil, false"),
        ("p(d.get, d, 'k')", "2: true, false"),
        ("p(d.get_stale, d, 'k')", "4: true, false, nil, false"),
        ("p(d.add, d, 'new', 2.5)", "4: true, true, nil, false"),
        ("p(d.get, d, 'new')", "2: true, 2.5"),
        ("p(d.safe_set, d, 'new', 0/0)", "4: true, true, nil, false"),
        ("p(d.get, d, 'new')", "2: true, nan"),
        (
            "p(d.add, d, 'n', nil)",
            "4: true, false, attempt to add or replace nil values, false",
        ),
        (
            "p(d.replace, d, 'k', nil)",
            "4: true, false, attempt to add or replace nil values, false",
        ),
        ("p(d.set, d, 'k', nil)", "4: true, true, nil, false"),
        ("p(d.get, d, 'k')", "2: true, nil"),
        ("p(d.delete, d, 'k')", "4: true, true, nil, false"),
        ("p(d.delete, d, 'new')", "4: true, true, nil, false"),
        ("p(d.get, d, 'new')", "2: true, nil"),
        ("p(d.set, d, 'k', '')", "4: true, true, nil, false"),
        ("p(d.get, d, 'k')", "2: true, "),
        ("p(d.set, d, 'k', 'a\\0b')", "4: true, true, nil, false"),
        ("p(d.get, d, 'k')", "2: true, a\0b"),
    ]);
}

#[test]
fn keys() {
    check(&[
        ("p(d.set, d, nil, 1)", "3: true, nil, nil key"),
        ("p(d.set, d, '', 1)", "3: true, nil, empty key"),
        (
            "p(d.set, d, ('x'):rep(65536), 1)",
            "3: true, nil, key too long",
        ),
        (
            "p(d.set, d, ('x'):rep(65535), 1)",
            "4: true, true, nil, false",
        ),
        ("p(d.get, d)", "3: true, nil, nil key"),
        ("p(d.get_stale, d, '')", "3: true, nil, empty key"),
        ("p(d.incr, d, nil, 1)", "3: true, nil, nil key"),
        ("p(d.delete, d)", "3: true, nil, nil key"),
        ("p(d.ttl, d)", "3: true, nil, nil key"),
        ("p(d.expire, d, nil, 1)", "3: true, nil, nil key"),
        ("p(d.set, d, true, 'yes')", "4: true, true, nil, false"),
        ("p(d.get, d, 'true')", "2: true, yes"),
        ("p(d.set, d, 1.5, 'number')", "4: true, true, nil, false"),
        ("p(d.get, d, '1.5')", "2: true, number"),
        ("p(d.set, d, print, 3)", "4: true, true, nil, false"),
        ("p(d.get, d, tostring(print))", "2: true, 3"),
        (
            "p(d.set, d, setmetatable({}, {__tostring = function() return 'name' end}), 4)",
            "4: true, true, nil, false",
        ),
        ("p(d.get, d, 'name')", "2: true, 4"),
    ]);
}

#[test]
fn wrong_arguments() {
    check(&[
        ("p(d.get, nil, 1)", "2: false, bad \"zone\" argument"),
        ("p(d.get, {}, 1)", "2: false, bad \"zone\" argument"),
        ("p(d.get, {1}, 1)", "2: false, bad \"zone\" argument"),
        ("p(d.flush_all, 1)", "2: false, bad \"zone\" argument"),
        ("p(d.capacity, 1)", "2: false, bad \"zone\" argument"),
        (
            "p(d.get, ngx.socket.tcp(), 1)",
            "2: false, bad \"zone\" argument",
        ),
        (
            "p(d.set, d, 'k', 1, -1)",
            "2: false, bad \"exptime\" argument",
        ),
        ("p(d.set, d, 'k', {}, 1)", "3: true, nil, bad value type"),
        ("p(d.set, d, 'k', ngx.null)", "3: true, nil, bad value type"),
        ("p(d.expire, d, 'k')", "2: false, bad \"exptime\" argument"),
    ]);
}

/// There the FFI of LuaJIT or an operator complains, in words of their own.
#[test]
fn arguments_of_the_wrong_type() {
    check(&[
        (
            "p(d.set, d, 'k', 1, '1')",
            "2: false, bad argument #4 to '?' (number expected, got string)",
        ),
        (
            "p(d.set, d, 'k', 1, 0, {})",
            "2: false, bad argument #5 to '?' (number expected, got table)",
        ),
        (
            "p(d.expire, d, 'k', true)",
            "2: false, bad argument #3 to '?' (number expected, got boolean)",
        ),
    ]);
}

#[test]
fn flags() {
    check(&[
        (
            "p(d.set, d, 'k', 'v', nil, 2^31 + 3)",
            "4: true, true, nil, false",
        ),
        ("p(d.get, d, 'k')", "3: true, v, -2147483648"),
        (
            "p(d.set, d, 'k', 'v', false, -3)",
            "4: true, true, nil, false",
        ),
        ("p(d.get, d, 'k')", "3: true, v, -3"),
        ("p(d.set, d, 'k', 'v', 0, 1.9)", "4: true, true, nil, false"),
        ("p(d.get, d, 'k')", "3: true, v, 1"),
        (
            "p(d.set, d, 'k', 'v', 0, false)",
            "4: true, true, nil, false",
        ),
        ("p(d.get, d, 'k')", "2: true, v"),
    ]);
}

#[test]
fn counting() {
    check(&[
        ("p(d.set, d, 'k', 'v')", "4: true, true, nil, false"),
        ("p(d.incr, d, 'k', 1)", "3: true, nil, not a number"),
        ("p(d.incr, d, 'none', 1)", "3: true, nil, not found"),
        ("p(d.incr, d, 'n', 1, 5)", "4: true, 6, nil, false"),
        ("p(d.incr, d, 'n', 1)", "2: true, 7"),
        ("p(d.incr, d, 'n', '2', 1)", "4: true, 9, nil, false"),
        ("p(d.incr, d, 'n', -0.5)", "2: true, 8.5"),
        (
            "p(d.incr, d, 'n', nil)",
            "2: false, cannot convert 'nil' to 'double'",
        ),
        (
            "p(d.incr, d, 'n', {})",
            "2: false, cannot convert 'nil' to 'double'",
        ),
        (
            "p(d.incr, d, 'm', 1, 'x')",
            "2: false, bad init arg: number expected, got string",
        ),
        (
            "p(d.incr, d, 'm', 1, {})",
            "2: false, bad init arg: number expected, got table",
        ),
        (
            "p(d.incr, d, 'm', 1, true)",
            "2: false, bad init arg: number expected, got boolean",
        ),
        ("p(d.incr, d, 'm', 1, false)", "3: true, nil, not found"),
        (
            "p(d.incr, d, 'm', 1, nil, 1)",
            "2: false, must provide \"init\" when providing \"init_ttl\"",
        ),
        (
            "p(d.incr, d, 'm', 1, 0, -1)",
            "2: false, bad \"init_ttl\" argument",
        ),
        (
            "p(d.incr, d, 'm', 1, 0, false)",
            "2: false, bad init_ttl arg: number expected, got boolean",
        ),
        (
            "p(d.incr, d, 'm', 1, 0, 'x')",
            "2: false, bad init_ttl arg: number expected, got string",
        ),
        ("p(d.incr, d, 'm', 1, '3', '0.5')", "4: true, 4, nil, false"),
        ("tostring(d:ttl('m') > 0.3)", "true"),
    ]);
}

#[test]
fn times() {
    check(&[
        ("p(d.ttl, d, 'none')", "3: true, nil, not found"),
        ("p(d.expire, d, 'none', 1)", "3: true, nil, not found"),
        ("p(d.set, d, 'k', 1)", "4: true, true, nil, false"),
        ("p(d.ttl, d, 'k')", "2: true, 0"),
        ("p(d.expire, d, 'k', 10)", "2: true, true"),
        ("tostring(d:ttl('k') > 9.9 and d:ttl('k') <= 10)", "true"),
        ("p(d.expire, d, 'k', -1)", "2: true, true"),
        ("p(d.ttl, d, 'k')", "2: true, 0"),
        ("p(d.set, d, 'k', 'v', 1/0)", "4: true, true, nil, false"),
        ("p(d.ttl, d, 'k')", "2: true, 0"),
        ("p(d.set, d, 'k', 'v', 0/0)", "4: true, true, nil, false"),
        ("p(d.ttl, d, 'k')", "2: true, 0"),
    ]);
}

#[test]
fn what_is_over_is_stale() {
    let host = host(&[&dict()]);
    eval(&host, "p(d.set, d, 'k', 'v', 0.05, 3)");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(eval(&host, "p(d.get_stale, d, 'k')"), "4: true, v, 3, true");
    let left = eval(&host, "tostring(d:ttl('k') < 0 and d:ttl('k') > -5)");
    assert_eq!(left, "true");
    assert_eq!(eval(&host, "tostring(d:expire('k', 5))"), "true");
    assert_eq!(eval(&host, "p(d.get, d, 'k')"), "3: true, v, 3");
    eval(&host, "p(d.flush_all, d)");
    assert_eq!(eval(&host, "p(d.get, d, 'k')"), "2: true, nil");
}

#[test]
fn lists() {
    check(&[
        ("p(d.lpush, d, 'l', 1)", "2: true, 1"),
        ("p(d.rpush, d, 'l', 'two')", "2: true, 2"),
        ("p(d.lpush, d, 'l', true)", "3: true, nil, bad value type"),
        (
            "p(d.lpush, d, 'l')",
            "2: false, expecting 3 arguments, but only seen 2",
        ),
        (
            "p(d.lpush, d, true, 1)",
            "2: false, bad argument #2 to '?' (string expected, got boolean)",
        ),
        ("p(d.lpush, {}, 1, 1)", "2: false, bad \"zone\" argument"),
        ("p(d.lpush, d, nil, 1)", "3: true, nil, nil key"),
        ("p(d.lpush, d, '', 1)", "3: true, nil, empty key"),
        ("p(d.set, d, 'k', 1)", "4: true, true, nil, false"),
        ("p(d.lpush, d, 'k', 1)", "3: true, nil, value not a list"),
        ("p(d.llen, d, 'l')", "2: true, 2"),
        ("p(d.llen, d, 'k')", "3: true, nil, value not a list"),
        ("p(d.llen, d, 'none')", "2: true, 0"),
        ("p(d.get, d, 'l')", "3: true, nil, value is a list"),
        ("p(d.incr, d, 'l', 1)", "3: true, nil, not a number"),
        ("p(d.rpop, d, 'l')", "2: true, two"),
        ("p(d.lpop, d, 'l')", "2: true, 1"),
        ("p(d.lpop, d, 'l')", "2: true, nil"),
        ("p(d.rpop, d, 'k')", "3: true, nil, value not a list"),
        (
            "p(d.lpop, d)",
            "2: false, expecting 2 arguments, but only seen 1",
        ),
        (
            "p(d.llen, d, {})",
            "2: false, bad argument #2 to '?' (string expected, got table)",
        ),
        ("p(d.rpush, d, 5, 'x')", "2: true, 1"),
        ("p(d.lpop, d, '5')", "2: true, x"),
    ]);
}

#[test]
fn the_whole() {
    check(&[
        ("p(d.capacity, d)", "2: true, 1048576"),
        ("p(d.free_space, d)", "2: true, 1032192"),
        ("p(d.set, d, 'a', 1)", "4: true, true, nil, false"),
        ("p(d.set, d, 'b', 1)", "4: true, true, nil, false"),
        ("p(d.get, d, 'a')", "2: true, 1"),
        ("table.concat(d:get_keys(), ' ')", "b a"),
        ("table.concat(d:get_keys(1), ' ')", "b"),
        ("table.concat(d:get_keys(0), ' ')", "b a"),
        ("table.concat(d:get_keys(-1), ' ')", "b a"),
        ("p(d.flush_expired, d)", "2: true, 0"),
        (
            "p(d.flush_expired, d, 1, 2)",
            "2: false, expecting 1 or 2 argument(s), but saw 3",
        ),
        (
            "p(d.flush_expired, {})",
            "2: false, bad user data for the ngx_shm_zone_t pointer",
        ),
        (
            "p(d.flush_expired, 1)",
            "2: false, bad argument #1 to '?' (table expected, got number)",
        ),
        (
            "p(d.flush_expired, d, nil)",
            "2: false, bad argument #2 to '?' (number expected, got nil)",
        ),
        (
            "p(d.get_keys, d, 'x')",
            "2: false, bad argument #2 to '?' (number expected, got string)",
        ),
        (
            "p(d.get_keys)",
            "2: false, expecting 1 or 2 argument(s), but saw 0",
        ),
        ("p(d.flush_all, d)", "1: true"),
        ("tostring(#d:get_keys())", "0"),
    ]);
}

#[test]
fn messages_have_the_place_of_the_call() {
    let host = host(&[&dict()]);
    for (call, message) in [
        (
            "d:lpush(true, 1)",
            "bad argument #1 to 'lpush' (string expected, got boolean)",
        ),
        (
            "d:get_keys('x')",
            "bad argument #1 to 'get_keys' (number expected, got string)",
        ),
        ("d:set('k', 1, -1)", "bad \"exptime\" argument"),
        ("d.get('k')", "bad \"zone\" argument"),
    ] {
        let source = format!("select(2, pcall(function() {call} end))");
        let text = eval(&host, &source);
        assert_eq!(text, format!("test:9: {message}"), "{call}");
    }
}

#[test]
fn a_full_dictionary_evicts() {
    let small = Arc::new(Dict::new("d", 100 << 10).unwrap());
    let host = host(&[&small]);
    let fill = "(function(method)
        d:flush_all() d:flush_expired()
        for i = 1, 1000 do
            local ok, err, forcible = d[method](d, 'key_' .. i, (' hello'):rep(10) .. i)
            if not ok or forcible then
                return show(ok, err, forcible, i, d:get('key_1'), d:get('key_' .. i))
            end
        end
    end)";
    // The places are those of OpenResty's own test of this.
    assert_eq!(
        eval(&host, &format!("{fill}('safe_set')")),
        format!(
            "6: false, no memory, false, 353, {}1, nil",
            " hello".repeat(10)
        )
    );
    assert_eq!(
        eval(&host, &format!("{fill}('set')")),
        format!("6: true, nil, true, 353, nil, {}353", " hello".repeat(10))
    );
    let huge = "p(d.set, d, 'huge', ('helloworld'):rep(10000))";
    assert_eq!(eval(&host, huge), "4: true, false, no memory, true");
}

#[test]
fn a_dictionary_is_a_table_with_methods() {
    let host = host(&[&dict()]);
    let same = "tostring(getmetatable(d).__index == getmetatable(d))";
    assert_eq!(eval(&host, same), "true");
    assert_eq!(
        eval(&host, "type(d) .. ' ' .. type(d[1])"),
        "table userdata"
    );
    let names = "(function()
        local names = {}
        for name in pairs(getmetatable(d)) do names[#names + 1] = name end
        table.sort(names)
        return table.concat(names, ' ')
    end)()";
    assert_eq!(
        eval(&host, names),
        "__index add capacity delete expire flush_all flush_expired free_space get get_keys \
         get_stale incr llen lpop lpush replace rpop rpush safe_add safe_set set ttl"
    );
    assert_eq!(eval(&host, "tostring(ngx.shared.other)"), "nil");
    let none = Host::new().unwrap();
    assert_eq!(eval(&none, "type(ngx.shared) .. tostring(d)"), "tablenil");
}

#[test]
fn hosts_of_many_threads_share_a_dictionary() {
    let (shared, other) = (dict(), Arc::new(Dict::new("other", 1 << 20).unwrap()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let host = host(&[&shared, &other]);
                eval(
                    &host,
                    "(function() for _ = 1, 500 do d:incr('n', 1, 0) end return 'done' end)()",
                );
            });
        }
    });
    let host = host(&[&shared, &other]);
    assert_eq!(eval(&host, "tostring(d:get('n'))"), "2000");
    assert_eq!(eval(&host, "tostring(ngx.shared.other:get('n'))"), "nil");
}

/// As when `init_by_lua` fills the tables of a second VM.
#[cfg(feature = "http")]
#[test]
fn what_runs_again_changes_nothing() {
    let dict = dict();
    let host = host(&[&dict]);
    eval(&host, "show(d:set('k', 1), d:rpush('l', 'x'))");
    host.engine().set_replay(true);
    for (call, answer) in [
        ("d:set('k', 2)", "3: true, nil, false"),
        ("d:add('k', 2)", "3: true, nil, false"),
        ("d:set('k', nil)", "3: true, nil, false"),
        ("d:delete('k')", "3: true, nil, false"),
        ("d:incr('k', 5)", "1: 1"),
        ("d:incr('none', 5)", "2: nil, not found"),
        ("d:incr('none', 5, 1)", "3: 6, nil, false"),
        ("d:rpush('l', 'y')", "1: 1"),
        ("d:lpop('l')", "1: nil"),
        ("d:expire('k', 1)", "1: true"),
        ("d:flush_all()", "0: "),
        ("d:flush_expired()", "1: 0"),
        ("d:get('k')", "1: 1"),
        ("d:llen('l')", "1: 1"),
        ("d:ttl('k')", "1: 0"),
    ] {
        assert_eq!(eval(&host, &format!("show({call})")), answer, "{call}");
    }
    assert_eq!(dict.len(), 2);
}
