//! Libraries that OpenResty's scripts expect.

use super::{check, eval, eval_in};
use crate::{Host, Settings};

#[test]
fn modules_without_a_file() {
    check(&[
        (r#"#require("table.new")(4, 4)"#, "0"),
        (r#"require("table.clear")({})"#, ""),
        (r#"require("table.isempty")({})"#, "true"),
        (r#"require("table.isempty")({[false] = 1})"#, "false"),
        (
            r#"require("table.isempty")(nil)"#,
            "error: bad argument #1 to 'isempty' (table expected, got nil)",
        ),
        (
            r#"require("table.isempty")()"#,
            "error: bad argument #1 to 'isempty' (table expected, got no value)",
        ),
        (r#"require("table.isarray")({})"#, "true"),
        (r#"require("table.isarray")({1, 2, nil, 4})"#, "true"),
        (r#"require("table.isarray")({[3] = 1})"#, "true"),
        (r#"require("table.isarray")({[0] = 1})"#, "true"),
        (r#"require("table.isarray")({[-1] = 1})"#, "true"),
        (r#"require("table.isarray")({[1.5] = 1})"#, "false"),
        (r#"require("table.isarray")({1, a = 1})"#, "false"),
        (
            r#"require("table.isarray")("x")"#,
            "error: bad argument #1 to 'isarray' (table expected, got string)",
        ),
        (r#"require("table.nkeys")({})"#, "0"),
        (r#"require("table.nkeys")({1, 2, nil, 4, a = 1})"#, "4"),
        (
            r#"require("table.nkeys")(1)"#,
            "error: bad argument #1 to 'nkeys' (table expected, got number)",
        ),
        (
            r#"require("table.clone")({1, {2}, a = "b"})"#,
            r#"{["a"]="b",[1]=1,[2]={[1]=2}}"#,
        ),
        (
            r#"getmetatable(require("table.clone")(setmetatable({}, {})))"#,
            "nil",
        ),
        (
            r#"require("table.clone")()"#,
            "error: bad argument #1 to 'clone' (table expected, got no value)",
        ),
        (r#"require("table.nkeys") == table.nkeys"#, "true"),
        (r#"require("bit").band(7, 3)"#, "3"),
        (r#"type(require("jit").status)"#, r#""function""#),
        (
            r#"require("string.buffer").new():put("a", 1):tostring()"#,
            r#""a1""#,
        ),
    ]);
}

fn trusting() -> Host {
    let mut settings = Settings::default();
    settings.trusted = true;
    Host::with_settings(settings).unwrap()
}

#[test]
fn trusted_scripts_have_everything() {
    let host = trusting();
    for (source, wanted) in [
        (r#"return require("ffi").sizeof("int32_t[4]")"#, "16"),
        (r#"return require("ffi").C.getpid() > 1"#, "true"),
        ("return ffi == nil, package.loaded.ffi ~= nil", "true true"),
        ("return debug.getinfo(1, 'l').currentline > 0", "true"),
        ("return load(string.dump(function() return 7 end))()", "7"),
    ] {
        let declared = r#"require("ffi").cdef("int getpid(void);") "#;
        assert_eq!(
            eval_in(&host, &format!("{declared}{source}")),
            wanted,
            "{source}"
        );
    }
    let bytecode: mlua::LuaString = host
        .load(
            "dump",
            "return string.dump(function() return 'precompiled' end)",
        )
        .unwrap()
        .run(())
        .unwrap();
    let chunk = host.load("precompiled", bytecode.as_bytes()).unwrap();
    assert_eq!(chunk.run::<_, String>(()).unwrap(), "precompiled");
}

#[test]
fn others_have_not() {
    for name in ["ffi", "debug"] {
        let found = eval(&format!("return {name}, (pcall(require, '{name}'))"));
        assert_eq!(found, "nil false");
    }
}

#[test]
fn the_finalizer_of_our_values_may_be_called_with_anything() {
    let found = eval_in(
        &trusting(),
        "local sock = ngx.socket.tcp()
         local gc = debug.getmetatable(sock[1]).__gc
         gc() gc(1) gc(io.stdout) gc(sock[1]) gc(sock[1])
         io.stdout:write('')
         return pcall(sock.close, sock)",
    );
    assert!(found.starts_with("false "), "{found}");
}

#[test]
fn modules_are_looked_for_where_the_settings_say() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("greet.lua"), "return { word = ... }").unwrap();
    let mut settings = Settings::default();
    settings.package_path = Some(format!("{}/?.lua;;", folder.path().display()));
    let host = Host::with_settings(settings).unwrap();
    assert_eq!(eval_in(&host, "return require('greet').word"), "\"greet\"");
    assert_eq!(
        eval_in(&host, "return package.path:match('%./%?%.lua') ~= nil"),
        "true"
    );
}

#[test]
fn modules_in_c_are_loaded_for_trusted_scripts() {
    let folder = tempfile::tempdir().unwrap();
    let (source, library) = (
        folder.path().join("answer.c"),
        folder.path().join("answer.so"),
    );
    std::fs::write(
        &source,
        "typedef struct lua_State lua_State;
         extern void lua_pushinteger(lua_State *, long);
         extern double luaL_checknumber(lua_State *, int);
         int luaopen_answer(lua_State *L) { lua_pushinteger(L, 42); return 1; }",
    )
    .unwrap();
    // What builds LuaJIT builds this.
    let built = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    assert!(built.unwrap().success());
    let mut settings = Settings::default();
    settings.package_cpath = Some(format!("{}/?.so", folder.path().display()));
    let host = Host::with_settings(settings.clone()).unwrap();
    assert!(eval_in(&host, "return require('answer')").starts_with("error: "));
    settings.trusted = true;
    let host = Host::with_settings(settings).unwrap();
    assert_eq!(eval_in(&host, "return require('answer')"), "42");
}
