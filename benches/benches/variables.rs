//! Variables of a request (ngx-core), measured where they are used: in a content handler.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that fails has nothing to measure"
)]

mod timing;

use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use benches::worker::Worker;
use criterion::{Criterion, criterion_group, criterion_main};
use ngx_core::http::{HttpModule, Request, Step, set_handler};
use ngx_core::module::{Arity, Contexts, Directive, Module};
use ngx_core::script::Context as _;

/// `measure`: runs the work of the thread as often as it wants, then answers.
static MEASURE: Module = Module {
    name: "measure",
    directives: &[Directive {
        name: "measure",
        contexts: Contexts::LOCATION,
        arity: Arity::NONE,
        set: |cx, args| {
            set_handler(
                cx,
                args,
                Arc::new(|r| {
                    let work = WORK.get();
                    let begun = Instant::now();
                    (work.run)(r, &work);
                    TOOK.set(begun.elapsed());
                    Step::Finish(204)
                }),
            )
        },
        default: "",
        doc: "Runs a benchmark within a request.",
    }],
};

static HTTP_MEASURE: HttpModule = HttpModule::new(&MEASURE);

/// What the handler does.
#[derive(Clone, Copy)]
struct Work {
    run: fn(&Request, &Self),
    variable: &'static str,
    times: u64,
}

thread_local! {
    static WORK: Cell<Work> = const {
        Cell::new(Work { run: |_, _| {}, variable: "uri", times: 0 })
    };
    static TOOK: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

const REQUEST: &[u8] = b"GET /articles/2026/light?from=front&page=2 HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml\r\n\
    Cookie: session=5f2c9a7be1d04c6f8a3b; theme=dark; seen=1712,1718,1733\r\n\r\n";

/// Asks the variable's getter every time.
fn anew(r: &Request, work: &Work) {
    let table = r.http().variables();
    let id = table.find(work.variable).unwrap();
    let mut value = Vec::new();
    for _ in 0..work.times {
        value.clear();
        assert!(
            table.eval(black_box(id), r, &mut value),
            "{}",
            work.variable
        );
    }
    black_box(value);
}

/// As templates and handlers do: the value is kept for the request, if it may be.
fn kept(r: &Request, work: &Work) {
    let id = r.http().variables().find(work.variable).unwrap();
    let mut value = Vec::new();
    for _ in 0..work.times {
        value.clear();
        assert!(r.variable(black_box(id), &mut value), "{}", work.variable);
    }
    black_box(value);
}

/// By a name that is known only now, as Lua does.
fn by_name(r: &Request, work: &Work) {
    let table = r.http().variables();
    let mut value = Vec::new();
    for _ in 0..work.times {
        value.clear();
        assert!(table.eval_name(black_box(work.variable), r, &mut value));
    }
    black_box(value);
}

/// What is asked for; a configuration has to use a variable for it to have a number.
const VARIABLES: &[&str] = &[
    "uri",
    "host",
    "remote_addr",
    "request",
    "time_local",
    "arg_page",
    "http_user_agent",
    "cookie_theme",
    "msec",
];

fn variables(c: &mut Criterion) {
    let http = format!(
        "log_format all \"${}\";\naccess_log off;\n\
         server {{ listen 127.0.0.1:80; location / {{ measure; }} }}\n",
        VARIABLES.join(" $")
    );
    let mut worker = Worker::new(&http, &[&HTTP_MEASURE]);
    let bytes = worker.measure(REQUEST, 204);
    let mut bench = |group: &str, variable: &'static str, run: fn(&Request, &Work)| {
        c.benchmark_group(group).bench_function(variable, |b| {
            b.iter_custom(|times| {
                WORK.set(Work {
                    run,
                    variable,
                    times,
                });
                worker.ask(REQUEST, bytes);
                TOOK.get()
            });
        });
    };
    for variable in VARIABLES {
        bench("variables/evaluate", variable, anew);
    }
    for variable in ["uri", "arg_page", "http_user_agent"] {
        bench("variables/in a request", variable, kept);
    }
    for variable in ["uri", "http_user_agent"] {
        bench("variables/evaluate by name", variable, by_name);
    }
}

criterion_group! {
    name = benches;
    config = timing::short(500, 1);
    targets = variables
}
criterion_main!(benches);
