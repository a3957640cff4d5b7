//! Noise from all sides, and a server that still answers afterwards.

mod support;

use std::thread;

use support::{Backend, Client, Server, Setup, pattern, pause, wait_until};

const PLAIN: &str = "server {
    listen 127.0.0.1:{port};
    lingering_close off;
    location / { return 200 ok; }
    location /body { client_max_body_size 1m; proxy_pass http://127.0.0.1:{port}/; }
}";

/// Twenty requests on one connection are answered.
#[track_caller]
fn still_answers(server: &Server) {
    let mut client = server.connect();
    for _ in 0..20 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().expect(200).text(), "ok");
    }
}

/// Sends bytes, ends, and takes whatever comes back.
fn throw(server: &Server, bytes: &[u8]) {
    let mut client = server.connect();
    let _refused = client.try_send(bytes);
    drop(client);
}

#[test]
fn random_bytes_harm_nothing() {
    let server = Server::start(PLAIN);
    let noise = pattern(200_000);
    for (i, part) in noise.chunks(1000).enumerate() {
        throw(&server, &part[..1 + i * 5 % 1000]);
    }
    still_answers(&server);
}

#[test]
fn a_request_with_any_one_byte_changed_harms_nothing() {
    let server = Server::start(PLAIN);
    let request = b"POST /body?a=b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    for position in 0..request.len() {
        for byte in [0, b' ', b'\r', b'\n', b':', b'/', b'%', 0x7f, 0xff] {
            let mut changed = request.to_vec();
            changed[position] = byte;
            throw(&server, &changed);
        }
    }
    still_answers(&server);
}

#[test]
fn a_request_cut_anywhere_harms_nothing() {
    let server = Server::start(PLAIN);
    let request = b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                    3;x=\"y\"\r\nabc\r\n0\r\nT: u\r\n\r\n";
    for len in 0..request.len() {
        let mut client = server.connect();
        client.send(&request[..len]);
        if len % 2 == 0 {
            client.reset();
        }
    }
    still_answers(&server);
}

#[test]
fn a_request_split_anywhere_is_understood() {
    let server = Server::start(PLAIN);
    let request = b"POST /body?x=%20 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                    3;x=\"y\"\r\nabc\r\n0\r\nT: u\r\n\r\n";
    let mut client = server.connect();
    for split in 1..request.len() {
        client.send(&request[..split]);
        pause(1);
        client.send(&request[split..]);
        assert_eq!(
            client.response().expect(200).text(),
            "ok",
            "split at {split}"
        );
    }
}

#[test]
fn a_flood_of_header_lines_is_refused() {
    let server = Server::start(PLAIN);
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n");
    wait_until("the refusal", || {
        client.try_send("X: y\r\n".repeat(1000)).is_err()
    });
    still_answers(&server);
}

#[test]
fn an_endless_line_is_refused() {
    let server = Server::start(PLAIN);
    let mut client = server.connect();
    client.send("GET /");
    wait_until("the refusal", || client.try_send([b'a'; 10_000]).is_err());
    still_answers(&server);
}

#[test]
fn slow_clients_do_not_starve_others() {
    let server = Setup::main(
        "events { worker_connections 2048; }
         http { access_log off; server { listen 127.0.0.1:{port}; location / { return 200 ok; } } }",
    )
    .start();
    let mut slow: Vec<Client> = (0..400).map(|_| server.connect()).collect();
    for step in ["GET / ", "HTTP/1.1\r\n", "Host: a", "\r\n"] {
        for client in &mut slow {
            client.send(step);
        }
        still_answers(&server);
    }
    for client in &mut slow {
        client.send("\r\n");
        assert_eq!(client.response().expect(200).text(), "ok");
    }
}

#[test]
fn clients_that_do_not_read_do_not_starve_others() {
    let server = Setup::http(PLAIN)
        .file("html/big", pattern(4_000_000))
        .start();
    let big = "GET /big HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut stuck: Vec<Client> = (0..50)
        .map(|_| Client::connect_narrow(&server.addr(), 4096))
        .collect();
    for client in &mut stuck {
        client.send(big);
    }
    still_answers(&server);
}

#[test]
fn noise_of_backends_harms_nothing() {
    let backend = Backend::script(|conn| {
        conn.request();
        let noise = pattern(50_000);
        let from = conn.number * 37 % 40_000;
        let head: &[u8] = match conn.number % 4 {
            0 => b"",
            1 => b"HTTP/1.1 200 OK\r\n",
            2 => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
            _ => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        };
        conn.send([head, &noise[from..from + 3000]].concat());
    });
    let server = Setup::http(
        "server {
             listen 127.0.0.1:{port};
             location / { return 200 ok; }
             location /noise { proxy_pass http://{backend}; proxy_http_version 1.1; }
             location /direct { proxy_pass http://{backend}; proxy_buffering off; }
         }",
    )
    .set("backend", backend.addr())
    .start();
    for i in 0..100 {
        let uri = ["/noise", "/direct"][i / 4 % 2];
        let mut client = server.connect();
        client.send(format!(
            "GET {uri} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        ));
        drop(client.rest());
    }
    still_answers(&server);
}

#[test]
fn many_clients_at_once_get_their_own_answers() {
    let backend = Backend::http(|request| request.uri.clone());
    let server = Setup::http(
        "upstream u { server {backend}; keepalive 8; }
         server {
             listen 127.0.0.1:{port};
             location / { proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ''; }
             location /file/ { alias {dir}/html/; }
         }",
    )
    .set("backend", backend.addr())
    .file("html/x", pattern(20_000))
    .start();
    let addr = server.addr();
    let clients: Vec<_> = (0..16)
        .map(|number| {
            let addr = addr.clone();
            thread::spawn(move || {
                let mut client = Client::connect(&addr);
                for i in 0..30 {
                    client.send(format!("GET /{number}/{i} HTTP/1.1\r\nHost: a\r\n\r\n"));
                    assert_eq!(client.response().text(), format!("/{number}/{i}"));
                    client.send("GET /file/x HTTP/1.1\r\nHost: a\r\n\r\n");
                    assert!(client.response().body == pattern(20_000));
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("a client without an error");
    }
}

#[test]
fn descriptors_do_not_leak() {
    let port = support::Port::reserve();
    let server = Setup::main(
        "master_process off; events { }
         http {
             access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
             server {
                 listen 127.0.0.1:{port};
                 root {dir}/html;
                 location / { }
                 location /dead { proxy_pass http://{dead}; }
             }
         }",
    )
    .set("dead", port.addr())
    .file("html/x", pattern(100_000))
    .start();
    let open = || {
        std::fs::read_dir(format!("/proc/{}/fd", server.pid()))
            .unwrap()
            .count()
    };
    let round = || {
        for _ in 0..20 {
            server.get("/x").expect(200);
            server.get("/none").expect(404);
            server.get("/dead").expect(502);
            server
                .connect()
                .send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
                .reset_on_drop();
            throw(&server, b"GET /x HTTP/1.1\r\nHost");
        }
    };
    round();
    wait_until("quiet", || {
        let before = open();
        pause(50);
        before == open()
    });
    let before = open();
    round();
    wait_until("as many descriptors as before", || open() <= before);
}
