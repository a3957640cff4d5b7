//! `proxy_pass`: what the backend is sent and what the client gets back.

mod support;

use support::{Backend, Server, Setup, ours};

/// A server on `{port}` with these locations, where `{backend}` is the backend.
fn proxy(backend: &Backend, locations: &str) -> Server {
    Setup::http(&format!(
        "server {{ listen 127.0.0.1:{{port}}; {locations} }}"
    ))
    .set("backend", backend.addr())
    .start()
}

/// What a request for `uri` looks like to a backend behind `location`.
#[track_caller]
fn passed(location: &str, uri: &str) -> String {
    let backend = Backend::http(|request| request.uri.clone());
    proxy(&backend, location).get(uri).expect(200).text()
}

#[test]
fn a_response_is_passed_with_its_headers() {
    let backend = Backend::answer(
        "HTTP/1.1 203 Fine\r\nContent-Type: a/b\r\nX-Own: one\r\nX-Own: two\r\nSet-Cookie: a=1\r\n\
         Set-Cookie: b=2\r\nContent-Length: 5\r\n\r\nhello",
    );
    let response = proxy(&backend, "location / { proxy_pass http://{backend}; }").get("/");
    assert_eq!((response.status, response.text().as_str()), (203, "hello"));
    assert_eq!(response.header("content-type"), Some("a/b"));
    assert_eq!(response.headers.all("x-own"), ["one", "two"]);
    assert_eq!(response.headers.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(response.header("content-length"), Some("5"));
}

#[test]
fn an_uri_is_passed_as_it_came() {
    let location = "location / { proxy_pass http://{backend}; }";
    assert_eq!(
        passed(location, "/a%20b/../%2f//c?d=%20"),
        "/a%20b/../%2f//c?d=%20"
    );
}

#[test]
fn an_uri_part_replaces_the_prefix() {
    let location = "location /name/ { proxy_pass http://{backend}/remote/; }";
    assert_eq!(passed(location, "/name/a/b?c"), "/remote/a/b?c");
    assert_eq!(passed(location, "/name/%61%20b//c"), "/remote/a%20b/c");
    let location = "location /name { proxy_pass http://{backend}/; }";
    assert_eq!(passed(location, "/name/a"), "//a");
    assert_eq!(passed(location, "/namely"), "/ly");
}

#[test]
fn variables_make_the_whole_uri() {
    let location = "location / { proxy_pass http://{backend}/to$uri?from=$arg_a; }";
    assert_eq!(passed(location, "/x?a=b&c=d"), "/to/x?from=b");
}

#[test]
fn a_variable_may_be_the_address() {
    let location = "location / { set $to {backend}; proxy_pass http://$to; }";
    assert_eq!(passed(location, "/x?a=b"), "/x?a=b");
}

#[test]
fn a_regex_location_takes_no_uri_part() {
    let mut setup = Setup::http("server { location ~ a { proxy_pass http://127.0.0.1/b; } }");
    setup.run(&["-t"]).expect(
        1,
        "\"proxy_pass\" cannot have URI part in location given by regular",
    );
}

#[test]
fn the_host_of_the_address_is_sent_by_default() {
    let backend = Backend::named("ok");
    proxy(&backend, "location / { proxy_pass http://{backend}; }")
        .get("/")
        .expect(200);
    assert_eq!(
        backend.request().header("host"),
        Some(backend.addr().as_str())
    );
}

#[test]
fn proxy_set_header_sets_and_removes() {
    let backend = Backend::named("ok");
    let server = proxy(
        &backend,
        "location / {
             proxy_pass http://{backend};
             proxy_set_header Host $host;
             proxy_set_header X-Real-IP $remote_addr;
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
             proxy_set_header X-Forwarded-Proto $scheme;
             proxy_set_header Accept-Encoding \"\";
         }",
    );
    let headers = "X-Forwarded-For: 10.0.0.1\r\nAccept-Encoding: gzip\r\nX-Kept: yes\r\n";
    server.get_with("/", headers).expect(200);
    let request = backend.request();
    assert_eq!(request.header("host"), Some("localhost"));
    assert_eq!(request.header("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(
        request.header("x-forwarded-for"),
        Some("10.0.0.1, 127.0.0.1")
    );
    assert_eq!(request.header("x-forwarded-proto"), Some("http"));
    assert_eq!(request.header("accept-encoding"), None);
    assert_eq!(request.header("x-kept"), Some("yes"));
}

#[test]
fn headers_of_one_hop_stay_on_it() {
    let backend = Backend::named("ok");
    let server = proxy(
        &backend,
        "location / { proxy_pass http://{backend}; proxy_http_version 1.1; proxy_set_header Connection \"\"; }",
    );
    server.get_with(
        "/",
        "Keep-Alive: 5\r\nTE: trailers\r\nUpgrade: x\r\nExpect: \r\n",
    );
    let request = backend.request();
    for name in [
        "connection",
        "keep-alive",
        "te",
        "upgrade",
        "transfer-encoding",
        "content-length",
    ] {
        assert_eq!(request.header(name), None, "{name}");
    }
}

#[test]
fn proxy_http_version_is_what_the_backend_sees() {
    for version in ["1.0", "1.1"] {
        let backend = Backend::named("ok");
        let location = format!(
            "location / {{ proxy_pass http://{{backend}}; proxy_http_version {version};
                           proxy_set_header Connection close; }}"
        );
        proxy(&backend, &location).get("/").expect(200);
        let request = backend.request();
        assert_eq!(request.version, format!("HTTP/{version}"));
        assert_eq!(request.header("connection"), Some("close"));
    }
}

#[test]
fn the_method_is_passed_or_replaced() {
    let backend = Backend::http(|request| request.method.clone());
    let server = proxy(
        &backend,
        "location / { proxy_pass http://{backend}; }
         location /get { proxy_pass http://{backend}; proxy_method PATCH; proxy_pass_request_body off;
                         proxy_set_header Content-Length \"\"; }",
    );
    let delete = server.request("DELETE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(delete.text(), "DELETE");
    assert_eq!(server.post("/get", "abc").text(), "PATCH");
    assert_eq!(backend.requests()[1].text(), "");
}

#[test]
fn a_body_is_passed_with_its_length() {
    let backend = Backend::http(|request| format!("{} {}", request.method, request.text()));
    let server = proxy(&backend, "location / { proxy_pass http://{backend}; }");
    assert_eq!(server.post("/", "hello").text(), "POST hello");
    assert_eq!(backend.request().header("content-length"), Some("5"));
}

#[test]
fn proxy_pass_request_headers_off_sends_ours_alone() {
    let backend = Backend::named("ok");
    let server = proxy(
        &backend,
        "location / { proxy_pass http://{backend}; proxy_pass_request_headers off; }",
    );
    server.get_with("/", "X-Own: a\r\n").expect(200);
    assert_eq!(backend.request().header("x-own"), None);
    assert!(backend.request().header("host").is_some());
}

#[test]
fn headers_of_a_response_are_hidden_or_passed() {
    let backend = Backend::answer(
        "HTTP/1.0 200 OK\r\nServer: theirs\r\nX-Pad: pad\r\nX-Secret: s\r\nX-Open: o\r\n\r\n",
    );
    let server = proxy(
        &backend,
        "location / { proxy_pass http://{backend}; proxy_hide_header X-Secret; }
         location /pass { proxy_pass http://{backend}; proxy_pass_header Server; }",
    );
    let hidden = server.get("/");
    assert_ne!(hidden.header("server"), Some("theirs"));
    assert_eq!(
        (hidden.header("x-secret"), hidden.header("x-pad")),
        (None, None)
    );
    assert_eq!(hidden.header("x-open"), Some("o"));
    let passed = server.get("/pass");
    assert_eq!(passed.header("server"), Some("theirs"));
    assert_eq!(passed.header("x-secret"), Some("s"));
}

/// The `Location` a client gets when the backend sends `location`.
#[track_caller]
fn redirected(directives: &str, location: &str) -> String {
    let backend = Backend::script({
        let location = location.to_owned();
        move |conn| {
            let request = conn.request();
            let host = request.header("host").unwrap_or_default().to_owned();
            let location = location.replace("SELF", &format!("http://{host}"));
            conn.send(format!(
                "HTTP/1.0 302 Found\r\nLocation: {location}\r\n\r\n"
            ));
        }
    });
    let server = proxy(&backend, &format!("location /front/ {{ {directives} }}"));
    let response = server.get("/front/x").expect(302);
    let location = response.header("location").unwrap_or_default();
    location.replace(&server.addr().replace("127.0.0.1", "localhost"), "HERE")
}

#[test]
fn a_redirect_of_the_backend_points_at_the_front() {
    let to = redirected("proxy_pass http://{backend}/back/;", "SELF/back/y");
    assert_eq!(to, "http://HERE/front/y");
}

#[test]
fn a_redirect_elsewhere_is_left_alone() {
    let to = redirected("proxy_pass http://{backend}/back/;", "http://example.org/y");
    assert_eq!(to, "http://example.org/y");
    let to = redirected(
        "proxy_pass http://{backend}/back/; proxy_redirect off;",
        "/back/y",
    );
    assert_eq!(to, "/back/y");
}

#[test]
fn proxy_redirect_replaces_by_its_own_words() {
    let to = redirected(
        "proxy_pass http://{backend}; proxy_redirect http://inner/ http://outer/;",
        "http://inner/y",
    );
    assert_eq!(to, "http://outer/y");
    let to = redirected(
        "proxy_pass http://{backend}; proxy_redirect ~^http://(\\w+)/(.*)$ http://$1.org/$2;",
        "http://inner/y",
    );
    assert_eq!(to, "http://inner.org/y");
}

#[test]
fn head_is_passed_and_has_no_body() {
    let backend = Backend::script(|conn| {
        assert_eq!(conn.request().method, "HEAD");
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    });
    let server = proxy(&backend, "location / { proxy_pass http://{backend}; }");
    let mut client = server.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(
        client
            .response_to_head()
            .expect(200)
            .header("content-length"),
        Some("1000")
    );
    client.expect_close();
}

#[test]
fn a_304_is_passed_without_a_body() {
    let backend = Backend::answer("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n");
    let server = proxy(&backend, "location / { proxy_pass http://{backend}; }");
    let mut client = server.connect();
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"a\"\r\n\r\n");
        assert_eq!(client.response().expect(304).header("etag"), Some("\"a\""));
    }
    assert_eq!(backend.requests()[0].header("if-none-match"), Some("\"a\""));
}

#[test]
fn a_204_is_passed_without_a_body() {
    let backend = Backend::answer("HTTP/1.1 204 No Content\r\n\r\n");
    let server = proxy(&backend, "location / { proxy_pass http://{backend}; }");
    assert_eq!(server.get("/").expect(204).body.len(), 0);
}

#[test]
fn a_response_without_a_length_is_chunked_to_the_client() {
    let backend = Backend::answer("HTTP/1.0 200 OK\r\n\r\nhello");
    let server = proxy(&backend, "location / { proxy_pass http://{backend}; }");
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = client.response();
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    assert_eq!(response.text(), "hello");
    client.send("GET / HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!(response.header("transfer-encoding"), None);
    assert_eq!(response.text(), "hello");
}

#[test]
fn a_chunked_response_is_decoded() {
    let backend = Backend::script(|conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for byte in b"5;ext=\"x\"\r\nhello\r\n7\r\n, world\r\n0\r\nX-Trailer: t\r\n\r\n" {
            conn.send([*byte]);
        }
        conn.hold();
    });
    let server = proxy(
        &backend,
        "location / { proxy_pass http://{backend}; proxy_http_version 1.1; }",
    );
    assert_eq!(server.get("/").expect(200).text(), "hello, world");
    let mut client = server.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().text(), "hello, world");
}

#[test]
fn a_response_may_come_one_byte_at_a_time() {
    let backend = Backend::script(|conn| {
        conn.request();
        for byte in b"HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello" {
            conn.send([*byte]);
            support::pause(1);
        }
    });
    let response = proxy(&backend, "location / { proxy_pass http://{backend}; }").get("/");
    assert_eq!(
        (response.header("x-a"), response.text().as_str()),
        (Some("b"), "hello")
    );
}

#[test]
fn an_interim_response_is_skipped() {
    // nginx does so since 1.29.
    if !ours("interim responses of a backend") {
        return;
    }
    let backend = Backend::answer(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nX: y\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    );
    let server = proxy(
        &backend,
        "location / { proxy_pass http://{backend}; proxy_http_version 1.1; }",
    );
    assert_eq!(server.get("/").expect(200).text(), "hello");
}

#[test]
fn the_variables_of_an_upstream_are_logged() {
    let backend =
        Backend::answer("HTTP/1.1 201 Created\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello");
    let server = Setup::http(
        r#"log_format up "$upstream_addr|$upstream_status|$upstream_response_length|$upstream_http_x_a|$upstream_response_time|$proxy_host|$proxy_port";
           access_log {dir}/up.log up;
           server { listen 127.0.0.1:{port}; location / { proxy_pass http://{backend}; } }"#,
    )
    .set("backend", backend.addr())
    .start();
    server.get("/").expect(201);
    server.expect_in("up.log", "\n");
    let log = server.read("up.log");
    let fields: Vec<&str> = log.trim_end().split('|').collect();
    let addr = backend.addr();
    assert_eq!(fields[..4], [addr.as_str(), "201", "5", "b"], "{log}");
    assert!(fields[4].parse::<f64>().is_ok(), "{log}");
    assert_eq!(
        fields[5..],
        [addr.as_str(), addr.rsplit(':').next().unwrap_or_default()],
        "{log}"
    );
}

#[test]
fn add_header_and_error_page_apply_to_proxied_responses() {
    let backend = Backend::answer("HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nOops");
    let server = proxy(
        &backend,
        "add_header X-Front yes always;
         error_page 500 /sorry;
         location = /sorry { return 200 sorry; }
         location /as-is { proxy_pass http://{backend}; }
         location /own { proxy_pass http://{backend}; proxy_intercept_errors on; }",
    );
    let as_is = server.get("/as-is").expect(500);
    assert_eq!(
        (as_is.text().as_str(), as_is.header("x-front")),
        ("Oops", Some("yes"))
    );
    assert_eq!(server.get("/own").text(), "sorry");
}

#[test]
fn a_unix_socket_may_be_the_backend() {
    let server = Setup::http(
        "server { listen unix:{dir}/back.sock; location / { return 200 \"unix $uri\"; } }
         server {
             listen 127.0.0.1:{port};
             location / { proxy_pass http://unix:{dir}/back.sock; }
             location /uri/ { proxy_pass http://unix:{dir}/back.sock:/x/; }
         }",
    )
    .start();
    assert_eq!(server.get("/a").text(), "unix /a");
    assert_eq!(server.get("/uri/a").text(), "unix /x/a");
}

#[test]
fn a_server_may_proxy_to_itself() {
    let server = Server::start(
        "server {
             listen 127.0.0.1:{port};
             location /one { proxy_pass http://127.0.0.1:{port}/two; }
             location /two { proxy_pass http://127.0.0.1:{port}/three; }
             location /three { return 200 three; }
         }",
    );
    assert_eq!(server.get("/one").text(), "three");
}

#[test]
fn keepalive_clients_get_one_proxied_response_after_another() {
    let backend = Backend::http(|request| request.uri.clone());
    let server = proxy(&backend, "location / { proxy_pass http://{backend}; }");
    let mut client = server.connect();
    for i in 0..20 {
        client.send(format!("GET /{i} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    for i in 0..20 {
        assert_eq!(client.response().text(), format!("/{i}"));
    }
}

#[test]
fn expires_modified_counts_from_what_the_backend_says() {
    let backend = Backend::answer(
        "HTTP/1.1 200 OK\r\nLast-Modified: Mon, 28 Sep 1970 06:00:00 GMT\r\n\
         Content-Length: 0\r\n\r\n",
    );
    let response = proxy(
        &backend,
        "location / { expires modified 1h; proxy_pass http://{backend}; }",
    )
    .get("/")
    .expect(200);
    let expires = response.header("expires");
    assert_eq!(expires, Some("Mon, 28 Sep 1970 07:00:00 GMT"));
}

#[test]
fn of_fields_that_come_once_the_first_counts() {
    let backend = Backend::answer(
        "HTTP/1.1 200 OK\r\nExpires: first\r\nExpires: second\r\nX-A: 1\r\nX-A: 2\r\n\
         Content-Length: 0\r\n\r\n",
    );
    let server = proxy(&backend, "location / { proxy_pass http://{backend}; }");
    let response = server.get("/").expect(200);
    assert_eq!(response.headers.all("expires"), ["first"]);
    assert_eq!(response.headers.all("x-a"), ["1", "2"]);
    server.expect_error_log("upstream sent duplicate header line: \"Expires: second\", ignored");
}

#[test]
fn a_cookie_of_the_backend_is_a_variable() {
    let backend = Backend::answer(
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b = 2 3; Path=/\r\n\
         Content-Length: 0\r\n\r\n",
    );
    let server = proxy(
        &backend,
        "location / { add_header X-B \"<$upstream_cookie_b>\"; proxy_pass http://{backend}; }",
    );
    assert_eq!(server.get("/").header("x-b"), Some("<2 3>"));
}

#[test]
fn a_backend_may_limit_the_rate() {
    let backend = Backend::answer(
        "HTTP/1.1 200 OK\r\nX-Accel-Limit-Rate: 12345\r\nContent-Length: 0\r\n\r\n",
    );
    let server = proxy(
        &backend,
        "location / { add_header X-Rate $limit_rate; proxy_pass http://{backend}; }
         location /no { proxy_ignore_headers X-Accel-Limit-Rate; add_header X-Rate $limit_rate;
                        proxy_pass http://{backend}; }",
    );
    assert_eq!(server.get("/").header("x-rate"), Some("12345"));
    assert_eq!(server.get("/no").header("x-rate"), Some("0"));
}

#[test]
fn hiding_the_length_does_not_change_the_framing() {
    let backend = Backend::answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let location = "location / { proxy_hide_header Content-Length; proxy_pass http://{backend}; }";
    let response = proxy(&backend, location).get("/").expect(200);
    assert_eq!(response.header("content-length"), Some("5"));
    assert_eq!(response.header("transfer-encoding"), None);
}

#[test]
fn decoded_variables_end_neither_a_line_nor_the_request() {
    if !ours("escapes what variables put into a request") {
        return;
    }
    let backend = Backend::http(|request| {
        let evil = request.headers.all("evil").len();
        let own = request.headers.all("x-own").join("|");
        format!("{} {} {evil} {own}", request.method, request.uri)
    });
    let server = proxy(
        &backend,
        "location /line { proxy_pass http://{backend}/; proxy_set_header X-Own $uri; }
         location /uri { proxy_pass http://{backend}$uri; }",
    );
    let text = server.get("/line%0d%0aEvil:%201").expect(200).text();
    assert_eq!(text, "GET /%0D%0AEvil:%201 0 /line  Evil: 1");
    let text = server
        .get("/uri%20HTTP/1.1%0d%0aEvil:%201")
        .expect(200)
        .text();
    assert_eq!(text, "GET /uri%20HTTP/1.1%0D%0AEvil:%201 0 ");
}
