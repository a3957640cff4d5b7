//! `ngx.re`.

use super::{check, eval_in};
use crate::{Host, Settings};

#[test]
fn matches() {
    check(&[
        (
            r#"ngx.re.match("hello, 1234", "[0-9]+")"#,
            r#"{[0]="1234"}"#,
        ),
        (
            r#"ngx.re.match("hello, 1234", "([0-9])[0-9]+")"#,
            r#"{[0]="1234",[1]="1"}"#,
        ),
        (
            r#"ngx.re.match("hello", "(?<first>h)(x)?(l)?(?<last>e)")"#,
            r#"{["first"]="h",["last"]="e",[0]="he",[1]="h",[2]=false,[3]=false,[4]="e"}"#,
        ),
        (r#"ngx.re.match("hello", "x")"#, "nil"),
        (r#"ngx.re.match("hello", "HELLO", "i")"#, r#"{[0]="hello"}"#),
        (r#"ngx.re.match("hello", "l", "a")"#, "nil"),
        (
            r#"ngx.re.match("hello", "h", "q")"#,
            r#"error: unknown flag "q" (flags "q")"#,
        ),
        (
            r#"ngx.re.match("hello", "h", "iqj")"#,
            r#"error: unknown flag "q" (flags "iqj")"#,
        ),
        (
            r#"ngx.re.match("hello", "(?<n>h)|(?<n>e)", "D")"#,
            r#"{["n"]={[1]="h"},[0]="h",[1]="h",[2]=false}"#,
        ),
        (
            r#"ngx.re.match("hello", "(?<n>h)(?<n>e)", "D")"#,
            r#"{["n"]={[1]="h",[2]="e"},[0]="he",[1]="h",[2]="e"}"#,
        ),
        (
            r#"ngx.re.match("hello", "(?<n>x)|(?<n>h)", "D")"#,
            r#"{["n"]={[1]="h"},[0]="h",[1]=false,[2]="h"}"#,
        ),
        (
            r#"ngx.re.match("hello", "(?<n>x)?h(?<m>e)", "jo")"#,
            r#"{["m"]="e",["n"]=false,[0]="he",[1]=false,[2]="e"}"#,
        ),
        (r#"ngx.re.match("a\nb", "^b", "m")"#, r#"{[0]="b"}"#),
        (r#"ngx.re.match("a\nb", "a.b", "s")"#, r#"{[0]="a\nb"}"#),
        (r#"ngx.re.match("a\nb", "a.b")"#, "nil"),
        (
            r#"ngx.re.match("ab", "a  b # comment", "x")"#,
            r#"{[0]="ab"}"#,
        ),
        (
            r#"ngx.re.match("hello", "hell|hello", "d")"#,
            r#"{[0]="hello"}"#,
        ),
        (r#"ngx.re.match("hello", "(h)(e)", "d")"#, r#"{[0]="he"}"#),
        (
            r#"ngx.re.match("你好", ".", "u")"#,
            r#"{[0]="\228\189\160"}"#,
        ),
        (r#"ngx.re.match(nil, "nil")"#, r#"{[0]="nil"}"#),
        (r#"ngx.re.match(1234, "2(3)")"#, r#"{[0]="23",[1]="3"}"#),
        (
            r#"(function() local r = {x = 1, [5] = 9, [1] = 7} local m = ngx.re.match("abc", "b(c)?", "", nil, r) return m == r, r end)()"#,
            r#"true {["x"]=1,[0]="bc",[1]="c",[5]=9}"#,
        ),
        (r#"ngx.re.match("xyz", "\\u0079", "J")"#, r#"{[0]="y"}"#),
        (r#"ngx.re.match("ab", "\\Ka")"#, r#"{[0]="a"}"#),
        (r#"ngx.re.match("foobar", "foo\\Kbar")"#, r#"{[0]="bar"}"#),
    ]);
}

#[test]
fn contexts() {
    check(&[
        (
            r#"ngx.re.match("hello, 1234", "(\\d)(\\d)", "", {pos = 9})"#,
            r#"{[0]="23",[1]="2",[2]="3"}"#,
        ),
        (
            r#"(function() local c = {pos = 2} local m = ngx.re.match("1234, hello", "[0-9]+", "", c) return m, c end)()"#,
            r#"{[0]="234"} {["pos"]=5}"#,
        ),
        (
            r#"(function() local c = {} local m = ngx.re.match("1234, hello", "[0-9]+", nil, c) return m, c end)()"#,
            r#"{[0]="1234"} {["pos"]=5}"#,
        ),
        (
            r#"(function() local c = {pos = 3} local m = ngx.re.match("1234, hello", "x", nil, c) return m, c end)()"#,
            r#"nil {["pos"]=3}"#,
        ),
        (
            r#"ngx.re.match("hello", "h", nil, {pos = -3})"#,
            r#"{[0]="h"}"#,
        ),
        (
            r#"ngx.re.match("hello", "h", nil, {pos = 0})"#,
            r#"{[0]="h"}"#,
        ),
        (
            r#"ngx.re.match("hello", "$", nil, {pos = 6})"#,
            r#"{[0]=""}"#,
        ),
        (
            r#"ngx.re.match("hello", "$", "jo", {pos = 6})"#,
            r#"{[0]=""}"#,
        ),
    ]);
}

#[test]
fn finds() {
    check(&[
        (r#"ngx.re.find("hello, 1234", "([0-9])([0-9]+)")"#, "8 11"),
        (
            r#"ngx.re.find("hello, 1234", "([0-9])([0-9]+)", nil, nil, 2)"#,
            "9 11",
        ),
        (
            r#"ngx.re.find("hello, 1234", "([0-9])([0-9]+)", nil, nil, 3)"#,
            r#"nil nil "nth out of bound""#,
        ),
        (
            r#"ngx.re.find("hello, 1234", "([0-9])([0-9]+)", nil, nil, -1)"#,
            "8 11",
        ),
        (
            r#"ngx.re.find("hello, 1234", "(x)?[0-9]+", nil, nil, 1)"#,
            "nil nil",
        ),
        (r#"ngx.re.find("hello", "x")"#, "nil"),
        (r#"ngx.re.find("hello", "")"#, "1 0"),
        (
            r#"ngx.re.find("hello", "(h)", "d", nil, 1)"#,
            r#"nil nil "nth out of bound""#,
        ),
        (r#"ngx.re.find("hello", "ell", "joi", {pos = 1})"#, "2 4"),
    ]);
}

#[test]
fn iterators() {
    check(&[
        (
            r#"(function() local t = {} for m in ngx.re.gmatch("hello, world!", "[a-z]+", "i") do t[#t + 1] = m end return t end)()"#,
            r#"{[1]={[0]="hello"},[2]={[0]="world"}}"#,
        ),
        (
            r#"(function() local t = {} for m in ngx.re.gmatch("abc", "x*", "jo") do t[#t + 1] = m end return t end)()"#,
            r#"{[1]={[0]=""},[2]={[0]=""},[3]={[0]=""},[4]={[0]=""}}"#,
        ),
        (
            r#"(function() local t = {} for m in ngx.re.gmatch("", "x*") do t[#t + 1] = m end return t end)()"#,
            r#"{[1]={[0]=""}}"#,
        ),
        (
            r#"(function() local it = ngx.re.gmatch("ab", "b") return it(), it(), it() end)()"#,
            r#"{[0]="b"} nil nil"#,
        ),
    ]);
}

#[test]
fn one_replacement() {
    check(&[
        (
            r#"ngx.re.sub("hello, 1234", "([0-9])[0-9]", "[$0][$1]")"#,
            r#""hello, [12][1]34" 1"#,
        ),
        (
            r#"ngx.re.sub("hello, 1234", "[0-9]", "${0}00")"#,
            r#""hello, 100234" 1"#,
        ),
        (
            r#"ngx.re.sub("hello, 1234", "[0-9]", "$$")"#,
            r#""hello, $234" 1"#,
        ),
        (
            r#"ngx.re.sub("hello, 1234", "[0-9]", "$")"#,
            r#"nil nil "failed to compile the replacement template""#,
        ),
        (
            r#"ngx.re.sub("hello, 1234", "[0-9]", "$x")"#,
            r#"nil nil "failed to compile the replacement template""#,
        ),
        (
            r#"ngx.re.sub("hello, 1234", "[0-9]", "${1")"#,
            r#"nil nil "failed to compile the replacement template""#,
        ),
        (
            r#"ngx.re.sub("hello, 1234", "[0-9]", "${")"#,
            r#"nil nil "failed to compile the replacement template""#,
        ),
        (
            r#"ngx.re.sub("hello, 1234", "[0-9]", "$}")"#,
            r#"nil nil "failed to compile the replacement template""#,
        ),
        (
            r#"ngx.re.sub("hello, 1234", "[0-9]", "$5")"#,
            r#""hello, 234" 1"#,
        ),
        (
            r#"ngx.re.sub("hello, 1234", "x", "y")"#,
            r#""hello, 1234" 0"#,
        ),
        (
            r#"ngx.re.sub("hello, 1234", "([0-9])[0-9]", function(m) return "[" .. m[0] .. "][" .. m[1] .. "]" end)"#,
            r#""hello, [12][1]34" 1"#,
        ),
        (r#"ngx.re.sub("hello", "l", nil)"#, r#""henillo" 1"#),
        (r#"ngx.re.sub("hello", "l", 12)"#, r#""he12lo" 1"#),
        (
            r#"ngx.re.sub("hello", "l", function() return nil end)"#,
            r#""henillo" 1"#,
        ),
        (
            r#"ngx.re.sub("hello", "l", function() return 7 end)"#,
            r#""he7lo" 1"#,
        ),
        (
            r#"ngx.re.sub("hello", "l", function() error("no", 0) end)"#,
            "error: no",
        ),
    ]);
}

#[test]
fn all_replacements() {
    check(&[
        (
            r#"ngx.re.gsub("hello, world", "([a-z])[a-z]+", "[$0,$1]", "i")"#,
            r#""[hello,h], [world,w]" 2"#,
        ),
        (
            r#"ngx.re.gsub("hello, world", "[a-z]+", function(m) return "[" .. m[0] .. "]" end, "i")"#,
            r#""[hello], [world]" 2"#,
        ),
        (r#"ngx.re.gsub("abc", "x*", "-")"#, r#""-a-b-c-" 4"#),
        (r#"ngx.re.gsub("aaa", "a*", "-")"#, r#""--" 2"#),
        (
            r#"ngx.re.gsub("abc", "x*", function() return "-" end)"#,
            r#""-a-b-c-" 4"#,
        ),
        (
            r#"ngx.re.gsub("aaa", "a*", function() return "-" end)"#,
            r#""--" 2"#,
        ),
        (r#"ngx.re.gsub("", "^", "-")"#, r#""-" 1"#),
        (r#"ngx.re.gsub("a,b", ",", "$$1")"#, r#""a$1b" 1"#),
        (
            r#"ngx.re.gsub("hello", "(?<=l)l", "L", "jo")"#,
            r#""helLo" 1"#,
        ),
        (r#"ngx.re.gsub("h\0e", "\\0", "_")"#, r#""h_e" 1"#),
        (
            r#"ngx.re.gsub("a b", "\\s", "+", "q")"#,
            r#"error: unknown flag "q" (flags "q")"#,
        ),
    ]);
}

#[test]
fn errors() {
    // In the words of PCRE2, which newer versions than 0.10.23 use.
    check(&[
        (
            r#"ngx.re.match("hello", "(")"#,
            r#"nil "pcre2_compile() failed: missing closing parenthesis in \"(\"""#,
        ),
        (
            r#"ngx.re.match("hello", "a**")"#,
            r#"nil "pcre2_compile() failed: quantifier does not follow a repeatable item in \"a**\" at \"*\"""#,
        ),
        (
            r#"ngx.re.match("hello", "(a", "o")"#,
            r#"nil "pcre2_compile() failed: missing closing parenthesis in \"(a\"""#,
        ),
        (
            r#"ngx.re.match("\255", ".", "u") "#,
            r#"nil "pcre_exec() failed: -23""#,
        ),
        (
            r#"ngx.re.find("hello", "(", "")"#,
            r#"nil nil "pcre2_compile() failed: missing closing parenthesis in \"(\"""#,
        ),
        (
            r#"ngx.re.gmatch("hello", "(")"#,
            r#"nil "pcre2_compile() failed: missing closing parenthesis in \"(\"""#,
        ),
        (
            r#"ngx.re.sub("hello", "(", "y")"#,
            r#"nil nil "pcre2_compile() failed: missing closing parenthesis in \"(\"""#,
        ),
        (
            r#"ngx.re.sub("hello", "(", function() return 7 end)"#,
            r#"nil nil "pcre2_compile() failed: missing closing parenthesis in \"(\"""#,
        ),
    ]);
}

#[test]
fn characters_are_not_cut() {
    check(&[
        (
            r#"ngx.re.gsub("日本", "", "-", "u")"#,
            r#""-\230\151\165-\230\156\172-" 3"#,
        ),
        (
            r#"ngx.re.gsub("日本", "", "-", "U")"#,
            r#""-\230\151\165-\230\156\172-" 3"#,
        ),
        (
            r#"ngx.re.gsub("日本", "", function() return "-" end, "u")"#,
            r#""-\230\151\165-\230\156\172-" 3"#,
        ),
        // What is no UTF-8 matches nothing, where OpenResty reads beyond it.
        (r#"ngx.re.match("a\255b", "b", "U")"#, r#"{[0]="b"}"#),
        (r#"ngx.re.match("\255\254", ".", "jU")"#, "nil"),
        (r#"ngx.re.match("\228\189", ".", "jU")"#, "nil"),
        (
            r#"ngx.re.match("\228\189", "[^a]", "dU")"#,
            r#"nil "pcre_exec() failed: -3""#,
        ),
        (
            r#"ngx.re.match("a", "\\C", "u")"#,
            r#"nil "pcre2_compile() failed: using \\C is disabled by the application in \"\\C\"""#,
        ),
        (
            r#"ngx.re.match("日本", ".", "u", {pos = 2})"#,
            r#"nil "pcre_exec() failed: -36""#,
        ),
    ]);
}

#[test]
fn odd_arguments() {
    check(&[
        (
            r#"ngx.re.match("a", "a", "", {pos = 3})"#,
            r#"nil "pcre_exec() failed: -33""#,
        ),
        (
            r#"ngx.re.match("a", "a", "", {pos = 1e300})"#,
            r#"nil "pcre_exec() failed: -33""#,
        ),
        (
            r#"ngx.re.match("a", "a", "", {pos = 0 / 0})"#,
            r#"{[0]="a"}"#,
        ),
        (
            r#"ngx.re.match("a", "a", "", {pos = "x"})"#,
            r#"error: bad argument #4 to '?' ("pos" in ctx is a string, not a number)"#,
        ),
        (
            r#"ngx.re.match("a", "a", "", 1)"#,
            "error: bad argument #4 to '?' (table expected, got number)",
        ),
        (
            r#"ngx.re.match("a")"#,
            "error: bad argument #2 to '?' (string expected, got no value)",
        ),
        (
            r#"ngx.re.match("a", "a", "", nil, 1)"#,
            "error: bad argument #5 to '?' (table expected, got number)",
        ),
    ]);
}

#[test]
fn matching_is_given_up_at_the_limit() {
    let mut settings = Settings::default();
    settings.regex_match_limit = 50;
    let host = Host::with_settings(settings).unwrap();
    let source = r#"return ngx.re.match(("a"):rep(50), "(a+)+[bd]", "MODE")"#;
    for mode in ["", "jo"] {
        let found = eval_in(&host, &source.replace("MODE", mode));
        assert_eq!(found, r#"nil "pcre_exec() failed: -47""#, "{mode}");
    }
}

#[test]
fn what_needs_a_large_stack_is_interpreted() {
    // The compiled pattern has 32 KiB for all its steps back.
    let host = Host::new().unwrap();
    let found = eval_in(
        &host,
        r#"local from, to, err = ngx.re.find(("ab"):rep(20000), "^(a|b|ab)*$", "jo")
           return to, err"#,
    );
    assert_eq!(found, "40000 nil");
}

#[test]
fn compiled_patterns_are_kept() {
    let mut settings = Settings::default();
    settings.regex_cache_size = 3;
    let host = Host::with_settings(settings).unwrap();
    let found = eval_in(
        &host,
        r#"local sum = 0
           for n = 1, 100 do
               local m = ngx.re.match("x" .. n % 10, "(x)" .. n % 10, "jo")
               sum = sum + #m[1]
               assert(not ngx.re.find("X", "x", "o") and ngx.re.find("X", "x", "oi"))
           end
           return sum"#,
    );
    assert_eq!(found, "100");
}

#[test]
fn a_function_that_replaces_may_wait() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let found: String = tokio::task::LocalSet::new().block_on(&runtime, async {
        let host = Host::new().unwrap();
        let chunk = host.load(
            "wait",
            r#"return (ngx.re.gsub("a,b,c", "[a-c]", function(m)
                   ngx.sleep(0.001)
                   return m[0] .. (ngx.re.gsub("x", "x", function() ngx.sleep(0) return "!" end))
               end))"#,
        );
        chunk.unwrap().call(()).await.unwrap()
    });
    assert_eq!(found, "a!,b!,c!");
}

proptest::proptest! {
    #[test]
    fn any_pattern_may_come(pattern in r"[a-c()\[\]|*+?{}1,\\^$.:<>=!PKR0-9]{0,16}", text in "[a-d]{0,12}", options in "[adDijJmosuUx]{0,4}") {
        let host = Host::new().unwrap();
        let chunk = host.load("any", "
            local text, pattern, options = ...
            local by_text, n = ngx.re.gsub(text, pattern, '<$0>', options)
            local by_function, m = ngx.re.gsub(text, pattern, function(c) return '<' .. c[0] .. '>' end, options)
            local count = 0
            for _ in ngx.re.gmatch(text, pattern, options) or function() end do count = count + 1 end
            return by_text == by_function and n == m and count == (n or 0)
        ").unwrap();
        let same: bool = chunk.run((text, pattern, options)).unwrap();
        proptest::prop_assert!(same);
    }
}
