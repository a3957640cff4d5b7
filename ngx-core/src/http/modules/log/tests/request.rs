//! Whole lines, for a request whose client is made up.

use std::task::{Context, Waker};

use super::Place;
use crate::cycle::{BuildOptions, Cycle};
use crate::http::testing::Client;

/// Serves a request with the first server of a configuration, which nobody answers but with an
/// error page, and returns what was logged.
fn logged(http: &str, text: &str) -> String {
    let place = Place::new();
    let (registry, source) = place.parts(http);
    let mut options = BuildOptions {
        test: true,
        ..BuildOptions::default()
    };
    options.load.prefix = place.0.path().to_owned();
    let file = std::path::Path::new("/ngx.conf");
    let cycle = Cycle::build(&registry, &source, file, &options, None).unwrap();
    let request = Client::at("[2001:db8::1]:4321").send(cycle, text);
    request.detach();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(request.poll_log(&mut cx).is_ready());
    std::fs::read_to_string(place.0.path().join("logs/access.log")).unwrap()
}

const GET: &str = "GET /a?b=c%20d&B=2 HTTP/1.1\r\nHost: example.com:81\r\nX-A: \"1\r\n\
     X-A: 2\r\nCookie: id=x\r\nAuthorization: Basic bWU6cHc=\r\n\r\n";

fn line(format: &str) -> String {
    let http = format!(
        "log_format x '{format}'; access_log logs/access.log x;
         server {{ listen 1; server_name first.example second.example; }}"
    );
    logged(&http, GET)
}

#[test]
fn the_combined_format() {
    let text = logged("server { listen 1; }", GET);
    let (before, rest) = text.split_once('[').unwrap();
    let (time, rest) = rest.split_once(']').unwrap();
    assert_eq!(before, "2001:db8::1 - me ");
    assert_eq!(time.len(), "21/Nov/2026:02:00:33 +0000".len());
    let (request, rest) = rest.split_once(" 404 ").unwrap();
    assert_eq!(request, " \"GET /a?b=c%20d&B=2 HTTP/1.1\"");
    let (bytes, rest) = rest.split_once(' ').unwrap();
    assert!(bytes.parse::<u64>().unwrap() > 100, "{bytes}");
    assert_eq!(rest, "\"-\" \"-\"\n");
}

#[test]
fn variables_of_the_request() {
    assert_eq!(
        line(
            "$uri|$document_uri|$request_uri|$args|$query_string|$is_args|$arg_b|$arg_x|\
             $request_method|$server_protocol|$http_x_a|$cookie_id|$cookie_no|$remote_user|\
             $request_port|$is_request_port|$server_name|$host|$content_length|$request_length"
        ),
        format!(
            "/a|/a|/a?b=c%20d&B=2|b=c%20d&B=2|b=c%20d&B=2|?|c%20d|-|\
             GET|HTTP/1.1|\\x221, 2|x|-|me|\
             81|:|first.example|first.example|-|{}\n",
            GET.len()
        )
    );
}

#[test]
fn variables_of_the_connection() {
    assert_eq!(
        line(
            "$remote_addr|$remote_port|$server_addr|$server_port|$connection|\
             $connection_requests|$scheme|$https|$pipe|$nginx_version|$binary_remote_addr"
        ),
        format!(
            "2001:db8::1|4321|127.0.0.1|80|7|3|http||.|1.31.5| \\x01\\x0D\\xB8{}\\x01\n",
            "\\x00".repeat(11)
        )
    );
}

#[test]
fn variables_of_the_response_survive_the_connection() {
    let text = line(
        "$status|$sent_http_content_type|$sent_http_connection|$sent_http_x|$request_completion|\
         $sent_http_content_length|$body_bytes_sent|$bytes_sent",
    );
    let values: Vec<&str> = text.trim_end().split('|').collect();
    assert_eq!(values[..5], ["404", "text/html", "keep-alive", "-", "OK"]);
    let number = |i: usize| values[i].parse::<u64>().unwrap();
    assert!(number(5) > 100);
    assert_eq!(number(6), number(5));
    assert!(number(7) > number(6), "the header counts");
}

#[test]
fn request_ids_are_kept_and_differ() {
    let ids: Vec<String> = (0..2).map(|_| line("$request_id $request_id")).collect();
    for id in &ids {
        let (first, second) = id.trim_end().split_once(' ').unwrap();
        assert_eq!(first, second);
        assert!(
            first.len() == 32 && first.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{first}"
        );
    }
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn a_condition_chooses_what_is_logged() {
    let with = |condition: &str| {
        logged(
            &format!(
                "log_format x $uri; access_log logs/access.log x if={condition};
                 server {{ listen 1; }}"
            ),
            GET,
        )
    };
    assert_eq!(with("$http_host"), "/a\n");
    assert_eq!(with("$http_nothing"), "");
    assert_eq!(with("0"), "");
}
