//! `ngx.var`: variables of the configuration, read and written by Lua.

mod support;

use support::{Server, Setup};

fn server(content: &str) -> Server {
    Setup::lua(&format!(
        "server {{ listen 127.0.0.1:{{port}}; default_type text/plain; {content} }}"
    ))
    .start()
}

fn text(server: &Server, uri: &str) -> String {
    server.get(uri).expect(200).text()
}

#[test]
fn variables_are_read_by_name() {
    let server = server(
        r#"set $own "of set";
        location /read {
            content_by_lua_block {
                local names = {"own", "OWN", "uri", "args", "arg_a", "arg_b", "http_x_some",
                    "http_x_none", "cookie_c", "request_method", "host", "none",
                    "is_args", "content_length", "remote_addr"}
                for _, name in ipairs(names) do ngx.say(name, "=", tostring(ngx.var[name])) end
            }
        }"#,
    );
    let response = server
        .get_with("/read?a=1", "X-Some: one\r\nCookie: c=v\r\n")
        .expect(200);
    assert_eq!(
        response.text(),
        "own=of set\nOWN=of set\nuri=/read\nargs=a=1\narg_a=1\narg_b=nil\nhttp_x_some=one\n\
         http_x_none=nil\ncookie_c=v\nrequest_method=GET\nhost=localhost\nnone=nil\n\
         is_args=?\ncontent_length=nil\nremote_addr=127.0.0.1\n"
    );
}

#[test]
fn captures_are_read_by_number() {
    let server = server(
        r#"location ~ ^/(a+)(b+)?(c+)?(d+)?$ {
            content_by_lua_block {
                for n = -1, 5 do ngx.print("[", tostring(ngx.var[n]), "]") end
                ngx.print(" ", tostring(ngx.var["1"]))
            }
        }"#,
    );
    assert_eq!(
        text(&server, "/aabb"),
        "[nil][nil][aa][bb][nil][nil][nil] nil"
    );
    assert_eq!(text(&server, "/accd"), "[nil][nil][a][][cc][d][nil] nil");
}

#[test]
fn variables_are_written() {
    let server = server(
        r#"location /write {
            set $own before;
            set $gone before;
            rewrite_by_lua_block {
                ngx.var.own = "after"
                ngx.var.gone = nil
                ngx.var.args = "x=1&y=2"
            }
            content_by_lua_block {
                ngx.say(ngx.var.own, " ", tostring(ngx.var.gone), " ", ngx.var.arg_y)
                ngx.var.own = 12.5
                ngx.say(ngx.var.own)
                ngx.var.own = true
                ngx.say(ngx.var.own)
                ngx.var.own = ""
                ngx.say("[", ngx.var.own, "]")
                ngx.var.args = nil
                ngx.say(tostring(ngx.var.args), " ", tostring(ngx.var.arg_y))
            }
        }
        location /seen { set $own a; rewrite_by_lua_block { ngx.var.own = "b" } return 200 $own; }
        location /limit { content_by_lua_block { ngx.var.limit_rate = 5000 ngx.say(ngx.var.limit_rate) } }"#,
    );
    assert_eq!(
        text(&server, "/write?a=b"),
        "after nil 2\n12.5\ntrue\n[]\nnil nil\n"
    );
    assert_eq!(text(&server, "/limit"), "5000\n");
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let server = server(
        r#"location /errors {
            content_by_lua_block {
                local function try(f) ngx.say(tostring(select(2, pcall(f)))) end
                try(function() ngx.var.none = "x" end)
                try(function() ngx.var.uri = "x" end)
                try(function() ngx.var.http_x_other = "x" end)
                try(function() ngx.var[1] = "x" end)
                try(function() return ngx.var[{}] end)
                try(function() return ngx.var[nil] end)
            }
        }"#,
    );
    let said = text(&server, "/errors");
    let lines: Vec<&str> = said.lines().collect();
    let expected = [
        "variable \"none\" not found for writing; maybe it is a built-in variable that is not \
         changeable or you forgot to use \"set $none '';\" in the config file to define it first",
        "variable \"uri\" not changeable",
        "variable \"http_x_other\" not found for writing; maybe it is a built-in variable that is \
         not changeable or you forgot to use \"set $http_x_other '';\" in the config file to \
         define it first",
        "bad variable name",
        "bad variable name",
        "bad variable name",
    ];
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.ends_with(expected), "{line}");
    }
    assert_eq!(lines.len(), expected.len(), "{said}");
}

#[test]
fn a_variable_that_was_never_set_is_empty() {
    let server = server(
        "location /unset {
             content_by_lua_block { ngx.print('[', tostring(ngx.var.later), ']') }
         }
         location /other { set $later x; return 204; }",
    );
    assert_eq!(text(&server, "/unset"), "[]");
    server.expect_error_log("using uninitialized \"later\" variable");
}

#[test]
fn outside_of_requests_there_are_none() {
    let server = Setup::lua(
        "init_by_lua_block { in_init = select(2, pcall(function() return ngx.var.uri end)) }
         server {
             listen 127.0.0.1:{port};
             location / {
                 content_by_lua_block {
                     ngx.say(in_init)
                     local said
                     ngx.timer.at(0, function()
                         said = select(2, pcall(function() return ngx.var.uri end))
                     end)
                     ngx.sleep(0.05)
                     ngx.say(said)
                 }
             }
         }",
    )
    .start();
    let said = text(&server, "/");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].ends_with("no request found"), "{said}");
    assert!(
        lines[1].ends_with("API disabled in the current context"),
        "{said}"
    );
}
