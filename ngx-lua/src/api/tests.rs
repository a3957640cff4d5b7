//! Expressions and what they give. The expectations were found with lua-nginx-module 0.10.23.

mod cjson;
mod encode;
mod libraries;
mod modules;
mod re;

use crate::{Host, Settings};

/// Evaluates Lua, and writes its results as Lua would write them; an error by its message, without
/// the place.
fn eval(source: &str) -> String {
    let host = Host::with_settings(Settings::default()).unwrap();
    eval_in(&host, source)
}

fn eval_in(host: &Host, source: &str) -> String {
    let chunk = host
        .load(
            "case",
            format!("{INSPECT}\nreturn inspect(function() {source} end)"),
        )
        .unwrap_or_else(|error| panic!("{source}: {error}"));
    chunk
        .run::<_, String>(())
        .unwrap_or_else(|error| panic!("{source}: {error}"))
}

/// Checks a list of expressions, each with its results on the indented line below; `-` for none.
fn check(cases: &str) {
    let lines: Vec<&str> = cases
        .lines()
        .filter(|line| !line.starts_with("# "))
        .collect();
    assert!(lines.len() >= 2 && lines.len().is_multiple_of(2), "{cases}");
    let wrong: Vec<String> = lines
        .chunks(2)
        .filter_map(|pair| {
            let (expression, wanted) = (pair[0], pair[1].strip_prefix("    ").expect(pair[1]));
            let wanted = if wanted == "-" { "" } else { wanted };
            let found = eval(&format!("return {expression}"));
            (found != wanted).then(|| format!("{expression}\n  gives {found}\n  not   {wanted}"))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

const INSPECT: &str = include_str!("tests/inspect.lua");
