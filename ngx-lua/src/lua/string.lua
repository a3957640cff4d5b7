-- resty.string: bytes as hexadecimal digits, decimal digits as a number.
local module = ...
local find, format, gsub = string.find, string.format, string.gsub
local tonumber = tonumber

local digits = {}
for code = 0, 255 do
    digits[string.char(code)] = format("%02x", code)
end

function module.to_hex(text)
    return (gsub(text, ".", digits))
end

-- What is no number, or more than 64 bits hold, is -1.
function module.atoi(text)
    if not find(text, "^%d+$") then
        return -1
    end
    local number = tonumber(text)
    return number < 9223372036854775808 and number or -1
end
