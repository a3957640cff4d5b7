//! A panic in a handler, a filter or a future costs that request, and nobody else anything.
#![cfg(feature = "http")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ngx_buf::{Buf, Chain};
use ngx_core::conf::MemorySource;
use ngx_core::cycle::{BuildOptions, Cycle};
use ngx_core::http::{
    HttpModule, HttpWorker, Ordered, Request, Step, http_registry, modules, set_handler,
};
use ngx_core::log::LogFiles;
use ngx_core::module::{Arity, Contexts, Directive, Module};
use ngx_core::process::Workers;

static CLUMSY: HttpModule = HttpModule {
    body_filters: &[Ordered {
        name: "clumsy",
        before: &["copy"],
        after: &[],
        run: filter,
    }],
    ..HttpModule::new(&MODULE)
};

static MODULE: Module = Module {
    name: "clumsy",
    directives: &[Directive {
        name: "clumsy",
        contexts: Contexts::LOCATION,
        arity: Arity::ONE,
        set: |cx, args| match args.arg(0).as_str() {
            "handler" => set_handler(cx, args, Arc::new(|_| panic!("in a handler"))),
            "future" => set_handler(
                cx,
                args,
                Arc::new(|_| {
                    Step::wait(async {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        panic!("in a future")
                    })
                }),
            ),
            _ => set_handler(cx, args, Arc::new(respond)),
        },
        default: "",
        doc: "Where to panic.",
    }],
};

fn respond(r: &Request) -> ngx_core::http::PhaseStep {
    r.response().set_status(200);
    match r.respond(Chain::from(Buf::from_static(b"fine"))) {
        Ok(_) => Step::Done,
        Err(_) => Step::Finish(500),
    }
}

fn filter(r: &Request, chain: Chain) -> Step<Chain> {
    assert!(!r.path().starts_with(b"/filter"), "in a filter");
    Step::Next(chain)
}

fn serve() -> (Workers<HttpWorker>, SocketAddr) {
    let addr = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let text = format!(
        "events {{ }} http {{ access_log off; server {{ listen {addr};
             location /handler {{ clumsy handler; }}
             location /future {{ clumsy future; }}
             location / {{ clumsy nowhere; }}
         }} }}"
    );
    let source = MemorySource::new().with_file("/ngx.conf", text);
    let registry = http_registry(modules::ALL.iter().copied().chain([&CLUMSY]))
        .unwrap()
        .with_extension(Arc::new(LogFiles::default()));
    let options = BuildOptions::default();
    let cycle = Cycle::build(&registry, &source, Path::new("/ngx.conf"), &options, None).unwrap();
    (Workers::start(cycle).unwrap(), addr)
}

fn get(addr: SocketAddr, path: &str) -> String {
    let mut client = TcpStream::connect(addr).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    write!(client, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut response = String::new();
    client.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn a_panic_costs_its_request_alone() {
    let (workers, addr) = serve();
    let mut bystander = TcpStream::connect(addr).unwrap();
    bystander
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    for path in ["/handler", "/future"] {
        let response = get(addr, path);
        assert!(response.starts_with("HTTP/1.1 500 "), "{path}: {response}");
    }
    // The header is on its way when the filter is called, so there is no other end than the end.
    assert!(!get(addr, "/filter").contains("fine"));
    assert!(get(addr, "/usual").ends_with("fine"));
    // The connection that was open all the time is on the same thread.
    write!(bystander, "GET /usual HTTP/1.0\r\n\r\n").unwrap();
    let mut response = String::new();
    bystander.read_to_string(&mut response).unwrap();
    assert!(response.ends_with("fine"), "{response}");
    assert_eq!(workers.running(), 1);
}
