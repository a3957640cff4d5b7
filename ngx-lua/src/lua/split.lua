-- ngx.re.split: cuts a text where a pattern matches.
local module, start = ...
local error, max_of, tostring, type = error, math.max, tostring, type
local cut = string.sub

function module.split(subject, regex, options, ctx, max, res)
    subject = tostring(subject)
    if res ~= nil and type(res) ~= "table" then
        error("res is not a table", 2)
    end
    res, max = res or {}, max or 0
    local from_here = ctx and ctx.pos or 1
    if ctx then
        ctx.pos = from_here
    end
    if from_here > #subject then
        res[1] = nil
        return res
    end
    local next_match, err = start(subject, regex, options, max_of(from_here, 1))
    if not next_match then
        return nil, err
    end

    -- A piece begins at `piece`. An empty match ends the piece before it, but not at its beginning.
    local piece, pieces, n = from_here, 1, 0
    while max <= 0 or pieces < max do
        local captures, from, to = next_match()
        if not captures then
            if from then
                return nil, from
            end
            break
        end
        local empty = to < from
        if ctx then
            ctx.pos = empty and from or to
        end
        if not empty or from > piece then
            pieces, n = pieces + 1, n + 1
            res[n] = cut(subject, piece, from - 1)
            if captures[1] then
                n = n + 1
                res[n] = captures[1]
            end
            piece = to + 1
            if piece > #subject then
                break
            end
        end
    end

    if max <= 0 and piece > #subject then
        -- Without a limit, empty pieces at the end are left out.
        while n > 0 and res[n] == "" do
            res[n] = nil
            n = n - 1
        end
    else
        n = n + 1
        res[n] = cut(subject, piece)
    end
    res[n + 1] = nil
    return res
end
