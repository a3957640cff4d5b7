//! Cosockets inside the server: what locations say, names, datagrams, who owns a socket, every phase.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use std::net::UdpSocket;
use std::thread;
use std::time::Instant;

use support::{Backend, Dns, Server, Setup, ours, pause};

fn server(backend: &str, locations: &str) -> Server {
    let (_, port) = backend.rsplit_once(':').unwrap();
    Setup::lua(&format!(
        "server {{ listen 127.0.0.1:{{port}}; default_type text/plain; {locations} }}"
    ))
    .set("peer", port)
    .allow("timed out")
    .allow("failed")
    .allow("bad request")
    .allow("API disabled")
    .start()
}

fn text(server: &Server, uri: &str) -> String {
    server.get(uri).expect(200).text()
}

/// Answers each line with the same line.
fn echo() -> Backend {
    Backend::script(|conn| {
        loop {
            let bytes = conn.some();
            if bytes.is_empty() {
                return;
            }
            conn.send(&bytes);
        }
    })
}

/// Says nothing.
fn silent() -> Backend {
    Backend::script(support::Conn::hold)
}

const READ: &str = "content_by_lua_block {
    local sock = ngx.socket.tcp()
    local ok, err = sock:connect('127.0.0.1', {peer})
    if not ok then ngx.print(err) return end
    local data, err = sock:receive()
    ngx.print(data or err)
}";

#[test]
fn a_location_says_how_long_to_wait_and_whether_to_log() {
    let backend = silent();
    let server = server(
        &backend.addr(),
        &format!(
            "lua_socket_read_timeout 50ms;
             location /loud {{ {READ} }}
             location /quiet {{ lua_socket_log_errors off; {READ} }}
             location /timer {{
                 content_by_lua_block {{
                     ngx.timer.at(0, function()
                         local sock = ngx.socket.tcp()
                         sock:connect('127.0.0.1', {{peer}})
                         ngx.log(ngx.WARN, 'in a timer: ', select(2, sock:receive()))
                     end)
                 }}
             }}"
        ),
    );
    let start = Instant::now();
    assert_eq!(text(&server, "/quiet"), "timeout");
    assert!(start.elapsed().as_secs() < 5);
    assert!(!server.error_log().contains("timed out"));
    assert_eq!(text(&server, "/loud"), "timeout");
    server.expect_error_log("lua tcp socket read timed out");
    if ours("the peer in the log line") {
        let (_, port) = backend
            .addr()
            .rsplit_once(':')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        let line = format!(
            "lua tcp socket read timed out, upstream: 127.0.0.1:{port}(127.0.0.1), client:"
        );
        server.expect_error_log(&line);
    }
    // What a timer does not say itself is what the location said that made it.
    server.get("/timer").expect(200);
    server.expect_error_log("in a timer: timeout");
}

#[test]
fn connections_that_are_refused_are_logged() {
    let free = support::Port::reserve();
    let server = server(&free.addr(), &format!("location /t {{ {READ} }}"));
    assert_eq!(text(&server, "/t"), "connection refused");
    server.expect_error_log("connect() failed (111: Connection refused)");
}

const NAMED: &str = "content_by_lua_block {
    local sock = ngx.socket.tcp()
    local ok, err = sock:connect(ngx.var.arg_name, {peer})
    ngx.print(ok or err)
}";

#[test]
fn names_are_asked_for_with_the_resolver_of_the_location() {
    let (backend, dns) = (silent(), Dns::knowing("backend.test"));
    let server = server(
        &backend.addr(),
        &format!(
            "location /none {{ {NAMED} }}
             location /some {{ resolver {} ipv6=off; {NAMED} }}
             location /deaf {{ resolver 127.0.0.1:9 ipv6=off; resolver_timeout 100ms; {NAMED} }}",
            dns.addr()
        ),
    );
    assert_eq!(
        text(&server, "/none?name=backend.test"),
        "no resolver defined to resolve \"backend.test\""
    );
    assert_eq!(text(&server, "/some?name=backend.test"), "1");
    assert_eq!(
        text(&server, "/some?name=other.test"),
        "other.test could not be resolved (3: Host not found)"
    );
    let said = text(&server, "/deaf?name=backend.test");
    assert!(
        said.starts_with("backend.test could not be resolved ("),
        "{said}"
    );
}

#[test]
fn a_socket_is_used_by_the_request_that_connected_it() {
    let backend = echo();
    let server = server(
        &backend.addr(),
        "location /keep {
             content_by_lua_block {
                 local sock = ngx.socket.tcp()
                 assert(sock:connect('127.0.0.1', {peer}))
                 package.loaded.shared_sock = sock
                 ngx.sleep(1)
                 ngx.print(sock:send('x'))
             }
         }
         location /take {
             content_by_lua_block {
                 ngx.print(tostring(select(2, pcall(package.loaded.shared_sock.send,
                                                    package.loaded.shared_sock, 'x'))))
             }
         }
         location /phases {
             access_by_lua_block {
                 local sock = ngx.socket.tcp()
                 assert(sock:connect('127.0.0.1', {peer}))
                 ngx.ctx.sock = sock
             }
             content_by_lua_block {
                 assert(ngx.ctx.sock:send('hello\\n'))
                 ngx.print(ngx.ctx.sock:receive())
             }
         }",
    );
    let mut keeping = server.connect();
    keeping.send("GET /keep HTTP/1.1\r\nHost: a\r\n\r\n");
    pause(200);
    let said = text(&server, "/take");
    assert!(said.ends_with("bad request"), "{said}");
    assert_eq!(keeping.response().expect(200).text(), "1");
    assert_eq!(text(&server, "/phases"), "hello");
    support::wait_until("sockets end with their requests", || backend.closed() == 2);
}

#[test]
fn there_are_no_sockets_where_nothing_can_wait() {
    let server = server(
        "127.0.0.1:1",
        "location /set {
             set_by_lua_block $said {
                 local ok, err = pcall(ngx.socket.tcp)
                 return err
             }
             return 200 $said;
         }",
    );
    let said = text(&server, "/set");
    assert!(
        said.contains("API disabled in the context of set_by_lua*"),
        "{said}"
    );
}

#[test]
fn datagrams() {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = peer.local_addr().unwrap().to_string();
    let answering = thread::spawn(move || {
        let mut datagram = [0; 100];
        let (len, from) = peer.recv_from(&mut datagram).unwrap();
        peer.send_to(&datagram[..len], from).unwrap();
        // What comes next is not answered.
        let _ = peer.recv_from(&mut datagram);
    });
    let server = server(
        &addr,
        "location /t {
             content_by_lua_block {
                 local sock = ngx.socket.udp()
                 sock:settimeout(100)
                 assert(sock:setpeername('127.0.0.1', {peer}))
                 assert(sock:send({ 'one ', { 'data', 'gram' } }))
                 ngx.say(sock:receive())
                 assert(sock:send('another'))
                 ngx.say(sock:receive())
                 ngx.say(sock:close())
                 ngx.say(sock:close())
                 ngx.say(sock:receive())
             }
         }",
    );
    let said = text(&server, "/t");
    assert_eq!(said, "one datagram\nniltimeout\n1\nnilclosed\nnilclosed\n");
    answering.join().unwrap();
}

#[test]
fn options_of_the_system() {
    let backend = silent();
    let server = server(
        &backend.addr(),
        "location /t {
             content_by_lua_block {
                 local sock = ngx.socket.tcp()
                 ngx.say(sock:setoption('keepalive', true))
                 assert(sock:connect('127.0.0.1', {peer}))
                 ngx.say(sock:setoption('keepalive', true), sock:getoption('keepalive'))
                 ngx.say(sock:setoption('tcp-nodelay', 0), sock:getoption('tcp-nodelay'))
                 ngx.say(sock:setoption('flavour', 1))
                 ngx.say(sock:setoption('sndbuf'))
             }
         }",
    );
    if ours("socket options without resty.core") {
        assert_eq!(
            text(&server, "/t"),
            "nilclosed\ntrue1\ntrue0\nnilunsupported option flavour\n\
             nilmissing the \"value\" argument\n"
        );
    }
}

#[test]
fn sockets_work_in_every_phase_of_many_requests_at_once() {
    if !ours("sockets in filters and the log phase") {
        return;
    }
    let backend = echo();
    let server = server(
        &backend.addr(),
        "location /t {
             rewrite_by_lua_block { ask = function(word)
                     local sock = ngx.socket.tcp()
                     assert(sock:connect('127.0.0.1', {peer}, { pool_size = 20, backlog = 1000 }))
                     assert(sock:send(word .. '\\n'))
                     local line = assert(sock:receive())
                     assert(sock:setkeepalive())
                     return line
                 end
                 ngx.ctx.id = ngx.var.arg_id
                 ngx.ctx.said = ask('rewrite' .. ngx.ctx.id)
             }
             access_by_lua_block { ngx.ctx.said = ngx.ctx.said .. ask(' access' .. ngx.ctx.id) }
             content_by_lua_block { ngx.print(ngx.ctx.said, ask(' content' .. ngx.ctx.id)) }
             header_filter_by_lua_block {
                 ngx.header['X-Asked'] = ask('header' .. ngx.ctx.id)
                 ngx.header.content_length = nil
             }
             body_filter_by_lua_block {
                 if #ngx.arg[1] > 0 then ngx.arg[1] = ngx.arg[1] .. ask(' body' .. ngx.ctx.id) end
             }
             log_by_lua_block { ngx.log(ngx.WARN, 'log says ', ask('log' .. ngx.ctx.id), '.') }
         }",
    );
    let clients: Vec<_> = (0..100)
        .map(|id| {
            let mut client = server.connect();
            client.send(format!("GET /t?id={id} HTTP/1.1\r\nHost: a\r\n\r\n"));
            (id, client)
        })
        .collect();
    for (id, mut client) in clients {
        let response = client.response().expect(200);
        assert_eq!(response.header("X-Asked"), Some(&*format!("header{id}")));
        let wanted = format!("rewrite{id} access{id} content{id} body{id}");
        assert_eq!(response.text(), wanted);
    }
    for id in 0..100 {
        server.expect_error_log(&format!("log says log{id}."));
    }
    assert!(
        backend.accepted() <= 20 * 8,
        "{} connections",
        backend.accepted()
    );
}
