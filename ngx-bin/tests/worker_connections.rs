//! `worker_connections`: how many connections a thread may have, with clients and with backends.

mod support;

use support::{Backend, Client, Server, Setup, ours, pause, wait_until};

#[test]
fn connections_over_worker_connections_are_turned_away() {
    let server = Setup::main(
        "events { worker_connections 32; }
         http { access_log off; server { listen 127.0.0.1:{port}; location / { return 200 ok; } } }",
    )
    .allow("worker_connections are not enough")
    .start();
    let mut clients: Vec<Client> = (0..60).map(|_| server.connect()).collect();
    for client in &mut clients {
        let _refused = client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    server.expect_error_log("32 worker_connections are not enough");
    drop(clients);
    wait_until("an answer", || {
        let Ok(mut client) = Client::try_connect(&server.addr()) else {
            return false;
        };
        let sent = client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        sent.is_ok()
            && client
                .try_response()
                .is_ok_and(|response| response.text() == "ok")
    });
}

/// The processor time of the server and of the processes that it has started, in hundredths of a
/// second.
fn cpu_ticks(server: &Server) -> u64 {
    let pid = server.pid().to_string();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let ticks = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let (_name, rest) = stat.rsplit_once(") ").unwrap_or_default();
        let times = rest.split(' ').skip(11).take(2);
        times
            .filter_map(|time| time.parse::<u64>().ok())
            .sum::<u64>()
    };
    ticks(&pid) + children.split_whitespace().map(ticks).sum::<u64>()
}

/// Those who wait for nothing make room for those who have something to say, the eldest first; it is
/// one line of the log, and no work once everybody is served.
#[test]
fn idle_connections_make_room() {
    let server = Setup::main(
        "events { worker_connections 16; }
         http {
             access_log off;
             server { listen 127.0.0.1:{port}; keepalive_timeout 60s; location / { return 200 ok; } }
         }",
    )
    .allow("worker_connections are not enough")
    .start();
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut idle = Vec::new();
    for _ in 0..60 {
        // Each finds all places taken by connections that have been served and stay open.
        let mut client = server.connect();
        client.send(request);
        assert_eq!(client.response().text(), "ok");
        idle.push(client);
    }
    server.expect_error_log("16 worker_connections are not enough, reusing connections");
    let mut last = idle.pop().expect("a client");
    last.send(request);
    assert_eq!(last.response().text(), "ok");
    let first = idle.first_mut().expect("a client");
    first.expect_close();
    if !ours("one line, and no processor time, for as long as it lasts") {
        return;
    }
    let log = server.error_log();
    assert_eq!(log.matches("are not enough").count(), 1, "{log}");
    let before = cpu_ticks(&server);
    pause(500);
    assert!(cpu_ticks(&server) - before < 10, "it spins");
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// With so many connections, and this content of `http`.
fn with(connections: usize, http: &str) -> Setup {
    Setup::main(&format!(
        "events {{ worker_connections {connections}; }}
         http {{ access_log off; client_body_temp_path {{dir}}/body; proxy_temp_path {{dir}}/proxy;
                 {http} }}"
    ))
    .allow("worker_connections are not enough")
}

/// Takes its time.
fn slow_backend() -> Backend {
    Backend::http(|_| {
        pause(700);
        "late".into()
    })
}

/// Nobody is thrown out who is being served. Connections to backends count as those to clients do.
#[test]
fn busy_connections_keep_their_places() {
    let backend = slow_backend();
    let http = "server { listen 127.0.0.1:{port}; location / { proxy_pass http://{backend}; } }";
    let server = with(16, http).set("backend", backend.addr()).start();
    if !ours("listening sockets have no part in worker_connections") {
        return;
    }
    let mut busy: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    for client in &mut busy {
        client.send(GET);
    }
    wait_until("eight requests", || backend.requests().len() == 8);
    for _ in 0..8 {
        let mut refused = server.connect();
        let _gone = refused.try_send(GET);
        assert!(refused.try_response().is_err());
    }
    server.expect_error_log("16 worker_connections are not enough\n");
    for client in &mut busy {
        assert_eq!(client.response().text(), "late");
    }
    let log = server.error_log();
    assert_eq!(log.matches("are not enough").count(), 1, "{log}");
}

/// Whose backend cannot be asked for want of a connection has an error, and the backend is not
/// blamed for it.
#[test]
fn a_request_without_a_connection_to_its_backend_fails() {
    let backend = slow_backend();
    let http = "upstream u { server {backend} max_fails=1 fail_timeout=60s; }
        server { listen 127.0.0.1:{port}; location / { proxy_pass http://u; } }";
    let server = with(9, http).set("backend", backend.addr()).start();
    if !ours("listening sockets have no part in worker_connections") {
        return;
    }
    let mut busy: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for client in &mut busy {
        client.send(GET);
    }
    wait_until("four requests", || backend.requests().len() == 4);
    server.get("/").expect(500);
    server.expect_error_log("9 worker_connections are not enough, client: ");
    server.expect_error_log("no connection is free while connecting to upstream, client: ");
    for client in &mut busy {
        client.response().expect(200);
    }
    server.get("/").expect(200);
}

/// Connections that are kept for the next request make room, those to backends too.
#[test]
fn idle_connections_to_backends_make_room() {
    let backend = Backend::named("kept");
    let http = "upstream u { server {backend}; keepalive 16; }
        server { listen 127.0.0.1:{port}; keepalive_timeout 0;
                 location / { proxy_pass http://u; proxy_http_version 1.1;
                              proxy_set_header Connection ''; }
                 location /late { proxy_pass http://{late}; }
                 location /ok { return 200 ok; } }";
    let late = slow_backend();
    let server = with(12, http)
        .set("backend", backend.addr())
        .set("late", late.addr())
        .start();
    if !ours("listening sockets have no part in worker_connections") {
        return;
    }
    let mut clients: Vec<Client> = (0..5).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(GET);
    }
    for client in &mut clients {
        assert_eq!(client.response().text(), "kept");
        client.expect_close();
    }
    let kept = backend.accepted();
    assert!((1..=5).contains(&kept));
    let mut busy: Vec<Client> = (0..6).map(|_| server.connect()).collect();
    for client in &mut busy {
        client.send("GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for client in &mut busy {
        assert_eq!(client.response().expect(200).text(), "late");
    }
    wait_until("room", || backend.closed() == kept);
    server.expect_error_log("12 worker_connections are not enough, reusing connections");
    assert_eq!(server.get("/").text(), "kept");
}

#[test]
fn sockets_of_lua_count_and_make_room() {
    let echo = Backend::script(support::Conn::hold);
    let http = "server { listen 127.0.0.1:{port};
        location /open { content_by_lua_block {
            local open, why = {}, nil
            for i = 1, 9 do
                local sock, ok, err
                if i % 3 == 0 then
                    sock = ngx.socket.udp()
                    ok, err = sock:setpeername('127.0.0.1', {echo})
                else
                    sock = ngx.socket.tcp()
                    ok, err = sock:connect('127.0.0.1', {echo}, { pool = 'another' })
                end
                if ok then open[#open + 1] = sock else why = err end
            end
            ngx.say(#open, ' ', why)
            for _, sock in ipairs(open) do sock:close() end
        } }
        location /keep { content_by_lua_block {
            local open = {}
            for i = 1, 5 do open[i] = assert(ngx.socket.connect('127.0.0.1', {echo})) end
            for i = 1, 5 do assert(open[i]:setkeepalive(60000, 8)) end
            ngx.say('kept')
        } } }";
    let port = echo.addr().rsplit_once(':').unwrap().1.to_owned();
    if !ours("listening sockets have no part in worker_connections") {
        return;
    }
    let server = with(8, http)
        .set("echo", port)
        .allow("no connection is free")
        .start();
    for _ in 0..2 {
        // One is the client's.
        assert_eq!(server.get("/open").text(), "7 no connection is free\n");
        assert_eq!(server.get("/keep").text(), "kept\n");
    }
    server.expect_error_log("8 worker_connections are not enough, client: ");
    server.expect_error_log("8 worker_connections are not enough, reusing connections");
}
