use super::*;

fn line(name: &str, always: bool) -> Line {
    let name = Bytes::copy_from_slice(name.as_bytes());
    Line {
        kind: Kind::of(&name),
        name,
        value: Template::from_literal(""),
        always,
    }
}

fn add(response: &Response, name: &str, value: &'static str) {
    line(name, false).add(response, Bytes::from_static(value.as_bytes()));
}

#[test]
fn lines_add_up_and_empty_ones_add_nothing() {
    let response = Response::default();
    add(&response, "Cache-Control", "public");
    add(&response, "Cache-Control", "max-age=1");
    add(&response, "X-Empty", "");
    let fields: Vec<_> = response
        .fields()
        .iter()
        .map(|field| field.value.clone())
        .collect();
    assert_eq!(fields, ["public", "max-age=1"]);
}

#[test]
fn validators_are_replaced_or_removed() {
    let response = Response::default();
    response.set_etag(Some("\"old\"".into()));
    response.set_last_modified(Some(5));
    add(&response, "etag", "\"new\"");
    add(&response, "last-modified", "Thu, 01 Jan 1970 00:00:09 GMT");
    assert_eq!(response.etag().as_deref(), Some(&b"\"new\""[..]));
    assert_eq!(response.last_modified(), Some(9));

    add(&response, "Last-Modified", "some time ago");
    assert_eq!(response.last_modified(), None);
    assert_eq!(
        response.field(b"last-modified").as_deref(),
        Some(&b"some time ago"[..])
    );

    add(&response, "ETag", "");
    add(&response, "Last-Modified", "");
    assert_eq!((response.etag(), response.last_modified()), (None, None));
    assert!(response.fields().is_empty());
}

#[test]
fn the_page_of_416_gets_its_lines_once() {
    let response = Response::default();
    response.set_status(200);
    add(&response, "X-One", "1");
    response.set_status(416);
    add(&response, "X-One", "1");
    assert_eq!(response.fields().len(), 1);
}

#[test]
fn cache_lines_take_the_place_of_others() {
    let response = Response::default();
    response.push_field("cache-control", "private");
    response.push_field("Cache-Control", "no-store");
    response.push_field("EXPIRES", "now");
    set_cache_lines(&response, Expires::Off);
    assert_eq!(response.fields().len(), 3);
    set_cache_lines(&response, Expires::Max);
    assert_eq!(response.fields().len(), 2);
    assert_eq!(
        response.field(b"Cache-Control").as_deref(),
        Some(&b"max-age=315360000"[..])
    );
}

#[test]
fn line_breaks_cannot_be_smuggled_in() {
    let value = Bytes::from_static(b"a\r\nSet-Cookie: b\0");
    assert_eq!(without_breaks(value), "a  Set-Cookie: b ");
    assert_eq!(without_breaks(Bytes::from_static(b"a\tb")), "a\tb");
}

#[test]
fn only_some_statuses_are_safe() {
    let safe: Vec<u16> = (0..1000).filter(|&status| is_safe(status)).collect();
    assert_eq!(safe, [200, 201, 204, 206, 301, 302, 303, 304, 307, 308]);
}

mod configuration {
    use std::path::Path;

    use super::super::{CONF, Expires, ExpiresConf};
    use crate::conf::MemorySource;
    use crate::http::modules::ALL;
    use crate::http::{HttpConf, HttpModules};
    use crate::module::{LoadOptions, Module, Registry, load};

    fn read(text: &str) -> Result<HttpConf, String> {
        let modules: Vec<&'static Module> = ALL.iter().map(|module| module.module).collect();
        let registry = Registry::new(&modules)
            .unwrap()
            .with_extension(HttpModules(ALL.to_vec()));
        let source = MemorySource::new().with_file("/ngx.conf", text);
        let options = LoadOptions::default();
        let loaded = load(&registry, &source, Path::new("/ngx.conf"), &options);
        match loaded {
            Ok(mut loaded) => Ok(loaded.parts.take().unwrap()),
            Err(diagnostics) => Err(diagnostics.to_string()),
        }
    }

    #[test]
    fn inner_lines_drop_the_outer_ones() {
        let http = read(
            "http { add_header A 1; expires 1h; server { listen 8080;
               location /none { }
               location /own { add_header B 2 always; add_header C 3; expires modified $uri; }
             } }",
        )
        .unwrap();
        let names: Vec<Vec<_>> = http
            .locations
            .iter()
            .map(|at| {
                CONF.of(&at.slots)
                    .lines
                    .iter()
                    .map(|line| line.name.clone())
                    .collect()
            })
            .collect();
        let shown: Vec<String> = names.iter().map(|names| format!("{names:?}")).collect();
        assert!(shown.contains(&"[b\"A\"]".to_owned()), "{shown:?}");
        assert!(shown.contains(&"[b\"B\", b\"C\"]".to_owned()), "{shown:?}");
        assert_eq!(shown.len(), 3);
        let expires: Vec<_> = http
            .locations
            .iter()
            .map(|at| {
                matches!(
                    &*CONF.of(&at.slots).expires,
                    ExpiresConf::Fixed(Expires::Access(3600))
                )
            })
            .collect();
        assert_eq!(expires.iter().filter(|fixed| **fixed).count(), 2);
    }

    #[test]
    fn mistakes_have_nginx_messages() {
        let cases = [
            (
                "add_header A 1 sometimes;",
                "invalid parameter \"sometimes\" in /ngx.conf:1",
            ),
            ("add_header A $;", "invalid variable name"),
            (
                "expires soon;",
                "\"expires\" directive invalid value in /ngx.conf:1",
            ),
            ("expires never 1h;", "\"expires\" directive invalid value"),
            (
                "expires 1h; expires 2h;",
                "\"expires\" directive is duplicate",
            ),
            (
                "expires @25h;",
                "\"expires\" directive daily time value must be less than 24 hours",
            ),
            (
                "add_header A;",
                "invalid number of arguments in \"add_header\" directive",
            ),
        ];
        for (text, message) in cases {
            let shown = read(&format!("http {{ {text} }}"))
                .err()
                .unwrap_or_default();
            assert!(shown.contains(message), "{text}: {shown}");
        }
    }
}
