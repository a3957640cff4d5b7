-- ngx.re.sub and gsub, where functions say what replaces what is found. They are called from Lua, and
-- so may wait.
local re, start, sub_text, gsub_text = ...
local concat, tostring, type = table.concat, tostring, type
local cut = string.sub

local function replace(subject, regex, with, options, most)
    subject = tostring(subject)
    local next_match, err = start(subject, regex, options)
    if not next_match then
        return nil, nil, err
    end
    local parts, n, copied = {}, 0, 0
    while n < most do
        local captures, from, to = next_match()
        if not captures then
            if from then
                return nil, nil, from
            end
            break
        end
        n = n + 1
        parts[2 * n - 1] = cut(subject, copied + 1, from - 1)
        parts[2 * n] = tostring(with(captures))
        copied = to
    end
    parts[2 * n + 1] = cut(subject, copied + 1)
    return concat(parts), n
end

function re.sub(subject, regex, with, options)
    if type(with) == "function" then
        return replace(subject, regex, with, options, 1)
    end
    return sub_text(subject, regex, with, options)
end

function re.gsub(subject, regex, with, options)
    if type(with) == "function" then
        return replace(subject, regex, with, options, 1 / 0)
    end
    return gsub_text(subject, regex, with, options)
end
