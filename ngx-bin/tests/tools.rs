//! Clients and servers of others, where they are installed.

mod support;

use support::{Backend, Server, Setup, curl, pattern, tool};

fn files() -> Server {
    let backend = "server { listen 127.0.0.1:{port2}; location / { return 200 \"$request_method $http_x\"; } }";
    Setup::http(&format!(
        "server {{
             listen 127.0.0.1:{{port}};
             location /back/ {{ proxy_pass http://127.0.0.1:{{port2}}/; }}
         }} {backend}"
    ))
    .file("html/big", pattern(2_000_000))
    .file("html/dir/index.html", "index")
    .start()
}

#[test]
fn curl_gets_a_file() {
    let server = files();
    let Some((ok, body)) = curl(&[&format!("http://{}/big", server.addr())]) else {
        return;
    };
    assert!(ok && body == pattern(2_000_000));
}

#[test]
fn curl_gets_several_files_over_one_connection() {
    let server = files();
    let url = format!("http://{}/dir/", server.addr());
    let args = ["-w", "[%{num_connects}]", &url, &url, &url];
    let Some((ok, body)) = curl(&args) else {
        return;
    };
    assert!(ok);
    assert_eq!(String::from_utf8_lossy(&body), "index[1]index[0]index[0]");
}

#[test]
fn curl_follows_the_redirect_to_a_folder() {
    let server = files();
    let Some((ok, body)) = curl(&["-L", &format!("http://{}/dir", server.addr())]) else {
        return;
    };
    assert!(ok);
    assert_eq!(body, b"index");
}

#[test]
fn curl_gets_a_range() {
    let server = files();
    let url = format!("http://{}/big", server.addr());
    let Some((ok, body)) = curl(&["-r", "100-199", &url]) else {
        return;
    };
    assert!(ok && body == pattern(200)[100..]);
}

#[test]
fn curl_talks_through_the_proxy() {
    let server = files();
    let url = format!("http://{}/back/", server.addr());
    let Some((ok, body)) = curl(&["-X", "PUT", "-d", "abc", "-H", "X: y", &url]) else {
        return;
    };
    assert!(ok);
    assert_eq!(body, b"PUT y");
}

#[test]
fn curl_uploads_and_expects_to_be_told_to_continue() {
    let backend = Backend::http(|request| (request.body == pattern(1_500_000)).to_string());
    let server = Setup::http(
        "client_max_body_size 8m;
         server { listen 127.0.0.1:{port}; location / { proxy_pass http://{backend}; } }",
    )
    .set("backend", backend.addr())
    .file("upload", pattern(1_500_000))
    .start();
    let (file, url) = (
        format!("@{}", server.path("upload").display()),
        server.addr(),
    );
    for framing in ["Expect: 100-continue", "Transfer-Encoding: chunked"] {
        let args = [
            "--data-binary",
            &file,
            "-H",
            framing,
            &format!("http://{url}/"),
        ];
        let Some((ok, body)) = curl(&args) else {
            return;
        };
        assert!(ok);
        assert_eq!(body, b"true", "{framing}");
    }
}

#[test]
fn a_real_nginx_is_a_backend() {
    let Some(nginx) = tool("nginx") else { return };
    let mut backend = Setup::main(
        "events { } http { access_log off; server {
             listen 127.0.0.1:{port}; root {dir}/html;
             location = /text { return 200 \"from nginx\"; } } }",
    )
    .file("html/big", pattern(3_000_000));
    let port = backend.fill("{port}");
    let backend = backend.start_with(&nginx);
    let server = Setup::http(
        "upstream u { server 127.0.0.1:{backend}; keepalive 2; }
         server { listen 127.0.0.1:{port}; location / {
             proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection \"\"; } }",
    )
    .set("backend", port)
    .start();
    for _ in 0..3 {
        assert_eq!(server.get("/text").expect(200).text(), "from nginx");
        assert!(server.get("/big").expect(200).body == pattern(3_000_000));
        server.get("/none").expect(404);
        server.get_with("/big", "Range: bytes=0-9\r\n").expect(206);
    }
    drop(backend);
}
