//! `ngx.req`: request line, arguments and header fields, looked at and changed by Lua.

mod support;

use support::{Backend, Server, Setup};

fn server(content: &str) -> Server {
    Setup::lua(&format!(
        "server {{ listen 127.0.0.1:{{port}}; default_type text/plain; {content} }}"
    ))
    .start()
}

/// A table as text, its keys in order.
const SHOW: &str = r#"
    init_by_lua_block {
        function show(t)
            local keys = {}
            for key in pairs(t) do keys[#keys + 1] = key end
            table.sort(keys)
            for i, key in ipairs(keys) do
                local value = t[key]
                if type(value) == "table" then value = "{" .. table.concat(value, ",") .. "}" end
                keys[i] = key .. "=" .. tostring(value)
            end
            return table.concat(keys, " ")
        end
        function failure(f, ...) return (select(2, pcall(f, ...))) end
    }
"#;

fn showing(content: &str) -> Server {
    Setup::lua(&format!(
        "{SHOW} server {{ listen 127.0.0.1:{{port}}; default_type text/plain; {content} }}"
    ))
    .start()
}

fn text(server: &Server, uri: &str) -> String {
    server.get(uri).expect(200).text()
}

#[test]
fn the_request_line_is_seen() {
    let server = server(
        r#"location /line {
            content_by_lua_block {
                ngx.say(ngx.req.get_method(), " ", ngx.req.http_version(), " ",
                    tostring(ngx.req.is_internal()))
                ngx.say(math.abs(ngx.req.start_time() - ngx.now()) < 2,
                    ngx.req.start_time() == ngx.req.start_time())
            }
        }
        location /raw { content_by_lua_block { ngx.print(ngx.req.raw_header()) } }
        location /fields { content_by_lua_block { ngx.print(ngx.req.raw_header(true)) } }
        location /inside { error_page 404 /line; return 404; }"#,
    );
    assert_eq!(text(&server, "/line"), "GET 1.1 false\ntruetrue\n");
    let old = server.request("GET /line HTTP/1.0\r\n\r\n").expect(200);
    assert_eq!(old.text(), "GET 1 false\ntruetrue\n");
    let odd = server.request("PROPFIND /line HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(odd.text(), "PROPFIND 1.1 false\ntruetrue\n");
    let own = server.request("MINE /line HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(own.text(), "MINE 1.1 false\ntruetrue\n");
    let inside = server.get("/inside").expect(404).text();
    assert_eq!(inside, "GET 1.1 true\ntruetrue\n");

    let head = "GET /raw?a HTTP/1.1\r\nHost: a\r\nX-Mine:  spaced\r\nConnection: close\r\n\r\n";
    assert_eq!(server.request(head).text(), head);
    let head = "GET /fields HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let rest = "Host: a\r\nConnection: close\r\n\r\n";
    assert_eq!(server.request(head).text(), rest);
}

#[test]
fn the_method_can_be_changed() {
    let backend = Backend::named("fine");
    let server = Setup::lua(
        "server {
             listen 127.0.0.1:{port};
             location /method {
                 rewrite_by_lua_block { ngx.req.set_method(ngx.HTTP_PUT) }
                 proxy_set_header X-Method $request_method;
                 proxy_pass http://{backend};
             }
             location /errors {
                 content_by_lua_block {
                     for _, bad in ipairs { 3, 'GET', 0 } do
                         ngx.say((select(2, pcall(ngx.req.set_method, bad))))
                     end
                     ngx.req.set_method(ngx.HTTP_PATCH)
                     ngx.say(ngx.req.get_method(), ngx.var.request_method)
                 }
             }
         }",
    )
    .set("backend", backend.addr())
    .start();
    server.get("/method").expect(200);
    let asked = backend.request();
    assert_eq!(asked.method, "PUT");
    assert_eq!(asked.header("x-method"), Some("PUT"));
    assert_eq!(
        text(&server, "/errors"),
        "unsupported HTTP method: 3\nbad method number\nunsupported HTTP method: 0\nPATCHPATCH\n"
    );
}

#[test]
fn arguments_of_the_uri_are_taken_apart() {
    let server = showing(
        r#"location /get {
            content_by_lua_block {
                local args, err = ngx.req.get_uri_args()
                ngx.say(show(args), " ", tostring(err))
            }
        }
        location /two {
            content_by_lua_block {
                local args, err = ngx.req.get_uri_args(2)
                ngx.say(show(args), " ", tostring(err))
            }
        }
        location /into {
            content_by_lua_block {
                local mine = {old = 1, "x"}
                local args, err = ngx.req.get_uri_args(10, mine)
                ngx.say(show(mine), " ", tostring(args == mine), " ", tostring(err))
            }
        }
        location /many {
            content_by_lua_block {
                local function count(...)
                    local args, err = ngx.req.get_uri_args(...)
                    local n = 0
                    for _ in pairs(args) do n = n + 1 end
                    ngx.say(n, " ", tostring(err))
                end
                count() count(0) count(-1) count(nil)
            }
        }"#,
    );
    assert_eq!(
        text(&server, "/get?a=1&b&c=&a=2&d%20=%2B+x&&=y"),
        "a={1,2} b=true c= d =+ x nil\n"
    );
    assert_eq!(text(&server, "/get"), " nil\n");
    assert_eq!(text(&server, "/two?a=1&b=2"), "a=1 b=2 nil\n");
    assert_eq!(text(&server, "/two?a=1&b=2&c=3"), "a=1 b=2 truncated\n");
    assert_eq!(text(&server, "/into?a=1"), "a=1 true nil\n");
    let many: Vec<String> = (0..150).map(|n| format!("k{n}=v")).collect();
    assert_eq!(
        text(&server, &format!("/many?{}", many.join("&"))),
        "100 truncated\n150 nil\n100 truncated\n100 truncated\n"
    );
}

#[test]
fn arguments_can_be_replaced() {
    let backend = Backend::named("fine");
    let server = Setup::lua(&format!(
        "{SHOW}
         server {{
             listen 127.0.0.1:{{port}};
             location /text {{
                 rewrite_by_lua_block {{ ngx.req.set_uri_args('x=1&y=a b\\n') }}
                 proxy_pass http://{{backend}};
             }}
             location /table {{
                 content_by_lua_block {{
                     ngx.req.set_uri_args {{ a = {{ 1, 'x y' }} }}
                     ngx.say(ngx.var.args)
                     ngx.req.set_uri_args {{ b = true, c = false }}
                     ngx.say(ngx.var.args)
                     ngx.req.set_uri_args(32)
                     ngx.say(ngx.var.args, ' ', ngx.var.query_string)
                     ngx.req.set_uri_args('')
                     ngx.say('[', ngx.var.args or '', ']')
                     ngx.say(failure(ngx.req.set_uri_args))
                     ngx.say(failure(ngx.req.set_uri_args, true))
                 }}
             }}
         }}",
    ))
    .set("backend", backend.addr())
    .start();
    server.get("/text?old").expect(200);
    assert_eq!(backend.request().uri, "/text?x=1&y=a%20b%0A");
    let said = text(&server, "/table");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "a=1&a=x%20y");
    assert_eq!(lines[1..4], ["b", "32 32", "[]"]);
    assert!(
        lines[4].ends_with("expecting 1 argument but seen 0"),
        "{said}"
    );
    assert!(
        lines[5].ends_with("string, number, or table expected, but got boolean)"),
        "{said}"
    );
}

#[test]
fn header_fields_are_read_in_any_case() {
    let server = showing(
        r#"location /all { content_by_lua_block { ngx.say(show(ngx.req.get_headers())) } }
        location /raw { content_by_lua_block { ngx.say(show(ngx.req.get_headers(nil, true))) } }
        location /one {
            content_by_lua_block {
                local h = ngx.req.get_headers()
                ngx.say(h["X-Some"], h.x_some, h["x-SOME"], h.X_Some, tostring(h.none))
                ngx.say(tostring(rawget(h, "X-Some")), " ", getmetatable(h) ~= nil)
                local raw = ngx.req.get_headers(0, true)
                ngx.say(raw["X-Some"], tostring(raw["x-some"]), tostring(getmetatable(raw)))
            }
        }
        location /two {
            content_by_lua_block {
                local h, err = ngx.req.get_headers(2)
                ngx.say(show(h), " ", tostring(err))
            }
        }"#,
    );
    let fields = "X-Some: 1\r\nX-Two: a\r\nx-two: b\r\n";
    let ask = |uri| server.get_with(uri, fields).expect(200).text();
    assert_eq!(
        ask("/all"),
        "connection=close host=localhost x-some=1 x-two={a,b}\n"
    );
    assert_eq!(
        ask("/raw"),
        "Connection=close Host=localhost X-Some=1 X-Two=a x-two=b\n"
    );
    assert_eq!(ask("/one"), "1111nil\nnil true\n1nilnil\n");
    assert_eq!(ask("/two"), "host=localhost x-some=1 truncated\n");
}

#[test]
fn header_fields_can_be_changed() {
    let server = showing(
        r#"location /set {
            content_by_lua_block {
                ngx.req.set_header("X-Some", "new")
                ngx.req.set_header("X-Two", {"a", "b", 3})
                ngx.req.set_header("X-Number", 12)
                ngx.req.set_header("X-Empty", "")
                ngx.req.set_header("X-Gone", nil)
                ngx.req.set_header("X-None", {})
                ngx.req.clear_header("X-Clear")
                ngx.req.set_header("Evil: 1", "a\r\nB: c")
                ngx.say(show(ngx.req.get_headers()))
                ngx.say(ngx.var.http_x_some, " ", ngx.var.http_x_number, " ",
                    tostring(ngx.var.http_x_gone))
            }
        }
        location /known {
            content_by_lua_block {
                ngx.req.set_header("Host", "Other.Example:80")
                ngx.say(ngx.var.host, " ", ngx.var.http_host)
                ngx.req.set_header("Cookie", {"a=1", "b=2"})
                ngx.say(ngx.var.cookie_a, ngx.var.cookie_b, " ", ngx.var.http_cookie)
                ngx.req.set_header("User-Agent", "mine")
                ngx.req.set_header("Content-Type", "text/x")
                ngx.say(ngx.var.http_user_agent, " ", ngx.var.content_type)
                ngx.req.clear_header("Host")
                ngx.req.clear_header("content_type")
                ngx.say(tostring(ngx.var.http_host), " ", ngx.var.content_type)
                ngx.req.clear_header("CONTENT-TYPE")
                ngx.say(tostring(ngx.var.content_type))
                ngx.req.set_header("X-Forwarded-For", "1.1.1.1")
                ngx.say(ngx.var.http_x_forwarded_for)
            }
        }
        location /errors {
            content_by_lua_block {
                ngx.say(failure(ngx.req.set_header, nil, "x"))
                ngx.say(failure(ngx.req.set_header, "Content-Length", "many"))
                ngx.say(failure(ngx.req.set_header, "Host", "a..b"))
            }
        }"#,
    );
    let fields = "X-Some: 1\r\nX-Gone: 1\r\nX-Clear: 1\r\nx-some: 2\r\nX-Empty: 1\r\n";
    let said = server.get_with("/set", fields).expect(200).text();
    assert_eq!(
        said,
        "connection=close evil%3a%201=a%0D%0AB: c host=localhost x-number=12 x-some=new \
         x-two={a,b,3}\nnew 12 nil\n"
    );
    let said = server
        .get_with("/known", "Cookie: a=0; b=0\r\n")
        .expect(200)
        .text();
    assert_eq!(
        said,
        "other.example Other.Example:80\n12 a=1; b=2\nmine text/x\nnil text/x\nnil\n1.1.1.1\n"
    );
    let said = text(&server, "/errors");
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines[0].ends_with("bad 'name' argument: string expected, got nil"),
        "{said}"
    );
    assert!(lines[1].ends_with("failed to set header"), "{said}");
    assert!(lines[2].ends_with("failed to set header"), "{said}");
}

#[test]
fn changed_fields_reach_the_backend_and_the_filters() {
    let backend = Backend::named("fine");
    let server = Setup::lua(
        r#"server {
            listen 127.0.0.1:{port};
            location /proxy {
                rewrite_by_lua_block {
                    ngx.req.set_header("X-Set", "lua")
                    ngx.req.set_header("X-Several", {"a", "b"})
                    ngx.req.clear_header("X-Secret")
                    ngx.req.set_header("User-Agent", "mine")
                }
                proxy_set_header X-Seen $http_x_set;
                proxy_pass http://{backend};
            }
            location /range { rewrite_by_lua_block { ngx.req.set_header("Range", "bytes=0-1") } }
            location /whole { rewrite_by_lua_block { ngx.req.clear_header("Range") } }
        }"#,
    )
    .set("backend", backend.addr())
    .file("html/range", "0123456789")
    .file("html/whole", "0123456789")
    .start();
    let fields = "X-Secret: s\r\nUser-Agent: theirs\r\n";
    server.get_with("/proxy", fields).expect(200);
    let asked = backend.request();
    assert_eq!(asked.header("x-set"), Some("lua"));
    assert_eq!(asked.headers.all("x-several"), ["a", "b"]);
    assert_eq!(asked.header("x-secret"), None);
    assert_eq!(asked.header("user-agent"), Some("mine"));
    assert_eq!(asked.header("x-seen"), Some("lua"));
    assert_eq!(server.get("/range").expect(206).text(), "01");
    let whole = server
        .get_with("/whole", "Range: bytes=0-1\r\n")
        .expect(200);
    assert_eq!(whole.text(), "0123456789");
}

#[test]
fn the_uri_can_be_changed() {
    let server = showing(
        r#"location /stay {
            rewrite_by_lua_block { ngx.req.set_uri("/other") }
            content_by_lua_block { ngx.say("stay ", ngx.var.uri, " ", tostring(ngx.req.is_internal())) }
        }
        location /jump {
            rewrite_by_lua_block {
                ngx.req.set_uri_args("a=b")
                ngx.req.set_uri("/other", true)
                ngx.log(ngx.ERR, "not reached")
            }
            content_by_lua_block { ngx.say("jump") }
        }
        location /other { content_by_lua_block { ngx.say("other ", ngx.var.uri, "?", ngx.var.args or "") } }
        location /loop { rewrite_by_lua_block { ngx.req.set_uri("/loop", true) } }
        location /errors {
            content_by_lua_block {
                ngx.say(failure(ngx.req.set_uri))
                ngx.say(failure(ngx.req.set_uri, ""))
                ngx.say(failure(ngx.req.set_uri, "/a\nb"))
                ngx.say(failure(ngx.req.set_uri, "/a", true))
                ngx.say(failure(ngx.req.set_uri, "/a", 1))
                ngx.req.set_uri("/a\nb", false, true)
                ngx.say(#ngx.var.uri)
            }
        }"#,
    );
    assert_eq!(text(&server, "/stay"), "stay /other true\n");
    assert_eq!(text(&server, "/jump?x"), "other /other?a=b\n");
    server.get("/loop").expect(500);
    server.expect_error_log("rewrite or internal redirection cycle while processing \"/loop\"");
    assert!(!server.error_log().contains("not reached"));
    let said = text(&server, "/errors");
    let expected = [
        "expecting 1, 2 or 3 arguments but seen 0",
        "attempt to use zero-length uri",
        "unsafe byte \"0x0a\" in uri \"/a\\x0Ab\" (maybe you want to set the 'binary' argument?)",
        "API disabled in the context of content_by_lua*",
        "(boolean expected, got number)",
        "4",
    ];
    for (line, expected) in said.lines().zip(expected) {
        assert!(line.ends_with(expected), "{line}");
    }
    assert_eq!(said.lines().count(), expected.len(), "{said}");
}
