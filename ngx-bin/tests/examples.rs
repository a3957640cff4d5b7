//! The configurations in `conf/examples` pass the test and do what their comments say, as far as
//! the directives that they wait for exist.

mod support;

use std::fs;
use std::path::Path;

use support::{Backend, Server, Setup, ours};

/// The folder of the examples.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../conf/examples");

/// An example with the ports and files of a test.
fn example(name: &str) -> Setup {
    with_backends(name, &[])
}

/// The same with these backends in place of those at 9001, 9002, ...
fn with_backends(name: &str, backends: &[&Backend]) -> Setup {
    let mut text = fs::read_to_string(Path::new(FOLDER).join(name)).unwrap_or_default();
    let mut replace = |old: &str, new: &str| {
        assert!(text.contains(old), "{name} lacks {old}");
        text = text.replace(old, new);
    };
    replace("pid ngx.pid;", "pid {dir}/nginx.pid;");
    replace(
        "error_log stderr notice;",
        "error_log {dir}/error.log info;",
    );
    replace("listen 127.0.0.1:8080;", "listen 127.0.0.1:{port};");
    for (backend, port) in backends.iter().zip(9001..) {
        replace(&format!("127.0.0.1:{port}"), &backend.addr());
    }
    let text = text.replace("include ../", &format!("include {FOLDER}/../"));
    Setup::raw(&text)
}

#[test]
fn every_example_passes_the_test_without_warnings() {
    if !ours("our directives") {
        return;
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(FOLDER).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".conf") {
            let ran = example(&name).run(&["-t"]);
            ran.expect(0, "test is successful");
            assert!(!ran.stderr.contains("[warn]"), "{name}: {}", ran.stderr);
            names.push(name);
        }
    }
    let index = fs::read_to_string(Path::new(FOLDER).join("README.md")).unwrap();
    for name in &names {
        assert!(
            index.contains(&format!("[{name}]({name})")),
            "{name} is not in README.md"
        );
    }
    assert!(names.len() >= 7, "{names:?}");
}

#[test]
fn static_serves_a_folder() {
    let server = example("static.conf")
        .file("index.html", "home")
        .file("assets/app-0a1b2c.js", "code")
        .file("downloads/a.bin", "a")
        .start();
    assert_eq!(server.get("/").expect(200).text(), "home");
    assert!(
        server
            .get("/downloads/")
            .expect(200)
            .text()
            .contains("a.bin")
    );
    let asset = server.get("/assets/app-0a1b2c.js").expect(200);
    assert_eq!(asset.header("content-type"), Some("text/javascript"));
    let kept = asset.headers.all("cache-control");
    assert_eq!(kept, ["max-age=31536000", "immutable"]);
    server.get("/none").expect(404);
}

#[test]
fn proxy_prefers_its_servers_to_the_one_in_reserve() {
    let (a, b, reserve) = (
        Backend::named("a"),
        Backend::named("b"),
        Backend::named("reserve"),
    );
    let server = with_backends("proxy.conf", &[&a, &b, &reserve]).start();
    for _ in 0..8 {
        server.get("/").expect(200);
    }
    assert_eq!(reserve.requests().len(), 0);
    assert_eq!(
        (a.requests().len(), b.requests().len()),
        (6, 2),
        "by weight"
    );
}

#[test]
fn php_runs_nothing_and_shows_no_source() {
    let server = example("php-fpm.conf")
        .file("public/index.php", "<?php echo 1;")
        .file("public/logo.svg", "<svg/>")
        .file("public/uploads/evil.php", "<?php evil();")
        .file("public/uploads/cat.png", "cat")
        .file("public/.env", "SECRET")
        .start();
    let logo = server.get("/logo.svg").expect(200);
    assert_eq!(logo.header("content-type"), Some("image/svg+xml"));
    assert_eq!(server.get("/uploads/cat.png").expect(200).text(), "cat");
    server.get("/uploads/evil.php").expect(403);
    server.get("/.env").expect(404);
    for script in ["/index.php", "/index.php/info", "/", "/any/route?a=b"] {
        let answer = server.get(script).expect(503);
        assert!(!answer.text().contains("<?php"), "{script}");
    }
}

#[test]
fn spa_answers_routes_with_its_page_and_passes_the_api_on() {
    let api = Backend::http(|request| request.uri.clone());
    let server = with_backends("spa.conf", &[&api])
        .file("dist/index.html", "the page")
        .file("dist/assets/app.js", "code")
        .start();
    for route in ["/", "/users/7", "/assets"] {
        let page = server.get(route).expect(200);
        assert_eq!(page.text(), "the page", "{route}");
        assert_eq!(page.header("cache-control"), Some("no-cache"));
        assert_eq!(page.header("content-type"), Some("text/html"));
    }
    let asset = server.get("/assets/app.js").expect(200);
    assert_eq!(asset.text(), "code");
    server.get("/assets/old.js").expect(404);
    assert_eq!(
        server.get("/api/users?a=b").expect(200).text(),
        "/users?a=b"
    );
    assert_eq!(api.request().header("x-forwarded-proto"), Some("http"));
}

#[test]
fn the_gateway_wants_a_key_and_limits_it() {
    let (users, orders) = (Backend::named("users"), Backend::named("orders"));
    let server = with_backends("api-gateway.conf", &[&users, &users, &orders]).start();
    assert_eq!(
        server.get("/health").expect(200).text(),
        "{\"status\":\"up\"}\n"
    );
    server.get("/users/1").expect(401);
    server
        .request("TRACK /users/1 HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect(405);
    server.get("/nothing/1").expect(404);
    let ask = |server: &Server, key: &str, uri: &str| {
        server.get_with(uri, &format!("X-Api-Key: {key}\r\n"))
    };
    assert_eq!(ask(&server, "a", "/users/1").expect(200).text(), "users");
    assert_eq!(ask(&server, "a", "/orders/1").expect(200).text(), "orders");
    // Three windows of requests within one or two.
    let statuses: Vec<_> = (0..60)
        .map(|_| ask(&server, "b", "/users/1").status)
        .collect();
    let count = |status| statuses.iter().filter(|one| **one == status).count();
    assert!(count(200) >= 20 && count(429) >= 1, "{statuses:?}");
    assert_eq!(count(200) + count(429), 60, "{statuses:?}");
    assert_eq!(
        ask(&server, "c", "/users/1").expect(200).text(),
        "users",
        "another key"
    );
}

#[test]
fn websockets_go_through_beside_plain_requests() {
    let app = Backend::script(|conn| {
        let request = conn.request();
        if request.header("upgrade") != Some("websocket") {
            return conn.ok("plain");
        }
        conn.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        );
        let frame = conn.exact(5);
        conn.send(frame);
    });
    let server = with_backends("websocket.conf", &[&app]).start();
    assert_eq!(server.get("/").expect(200).text(), "plain");
    let mut client = server.connect();
    client.send(
        "GET /socket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    );
    assert_eq!(client.head().status, 101);
    server.get("/socket").expect(426);
    assert_eq!(client.send("frame").exact(5), b"frame");
}

#[test]
fn the_lua_application_shortens_links() {
    if !ours("Lua built in") {
        return;
    }
    let server = example("openresty.conf").start();
    let url = "https://example.com/a?b";
    let made = server.post("/links", url).expect(201);
    assert_eq!(made.text(), "{\"link\":\"\\/1\"}\n");
    let there = server.get("/1").expect(302);
    assert_eq!(there.header("location"), Some(url));
    server.get("/2").expect(404);
    server.post("/links", "no url").expect(400);
    assert!(
        server
            .get("/links")
            .expect(200)
            .text()
            .contains("example.com")
    );
}
