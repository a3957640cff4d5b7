//! Filters that wait: order is kept, producers are held back, and nobody else is delayed.
#![cfg(feature = "http")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ngx_buf::{Buf, Chain, Flow};
use ngx_core::http::{HttpModule, HttpWorker, Ordered, PhaseStep, Request, Step, set_handler};
use ngx_core::module::{Arity, Contexts, Directive, Level, Module, Slot};
use ngx_core::process::Workers;
use support::get;

ngx_core::settings! {
    struct SlowConf {
        on: bool = false,
        late: bool = false,
    }
}

static CONF: Slot<SlowConf> = Slot::new(Level::Location);

/// Sleeps 10 ms for each buf, and before the header.
static SLOW: HttpModule = HttpModule {
    header_filters: &[Ordered {
        name: "slow",
        before: &["chunked"],
        after: &[],
        run: slow_header,
    }],
    body_filters: &[
        Ordered {
            name: "slow",
            before: &["copy"],
            after: &[],
            run: slow_body,
        },
        Ordered {
            name: "late",
            before: &["chunked"],
            after: &["copy"],
            run: late_body,
        },
    ],
    ..HttpModule::new(&MODULE)
};

static MODULE: Module = Module {
    name: "slow",
    directives: &[
        Directive {
            name: "slow",
            contexts: Contexts::LOCATION,
            arity: Arity::FLAG,
            set: ngx_core::setter!(CONF, on, flag),
            default: "off",
            doc: "Sleeps 10 ms for each buf.",
        },
        Directive {
            name: "late",
            contexts: Contexts::LOCATION,
            arity: Arity::FLAG,
            set: ngx_core::setter!(CONF, late, flag),
            default: "off",
            doc: "Sleeps 10 ms for each chain, behind the copy filter.",
        },
        Directive {
            name: "count",
            contexts: Contexts::LOCATION,
            arity: Arity::range(1, 2),
            set: |cx, args| {
                let most = args.number(0)?;
                let waits = args.arg(1) != "eagerly";
                set_handler(cx, args, Arc::new(move |r| count(r, most, waits)))
            },
            default: "",
            doc: "Answers with the numbers below, one buf each.",
        },
    ],
};

fn slow_header(r: &Request) -> Step<()> {
    if !*r.conf(&CONF).on {
        return Step::Next(());
    }
    let r = r.clone();
    Step::wait(async move {
        tokio::time::sleep(Duration::from_millis(10)).await;
        r.response().push_field("X-Waited", "yes");
        Step::Next(())
    })
}

fn slow_body(r: &Request, chain: Chain) -> Step<Chain> {
    if !*r.conf(&CONF).on {
        return Step::Next(chain);
    }
    Step::wait(async move {
        for _ in &chain {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Step::Next(chain)
    })
}

/// How many waits of the filter behind the copy filter there are.
static LATE: AtomicUsize = AtomicUsize::new(0);

struct Late;

impl Drop for Late {
    fn drop(&mut self) {
        LATE.fetch_sub(1, Ordering::SeqCst);
    }
}

fn late_body(r: &Request, chain: Chain) -> Step<Chain> {
    if !*r.conf(&CONF).late || chain.is_empty() {
        return Step::Next(chain);
    }
    LATE.fetch_add(1, Ordering::SeqCst);
    let held = (Late, r.clone());
    Step::wait(async move {
        tokio::time::sleep(Duration::from_millis(10)).await;
        drop(held);
        Step::Next(chain)
    })
}

/// Sends number after number; `waits` says whether it waits when the output asks for that.
fn count(r: &Request, most: u64, waits: bool) -> PhaseStep {
    let r = r.clone();
    Step::wait(async move {
        r.response().set_status(200);
        let mut flow = r.send_header().expect("the client is there");
        for number in 0..most {
            if waits && flow == Flow::Again {
                r.output_ready().await.expect("the client is there");
            }
            let text = Bytes::from(format!("{number},"));
            flow = r.output(Chain::from(text)).expect("the client is there");
        }
        let _ = r.output(Chain::from(Buf::last()));
        Step::Done
    })
}

fn serve() -> (Workers<HttpWorker>, SocketAddr) {
    serve_files("/nowhere")
}

fn serve_files(root: &str) -> (Workers<HttpWorker>, SocketAddr) {
    support::serve(
        &SLOW,
        &format!(
            "location /slow {{ slow on; count 20; }}
             location /eager {{ slow on; count 20 eagerly; }}
             location /fast {{ count 20; }}
             location /late {{ late on; alias {root}; }}"
        ),
    )
}

#[test]
fn what_comes_behind_a_waiting_filter_is_queued_in_order() {
    let (_workers, addr) = serve();
    let response = get(addr, "/eager");
    assert!(response.contains("X-Waited: yes"), "{response}");
    assert!(response.ends_with(&numbers()), "{response}");
}

fn numbers() -> String {
    (0..20).map(|number| format!("{number},")).collect()
}

#[test]
fn a_waiting_filter_keeps_the_order_and_delays_nobody_else() {
    let (_workers, addr) = serve();
    let begun = Instant::now();
    let slow: Vec<_> = (0..50)
        .map(|_| thread::spawn(move || get(addr, "/slow")))
        .collect();
    // While fifty responses trickle through the filter, others pass at once.
    for _ in 0..20 {
        let response = get(addr, "/fast");
        assert!(!response.contains("X-Waited"), "{response}");
        assert!(response.ends_with(&numbers()), "{response}");
    }
    for response in slow {
        let response = response.join().unwrap();
        assert!(response.contains("X-Waited: yes"), "{response}");
        assert!(response.ends_with(&numbers()), "{response}");
    }
    let elapsed = begun.elapsed();
    assert!(
        elapsed >= Duration::from_millis(200),
        "every buf was slept for: {elapsed:?}"
    );
    assert!(
        elapsed < Duration::from_secs(10),
        "fifty responses in turn would take so long"
    );
}

#[test]
fn a_filter_behind_the_copy_filter_may_wait() {
    let folder = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    std::fs::write(folder.path().join("file"), &content).unwrap();
    let (_workers, addr) = serve_files(folder.path().to_str().unwrap());

    let ask = |mut client: &TcpStream| write!(client, "GET /late/file HTTP/1.0\r\n\r\n").unwrap();
    let mut client = TcpStream::connect(addr).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    ask(&client);
    let mut response = Vec::new();
    client.read_to_end(&mut response).unwrap();
    assert!(response.ends_with(&content), "{} bytes", response.len());

    // A client that leaves in the middle leaves nothing behind.
    let clients: Vec<_> = (0..20).map(|_| TcpStream::connect(addr).unwrap()).collect();
    clients.iter().for_each(ask);
    thread::sleep(Duration::from_millis(50));
    drop(clients);
    let begun = Instant::now();
    while LATE.load(Ordering::SeqCst) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "waits are left");
        thread::sleep(Duration::from_millis(10));
    }
}
