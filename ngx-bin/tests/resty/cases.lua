-- What run.sh asks of the lua-resty-* clients. Each case is a function that raises if something is not
-- as it has to be; the answer is one line per case.

local cases = {}

local function equal(got, wanted, what)
    if got ~= wanted then
        local text = "%s is %s instead of %s"
        error(text:format(what or "the result", tostring(got), tostring(wanted)), 2)
    end
end

local function run(list)
    for _, case in ipairs(list) do
        local ok, err = pcall(case[2])
        local said = ok and "ok" or tostring(err):gsub("%s+", " ")
        ngx.say(case[1], "\t", said)
    end
    ngx.say("end")
end

function cases.redis(port)
    local redis = require "resty.redis"
    local function connect()
        local red = redis:new()
        red:set_timeouts(1000, 1000, 1000)
        assert(red:connect("127.0.0.1", port))
        return red
    end

    run {
        { "set and get", function()
            local red = connect()
            equal(assert(red:set("dog", "an animal")), "OK")
            equal(assert(red:get("dog")), "an animal")
            equal(assert(red:get("no such key")), ngx.null)
            assert(red:close())
        end },
        { "a value of a megabyte", function()
            local red = connect()
            local value = ("0123456789abcdef"):rep(65536)
            assert(red:set("large", value))
            equal(assert(red:get("large")) == value, true, "the value that comes back")
            assert(red:close())
        end },
        { "numbers, lists and hashes", function()
            local red = connect()
            assert(red:del("n", "l", "h"))
            equal(assert(red:incrby("n", 41)), 41)
            equal(assert(red:incr("n")), 42)
            assert(red:rpush("l", "a", "b", "c"))
            equal(table.concat(assert(red:lrange("l", 0, -1)), ","), "a,b,c")
            assert(red:hmset("h", { one = "1", two = "2" }))
            local hash = red:array_to_hash(assert(red:hgetall("h")))
            equal(hash.one .. hash.two, "12")
            assert(red:close())
        end },
        { "an error of redis is no broken connection", function()
            local red = connect()
            assert(red:set("text", "x"))
            local res, err = red:incr("text")
            equal(res, false)
            assert(err:find("not an integer", 1, true), err)
            equal(assert(red:get("text")), "x")
            assert(red:close())
        end },
        { "pipeline", function()
            local red = connect()
            red:init_pipeline()
            for i = 1, 100 do red:set("p" .. i, i) end
            for i = 1, 100 do red:get("p" .. i) end
            local results = assert(red:commit_pipeline())
            equal(#results, 200)
            for i = 1, 100 do equal(results[100 + i], tostring(i)) end
            assert(red:close())
        end },
        { "transaction", function()
            local red = connect()
            equal(assert(red:multi()), "OK")
            equal(assert(red:set("t", "1")), "QUEUED")
            equal(assert(red:get("t")), "QUEUED")
            equal(assert(red:exec())[2], "1")
            assert(red:close())
        end },
        { "publish and subscribe", function()
            local sub, pub = connect(), connect()
            equal(assert(sub:subscribe("news"))[1], "subscribe")
            local reader = ngx.thread.spawn(function()
                local first = assert(sub:read_reply())
                local second = assert(sub:read_reply())
                return first[3] .. second[3]
            end)
            equal(assert(pub:publish("news", "a")), 1)
            equal(assert(pub:publish("news", "b")), 1)
            local ok, both = ngx.thread.wait(reader)
            assert(ok, both)
            equal(both, "ab")
            sub:set_timeout(20)
            local none, err = sub:read_reply()
            equal(none, nil)
            equal(err, "timeout")
            assert(pub:close())
            assert(sub:close())
        end },
        { "keepalive", function()
            local red = connect()
            local before = red:get_reused_times()
            assert(red:set_keepalive(10000, 10))
            local again = connect()
            equal(again:get_reused_times(), before + 1, "the count of uses")
            equal(assert(again:get("dog")), "an animal")
            assert(again:set_keepalive(10000, 10))
        end },
        { "many light threads, one pool", function()
            local threads = {}
            for i = 1, 50 do
                threads[i] = ngx.thread.spawn(function()
                    local red = redis:new()
                    assert(red:connect("127.0.0.1", port, { pool_size = 5, backlog = 50 }))
                    assert(red:set("k" .. i, i))
                    equal(assert(red:get("k" .. i)), tostring(i))
                    assert(red:set_keepalive())
                end)
            end
            for i = 1, 50 do
                local ok, err = ngx.thread.wait(threads[i])
                assert(ok, err)
            end
        end },
    }
end

function cases.memcached(port)
    local memcached = require "resty.memcached"
    local function connect()
        local memc = assert(memcached:new())
        memc:set_timeout(1000)
        assert(memc:connect("127.0.0.1", port))
        return memc
    end

    run {
        { "set and get", function()
            local memc = connect()
            equal(assert(memc:set("dog", "an animal", 0, 7)), 1)
            local value, flags = memc:get("dog")
            equal(value, "an animal")
            equal(tonumber(flags), 7)
            local none, _, err = memc:get("no_such_key")
            equal(none, nil)
            equal(err, nil)
            assert(memc:close())
        end },
        { "a value of 500 kilobytes", function()
            local memc = connect()
            local value = ("0123456789\r\n"):rep(42000)
            assert(memc:set("large", value))
            equal(memc:get("large") == value, true, "the value that comes back")
            assert(memc:close())
        end },
        { "add, replace, increment, delete", function()
            local memc = connect()
            memc:delete("n")
            assert(memc:add("n", "1"))
            local ok, err = memc:add("n", "1")
            equal(ok, nil)
            equal(err, "NOT_STORED")
            assert(memc:replace("n", "41"))
            equal(tonumber((assert(memc:incr("n", 1)))), 42)
            equal(assert(memc:delete("n")), 1)
            assert(memc:close())
        end },
        { "several keys at once", function()
            local memc = connect()
            assert(memc:set("a", "1"))
            assert(memc:set("b", "2"))
            local found = assert(memc:get({ "a", "b", "missing" }))
            equal(found.a[1] .. found.b[1], "12")
            equal(found.missing, nil)
            assert(memc:close())
        end },
        { "keepalive", function()
            local memc = connect()
            local before = memc:get_reused_times()
            assert(memc:set_keepalive(10000, 10))
            local again = connect()
            equal(again:get_reused_times(), before + 1, "the count of uses")
            equal(again:get("dog"), "an animal")
            assert(again:set_keepalive(10000, 10))
        end },
    }
end

function cases.http(port)
    local http = require "resty.http"
    local base = "http://127.0.0.1:" .. port

    run {
        { "request_uri", function()
            local res, err = http.new():request_uri(base .. "/hello")
            assert(res, err)
            equal(res.status, 200)
            equal(res.body, "hello")
            equal(res.headers["content-length"], "5")
        end },
        { "a body and fields", function()
            local res, err = http.new():request_uri(base .. "/echo?a=1", {
                method = "PUT",
                body = "some words",
                headers = { ["X-Given"] = "given" },
            })
            assert(res, err)
            equal(res.body, "some words")
            equal(res.headers["X-Method"], "PUT")
            equal(res.headers["X-Given"], "given")
        end },
        { "streaming", function()
            local httpc = http.new()
            assert(httpc:connect({ scheme = "http", host = "127.0.0.1", port = port }))
            local res, err = httpc:request({ path = "/chunks", headers = { Host = "localhost" } })
            assert(res, err)
            local pieces, size = 0, 0
            repeat
                local piece, failed = res.body_reader(512)
                assert(not failed, failed)
                if piece then
                    pieces, size = pieces + 1, size + #piece
                    assert(#piece <= 512, "a piece is too large")
                end
            until not piece
            equal(size, 5000)
            assert(pieces >= 10, "too few pieces")
            assert(httpc:set_keepalive())
        end },
        { "keepalive", function()
            local httpc = http.new()
            assert(httpc:connect({ scheme = "http", host = "127.0.0.1", port = port, pool = "mine" }))
            local res = assert(httpc:request({ path = "/hello", headers = { Host = "localhost" } }))
            equal(res:read_body(), "hello")
            equal(assert(httpc:set_keepalive(10000, 10)), 1)
            assert(httpc:connect({ scheme = "http", host = "127.0.0.1", port = port, pool = "mine" }))
            equal(httpc:get_reused_times(), 1, "the count of uses")
            res = assert(httpc:request({ path = "/hello", headers = { Host = "localhost" } }))
            equal(res:read_body(), "hello")
            assert(httpc:set_keepalive(10000, 10))
        end },
        { "pipeline", function()
            local httpc = http.new()
            assert(httpc:connect({ scheme = "http", host = "127.0.0.1", port = port }))
            local responses = assert(httpc:request_pipeline({
                { path = "/hello", headers = { Host = "localhost" } },
                { path = "/echo", method = "POST", body = "x", headers = { Host = "localhost" } },
            }))
            equal(responses[1]:read_body(), "hello")
            equal(responses[2]:read_body(), "x")
            assert(httpc:close())
        end },
        { "a head without a body", function()
            local res, err = http.new():request_uri(base .. "/hello", { method = "HEAD" })
            assert(res, err)
            equal(res.status, 200)
            equal(res.body or "", "")
        end },
        { "parse_uri", function()
            local parts = assert(http.new():parse_uri("https://example.com/a?b=c", false))
            equal(table.concat(parts, " "), "https example.com 443 /a b=c")
        end },
    }
end

return cases
