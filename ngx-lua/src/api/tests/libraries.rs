//! Libraries that OpenResty's scripts expect.

use super::{check, eval, eval_in};
use crate::{Host, Settings};

#[test]
fn modules_without_a_file() {
    check(include_str!("cases/modules_without_a_file.txt"));
}

fn trusting() -> Host {
    let settings = Settings {
        trusted: true,
        ..Settings::default()
    };
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
fn what_looks_like_a_socket_is_none() {
    let found = eval_in(
        &trusting(),
        "local sock = ngx.socket.tcp()
         local meta = debug.getmetatable(sock[1])
         local answers = {}
         for i, other in ipairs { io.tmpfile(), newproxy(), ngx.null, 24, 'socket', {} } do
             if type(other) == 'userdata' and other ~= ngx.null then
                 debug.setmetatable(other, meta)
             end
             local ok, why = pcall(sock.close, setmetatable({ other }, getmetatable(sock)))
             answers[i] = tostring(ok) .. (why:match('socket expected') or why)
         end
         debug.setmetatable(sock[1], nil)
         return table.concat(answers, ' ') .. ' ' .. select(2, sock:close())",
    );
    let none = "falsesocket expected ".repeat(6);
    assert_eq!(found, format!("\"{none}closed\""));
}

#[test]
fn modules_are_looked_for_where_the_settings_say() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("greet.lua"), "return { word = ... }").unwrap();
    let settings = Settings {
        package_path: Some(format!("{}/?.lua;;", folder.path().display())),
        ..Settings::default()
    };
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
    let settings = Settings {
        package_cpath: Some(format!("{}/?.so", folder.path().display())),
        ..Settings::default()
    };
    let host = Host::with_settings(settings.clone()).unwrap();
    assert!(eval_in(&host, "return require('answer')").starts_with("error: "));
    let host = Host::with_settings(Settings {
        trusted: true,
        ..settings
    });
    assert_eq!(eval_in(&host.unwrap(), "return require('answer')"), "42");
}

#[test]
fn the_environment_may_be_another() {
    let settings = Settings {
        environment: Some(vec![("A".into(), "b".into()), ("1".into(), "one".into())]),
        ..Settings::default()
    };
    let host = Host::with_settings(settings).unwrap();
    let found = "return os.getenv('A'), os.getenv('PATH'), os.getenv(1)";
    assert_eq!(eval_in(&host, found), r#""b" nil "one""#);
    for (call, got) in [("os.getenv()", "no value"), ("os.getenv({})", "table")] {
        let message = format!("bad argument #1 to 'getenv' (string expected, got {got})");
        // Lua's own forgets its name in a tail call.
        let source = format!("local value = {call} return value");
        let found = eval_in(&host, &source);
        assert!(found.contains(&message), "{found}");
        assert_eq!(eval(&source), found);
    }
    assert_eq!(eval("return os.getenv('PATH') ~= nil"), "true");
}
