use std::path::Path;

use super::*;
use crate::conf::MemorySource;
use crate::cycle::BuildOptions;
use crate::http::{http_registry, modules};

const CONF: &str = r"events { }
http {
    add_header X-Level http;
    server {
        listen 127.0.0.1:8080 default_server;
        return 404;
    }
    server {
        listen 8080;
        server_name example.com *.example.org ~^v\d+\.example\.net$;
        root /srv/www;
        rewrite ^/old/(.*)$ /new/$1?from=old last;
        set $color red;
        location / {
            try_files /none-such $uri/none-such @fallback;
        }
        location ~ \.css$ { expires 1h; }
        location ~ ^/(?<name>[a-z]+)\.php$ {
            default_type text/$name;
            location ~ admin { internal; }
        }
        location ^~ /img/ {
            alias /data/img/;
            add_header X-Level img;
            add_header X-More img;
        }
        location = /exact { return 301 https://$host$request_uri; }
        location /loop { rewrite ^ /loop last; }
        location /new/ { rewrite ^ /exact break; sendfile on; }
        location @fallback { return 200 $color; }
    }
}
";

fn ask(url: &str) -> String {
    let registry = http_registry(modules::ALL.iter().copied()).unwrap();
    let source = MemorySource::new().with_file("/c", CONF);
    let options = BuildOptions {
        test: true,
        ..BuildOptions::default()
    };
    let cycle = Cycle::build(&registry, &source, Path::new("/c"), &options, None).unwrap();
    explain(&registry, &cycle, url).unwrap()
}

/// Looks for these lines in this order.
#[track_caller]
fn tells(url: &str, lines: &[&str]) {
    let text = ask(url);
    let mut rest = text.lines().map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        words.join(" ")
    });
    for line in lines {
        assert!(rest.any(|one| one == *line), "{line}\nin order in\n{text}");
    }
}

#[test]
fn the_server_is_found_by_address_and_name() {
    tells(
        "http://127.0.0.1:8080/",
        &[
            "listen 127.0.0.1:8080 (/c:5)",
            "server the default one of 127.0.0.1:8080: no name fits \"127.0.0.1\" (/c:4)",
            "return 404: answers 404 (/c:6)",
        ],
    );
    let by = |url: &str, by: &str| {
        tells(
            url,
            &[
                "listen 0.0.0.0:8080 (/c:9)",
                &format!("server by {by} (/c:10)"),
            ],
        );
    };
    by("http://Example.com:8080/", "its exact name example.com");
    by("a.example.org:8080", "the wildcard name *.example.org");
    by(
        "v1.example.net:8080",
        r"the regular expression ~^v\d+\.example\.net$",
    );
    tells(
        "http://example.com/",
        &["listen nobody on port 80; there are: 127.0.0.1:8080, 0.0.0.0:8080"],
    );
}

#[test]
fn the_location_is_told_with_its_reason() {
    tells(
        "example.com:8080/exact?a=b",
        &[
            "location = /exact: the very path (/c:27)",
            "return 301 https://$host$request_uri: answers 301 to https://example.com/exact?a=b (/c:27)",
        ],
    );
    tells(
        "example.com:8080/img/a.css",
        &[
            "location ^~ /img/: the longest prefix; ^~ keeps regular expressions from being tried (/c:22)",
            "content /data/img/a.css: No such file or directory (os error 2)",
        ],
    );
    tells(
        "example.com:8080/user.php",
        &[
            r"location ~ \.css$: does not match (/c:17)",
            "location ~ admin: does not match (/c:20)",
            r"location ~ ^/(?<name>[a-z]+)\.php$: the first regular expression that matches, which goes before location / (/c:18)",
        ],
    );
    tells(
        "example.com:8080/admin.php",
        &["internal answers 404: the request comes from outside (/c:20)"],
    );
}

#[test]
fn rewriting_and_tries_are_followed() {
    tells(
        "example.com:8080/old/page",
        &[
            "rewrite ^/old/(.*)$ /new/$1?from=old last: matches: the URI is now /new/page?from=old, and the location is looked up (/c:12)",
            "location /new/: the longest prefix (/c:29)",
            "rewrite ^ /exact break: matches: the URI is now /exact?from=old, and the location stays (/c:29)",
            "content /srv/www/exact: No such file or directory (os error 2)",
            "sendfile on here /c:29",
        ],
    );
    tells(
        "example.com:8080/x",
        &[
            "rewrite ^/old/(.*)$ /new/$1?from=old last: does not match (/c:12)",
            "set $color red: sets $color to \"red\" (/c:13)",
            "location /: the longest prefix (/c:14)",
            "try_files /srv/www/none-such is not there (/c:15)",
            "try_files /srv/www/x/none-such is not there (/c:15)",
            "try_files goes to @fallback (/c:15)",
            "return 200 $color: answers 200 with \"red\" (/c:30)",
        ],
    );
    tells(
        "example.com:8080/loop",
        &["error 500: the URI changes again and again"],
    );
}

#[test]
fn settings_are_those_in_effect_with_the_block_they_are_from() {
    let text = ask("http://example.com:8080/img/a.png");
    let (_, settings) = text.split_once("\nsettings").unwrap();
    let lines: Vec<String> = settings
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines,
        [
            "add_header X-Level img here /c:24",
            "add_header X-More img here /c:25",
            "alias /data/img/ here /c:23",
        ]
    );
    tells(
        "http://example.com:8080/a.css",
        &[
            "add_header X-Level http http /c:3",
            "expires 1h here /c:17",
            "root /srv/www server /c:11",
        ],
    );
}

#[test]
fn what_is_no_url_is_refused() {
    let registry = http_registry(modules::ALL.iter().copied()).unwrap();
    let source = MemorySource::new().with_file("/c", CONF);
    let options = BuildOptions {
        test: true,
        ..BuildOptions::default()
    };
    let cycle = Cycle::build(&registry, &source, Path::new("/c"), &options, None).unwrap();
    for url in [
        "ftp://a/",
        "http://exa mple.com/",
        "http://a/b c",
        "http://example.com:8080/../x",
    ] {
        assert!(explain(&registry, &cycle, url).is_err(), "{url}");
    }
}
