//! `cjson`, `cjson.safe`.

use super::{check, eval};
use crate::Host;

#[test]
fn as_lua_cjson() {
    // Found with lua-cjson 2.1.0, the words of errors and the kinds of numbers with OpenResty's.
    check(include_str!("cases/cjson.txt"));
}

#[test]
fn what_openresty_has_added() {
    check(include_str!("cases/cjson_of_openresty.txt"));
}

#[test]
fn tables_are_as_deep_as_they_may_be() {
    let found = eval(
        "local json = require('cjson').new()
         json.encode_max_depth(1e6) json.decode_max_depth(1e6)
         local t = {}
         for n = 2, 2000 do t = { t } end
         local text = json.encode(t)
         local back = json.encode(json.decode(text))
         local more, why = pcall(json.encode, { t })
         local most, because = pcall(json.decode, '[' .. text .. ']')
         return text == back, why, because",
    );
    assert_eq!(
        found,
        "true \"Cannot serialise, excessive nesting (2001)\" \
         \"Found too many nested data structures (2001) at character 2001\""
    );
}

proptest::proptest! {
    #[test]
    fn what_is_written_can_be_read(
        numbers in proptest::collection::vec(proptest::num::f64::NORMAL, 0..5),
        texts in proptest::collection::vec(proptest::collection::vec(0u8.., 0..9), 0..5),
    ) {
        let host = Host::new().unwrap();
        let texts: Vec<_> = texts.iter().map(|t| host.lua().create_string(t).unwrap()).collect();
        let chunk = host.load("there and back", "
            local numbers, texts = ...
            local json = require('cjson').new()
            json.encode_number_precision(16)
            local back = json.decode(json.encode({ numbers = numbers, texts = { inner = texts } }))
            for n, number in ipairs(numbers) do
                local off = math.abs(back.numbers[n] - number)
                if off > math.abs(number) * 1e-15 then return false end
            end
            for n, text in ipairs(texts) do
                if back.texts.inner[n] ~= text then return false end
            end
            return #back.numbers == #numbers and #back.texts.inner == #texts
        ").unwrap();
        let same: bool = chunk.run((numbers, texts)).unwrap();
        proptest::prop_assert!(same);
    }

    #[test]
    fn any_text_may_come(
        text in r#"([\[\]{},:"\\ud80-9a-fx/*. +-]|true|null|nan|inf|\PC){0,24}"#,
        comments: bool,
    ) {
        let host = Host::new().unwrap();
        let chunk = host.load("any", "
            local text, comments = ...
            local json = require('cjson.safe').new()
            json.decode_allow_comment(comments)
            json.encode_invalid_numbers(true)
            local value, err = json.decode(text)
            -- What it makes of it, it can write.
            return err ~= nil or json.encode(value) ~= nil
        ").unwrap();
        let good: bool = chunk.run((text, comments)).unwrap();
        proptest::prop_assert!(good);
    }
}
