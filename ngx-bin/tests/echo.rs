//! `ngx_http_echo_module`.

mod support;

use std::time::{Duration, Instant};

use support::{Server, Setup, ours};

fn setup(locations: &str) -> Setup {
    let names = ["ngx_http_echo"];
    Setup::with_modules(
        &names,
        &format!("server {{ listen 127.0.0.1:{{port}}; default_type text/plain; {locations} }}"),
    )
}

fn server(locations: &str) -> Server {
    setup(locations).start()
}

fn get(server: &Server, uri: &str) -> String {
    server.get(uri).expect(200).text()
}

#[test]
fn words_are_sent_line_by_line() {
    let server = server(
        r#"location /lines { echo hello; echo "a  b" c; echo; echo -n no; echo -n ""; echo " break"; }
           location /options { echo -- -n is an option; echo - dash; echo a -n; }
           location /variables { set $opt -n; echo $opt "$arg_a,$arg_b" ${arg_a}s; }
           location /empty { echo ""; echo "" a; echo a "" b; }
           location /tab { echo "a\tb\r"; }"#,
    );
    let response = server.get("/lines").expect(200);
    assert_eq!(response.text(), "hello\na  b c\n\nno break\n");
    assert_eq!(response.header("content-type"), Some("text/plain"));
    assert_eq!(response.header("content-length"), None);
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    assert_eq!(get(&server, "/options"), "-n is an option\n- dash\na -n\n");
    assert_eq!(get(&server, "/variables?a=1&b=2"), "-n 1,2 1s\n");
    assert_eq!(get(&server, "/empty"), "\n a\na  b\n");
    assert_eq!(get(&server, "/tab"), "a\tb\r\n");
}

#[test]
fn a_head_request_gets_no_body_and_old_clients_no_chunks() {
    let server = server("location / { echo a; echo_sleep 0.001; echo b; }");
    let mut client = server.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        client
            .response_to_head()
            .expect(200)
            .header("content-length"),
        None
    );
    client.send("GET / HTTP/1.0\r\n\r\n");
    let response = client.response().expect(200);
    assert_eq!(response.header("transfer-encoding"), None);
    assert_eq!(response.text(), "a\nb\n");
}

#[test]
fn a_text_is_repeated() {
    let server = server(
        r#"location / {
               echo_duplicate 3 abc; echo_duplicate 0 x; echo_duplicate 1_0 ""; echo_duplicate $arg_n -;
               echo_duplicate -- 2 "--"; echo;
           }
           location /long { echo_duplicate 3_000_000 0123456789; }
           location /none { echo_duplicate 0 a; }"#,
    );
    assert_eq!(get(&server, "/?n=2"), "abcabcabc------\n");
    assert_eq!(get(&server, "/none"), "");
    let long = get(&server, "/long");
    assert_eq!(long.len(), 30_000_000);
    assert!(
        long.as_bytes()
            .chunks(10)
            .all(|chunk| chunk == b"0123456789")
    );
    let mut client = server.connect();
    client.send("GET /?n=x HTTP/1.1\r\nHost: a\r\n\r\n");
    // What was sent before that may have gone out.
    client.rest();
    server.expect_error_log("invalid size specified: \"x\"");
}

#[test]
fn a_flush_sends_what_there_is_while_others_go_on() {
    let server = server(
        "location /slow { echo first; echo_flush; echo_sleep 0.6; echo second; }
         location /fast { echo fast; }",
    );
    let began = Instant::now();
    let mut slow = server.connect();
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    slow.head().expect(200);
    assert_eq!(
        (slow.line().as_str(), slow.line().as_str()),
        ("6", "first\n")
    );
    assert_eq!(get(&server, "/fast"), "fast\n");
    assert!(
        began.elapsed() < Duration::from_millis(500),
        "{:?}",
        began.elapsed()
    );
    let rest = String::from_utf8(slow.rest()).unwrap();
    assert_eq!(rest, "7\r\nsecond\n\r\n0\r\n\r\n");
    assert!(began.elapsed() >= Duration::from_millis(590));
}

#[test]
fn the_timer_counts_from_the_request_or_from_a_reset() {
    let server = server(
        "location / { echo_sleep 0.11; echo $echo_timer_elapsed; echo_reset_timer;
                      echo $echo_timer_elapsed; echo_blocking_sleep 0.03; echo $echo_timer_elapsed; }",
    );
    let text = get(&server, "/");
    let times: Vec<f64> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert!((0.10..0.5).contains(&times[0]), "{text}");
    assert!(
        times[1] < 0.02 && (0.025..0.3).contains(&times[2]),
        "{text}"
    );
    assert!(
        text.lines()
            .all(|line| line.split_once('.').unwrap().1.len() == 3)
    );
}

#[test]
fn a_sleep_of_no_duration_is_a_bad_request() {
    let server = server("location / { echo_sleep $arg_s; echo slept; }");
    assert_eq!(get(&server, "/?s=0.001"), "slept\n");
    assert_eq!(get(&server, "/?s=0"), "slept\n");
    server.get("/?s=x").expect(400);
    server.expect_error_log("invalid sleep duration \"x\"");
}

#[test]
fn the_request_body_is_read_and_sent() {
    let server = server(
        r#"client_body_buffer_size 4k;
           location /variable { echo_read_request_body; echo "[$echo_request_body]"; echo -n [$request_body]; }
           location /whole { echo_read_request_body; echo_request_body; echo -n .; }
           location /unread { echo_request_body; echo "[$echo_request_body]"; }"#,
    );
    let variable = server.post("/variable", "a=1&b").expect(200);
    assert_eq!(variable.text(), "[a=1&b]\n[a=1&b]");
    assert_eq!(server.post("/variable", "").expect(200).text(), "[]\n[]");
    assert_eq!(server.post("/unread", "x").expect(200).text(), "[]\n");
    assert_eq!(server.post("/whole", "body").expect(200).text(), "body.");
    let long = support::pattern(100_000);
    let response = server.post("/whole", &long).expect(200);
    assert_eq!(response.body, [&long[..], b"."].concat());
}

#[test]
fn an_unread_body_does_not_become_a_request() {
    let server = server("location / { echo $uri; }");
    let mut client = server.connect();
    client.send("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    client.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().expect(200).text(), "/1\n");
    assert_eq!(client.response().expect(200).text(), "/2\n");
}

#[test]
fn variables_tell_about_the_request() {
    let server = server(
        r#"location /method { echo $echo_request_method $echo_client_request_method; }
           location /uri { echo "$echo_request_uri $echo_cacheable_request_uri"; }
           location /headers { echo -n $echo_client_request_headers; }
           location /count { echo $echo_incr; echo $echo_incr $echo_incr; }
           location /status { echo_status 404; echo a; echo $echo_response_status; }"#,
    );
    let method = server.request("FOO /method HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(method.text(), "FOO FOO\n");
    assert_eq!(get(&server, "/uri%20x?a=1"), "/uri x /uri x\n");
    let sent =
        "GET /headers?a HTTP/1.1\r\nHost: a\r\nX-One:  1\r\nx-one: 2\r\nConnection: close\r\n\r\n";
    assert_eq!(server.request(sent).expect(200).text(), sent);
    assert_eq!(get(&server, "/count"), "1\n2 3\n");
    assert_eq!(server.get("/status").expect(404).text(), "a\n404\n");
}

#[test]
fn text_stands_around_the_body_of_others() {
    let server = setup(
        r#"location /file/ { alias {dir}/html/; echo_before_body "before $uri"; echo_before_body -n two;
                             echo_after_body; echo_after_body after $arg_a; }
           location /after { echo_after_body end; echo content; }
           location /before { echo_before_body -n ">"; return 200 text; }"#,
    )
    .file("html/a.txt", "content\n")
    .file("html/empty.txt", "")
    .start();
    let response = server.get("/file/a.txt?a=1").expect(200);
    assert_eq!(
        response.text(),
        "before /file/a.txt\ntwocontent\n\nafter 1\n"
    );
    assert_eq!(response.header("content-length"), None);
    assert_eq!(response.header("accept-ranges"), None);
    assert_eq!(
        get(&server, "/file/empty.txt"),
        "before /file/empty.txt\ntwo\nafter \n"
    );
    assert_eq!(get(&server, "/after"), "content\nend\n");
    assert_eq!(get(&server, "/before"), ">text");
    let part = server
        .get_with("/file/a.txt", "Range: bytes=0-3\r\n")
        .expect(200);
    assert!(part.text().starts_with("before"));
}

#[test]
fn loops_go_through_the_parts_of_a_text() {
    let server = server(
        r#"location / {
               echo_foreach_split "," $arg_list; echo "item: $echo_it"; echo_sleep 0.001; echo_end;
               echo "end[$echo_it]";
           }
           location /long { echo_foreach_split -- -a- cat-a-dog-a-mouse; echo $echo_it; echo_end; }"#,
    );
    assert_eq!(
        get(&server, "/?list=cat,dog,,mouse"),
        "item: cat\nitem: dog\nitem: mouse\nend[]\n"
    );
    assert_eq!(get(&server, "/?list=one"), "item: one\nend[]\n");
    assert_eq!(get(&server, "/long"), "cat\ndog\nmouse\n");
    if ours("nothing to go through is skipped, and loops may stand in loops") {
        assert_eq!(get(&server, "/"), "end[]\n");
        let nested = self::server(
            r#"location / {
                   echo_foreach_split ";" $arg_a;
                       echo -n "$echo_it:";
                       echo_foreach_split "," $echo_it; echo -n "<$echo_it>"; echo_end;
                   echo_end;
                   echo;
               }"#,
        );
        assert_eq!(get(&nested, "/?a=1,2;,;3"), "1,2:<1><2>,:3:<3>\n");
        assert_eq!(get(&nested, "/"), "\n");
    }
}

#[test]
fn another_location_takes_over() {
    let server = server(
        r#"location /args { echo_exec /to a=1; }
           location /own { echo_exec /to?b=2; }
           location /named { echo_exec @name; }
           location /read { echo_read_request_body; echo_exec /body; }
           location /unsafe { echo_exec /to/../../etc; }
           location /none { echo_exec $arg_none; }
           location /to { internal; echo "$uri?$args $echo_incr"; }
           location /body { internal; echo $request_body; }
           location @name { echo named $uri; }"#,
    );
    assert_eq!(get(&server, "/args"), "/to?a=1 1\n");
    assert_eq!(get(&server, "/own"), "/to?b=2 1\n");
    assert_eq!(get(&server, "/named"), "named /named\n");
    assert_eq!(server.post("/read", "abc").expect(200).text(), "abc\n");
    server.get("/none").expect(400);
    if ours("an unsafe URI is answered, not the connection closed") {
        server.get("/unsafe").expect(500);
    }
}

#[test]
fn what_is_wrong_is_said_while_configuring() {
    if !ours("these are refused") {
        return;
    }
    for (directives, message) in [
        (
            "echo_location /a;",
            "\"echo_location\" directive needs subrequests",
        ),
        (
            "echo_location_async /a;",
            "\"echo_location_async\" directive needs subrequests",
        ),
        (
            "echo_subrequest GET /a;",
            "\"echo_subrequest\" directive needs subrequests",
        ),
        (
            "echo_subrequest_async GET /a;",
            "directive needs subrequests",
        ),
        ("echo_abort_parent;", "directive needs subrequests"),
        ("echo_sleep x;", "invalid sleep duration \"x\""),
        (
            "echo_duplicate -- a;",
            "needs two arguments behind its options",
        ),
        ("echo $nosuch;", "unknown \"nosuch\" variable"),
        ("echo_status 20;", "value must be between 200 and 999"),
    ] {
        let mut setup = setup(&format!("location / {{ {directives} }}"));
        setup.run(&["-t"]).expect(1, message);
    }
    let mut setup = setup("location / { echo -x a; }");
    setup
        .run(&["-t"])
        .expect(0, "unknown option \"-x\" is not sent");
}
