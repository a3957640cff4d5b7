-- Talks to redis: the address and, unless it is a Unix-domain socket, the port are the arguments.
local address, port = ...
local out = {}

local function say(...)
    out[#out + 1] = table.concat({ ... }, " ")
end

local function connect()
    local sock = ngx.socket.tcp()
    sock:settimeouts(1000, 1000, 1000)
    assert(sock:connect(address, port))
    return sock
end

-- A command in redis' own protocol: an array of strings.
local function command(...)
    local parts = { "*" .. select("#", ...) .. "\r\n" }
    for _, word in ipairs({ ... }) do
        word = tostring(word)
        parts[#parts + 1] = { "$", #word, "\r\n", word, "\r\n" }
    end
    return parts
end

local function reply(sock)
    local line = assert(sock:receive("*l"))
    local kind, rest = line:sub(1, 1), line:sub(2)
    if kind == "$" then
        if rest == "-1" then return nil end
        local data = assert(sock:receive(tonumber(rest)))
        assert(sock:receive(2))
        return data
    end
    assert(kind ~= "-", rest)
    return rest
end

local function ask(sock, ...)
    assert(sock:send(command(...)))
    return reply(sock)
end

local sock = connect()
say("SET", ask(sock, "SET", "cat", "Marry\r\nand more"))
say("GET", #ask(sock, "GET", "cat"), "bytes")
say("GET of nothing", tostring(ask(sock, "GET", "no such key")))

-- A hundred commands in one packet, and then their answers.
local batch = {}
for i = 1, 100 do batch[i] = command("INCR", "counter") end
assert(sock:send(batch))
local last
for _ = 1, 100 do last = reply(sock) end
say("INCR x 100", last)
assert(sock:setkeepalive(10000, 10))

-- Ten light threads at once; the pool serves those that come later.
local threads = {}
for i = 1, 10 do
    threads[i] = ngx.thread.spawn(function()
        local mine = connect()
        ask(mine, "SET", "key" .. i, i * i)
        ngx.sleep(0.01)
        local value = ask(mine, "GET", "key" .. i)
        assert(mine:setkeepalive(10000, 10))
        return tonumber(value)
    end)
end
local sum = 0
for i = 1, 10 do
    local ok, value = ngx.thread.wait(threads[i])
    assert(ok, value)
    sum = sum + value
end
say("sum of squares", sum)

local again = connect()
say("reused", again:getreusedtimes() > 0 and "yes" or "no")
again:close()
return table.concat(out, "\n")
