//! Static files: validators, conditions, ranges, and what is no file.

mod support;

use support::{Server, Setup, pattern};

/// 1994-11-15 12:45:26 UTC, in seconds since 1970.
const MODIFIED: u64 = 784_903_526;
const LAST_MODIFIED: &str = "Tue, 15 Nov 1994 12:45:26 GMT";
const ETAG: &str = "\"2ec8ad66-a\"";

fn server_with(content: &str) -> Server {
    Setup::http(content)
        .file("html/ten.txt", "0123456789")
        .modified("html/ten.txt", MODIFIED)
        .file("html/empty", "")
        .file("html/dir/x.txt", "x")
        .start()
}

fn server() -> Server {
    server_with("server { listen 127.0.0.1:{port}; }")
}

#[test]
fn a_file_has_validators_and_accepts_ranges() {
    let response = server().get("/ten.txt").expect(200);
    assert_eq!(response.text(), "0123456789");
    assert_eq!(response.header("last-modified"), Some(LAST_MODIFIED));
    assert_eq!(response.header("etag"), Some(ETAG));
    assert_eq!(response.header("accept-ranges"), Some("bytes"));
    assert_eq!(response.header("content-length"), Some("10"));
}

#[test]
fn an_empty_file_is_a_file() {
    let response = server().get("/empty").expect(200);
    assert_eq!(
        (response.header("content-length"), response.body.len()),
        (Some("0"), 0)
    );
}

#[test]
fn head_of_a_file_has_no_body() {
    let server = server();
    let mut client = server.connect();
    client
        .send("HEAD /ten.txt HTTP/1.1\r\nHost: a\r\n\r\nGET /ten.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        client.response_to_head().header("content-length"),
        Some("10")
    );
    assert_eq!(client.response().text(), "0123456789");
}

/// GETs the ten bytes under a condition.
#[track_caller]
fn conditional(headers: &str, status: u16) {
    let response = server().get_with("/ten.txt", headers);
    assert_eq!(response.status, status, "{headers:?}");
    match status {
        304 => {
            assert_eq!(
                (response.body.len(), response.header("content-length")),
                (0, None)
            );
            assert_eq!(response.header("etag"), Some(ETAG));
            assert_eq!(response.header("last-modified"), Some(LAST_MODIFIED));
        }
        200 => assert_eq!(response.text(), "0123456789"),
        _ => {}
    }
}

#[test]
fn if_modified_since_the_same_time_is_304() {
    conditional(&format!("If-Modified-Since: {LAST_MODIFIED}\r\n"), 304);
    conditional("If-Modified-Since: Tue, 15 Nov 1994 12:45:25 GMT\r\n", 200);
    conditional("If-Modified-Since: yesterday\r\n", 200);
}

#[test]
fn if_modified_since_is_exact_unless_told_otherwise() {
    conditional("If-Modified-Since: Tue, 15 Nov 2022 12:45:26 GMT\r\n", 200);
    let server = server_with("if_modified_since before; server { listen 127.0.0.1:{port}; }");
    let headers = "If-Modified-Since: Tue, 15 Nov 2022 12:45:26 GMT\r\n";
    server.get_with("/ten.txt", headers).expect(304);
}

#[test]
fn if_none_match_of_the_same_tag_is_304() {
    conditional(&format!("If-None-Match: {ETAG}\r\n"), 304);
    conditional(&format!("If-None-Match: W/{ETAG}\r\n"), 304);
    conditional(&format!("If-None-Match: \"a\", {ETAG}\r\n"), 304);
    conditional("If-None-Match: *\r\n", 304);
    conditional("If-None-Match: \"a\"\r\n", 200);
}

#[test]
fn if_none_match_outweighs_if_modified_since() {
    conditional(
        &format!("If-None-Match: \"a\"\r\nIf-Modified-Since: {LAST_MODIFIED}\r\n"),
        200,
    );
}

#[test]
fn if_match_of_another_tag_is_412() {
    conditional("If-Match: \"a\"\r\n", 412);
    conditional(&format!("If-Match: W/{ETAG}\r\n"), 412);
    conditional(&format!("If-Match: {ETAG}\r\n"), 200);
    conditional("If-Match: *\r\n", 200);
}

#[test]
fn if_unmodified_since_an_earlier_time_is_412() {
    conditional(
        "If-Unmodified-Since: Tue, 15 Nov 1994 12:45:25 GMT\r\n",
        412,
    );
    conditional(&format!("If-Unmodified-Since: {LAST_MODIFIED}\r\n"), 200);
}

#[test]
fn etag_off_sends_and_checks_none() {
    let server = server_with("etag off; server { listen 127.0.0.1:{port}; }");
    let response = server
        .get_with("/ten.txt", &format!("If-None-Match: {ETAG}\r\n"))
        .expect(200);
    assert_eq!(response.header("etag"), None);
}

/// GETs a range of the ten bytes that is served as one part.
#[track_caller]
fn range(range: &str, content_range: &str, body: &str) {
    let response = server()
        .get_with("/ten.txt", &format!("Range: {range}\r\n"))
        .expect(206);
    assert_eq!(
        response.header("content-range"),
        Some(content_range),
        "{range}"
    );
    assert_eq!(response.text(), body, "{range}");
    assert_eq!(
        response.header("content-length"),
        Some(body.len().to_string().as_str())
    );
}

#[test]
fn one_range_is_206() {
    range("bytes=2-4", "bytes 2-4/10", "234");
    range("bytes=0-0", "bytes 0-0/10", "0");
    range("bytes=8-100", "bytes 8-9/10", "89");
}

#[test]
fn an_open_range_goes_to_the_end() {
    range("bytes=7-", "bytes 7-9/10", "789");
}

#[test]
fn a_suffix_range_counts_from_the_end() {
    range("bytes=-3", "bytes 7-9/10", "789");
    range("bytes=-100", "bytes 0-9/10", "0123456789");
}

#[test]
fn a_range_beyond_the_end_is_416() {
    let server = server();
    for bad in [
        "bytes=10-",
        "bytes=20-30",
        "bytes=5-2",
        "bytes=x",
        "bytes=-0",
    ] {
        let response = server.get_with("/ten.txt", &format!("Range: {bad}\r\n"));
        assert_eq!(response.status, 416, "{bad}");
        assert_eq!(
            response.header("content-range"),
            Some("bytes */10"),
            "{bad}"
        );
    }
}

#[test]
fn another_unit_is_no_range() {
    let response = server()
        .get_with("/ten.txt", "Range: lines=1-2\r\n")
        .expect(200);
    assert_eq!(response.text(), "0123456789");
}

#[test]
fn several_ranges_are_parts() {
    let server = server_with("types { text/plain txt; } server { listen 127.0.0.1:{port}; }");
    let response = server
        .get_with("/ten.txt", "Range: bytes=0-1,4-5,-1\r\n")
        .expect(206);
    let kind = response.header("content-type").expect("a type");
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .expect("parts");
    let part = |range, body| {
        format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain\r\n\
             Content-Range: bytes {range}/10\r\n\r\n{body}"
        )
    };
    let expected = [
        part("0-1", "01"),
        part("4-5", "45"),
        part("9-9", "9"),
        format!("\r\n--{boundary}--\r\n"),
    ];
    assert_eq!(response.text(), expected.concat());
}

#[test]
fn ranges_longer_together_than_the_file_get_the_file() {
    let response = server()
        .get_with("/ten.txt", "Range: bytes=0-8,1-9\r\n")
        .expect(200);
    assert_eq!(response.text(), "0123456789");
}

#[test]
fn max_ranges_bounds_them() {
    let server = server_with("max_ranges 1; server { listen 127.0.0.1:{port}; }");
    server
        .get_with("/ten.txt", "Range: bytes=0-1\r\n")
        .expect(206);
    server
        .get_with("/ten.txt", "Range: bytes=0-1,4-5\r\n")
        .expect(200);
}

#[test]
fn if_range_must_match() {
    let server = server();
    for (validator, status) in [
        (ETAG, 206),
        ("\"a\"", 200),
        (LAST_MODIFIED, 206),
        ("Tue, 15 Nov 1994 12:45:25 GMT", 200),
    ] {
        let headers = format!("Range: bytes=0-1\r\nIf-Range: {validator}\r\n");
        assert_eq!(
            server.get_with("/ten.txt", &headers).status,
            status,
            "{validator}"
        );
    }
}

#[test]
fn head_of_a_range_is_206() {
    let server = server();
    let mut client = server.connect();
    client.send("HEAD /ten.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=1-2\r\n\r\n");
    assert_eq!(
        client
            .response_to_head()
            .expect(206)
            .header("content-length"),
        Some("2")
    );
}

#[test]
fn ten_mebibytes_arrive_whole_with_sendfile() {
    ten_mebibytes("sendfile on; tcp_nopush on;");
}

#[test]
fn ten_mebibytes_arrive_whole_without_sendfile() {
    ten_mebibytes("sendfile off; output_buffers 2 32k;");
}

fn ten_mebibytes(how: &str) {
    let bytes = pattern(10 << 20);
    let server = Setup::http(&format!("{how} server {{ listen 127.0.0.1:{{port}}; }}"))
        .file("html/big", &bytes)
        .start();
    let mut client = server.connect();
    for _ in 0..2 {
        client.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(
            client.response().expect(200).body == bytes,
            "other bytes than the file's"
        );
    }
    let range = server
        .get_with("/big", "Range: bytes=5000000-8999999\r\n")
        .expect(206);
    assert!(
        range.body == bytes[5_000_000..9_000_000],
        "other bytes than the range's"
    );
}

#[test]
fn posting_to_a_file_is_405() {
    let server = server();
    server.post("/ten.txt", "abc").expect(405);
    server
        .request("DELETE /ten.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .expect(405);
}

#[test]
fn a_missing_file_is_404_and_logged_once() {
    let server = server();
    assert!(
        server
            .get("/none.txt")
            .expect(404)
            .text()
            .contains("<h1>404 Not Found</h1>")
    );
    let path = server.path("html/none.txt").display().to_string();
    server.expect_error_log(&format!(
        "open() \"{path}\" failed (2: No such file or directory), client: 127.0.0.1, server: , \
         request: \"GET /none.txt HTTP/1.1\", host: \"localhost\""
    ));
}

#[test]
fn log_not_found_off_says_nothing() {
    let server = server_with("log_not_found off; server { listen 127.0.0.1:{port}; }");
    server.get("/none.txt").expect(404);
    server.expect_access_log("/none.txt");
    assert!(!server.error_log().contains("none.txt"));
}

#[test]
fn a_file_used_as_a_folder_is_404() {
    let server = server();
    server.get("/ten.txt/").expect(404);
    server.get("/ten.txt/x").expect(404);
}

#[test]
fn a_folder_without_its_slash_is_redirected() {
    let server = server();
    let response = server.get("/dir?a=b").expect(301);
    let location = format!("http://localhost:{}/dir/?a=b", server.port(0));
    assert_eq!(response.header("location"), Some(location.as_str()));
}

#[test]
fn a_redirect_to_a_folder_keeps_odd_letters_escaped() {
    let server = Setup::http("server { listen 127.0.0.1:{port}; absolute_redirect off; }")
        .file("html/a b%/x", "")
        .start();
    let response = server.get("/a%20b%25").expect(301);
    assert_eq!(response.header("location"), Some("/a%20b%25/"));
}

#[test]
fn nothing_outside_of_the_root_is_served() {
    let server = Setup::http("server { listen 127.0.0.1:{port}; }")
        .file("secret", "secret")
        .start();
    for uri in [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/a/%2e./../secret",
        "/\\..\\secret",
    ] {
        let response = server.get(uri);
        assert!([400, 404].contains(&response.status), "{uri}: {response:?}");
    }
    server.get("/ten.txt%00.html").expect(400);
}

#[test]
fn a_name_too_long_for_the_file_system_is_404_or_414() {
    let server = server();
    let response = server.get(&format!("/{}", "a".repeat(4500)));
    assert!([404, 414].contains(&response.status), "{response:?}");
    server.get("/ten.txt").expect(200);
}
