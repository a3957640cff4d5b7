-- os.getenv for an environment that is not the process's.

local environment = ...
local error, format, select, tostring, type = error, string.format, select, tostring, type

function os.getenv(...)
  local name = ...
  local kind = type(name)
  if kind == "number" then
    name = tostring(name)
  elseif kind ~= "string" then
    kind = select("#", ...) == 0 and "no value" or kind
    error(format("bad argument #1 to 'getenv' (string expected, got %s)", kind), 2)
  end
  return environment[name]
end
