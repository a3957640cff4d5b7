-- table.clone, isarray, isempty, nkeys: what OpenResty's LuaJIT has beyond the common one. As there,
-- each is a module of its own, and becomes a field of `table` when it is first required.
local preload, table = package.preload, table
local error, floor, next, select, type = error, math.floor, next, select, type

local function check(name, n, value)
    if type(value) ~= "table" then
        local got = n == 0 and "no value" or type(value)
        error("bad argument #1 to '" .. name .. "' (table expected, got " .. got .. ")", 3)
    end
end

local added = {}

function added.clone(...)
    local from = ...
    check("clone", select("#", ...), from)
    local copy = {}
    for key, value in next, from do
        copy[key] = value
    end
    return copy
end

function added.isarray(...)
    local t = ...
    check("isarray", select("#", ...), t)
    for key in next, t do
        if type(key) ~= "number" or floor(key) ~= key then
            return false
        end
    end
    return true
end

function added.isempty(...)
    local t = ...
    check("isempty", select("#", ...), t)
    return next(t) == nil
end

function added.nkeys(...)
    local t = ...
    check("nkeys", select("#", ...), t)
    local n = 0
    for _ in next, t do
        n = n + 1
    end
    return n
end

for name, made in next, added do
    preload["table." .. name] = preload["table." .. name] or function()
        table[name] = made
        return made
    end
end
