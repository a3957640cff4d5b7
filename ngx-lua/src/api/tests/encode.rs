//! `ngx.escape_uri` and the like.

use super::check;

#[test]
fn uris() {
    check(&[
        (
            r#"ngx.escape_uri("a b&c=d/é?~-._!'()*")"#,
            r#""a%20b%26c%3Dd%2F%C3%A9%3F~-._!'()*""#,
        ),
        (
            r#"ngx.escape_uri("a b#%+?\127\200\1", 0)"#,
            r#""a%20b%23%25+%3F%7F%C8%01""#,
        ),
        (
            r#"ngx.escape_uri("a b#%+?\127\200\1", 1)"#,
            r#""a%20b%23%25%2B%3F%7F%C8%01""#,
        ),
        (
            r#"ngx.escape_uri("a b#%+?\"'\127\200\1", 3)"#,
            r#""a%20b%23%25+?%22%27%7F%C8%01""#,
        ),
        (
            r#"ngx.escape_uri("a b#%+?\"'\127\200\1", 4)"#,
            r#""a%20b#%+?%22%27%7F%C8%01""#,
        ),
        (
            r#"ngx.escape_uri("a b#%+?\"'\127\200\1", 5)"#,
            r#""a%20b#%25+?\"'\127\200%01""#,
        ),
        (
            r#"ngx.escape_uri("a b#%+?\"'\127\200\1", 6)"#,
            r#""a%20b#%25+?\"'\127\200%01""#,
        ),
        (
            r#"ngx.escape_uri("a", 7)"#,
            r#"error: "type" 7 out of range"#,
        ),
        (
            r#"ngx.escape_uri("a", -1)"#,
            r#"error: "type" -1 out of range"#,
        ),
        (
            r#"ngx.escape_uri("a", "2")"#,
            r#"error: "type" is not a number"#,
        ),
        ("ngx.escape_uri()", r#""""#),
        ("ngx.escape_uri(nil)", r#""""#),
        ("ngx.escape_uri(false)", r#""""#),
        ("ngx.escape_uri(true)", r#""true""#),
        ("ngx.escape_uri(12.5)", r#""12.5""#),
        (r#"ngx.escape_uri("plain")"#, r#""plain""#),
        (r#"ngx.unescape_uri("a%20b+c%zz%4")"#, r#""a b c%zz%4""#),
        (r#"ngx.unescape_uri("%")"#, r#""%""#),
        (r#"ngx.unescape_uri("%00%ff%FF")"#, r#""\0\255\255""#),
        ("ngx.unescape_uri(nil)", r#""""#),
        ("ngx.unescape_uri(10)", r#""10""#),
    ]);
}

#[test]
fn arguments() {
    check(&[
        ("ngx.encode_args({})", r#""""#),
        (r#"ngx.encode_args({foo = "b r"})"#, r#""foo=b%20r""#),
        (r#"ngx.encode_args({["a b"] = 3})"#, r#""a%20b=3""#),
        ("ngx.encode_args({a = true})", r#""a""#),
        ("ngx.encode_args({a = false})", r#""""#),
        (
            r#"ngx.encode_args({a = {1, "x y", true, false}})"#,
            r#""a=1&a=x%20y&a""#,
        ),
        ("ngx.encode_args({a = {}})", r#""""#),
        (r#"ngx.encode_args({a = ""})"#, r#""a=""#),
        (
            "ngx.encode_args({a = print})",
            "error: attempt to use function as query arg value",
        ),
        (
            "ngx.encode_args({a = {print}})",
            "error: attempt to use function as query arg value",
        ),
        (
            "ngx.encode_args({a = {{}}})",
            "error: attempt to use table as query arg value",
        ),
        (
            r#"ngx.encode_args({[1] = "x"})"#,
            r#"error: attempt to use a non-string key in the "args" option table"#,
        ),
        (
            "ngx.encode_args()",
            "error: expecting 1 argument but seen 0",
        ),
        (
            "ngx.encode_args(1)",
            "error: bad argument #1 to '?' (table expected, got number)",
        ),
        (
            "ngx.encode_args({}, 1)",
            "error: expecting 1 argument but seen 2",
        ),
        (
            r#"ngx.decode_args("a=1&b=2&a=3&c&=x&&d=")"#,
            r#"{["a"]={[1]="1",[2]="3"},["b"]="2",["c"]=true,["d"]=""}"#,
        ),
        (
            r#"ngx.decode_args("a=%26&b%3d=+x")"#,
            r#"{["a"]="&",["b="]=" x"}"#,
        ),
        (r#"ngx.decode_args("")"#, "{}"),
        (
            r#"ngx.decode_args("a=1&b=2&c=3", 2)"#,
            r#"{["a"]="1",["b"]="2"} "truncated""#,
        ),
        (
            r#"ngx.decode_args("a=1&b=2", 2)"#,
            r#"{["a"]="1",["b"]="2"}"#,
        ),
        (
            r#"ngx.decode_args("a=1&b=2&", 2)"#,
            r#"{["a"]="1",["b"]="2"} "truncated""#,
        ),
        (
            r#"ngx.decode_args("a&a&a=b")"#,
            r#"{["a"]={[1]=true,[2]=true,[3]="b"}}"#,
        ),
        (
            r#"ngx.decode_args("a=1&b=2&c=3", 0)"#,
            r#"{["a"]="1",["b"]="2",["c"]="3"}"#,
        ),
        (
            r#"ngx.decode_args("a=1&b=2&c=3", -1)"#,
            r#"{["a"]="1",["b"]="2",["c"]="3"}"#,
        ),
        (r#"ngx.decode_args("a=b=c")"#, r#"{["a"]="b=c"}"#),
        ("ngx.decode_args(5)", r#"{["5"]=true}"#),
        (
            "ngx.decode_args()",
            "error: expecting 1 or 2 arguments but seen 0",
        ),
        (
            "ngx.decode_args(nil)",
            "error: bad argument #1 to '?' (string expected, got nil)",
        ),
        (
            r#"ngx.decode_args("a", "x")"#,
            "error: bad argument #2 to '?' (number expected, got string)",
        ),
        (
            r#"ngx.decode_args("a", 1, 2)"#,
            "error: expecting 1 or 2 arguments but seen 3",
        ),
    ]);
}

#[test]
fn base64() {
    check(&[
        (r#"ngx.encode_base64("")"#, r#""""#),
        (r#"ngx.encode_base64("hello")"#, r#""aGVsbG8=""#),
        (r#"ngx.encode_base64("hello", true)"#, r#""aGVsbG8""#),
        (r#"ngx.encode_base64("hello", false)"#, r#""aGVsbG8=""#),
        (
            r#"ngx.encode_base64("hello", 1)"#,
            "error: bad no_padding: boolean expected, got number",
        ),
        ("ngx.encode_base64(nil)", r#""""#),
        ("ngx.encode_base64(true)", r#""dHJ1ZQ==""#),
        ("ngx.encode_base64(55)", r#""NTU=""#),
        (r#"ngx.decode_base64("aGVsbG8=")"#, r#""hello""#),
        (r#"ngx.decode_base64("aGVsbG8")"#, r#""hello""#),
        (r#"ngx.decode_base64("aGVsbG9")"#, r#""hello""#),
        (r#"ngx.decode_base64("aGVsb*8=")"#, "nil"),
        (r#"ngx.decode_base64("aGVsb")"#, "nil"),
        (r#"ngx.decode_base64("aGVsbG8=garbage*")"#, r#""hello""#),
        (r#"ngx.decode_base64("")"#, r#""""#),
        (r#"ngx.decode_base64("====")"#, r#""""#),
        (r#"ngx.decode_base64("a")"#, "nil"),
        ("ngx.decode_base64(nil)", "error: string argument only"),
        ("ngx.decode_base64(12)", "error: string argument only"),
        (r#"ngx.decode_base64("aGVs bG8=")"#, "nil"),
    ]);
}

#[test]
fn digests() {
    check(&[
        (
            r#"ngx.md5("hello")"#,
            r#""5d41402abc4b2a76b9719d911017c592""#,
        ),
        (r#"ngx.md5("")"#, r#""d41d8cd98f00b204e9800998ecf8427e""#),
        ("ngx.md5(nil)", r#""d41d8cd98f00b204e9800998ecf8427e""#),
        ("ngx.md5(42)", r#""a1d0c6e83f027327d8461063f4ac58a6""#),
        (
            r#"ngx.md5_bin("45")"#,
            r#""l\131I\204r`\174b\227\1779h1\1689\143""#,
        ),
        (
            r#"ngx.sha1_bin("hello")"#,
            r#""\170\244\198\29\220\197\232\162\218\190\222\15;H,\217\174\169CM""#,
        ),
        (
            "ngx.sha1_bin(nil)",
            r#""\2189\163\238^kK\0132U\191\239\149`\24\144\175\216\7\9""#,
        ),
        (
            r#"ngx.hmac_sha1("thisisverysecretstuff", "some string we want to sign")"#,
            r#""G\250o\1991\194\224\210\237\143\180\190\145q`\252\215\143Ni""#,
        ),
        (
            r#"ngx.hmac_sha1("", "")"#,
            r#""\251\219\29\27\24\170l\0082K}d\183\31\183cpi\14\29""#,
        ),
        (
            r#"ngx.hmac_sha1("x")"#,
            "error: expecting 2 arguments, but got 1",
        ),
        (
            r#"ngx.hmac_sha1(nil, "x")"#,
            "error: bad argument #1 to '?' (string expected, got nil)",
        ),
        (
            r#"ngx.hmac_sha1("x", {})"#,
            "error: bad argument #2 to '?' (string expected, got table)",
        ),
        (r#"ngx.crc32_short("hello, world")"#, "4289425978"),
        (r#"ngx.crc32_long("hello, world")"#, "4289425978"),
        (r#"ngx.crc32_long("")"#, "0"),
        ("ngx.crc32_long(nil)", "0"),
        ("ngx.crc32_long(1)", "2212294583"),
    ]);
}

#[test]
fn sql() {
    check(&[
        (
            r#"ngx.quote_sql_str("a'b\"c\\d\n\r\t\0\8\26z")"#,
            r#""'a\\'b\\\"c\\\\d\\n\\r\\t\\0\\b\\Zz'""#,
        ),
        (r#"ngx.quote_sql_str("")"#, r#""''""#),
        ("ngx.quote_sql_str(1)", r#""'1'""#),
        (
            "ngx.quote_sql_str(nil)",
            "error: bad argument #1 to '?' (string expected, got nil)",
        ),
        ("ngx.quote_sql_str()", "error: expecting one argument"),
    ]);
}

#[test]
fn dates() {
    check(&[
        (
            "ngx.http_time(1290079655)",
            r#""Thu, 18 Nov 2010 11:27:35 GMT""#,
        ),
        ("ngx.http_time(0)", r#""Thu, 01 Jan 1970 00:00:00 GMT""#),
        ("ngx.http_time(-1)", r#""Thu, 01 Jan 1970 00:00:00 GMT""#),
        ("ngx.http_time(1.9)", r#""Thu, 01 Jan 1970 00:00:01 GMT""#),
        (r#"ngx.http_time("1")"#, "error: number argument only"),
        (
            "ngx.cookie_time(1290079655)",
            r#""Thu, 18-Nov-10 11:27:35 GMT""#,
        ),
        (
            "ngx.cookie_time(4000000000)",
            r#""Tue, 02-Oct-2096 07:06:40 GMT""#,
        ),
        ("ngx.cookie_time()", "error: number argument only"),
        (
            r#"ngx.parse_http_time("Thu, 18 Nov 2010 11:27:35 GMT")"#,
            "1290079655",
        ),
        (
            r#"ngx.parse_http_time("Thu, 18-Nov-10 11:27:35 GMT")"#,
            "1290079655",
        ),
        (
            r#"ngx.parse_http_time("Thursday, 18-Nov-10 11:27:35 GMT")"#,
            "1290079655",
        ),
        (
            r#"ngx.parse_http_time("Thu Nov 18 11:27:35 2010")"#,
            "1290079655",
        ),
        (
            r#"ngx.parse_http_time("Thu Nov  8 11:27:35 2010")"#,
            "1289215655",
        ),
        (
            r#"ngx.parse_http_time("Thu, 18-Nov-69 11:27:35 GMT")"#,
            "3151999655",
        ),
        (
            r#"ngx.parse_http_time("Thu, 18-Nov-70 11:27:35 GMT")"#,
            "27775655",
        ),
        (
            r#"ngx.parse_http_time("Thu, 31 Feb 2010 11:27:35 GMT")"#,
            "nil",
        ),
        (
            r#"ngx.parse_http_time("Thu, 18 Nov 2010 25:27:35 GMT")"#,
            "nil",
        ),
        (
            r#"ngx.parse_http_time("Thu, 18 Nov 2010 11:27:60 GMT")"#,
            "nil",
        ),
        (
            r#"ngx.parse_http_time("x, 18 Nov 2010 11:27:35")"#,
            "1290079655",
        ),
        (r#"ngx.parse_http_time("Thu, 18 Nov 2010")"#, "nil"),
        (r#"ngx.parse_http_time("junk")"#, "nil"),
        (r#"ngx.parse_http_time("")"#, "nil"),
        ("ngx.parse_http_time(12)", "error: string argument only"),
        (
            r#"ngx.localtime():match("^%d%d%d%d%-%d%d%-%d%d %d%d:%d%d:%d%d$") ~= nil"#,
            "true",
        ),
        (
            r#"ngx.utctime():match("^%d%d%d%d%-%d%d%-%d%d %d%d:%d%d:%d%d$") ~= nil"#,
            "true",
        ),
        ("ngx.localtime():sub(1, 10) == ngx.today()", "true"),
    ]);
}

#[test]
fn base64_for_mail() {
    // Not in 0.10.23.
    check(&[
        (r#"ngx.decode_base64mime("aGVs\r\nbG8=")"#, r#""hello""#),
        (r#"ngx.decode_base64mime("a*G-V s.bG8")"#, r#""hello""#),
        (r#"ngx.decode_base64mime("aGVsb")"#, "nil"),
        ("ngx.decode_base64mime(1)", "error: string argument only"),
    ]);
}
