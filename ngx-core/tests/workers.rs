//! Worker threads under a service that sends back what it gets.
#![cfg(feature = "conf")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{IoSlice, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ngx_core::conf::MemorySource;
use ngx_core::cycle::{BuildOptions, Cycle, WantedListeners};
use ngx_core::log::LogFiles;
use ngx_core::main_module;
use ngx_core::module::{Arity, Contexts, Directive, Module, Registry};
use ngx_core::net::{Addr, ListenOptions, Transport};
use ngx_core::process::{Service, Workers, worker_index};
use tokio::runtime::LocalRuntime;
use tokio::sync::Notify;
use tokio::task::{spawn_blocking, spawn_local};
use tokio::time::timeout;

/// Answers each byte with the number of the generation. Directives that mean nothing here make it
/// misbehave: see `serve` and `close_gracefully`.
struct Echo {
    number: Cell<u64>,
    connections: Rc<Cell<usize>>,
    closing: Rc<Notify>,
    cycle: RefCell<Arc<Cycle>>,
}

impl Service for Echo {
    fn new(cycle: Arc<Cycle>, _connections: usize) -> Rc<Self> {
        Rc::new(Self {
            number: Cell::new(cycle.number()),
            connections: Rc::default(),
            closing: Rc::default(),
            cycle: RefCell::new(cycle),
        })
    }

    fn swap(&self, cycle: Arc<Cycle>, _connections: usize) {
        self.number.set(cycle.number());
        self.cycle.replace(cycle);
    }

    fn serve(self: &Rc<Self>, transport: Transport, _peer: Addr, _listener: &Addr) {
        // A panic here is one of the accept loop, and with it of the thread.
        let cycle = self.cycle.borrow();
        let panics = cycle.core().priority() == Some(1) || cycle.core().rlimit_core() == Some(1);
        assert!(!panics, "as asked");
        let service = Rc::clone(self);
        self.connections.set(self.connections.get() + 1);
        spawn_local(async move {
            tokio::select! {
                () = service.answer(&transport) => {}
                () = service.closing.notified() => {}
            }
            service.connections.set(service.connections.get() - 1);
        });
    }

    fn close_gracefully(&self) {
        // With a limit of files, connections never end by themselves.
        if self.cycle.borrow().core().rlimit_nofile().is_none() {
            self.closing.notify_waiters();
        }
    }

    /// Connections here end with their thread.
    fn cut_off(&self, _: Option<u64>) {}

    fn connections(&self) -> usize {
        self.connections.get()
    }
}

impl Echo {
    async fn answer(&self, transport: &Transport) {
        let mut byte = [0];
        loop {
            if poll_fn(|cx| transport.poll_read_ready(cx)).await.is_err() {
                return;
            }
            match transport.try_read(&mut byte) {
                Ok(1) => {
                    let text = format!("{}\n", self.number.get());
                    let sent =
                        transport.try_write_vectored(&[IoSlice::new(text.as_bytes())], false);
                    assert_eq!(sent.unwrap(), text.len());
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    }
}

static MODULE: Module = Module {
    name: "wishes",
    directives: &[Directive {
        name: "listen_on",
        contexts: Contexts::MAIN,
        arity: Arity::range(1, 2),
        set: |cx, args| {
            let port = u16::try_from(args.number(0)?).unwrap();
            let mut options = ListenOptions::new(SocketAddr::from(([127, 0, 0, 1], port)).into());
            options.reuseport = args.values().len() == 2;
            cx.part::<WantedListeners>().0.push(options);
            Ok(())
        },
        default: "",
        doc: "",
    }],
};

fn build(text: &str, old: Option<&Cycle>) -> Arc<Cycle> {
    let modules: Vec<_> = main_module::ALL.iter().copied().chain([&MODULE]).collect();
    let registry = Registry::new(&modules)
        .unwrap()
        .with_extension(Arc::new(LogFiles::default()));
    let text = format!("events {{ }} {text}");
    let source = MemorySource::new().with_file("/ngx.conf", text);
    let options = BuildOptions::default();
    Cycle::build(&registry, &source, Path::new("/ngx.conf"), &options, old).unwrap()
}

fn addr(cycle: &Cycle) -> String {
    let listeners = cycle.listeners();
    let listener = listeners.iter().next().unwrap();
    listener.local_addr().unwrap().to_string()
}

fn connect(addr: &str) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The number of the generation that answers.
fn ask(mut stream: &TcpStream) -> u64 {
    stream.write_all(b".").unwrap();
    let mut line = Vec::new();
    let mut byte = [0];
    while byte != *b"\n" {
        stream.read_exact(&mut byte).unwrap();
        line.extend(byte);
    }
    String::from_utf8(line).unwrap().trim().parse().unwrap()
}

/// A connection that was served once, under the generation of this number.
async fn kept(workers: &mut Workers<Echo>, addr: &str, number: u64) -> TcpStream {
    let addr = addr.to_owned();
    during(workers, move || {
        let kept = connect(&addr);
        assert_eq!(ask(&kept), number);
        kept
    })
    .await
}

/// Lets the workers report while something else goes on.
async fn during<T: Send + 'static>(
    workers: &mut Workers<Echo>,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let mut work = spawn_blocking(work);
    loop {
        tokio::select! {
            done = &mut work => return done.unwrap(),
            () = workers.watch() => {}
        }
    }
}

async fn until(workers: &mut Workers<Echo>, done: impl Fn(&Workers<Echo>) -> bool) {
    let waited = timeout(PATIENCE, async {
        while !done(workers) {
            workers.watch().await;
        }
    });
    waited.await.expect("it happens in time");
}

#[tokio::test]
async fn a_swap_reaches_connections_and_keeps_them() {
    let first = build("worker_processes 2; listen_on 0;", None);
    let addr = addr(&first);
    let mut workers = Workers::<Echo>::start(Arc::clone(&first)).unwrap();
    let (old_number, weak) = (first.number(), Arc::downgrade(&first));
    let kept = kept(&mut workers, &addr, old_number).await;

    let second = build("worker_processes 3; listen_on 0;", Some(&first));
    let number = second.number();
    drop(first);
    workers.swap(second);
    until(&mut workers, Workers::is_settled).await;
    assert_eq!(workers.running(), 3);
    let answers = move || (ask(&kept), ask(&connect(&addr)));
    assert_eq!(during(&mut workers, answers).await, (number, number));
    assert!(weak.upgrade().is_none(), "the old generation is freed");

    let third = build("worker_processes 1; listen_on 0;", Some(workers.cycle()));
    workers.swap(third);
    until(&mut workers, |workers| workers.running() == 1).await;
    workers.terminate();
    until(&mut workers, |workers| workers.running() == 0).await;
}

#[tokio::test]
async fn every_socket_of_an_address_is_accepted_from() {
    let text = "worker_processes 3; listen_on 0";
    let first = build(&format!("{text};"), None);
    let addr = addr(&first);
    let mut workers = Workers::<Echo>::start(first).unwrap();
    for reuseport in [" reuseport", "", " reuseport"] {
        let next = build(&format!("{text}{reuseport};"), Some(workers.cycle()));
        let number = next.number();
        workers.swap(next);
        until(&mut workers, Workers::is_settled).await;
        let addr = addr.clone();
        let all = move || (0..30).all(|_| ask(&connect(&addr)) == number);
        assert!(during(&mut workers, all).await);
    }
    workers.terminate();
    until(&mut workers, |workers| workers.running() == 0).await;
}

#[tokio::test]
async fn a_graceful_end_closes_sockets_and_waits_for_connections() {
    let cycle = build("listen_on 0; worker_shutdown_timeout 10s;", None);
    let addr = addr(&cycle);
    let mut workers = Workers::<Echo>::start(cycle).unwrap();
    let idle = during(&mut workers, {
        let addr = addr.clone();
        move || {
            let idle = connect(&addr);
            ask(&idle);
            idle
        }
    })
    .await;
    workers.quit();
    workers.cycle().retire();
    until(&mut workers, |workers| workers.running() == 0).await;
    assert_eq!((&idle).read(&mut [0]).unwrap(), 0);
    TcpStream::connect(&addr).expect_err("nobody listens any more");
}

#[tokio::test]
async fn a_graceful_end_has_its_limit() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let stubborn = format!("worker_rlimit_nofile {};", limit.current.unwrap_or(1024));
    let text = format!("listen_on 0; worker_shutdown_timeout 100ms; {stubborn}");
    let cycle = build(&text, None);
    let addr = addr(&cycle);
    let mut workers = Workers::<Echo>::start(cycle).unwrap();
    let busy = during(&mut workers, move || {
        let busy = connect(&addr);
        ask(&busy);
        busy
    })
    .await;
    let began = std::time::Instant::now();
    workers.quit();
    until(&mut workers, |workers| workers.running() == 0).await;
    assert!(began.elapsed() >= Duration::from_millis(100));
    assert_eq!((&busy).read(&mut [0]).unwrap(), 0);
}

#[tokio::test]
async fn a_thread_that_dies_is_started_again() {
    // The priority is what makes the service panic, and going back to none replaces the thread.
    let first = build("listen_on 0; worker_priority 1;", None);
    let addr = addr(&first);
    let mut workers = Workers::<Echo>::start(first).unwrap();
    until(&mut workers, Workers::is_settled).await;
    let unlucky = connect(&addr);
    until(&mut workers, |workers| workers.running() == 0).await;
    assert_eq!((&unlucky).read(&mut [0]).unwrap_or(0), 0);
    let began = std::time::Instant::now();
    until(&mut workers, |workers| workers.running() == 1).await;
    assert!(began.elapsed() < Duration::from_secs(1));

    let next = build("listen_on 0;", Some(workers.cycle()));
    let number = next.number();
    workers.swap(next);
    let answer = during(&mut workers, move || ask(&connect(&addr))).await;
    assert_eq!(answer, number);
    workers.terminate();
    until(&mut workers, |workers| workers.running() == 0).await;
}

#[test]
fn a_lone_worker_is_the_calling_thread_until_it_dies() {
    LocalRuntime::new().unwrap().block_on(async {
        let first = build("listen_on 0;", None);
        let (addr, number) = (addr(&first), first.number());
        let mut workers = Workers::<Echo>::start_here(first).unwrap();
        assert_eq!(worker_index(), Some(0));
        let kept = kept(&mut workers, &addr, number).await;

        // The limit is what makes the service panic, and takes no other thread.
        let text = "listen_on 0; worker_rlimit_core 1;";
        workers.swap(build(text, Some(workers.cycle())));
        until(&mut workers, Workers::is_settled).await;
        assert_eq!(workers.running(), 1);
        let unlucky = connect(&addr);
        until(&mut workers, |workers| workers.running() == 0).await;
        // The thread goes on, and yet nothing of its connections is left.
        let ended = move || [kept, unlucky].map(|stream| (&stream).read(&mut [0]).unwrap_or(0));
        assert_eq!(during(&mut workers, ended).await, [0, 0]);

        let next = build("listen_on 0;", Some(workers.cycle()));
        let number = next.number();
        workers.swap(next);
        let answer = during(&mut workers, move || ask(&connect(&addr))).await;
        assert_eq!(answer, number);
        workers.terminate();
        until(&mut workers, |workers| workers.running() == 0).await;
    });
}

#[tokio::test]
async fn several_workers_or_one_with_other_rights_are_threads() {
    // Outside of a local runtime a worker on this thread would be a panic.
    for wishes in [
        "worker_processes 2;",
        "worker_cpu_affinity 1;",
        "worker_priority 2;",
    ] {
        let cycle = build(&format!("listen_on 0; {wishes}"), None);
        let mut workers = Workers::<Echo>::start_here(cycle).unwrap();
        until(&mut workers, Workers::is_settled).await;
        assert_eq!(worker_index(), None);
        workers.terminate();
        until(&mut workers, |workers| workers.running() == 0).await;
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
