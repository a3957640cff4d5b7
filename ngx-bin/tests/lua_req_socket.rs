//! `ngx.req.socket`: the body of a request, or the bare connection, read and written by Lua.

mod support;

use support::{Server, Setup, ours, pattern};

fn server(content: &str) -> Server {
    Setup::lua(&format!(
        "server {{ listen 127.0.0.1:{{port}}; default_type text/plain; {content} }}"
    ))
    .start()
}

#[test]
fn a_body_is_read_as_it_comes() {
    let server = server(
        r#"location /lines {
            content_by_lua_block {
                local sock, err = ngx.req.socket()
                if not sock then ngx.say("no: ", err) return end
                while true do
                    local line, err, partial = sock:receive()
                    if not line then ngx.say(err, " [", partial, "]") break end
                    ngx.say("line ", line)
                end
            }
        }
        location /all {
            content_by_lua_block {
                local sock = assert(ngx.req.socket())
                local first = assert(sock:receive(5))
                local rest = assert(sock:receive("*a"))
                ngx.say(first, " ", #rest, " ", tostring(sock.send), tostring(sock.close),
                    tostring(sock.setkeepalive))
            }
        }
        location /until {
            content_by_lua_block {
                local sock = assert(ngx.req.socket())
                local reader = sock:receiveuntil("--")
                ngx.say(reader(), " ", reader(), " ", (sock:receiveany(100)))
            }
        }"#,
    );
    let mut client = server.connect();
    client.send("POST /lines HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\n\r\none\ntw");
    client.expect_silence(50);
    let response = client.send("o\r\nrest").response().expect(200);
    assert_eq!(response.text(), "line one\nline two\nclosed [rest]\n");
    // Nothing behind the body was taken.
    client.send("POST /until HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\na--b--c--");
    assert_eq!(client.response().expect(200).text(), "a b c--\n");
    let mut body = b"first".to_vec();
    body.extend_from_slice(&pattern(200_000));
    let response = server.post("/all", &body).expect(200);
    assert_eq!(response.text(), "first 200000 nilnilnil\n");
}

#[test]
fn a_body_that_is_left_is_skipped() {
    let server = server(
        "location /part {
             content_by_lua_block {
                 local sock = assert(ngx.req.socket())
                 ngx.say((sock:receive(2)))
             }
         }",
    );
    let mut client = server.connect();
    for _ in 0..2 {
        client.send("POST /part HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nabcdefgh");
        assert_eq!(client.response().expect(200).text(), "ab\n");
    }
}

#[test]
fn there_is_not_always_a_body_to_read() {
    let server = server(
        r#"location /none { content_by_lua_block { ngx.say(ngx.req.socket()) } }
        location /read { content_by_lua_block { ngx.req.read_body() ngx.say(ngx.req.socket()) } }
        location /twice {
            content_by_lua_block { assert(ngx.req.socket()) ngx.say(ngx.req.socket()) }
        }
        location /many {
            content_by_lua_block { ngx.say((select(2, pcall(ngx.req.socket, 1, 2)))) }
        }
        location /slow {
            content_by_lua_block {
                local sock = assert(ngx.req.socket())
                sock:settimeout(50)
                ngx.say(sock:receive(5))
                sock:settimeout(5000)
                ngx.say(sock:receive(5))
            }
        }"#,
    );
    assert_eq!(server.get("/none").expect(200).text(), "nilno body\n");
    let chunked = "POST /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
        Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let said = server.request(chunked).expect(200).text();
    assert_eq!(said, "nilchunked request bodies not supported yet\n");
    assert_eq!(
        server.post("/read", "x").text(),
        "nilrequest body already exists\n"
    );
    assert_eq!(
        server.post("/twice", "x").text(),
        "nilrequest body already exists\n"
    );
    let said = server.post("/many", "x").text();
    assert!(said.ends_with("but got 2\n"), "{said}");
    let mut client = server.connect();
    client.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nab");
    support::pause(150);
    let said = client.send("cdefg").response().expect(200).text();
    assert_eq!(said, "niltimeoutab\ncdefg\n");
}

#[test]
fn a_client_that_leaves_is_noticed() {
    let server = server(
        r#"location /part {
            content_by_lua_block {
                local sock = assert(ngx.req.socket())
                local data, err, partial = sock:receive(10)
                ngx.log(ngx.WARN, "read: ", tostring(data), " ", err, " ", partial)
            }
        }"#,
    );
    let mut client = server.connect();
    client.send("POST /part HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    support::pause(50);
    drop(client);
    server.expect_error_log("read: nil client aborted abc");
}

#[test]
fn the_connection_can_be_taken_over() {
    let server = server(
        r#"location /raw {
            content_by_lua_block {
                local sock = assert(ngx.req.socket(true))
                assert(sock:send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"))
                while true do
                    local line, err = sock:receive()
                    if not line then ngx.log(ngx.WARN, "ended: ", err) return end
                    if line == "quit" then
                        sock:send({"bye", 1, "\n"})
                        return
                    end
                    assert(sock:send("got " .. line .. "\n"))
                end
            }
        }"#,
    );
    let mut client = server.connect();
    client.send("GET /raw HTTP/1.1\r\nHost: a\r\n\r\nearly\n");
    assert_eq!(client.line(), "HTTP/1.1 200 OK");
    assert_eq!(client.line(), "Content-Length: 100");
    assert_eq!(client.line(), "");
    assert_eq!(client.exact(10), b"got early\n");
    client.send("two\n");
    assert_eq!(client.exact(8), b"got two\n");
    client.send("quit\n");
    assert_eq!(client.rest(), b"bye1\n");

    let mut client = server.connect();
    client.send("GET /raw HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.line(), "HTTP/1.1 200 OK");
    client.shutdown_write();
    server.expect_error_log("ended: closed");
}

#[test]
fn bytes_go_both_ways_at_once() {
    let server = server(
        r#"location /echo {
            content_by_lua_block {
                local sock = assert(ngx.req.socket(true))
                local queue, done = {}, false
                local sema = {}
                local reader = ngx.thread.spawn(function()
                    while true do
                        local data, err = sock:receiveany(4096)
                        if not data then done = true return end
                        queue[#queue + 1] = data
                    end
                end)
                local writer = ngx.thread.spawn(function()
                    local at = 1
                    while true do
                        if queue[at] then
                            assert(sock:send(queue[at]))
                            at = at + 1
                        elseif done then
                            return
                        else
                            ngx.sleep(0.001)
                        end
                    end
                end)
                ngx.thread.wait(reader)
                ngx.thread.wait(writer)
            }
        }"#,
    );
    let mut client = server.connect();
    client.send("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    let data = pattern(1_000_000);
    for piece in data.chunks(50_000) {
        client.send(piece);
        assert_eq!(client.exact(piece.len()), piece);
    }
    client.shutdown_write();
    assert!(client.rest().is_empty());
}

#[test]
fn a_connection_is_taken_over_once_and_behind_the_header() {
    let server = server(
        r#"location /twice {
            content_by_lua_block {
                local sock = assert(ngx.req.socket(true))
                local again, err = ngx.req.socket(true)
                local _, said = ngx.print("x")
                sock:send("HTTP/1.0 200 OK\r\n\r\n" .. tostring(again) .. err .. ", " .. said)
            }
        }
        location /behind {
            content_by_lua_block {
                ngx.print("body")
                ngx.sleep(0.01)
                local sock, err = ngx.req.socket(true)
                if not sock then return ngx.log(ngx.ERR, "behind: ", err) end
                sock:send("raw")
            }
        }
        location /fails {
            content_by_lua_block {
                local sock = assert(ngx.req.socket(true))
                sock:send("raw")
                error("oops")
            }
        }"#,
    );
    let ask = |uri: &str| {
        let mut client = server.connect();
        client.send(format!("GET {uri} HTTP/1.1\r\nHost: a\r\n\r\n"));
        String::from_utf8_lossy(&client.rest()).into_owned()
    };
    assert!(ask("/twice").ends_with("\r\n\r\nnilduplicate call, raw request socket acquired"));
    if ours("what was printed is out, without a flush") {
        let behind = ask("/behind");
        assert!(behind.ends_with("4\r\nbody\r\nraw"), "{behind}");
    }
    assert_eq!(ask("/fails"), "raw");
}
