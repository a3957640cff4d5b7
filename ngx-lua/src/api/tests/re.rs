//! `ngx.re`.

use super::{check, eval_in};
use crate::{Host, Settings};

#[test]
fn matches() {
    check(include_str!("cases/matches.txt"));
}

#[test]
fn contexts() {
    check(include_str!("cases/contexts.txt"));
}

#[test]
fn finds() {
    check(include_str!("cases/finds.txt"));
}

#[test]
fn iterators() {
    check(include_str!("cases/iterators.txt"));
}

#[test]
fn one_replacement() {
    check(include_str!("cases/one_replacement.txt"));
}

#[test]
fn all_replacements() {
    check(include_str!("cases/all_replacements.txt"));
}

#[test]
fn errors() {
    // In the words of PCRE2, which newer versions than 0.10.23 use.
    check(include_str!("cases/errors.txt"));
}

#[test]
fn characters_are_not_cut() {
    check(include_str!("cases/characters_are_not_cut.txt"));
}

#[test]
fn odd_arguments() {
    check(include_str!("cases/odd_arguments.txt"));
}

#[test]
fn matching_is_given_up_at_the_limit() {
    let settings = Settings {
        regex_match_limit: 50,
        ..Settings::default()
    };
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
    let settings = Settings {
        regex_cache_size: 3,
        ..Settings::default()
    };
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
