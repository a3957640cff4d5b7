//! A panic in a handler, a filter or a future costs that request, and nobody else anything.
#![cfg(feature = "http")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use ngx_buf::{Buf, Chain};
use ngx_core::http::{HttpModule, Ordered, Request, Step, set_handler};
use ngx_core::module::{Arity, Contexts, Directive, Module};
use support::{connect, get, get_over};

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

#[test]
fn a_panic_costs_its_request_alone() {
    let (workers, addr) = support::serve(
        &CLUMSY,
        "location /handler { clumsy handler; }
         location /future { clumsy future; }
         location / { clumsy nowhere; }",
    );
    let bystander = connect(addr);
    for path in ["/handler", "/future"] {
        let response = get(addr, path);
        assert!(response.starts_with("HTTP/1.1 500 "), "{path}: {response}");
    }
    // The header is on its way when the filter is called, so there is no other end than the end.
    assert!(!get(addr, "/filter").contains("fine"));
    assert!(get(addr, "/usual").ends_with("fine"));
    // The connection that was open all the time is on the same thread.
    let response = get_over(bystander, "/usual");
    assert!(response.ends_with("fine"), "{response}");
    assert_eq!(workers.running(), 1);
}
