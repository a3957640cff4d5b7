-- Writes the results of a function down, tables with sorted keys.
local function write(value)
    if type(value) == "string" then
        return (string.format("%q", value):gsub("[%c\128-\255]", function(c)
            return string.format("\\%03d", c:byte())
        end):gsub("\\\\010", "\\n"))
    elseif type(value) == "table" then
        local parts = {}
        for key, inner in pairs(value) do
            parts[#parts + 1] = "[" .. write(key) .. "]=" .. write(inner)
        end
        table.sort(parts)
        return "{" .. table.concat(parts, ",") .. "}"
    end
    return tostring(value)
end

local function list(ok, ...)
    if not ok then
        return "error: " .. tostring((...)):gsub("^[^ ]*:%d+: ", "")
    end
    local parts = {}
    for at = 1, select("#", ...) do
        parts[at] = write((select(at, ...)))
    end
    return table.concat(parts, " ")
end

local function inspect(body)
    return list(pcall(body))
end
