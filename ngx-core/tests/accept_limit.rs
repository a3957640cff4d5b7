//! Accepting when the process is out of descriptors. Alone in its process: it changes a limit.

use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ngx_core::log::{self, ErrorLog, Level, LogSink};
use ngx_core::net::listener::{ListenOptions, ListenRules, Listeners};
use ngx_core::net::{Acceptor, Addr};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[derive(Default)]
struct Memory(Mutex<Vec<String>>);

impl LogSink for Memory {
    fn write_line(&self, line: &[u8]) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(String::from_utf8_lossy(line).into_owned());
    }
}

#[tokio::test]
async fn no_descriptors_left() {
    let lines = Arc::new(Memory::default());
    let sink = Arc::clone(&lines) as Arc<dyn LogSink>;
    log::set_default(Arc::new(ErrorLog::new([(Level::Warn, sink)])));
    log::install().unwrap();
    let wanted = [ListenOptions::new(
        SocketAddr::from(([127, 0, 0, 1], 0)).into(),
    )];
    let set = Listeners::prepare(&Listeners::default(), &wanted, ListenRules::new(1)).unwrap();
    let listener = set.iter().next().unwrap();
    let acceptor = Acceptor::new(listener.for_worker(0).unwrap()).unwrap();
    let clients: Vec<TcpStream> = (0..3)
        .map(|_| TcpStream::connect(listener.local_addr().unwrap().to_string()).unwrap())
        .collect();

    let before = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(3),
            maximum: before.maximum,
        },
    )
    .unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(1200), acceptor.accept()).await;
    assert!(waited.is_err());
    let start = Instant::now();
    setrlimit(Resource::Nofile, before).unwrap();
    for client in &clients {
        let (_, peer) = acceptor.accept().await.unwrap();
        assert_eq!(peer, Addr::from(client.local_addr().unwrap()));
    }
    assert!(
        start.elapsed() < Duration::from_millis(900),
        "{:?}",
        start.elapsed()
    );
    let lines = lines.0.lock().unwrap();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("[crit]"));
    assert!(
        lines[0].ends_with("accept4() failed (24: Too many open files)\n"),
        "{}",
        lines[0]
    );
}
