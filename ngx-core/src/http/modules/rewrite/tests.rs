use std::path::Path;

use super::*;
use crate::conf::MemorySource;
use crate::http::modules::ALL;
use crate::http::{HttpConf, HttpModules};
use crate::module::{LoadOptions, Registry, load};

fn read(text: &str) -> Result<HttpConf, String> {
    let modules: Vec<&'static Module> = ALL.iter().map(|module| module.module).collect();
    let registry = Registry::new(&modules)
        .unwrap()
        .with_extension(HttpModules(ALL.to_vec()));
    let source = MemorySource::new().with_file("/ngx.conf", text);
    match load(
        &registry,
        &source,
        Path::new("/ngx.conf"),
        &LoadOptions::default(),
    ) {
        Ok(mut loaded) => Ok(loaded.parts.take().unwrap()),
        Err(diagnostics) => Err(diagnostics.to_string()),
    }
}

/// Hands the program of the only server to `f`.
fn with_program<R>(text: &str, f: impl FnOnce(&Program) -> R) -> R {
    let http = read(&format!("http {{ server {{ {text} }} }}")).unwrap();
    f(PROGRAM.of(&http.locations[0].slots))
}

fn the_return(text: &str) -> Return {
    let http = read(&format!("http {{ server {{ {text} }} }}")).unwrap();
    let slots = &http.locations[0].slots;
    match PROGRAM.of(slots).0.first().map(|(_, one)| one) {
        Some(Instruction::Return(Return::Status(status))) => Return::Status(*status),
        Some(Instruction::Return(Return::Text { status, text })) => Return::Text {
            status: *status,
            text: text.clone(),
        },
        Some(Instruction::Return(Return::Redirect { status, target })) => Return::Redirect {
            status: *status,
            target: target.clone(),
        },
        _ => panic!("no return in {text}"),
    }
}

#[test]
fn returns_are_of_three_kinds() {
    let template = |text: &'static str| Template::from_literal(text);
    assert_eq!(the_return("return 404;"), Return::Status(404));
    assert_eq!(the_return("return 404 \"\";"), Return::Status(404));
    assert_eq!(the_return("return 444;"), Return::Status(444));
    assert_eq!(
        the_return("return 404 gone;"),
        Return::Text {
            status: 404,
            text: template("gone")
        }
    );
    assert_eq!(
        the_return("return 200;"),
        Return::Text {
            status: 200,
            text: template("")
        }
    );
    assert_eq!(
        the_return("return 204;"),
        Return::Text {
            status: 204,
            text: template("")
        }
    );
    assert_eq!(
        the_return("return 308 /there;"),
        Return::Redirect {
            status: 308,
            target: template("/there")
        }
    );
    assert_eq!(
        the_return("return https://b/;"),
        Return::Redirect {
            status: 302,
            target: template("https://b/")
        }
    );
}

#[test]
fn a_literal_text_is_shared() {
    with_program("return 200 \"some text\";", |program| {
        let [(_, Instruction::Return(Return::Text { text, .. }))] = program.0.as_slice() else {
            panic!("one return")
        };
        let (one, two) = (
            text.literal().unwrap().clone(),
            text.literal().unwrap().clone(),
        );
        assert_eq!(one.as_ptr(), two.as_ptr());
    });
}

#[test]
fn flags_and_schemes_decide_what_follows() {
    let cases = [
        ("/b", Then::Continue),
        ("/b last", Then::Last),
        ("/b break", Then::Break),
        ("/b redirect", Then::Redirect(302)),
        ("/b permanent", Then::Redirect(301)),
        ("http://b/", Then::Redirect(302)),
        ("https://b/ last", Then::Redirect(302)),
        ("https://b/ permanent", Then::Redirect(301)),
    ];
    for (text, want) in cases {
        with_program(&format!("rewrite ^/(?<rest>.*)$ {text};"), |program| {
            let [(_, Instruction::Rewrite(rewrite))] = program.0.as_slice() else {
                panic!("one rewrite")
            };
            assert_eq!(rewrite.then, want, "{text}");
        });
    }
}

#[test]
fn programs_keep_their_order_and_stay_at_home() {
    let http = read(
        "http { server {
           set $a 1; rewrite ^/x /y; break; return 200 $a;
           location /a { rewrite_log on; location /a/b { set $a 2; } }
         } }",
    )
    .unwrap();
    let own: Vec<usize> = http
        .locations
        .iter()
        .map(|at| {
            let own = PROGRAM.own(&at.slots);
            own.map_or(0, |program| program.0.len())
        })
        .collect();
    assert_eq!(own, [4, 0, 1]);
    let logs: Vec<bool> = http
        .locations
        .iter()
        .map(|at| *SETTINGS.of(&at.slots).log)
        .collect();
    assert_eq!(logs, [false, true, true]);
    with_program(
        "set $a 1; rewrite ^/x /y; break; return 200 $a;",
        |program| {
            assert!(matches!(
                program.0.as_slice(),
                [
                    (_, Instruction::Set { .. }),
                    (_, Instruction::Rewrite(_)),
                    (_, Instruction::Break),
                    (_, Instruction::Return(_))
                ]
            ));
        },
    );
}

#[test]
fn mistakes_have_nginx_messages() {
    let cases = [
        (
            "return 1000;",
            "invalid return code \"1000\" in /ngx.conf:1",
        ),
        ("return 20;", "invalid return code \"20\""),
        ("return 2xx;", "invalid return code \"2xx\""),
        ("return ftp://b/;", "invalid return code \"ftp://b/\""),
        (
            "return http://b/ text;",
            "invalid return code \"http://b/\"",
        ),
        ("return -200;", "invalid return code \"-200\""),
        (
            "return;",
            "invalid number of arguments in \"return\" directive",
        ),
        ("return 200 $;", "invalid variable name"),
        ("set a 1;", "invalid variable name \"a\""),
        ("set $ 1;", "invalid variable name \"$\""),
        ("set $uri /;", "the duplicate \"uri\" variable"),
        ("set $b $nobody;", "unknown \"nobody\" variable"),
        ("rewrite ^/a \"\";", "empty replacement"),
        ("rewrite ^/a /b final;", "invalid parameter \"final\""),
        ("rewrite ^/(a /b;", "pcre2_compile() failed: "),
        (
            "break now;",
            "invalid number of arguments in \"break\" directive",
        ),
        ("if ($a) { }", "unknown \"a\" variable"),
    ];
    for (text, message) in cases {
        let shown = read(&format!("http {{ server {{ {text} }} }}"))
            .err()
            .unwrap_or_default();
        assert!(shown.contains(message), "{text}: {shown}");
    }
    let outside = read("http { return 200; }").err().unwrap_or_default();
    assert!(
        outside.contains("\"return\" directive is not allowed here"),
        "{outside}"
    );
}
