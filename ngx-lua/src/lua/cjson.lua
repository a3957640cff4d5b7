-- cjson and cjson.safe: the functions, with what they know of by name.
local create, null, array_mt, empty_array_mt, empty_array = ...
local preload = package.preload

local function maker(safe, name)
    local function new()
        local module = create(safe)
        module.new = new
        module.null = null
        module.array_mt = array_mt
        module.empty_array_mt = empty_array_mt
        module.empty_array = empty_array
        module._NAME = name
        module._VERSION = "2.1.0.11"
        return module
    end
    return new
end

preload.cjson = maker(false, "cjson")
preload["cjson.safe"] = maker(true, "cjson")
