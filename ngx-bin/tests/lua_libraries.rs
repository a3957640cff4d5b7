//! What Lua finds in the server: libraries, modules, workers.

mod support;

use std::process::Command;

use support::{Server, Setup, ours};

fn text(server: &Server, uri: &str) -> String {
    server.get(uri).expect(200).text()
}

#[test]
fn scripts_have_the_libraries_of_openresty() {
    let server = Setup::lua(
        r#"lua_package_path "$prefix/lib/?.lua;;";
        server {
            listen 127.0.0.1:{port};
            location /ffi { content_by_lua_block {
                local ffi = require "ffi"
                ffi.cdef[[int getppid(void);]]
                ngx.print(ffi.C.getppid() > 0, debug.getinfo(1, "S").what ~= nil)
            } }
            location /module { content_by_lua_block { ngx.print(require("greet").word) } }
            location /bit { content_by_lua_block {
                ngx.print(require("bit").bxor(5, 3), #require("table.new")(3, 0),
                    require("table.nkeys")({ a = 1 }))
            } }
            location /core { content_by_lua_block {
                ngx.print(type(require("resty.core").version), ngx.md5("x"))
            } }
        }"#,
    )
    .file("lib/greet.lua", "return { word = 'hello from ' .. ... }")
    .start();
    assert_eq!(text(&server, "/ffi"), "truetrue");
    assert_eq!(text(&server, "/module"), "hello from greet");
    assert_eq!(text(&server, "/bit"), "601");
    assert_eq!(
        text(&server, "/core"),
        "string9dd4e461268c8034f5c8564e155c67a6"
    );
}

#[test]
fn modules_in_c_are_loaded() {
    let setup = Setup::lua(
        r#"lua_package_cpath "{dir}/?.so;;";
        server {
            listen 127.0.0.1:{port};
            location / { content_by_lua_block { ngx.print(require("answer")) } }
        }"#,
    )
    .file(
        "answer.c",
        "typedef struct lua_State lua_State;
         extern void lua_pushlstring(lua_State *, const char *, unsigned long);
         int luaopen_answer(lua_State *L) { lua_pushlstring(L, \"forty-two\", 9); return 1; }",
    );
    // What builds LuaJIT builds this.
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([setup.path("answer.so"), setup.path("answer.c")])
        .status();
    assert!(built.unwrap().success());
    assert_eq!(text(&setup.start(), "/"), "forty-two");
}

#[test]
fn json_needs_no_installation() {
    if !ours("nginx has it where lua-cjson is installed") {
        return;
    }
    let server = Setup::lua(
        r#"server {
            listen 127.0.0.1:{port};
            location / { content_by_lua_block {
                local cjson = require "cjson"
                ngx.print(cjson.encode(cjson.decode('{"a":[1,null,"/"]}')))
            } }
        }"#,
    )
    .start();
    assert_eq!(text(&server, "/"), r#"{"a":[1,null,"\/"]}"#);
}

#[test]
fn each_worker_has_a_number() {
    if !ours("the workers of nginx start one after another") {
        return;
    }
    let setup = Setup::main(
        r#"worker_processes 3;
        events {}
        http {
            init_worker_by_lua_block {
                ngx.log(ngx.NOTICE, "worker ", ngx.worker.id(), " of ", ngx.worker.count(), ";")
            }
            server {
                listen 127.0.0.1:{port};
                location / { content_by_lua_block {
                    local c = ngx.config
                    ngx.print(ngx.worker.id() < 3, ngx.worker.pid() > 1, ngx.worker.exiting(), " ",
                        c.prefix(), " ", c.subsystem)
                } }
            }
        }"#,
    );
    let prefix = prefix_of(&setup);
    let server = setup.start();
    assert_eq!(text(&server, "/"), format!("truetruefalse {prefix} http"));
    for id in 0..3 {
        server.expect_error_log(&format!("worker {id} of 3;"));
    }
}

fn prefix_of(setup: &Setup) -> String {
    format!(
        "{}/",
        setup.path("").display().to_string().trim_end_matches('/')
    )
}

/// `env` decides what scripts see of the environment, and of what values.
#[test]
fn scripts_see_the_environment_that_env_names() {
    let server = Setup::lua(
        "server {
             listen 127.0.0.1:{port};
             location / { content_by_lua_block {
                 ngx.print(os.getenv('GREETING'), ' ', os.getenv('NOBODY'), ' ',
                     os.getenv('CARGO_MANIFEST_DIR') ~= nil, ' ', os.getenv('PATH'))
             } }
         }",
    )
    .top("env GREETING=hello=there; env CARGO_MANIFEST_DIR; env NOBODY;")
    .start();
    assert_eq!(text(&server, "/"), "hello=there nil true nil");
}
