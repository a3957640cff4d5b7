//! The language of configurations, compared with nginx where it is installed: which values and
//! quotings are accepted, what is said of the others, and what the accepted ones mean.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Response, Server, Setup, binary, ours, tool};

/// A configuration with a part that changes, for two programs.
struct Both {
    setup: Setup,
    nginx: PathBuf,
}

impl Both {
    /// Nothing, with a note, without nginx.
    fn new(template: &str) -> Option<Self> {
        if !ours("a comparison with nginx") {
            return None;
        }
        let nginx = tool("nginx")?;
        let mut setup = Setup::raw(template);
        let text = setup.fill(template);
        fs::write(setup.path("nginx.conf"), text).unwrap();
        Some(Self { setup, nginx })
    }

    /// What each says about `part`: nothing, or its first mistake without its place.
    fn say(&self, part: &[u8]) -> [Option<String>; 2] {
        fs::write(self.setup.path("part"), part).unwrap();
        [self.nginx.clone(), binary()].map(|program| self.test(&program))
    }

    fn test(&self, program: &Path) -> Option<String> {
        let folder = self.setup.path("");
        let output = Command::new(program)
            .args(["-t", "-c", "nginx.conf", "-e", "error.log", "-p"])
            .arg(&folder)
            .output()
            .unwrap();
        if output.status.success() {
            return None;
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let first = said.lines().find(|line| line.contains("[emerg]"));
        let first = first.unwrap_or(&said).to_owned();
        Some(match first.rsplit_once(" in ") {
            Some((message, _)) => message.to_owned(),
            None => first,
        })
    }
}

const SIZES: &[&str] = &[
    "0",
    "1",
    "1k",
    "1K",
    "1m",
    "1M",
    "1g",
    "1G",
    "-1",
    "+1",
    "",
    "1kk",
    "1 k",
    "k",
    "1.5k",
    "0x10",
    "01k",
    "1b",
    "1k ",
    " 1",
    "9223372036854775807",
    "9223372036854775808",
    "9007199254740992k",
    "9007199254740991k",
    "8796093022208m",
    "8589934592g",
    "99999999999999999999",
];

const TIMES: &[&str] = &[
    "0",
    "1",
    "1s",
    "1S",
    "1m",
    "1M",
    "1h",
    "1H",
    "1d",
    "1D",
    "1w",
    "1y",
    "1ms",
    "1m30s",
    "1m 30s",
    "30s1m",
    "1m30",
    "30 1m",
    "",
    "-1",
    "s",
    "1ms1",
    "1s1ms",
    "1ms 1s",
    "1y1M1w1d1h1m1s",
    "1Mm",
    "1d  2h",
    "1 ",
    "1  2",
    "1 1 1",
    "1s 1",
    "1s 1 ",
    " 1",
    "1.5h",
    "1m1",
    "1us",
    "1m s",
    "1dd",
    " ",
    "9223372036854775807",
    "9223372036854776",
    "106751991167d",
    "106751991168d",
    "292471208y",
];

const WORDS: &[&str] = &[
    "on",
    "off",
    "ON",
    "Off",
    "yes",
    "1",
    "0",
    "",
    "true",
    "exact",
    "before",
    "always",
    "clean",
    "error",
    "msie6",
    "1.1",
    "http_500",
    "X-Accel-Redirect",
    "-1",
    "1k",
    "99999999999999999999",
];

/// Values that are refused here though nginx takes them, and why.
const STRICTER: &[(&str, &str, &str)] =
    &[("proxy_buffer_size", "0", "no header fits into nothing")];

#[test]
fn values_have_the_units_and_limits_of_nginx() {
    let Some(both) = Both::new(
        "error_log {dir}/error.log; pid {dir}/nginx.pid;\nevents { }\n\
         http { access_log off;\ninclude part;\n}\n",
    ) else {
        return;
    };
    let kinds: [(&[&str], &[&str]); 3] = [
        (
            SIZES,
            &[
                "client_header_buffer_size",
                "client_max_body_size",
                "output_buffers 2",
                "sendfile_max_chunk",
                "directio",
                "limit_rate",
                "proxy_max_temp_file_size",
                "request_pool_size",
                "proxy_buffer_size",
            ],
        ),
        (
            TIMES,
            &[
                "send_timeout",
                "keepalive_timeout 5",
                "expires",
                "proxy_read_timeout",
            ],
        ),
        (
            WORDS,
            &[
                "sendfile",
                "if_modified_since",
                "lingering_close",
                "client_body_in_file_only",
                "keepalive_requests",
                "proxy_next_upstream",
                "proxy_ignore_headers",
                "aio",
                "keepalive_disable",
                "rewrite_log",
                "error_page",
                "proxy_http_version",
            ],
        ),
    ];
    let mut differences = Vec::new();
    for (values, directives) in kinds {
        for directive in directives {
            for value in values {
                let stricter = STRICTER
                    .iter()
                    .any(|(name, one, _)| (name, one) == (directive, value));
                // What nginx supports of this depends on how it was built.
                if stricter || (*directive == "aio" && *value == "on") {
                    continue;
                }
                let line = format!("{directive} \"{value}\";");
                let [nginx, own] = both.say(line.as_bytes());
                if nginx != own {
                    differences.push(format!("{line}\n  nginx {nginx:?}\n  ngx   {own:?}"));
                }
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// What words are made of, and what makes them end.
const PIECES: &[&[u8]] = &[
    b"a", b"\"", b"'", b"\\", b"$a", b"${a}", b"}", b"{", b";", b" ", b"\n", b"#", b")", b"(",
    b"\\\"", b"\\'", b"\\\\", b"\\n", b"\\t", b"\\r", b"\\;", b"\\ ", b"\\$", b"\"\"", b"\t",
    b"\xff", b"=", b"x",
];

/// `count` texts made of some pieces each; the same ones at every run.
fn texts(count: usize) -> Vec<Vec<u8>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    };
    (0..count)
        .map(|_| {
            let mut text = Vec::new();
            for _ in 0..1 + next(6) {
                text.extend_from_slice(PIECES[next(PIECES.len())]);
            }
            if next(2) == 0 {
                let quote = if next(2) == 0 { b'"' } else { b'\'' };
                text = [&[quote], text.as_slice(), &[quote]].concat();
            }
            text
        })
        .collect()
}

#[test]
fn quotings_are_accepted_and_mean_what_they_do_in_nginx() {
    let Some(both) = Both::new(
        "error_log {dir}/error.log; pid {dir}/nginx.pid;\nevents { }\n\
         http { access_log off;\nserver { listen 127.0.0.1:{port}; include part; } }\n",
    ) else {
        return;
    };
    let mut differences = Vec::new();
    let mut good = Vec::new();
    for text in texts(500) {
        let line = [b"set $a value; return 200 ", text.as_slice(), b";\n"].concat();
        let [nginx, own] = both.say(&line);
        if nginx.is_none() != own.is_none() {
            let line = line.escape_ascii();
            differences.push(format!("{line}\n  nginx {nginx:?}\n  ngx   {own:?}"));
        }
        if nginx.is_none() && own.is_none() {
            good.push(line);
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(good.len() > 100, "{} are good", good.len());

    let mut part = Vec::new();
    for (i, line) in good.iter().enumerate() {
        part.extend_from_slice(format!("location = /{i} {{\n").as_bytes());
        part.extend_from_slice(line);
        part.extend_from_slice(b"}\n");
    }
    let start = |program: &Path| -> Server {
        let setup = Setup::http("server { listen 127.0.0.1:{port}; include part; }");
        setup.file("part", &part).start_with(program)
    };
    let servers = [start(&both.nginx), start(&binary())];
    for (i, line) in good.iter().enumerate() {
        let [nginx, own] = servers
            .each_ref()
            .map(|server| server.get(&format!("/{i}")));
        let shown = |response: &Response| response.body.escape_ascii().to_string();
        assert_eq!(shown(&own), shown(&nginx), "{}", line.escape_ascii());
    }
}

/// Includes of a pattern are in the order of their names, and where nothing fits there is nothing.
#[test]
fn includes_are_in_the_order_of_their_names() {
    let server = Setup::http(
        "server { listen 127.0.0.1:{port}; set $a \"\";\n\
         include parts/*.conf; include nothing/*.conf; include parts/[xy]?; return 200 $a; }",
    )
    .file("parts/10.conf", "set $a ${a}10,;")
    .file("parts/9.conf", "set $a ${a}9,;")
    .file("parts/a.conf", "set $a ${a}a,; include parts/inner;")
    .file("parts/B.conf", "set $a ${a}B,;")
    .file("parts/.hidden.conf", "set $a ${a}hidden,;")
    .file("parts/inner", "set $a ${a}inner,;")
    .file("parts/y1", "set $a ${a}y1,;")
    .file("parts/x2", "set $a ${a}x2,;")
    .start();
    assert_eq!(server.get("/").text(), "10,9,B,a,inner,x2,y1,");
}

#[test]
fn named_captures_are_variables_everywhere() {
    let server = Server::start(
        r#"server {
             listen 127.0.0.1:{port};
             server_name ~^(?<sub>\w+)\.example\.(?P<top>com|org)$;
             rewrite ^/old/(?<rest>.*)$ /new/$rest;
             location ~ ^/new/(?<first>[a-z]+)-(?<second>\d+)$ {
               if ($arg_q ~ "^(?<letter>.)(?<digits>\d{2,})$") {
                 return 200 "$sub $top $first $second $letter $digits $1";
               }
               return 200 "$sub $top $first $second [$letter]";
             } }"#,
    );
    let ask = |uri: &str| {
        let text = format!("GET {uri} HTTP/1.1\r\nHost: www.example.org\r\n\r\n");
        server.request(text).text()
    };
    assert_eq!(ask("/old/abc-12?q=x345"), "www org abc 12 x 345 x");
    assert_eq!(ask("/new/abc-12?q=345x"), "www org abc 12 []");
}
