//! Against a name server of a few lines, on a UDP socket in the same runtime.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::*;

const A: u16 = 1;
const AAAA: u16 = 28;

/// What the server does with a question.
enum Reply {
    Addrs(u32, Vec<IpAddr>),
    Code(u8),
    Silence,
}

/// The server, and the names and types that it was asked.
struct Server {
    addr: SocketAddr,
    asked: Arc<Mutex<Vec<(String, u16)>>>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(answer: impl Fn(&str, u16) -> Reply + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut packet = [0; 1500];
            loop {
                let (len, client) = socket.recv_from(&mut packet).await.unwrap();
                let (name, kind, end) = question(&packet[..len]);
                seen.lock().unwrap().push((name.clone(), kind));
                if let Some(reply) = reply(&packet[..end], kind, answer(&name, kind)) {
                    socket.send_to(&reply, client).await.unwrap();
                }
            }
        });
        Self { addr, asked, task }
    }

    fn asked(&self) -> Vec<(String, u16)> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.sort();
        asked
    }

    fn resolver(&self, change: impl FnOnce(&mut ResolverOptions)) -> Resolver {
        let mut options = ResolverOptions::new(vec![self.addr]);
        options.ipv6 = false;
        change(&mut options);
        Resolver::new(options)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The question of a query: name, type, and where it ends (RFC 1035 §4.1).
fn question(packet: &[u8]) -> (String, u16, usize) {
    let (mut at, mut labels) = (12, Vec::new());
    while packet[at] > 0 {
        let end = at + 1 + usize::from(packet[at]);
        labels.push(String::from_utf8(packet[at + 1..end].to_vec()).unwrap());
        at = end;
    }
    (
        labels.join("."),
        u16::from_be_bytes([packet[at + 1], packet[at + 2]]),
        at + 5,
    )
}

fn reply(query: &[u8], kind: u16, reply: Reply) -> Option<Vec<u8>> {
    let (code, ttl, addrs) = match reply {
        Reply::Silence => return None,
        Reply::Code(code) => (code, 0, Vec::new()),
        Reply::Addrs(ttl, addrs) => (0, ttl, addrs),
    };
    let count = u8::try_from(addrs.len()).unwrap();
    let mut out = query[..2].to_vec();
    out.extend([0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    out.extend(&query[12..]);
    for addr in addrs {
        let data = match addr {
            IpAddr::V4(addr) => addr.octets().to_vec(),
            IpAddr::V6(addr) => addr.octets().to_vec(),
        };
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1]);
        out.extend(ttl.to_be_bytes());
        out.extend([0, u8::try_from(data.len()).unwrap()]);
        out.extend(data);
    }
    Some(out)
}

fn v4(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

#[tokio::test]
async fn answers_are_kept_and_rotated() {
    let server = Server::start(|_, _| Reply::Addrs(60, vec![v4(1), v4(2)])).await;
    let resolver = server.resolver(|_| {});
    let first = resolver.resolve("Backend.Example.").await.unwrap();
    let second = resolver.resolve("backend.example").await.unwrap();
    assert_ne!(first, second);
    assert_eq!([first[0], first[1]], [second[1], second[0]]);
    assert_eq!(server.asked(), [("backend.example".to_owned(), A)]);
}

#[tokio::test]
async fn addresses_are_their_own_answer() {
    let server = Server::start(|_, _| Reply::Silence).await;
    let resolver = server.resolver(|_| {});
    assert_eq!(*resolver.resolve("192.0.2.7").await.unwrap(), [v4(7)]);
    assert_eq!(
        *resolver.resolve("::1").await.unwrap(),
        ["::1".parse::<IpAddr>().unwrap()]
    );
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn the_time_to_live_counts_unless_valid_is_set() {
    let server = Server::start(|_, _| Reply::Addrs(0, vec![v4(1)])).await;
    let by_ttl = server.resolver(|_| {});
    by_ttl.resolve("a.example").await.unwrap();
    by_ttl.resolve("a.example").await.unwrap();
    assert_eq!(server.asked().len(), 2);
    let by_valid = server.resolver(|options| options.valid = Some(Duration::from_millis(300)));
    by_valid.resolve("a.example").await.unwrap();
    by_valid.resolve("a.example").await.unwrap();
    assert_eq!(server.asked().len(), 1);
    tokio::time::sleep(Duration::from_millis(350)).await;
    by_valid.resolve("a.example").await.unwrap();
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn both_families_are_asked_for() {
    let v6: IpAddr = "2001:db8::1".parse().unwrap();
    let server = Server::start(move |_, kind| match kind {
        A => Reply::Addrs(60, vec![v4(1)]),
        _ => Reply::Addrs(60, vec![v6]),
    })
    .await;
    let both = server.resolver(|options| options.ipv6 = true);
    let mut addrs = both.resolve("a.example").await.unwrap().to_vec();
    addrs.sort();
    assert_eq!(addrs, [v4(1), v6]);
    let name = "a.example".to_owned();
    assert_eq!(server.asked(), [(name.clone(), A), (name.clone(), AAAA)]);
    let only = server.resolver(|options| (options.ipv4, options.ipv6) = (false, true));
    assert_eq!(*only.resolve("a.example").await.unwrap(), [v6]);
    assert_eq!(server.asked(), [(name, AAAA)]);
}

#[tokio::test]
async fn one_family_is_enough() {
    let server = Server::start(|_, kind| match kind {
        A => Reply::Addrs(60, vec![v4(1)]),
        _ => Reply::Addrs(60, Vec::new()),
    })
    .await;
    let both = server.resolver(|options| options.ipv6 = true);
    assert_eq!(*both.resolve("a.example").await.unwrap(), [v4(1)]);
}

#[tokio::test]
async fn failures_have_nginx_texts() {
    let server = Server::start(|name, _| match name {
        "missing.example" => Reply::Code(3),
        "broken.example" => Reply::Code(2),
        "refused.example" => Reply::Code(5),
        "empty.example" => Reply::Addrs(60, Vec::new()),
        _ => Reply::Silence,
    })
    .await;
    let resolver = server.resolver(|options| options.timeout = Duration::from_millis(300));
    for (name, text) in [
        ("missing.example", "(3: Host not found)"),
        ("broken.example", "(2: Server failure)"),
        ("refused.example", "(5: Operation refused)"),
        ("empty.example", "(3: Host not found)"),
        ("silent.example", "(110: Operation timed out)"),
        ("a..b", "(1: Format error)"),
    ] {
        let error = resolver.resolve(name).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{name} could not be resolved {text}")
        );
    }
    assert_eq!(resolver.cache.flights(), 0);
}

#[tokio::test]
async fn one_question_serves_all_who_wait() {
    let server = Server::start(|_, _| Reply::Addrs(60, vec![v4(1)])).await;
    let resolver = Arc::new(server.resolver(|_| {}));
    let waiters: Vec<_> = (0..20)
        .map(|_| {
            let resolver = Arc::clone(&resolver);
            tokio::spawn(async move { resolver.resolve("a.example").await })
        })
        .collect();
    for waiter in waiters {
        assert_eq!(*waiter.await.unwrap().unwrap(), [v4(1)]);
    }
    assert_eq!(server.asked().len(), 1);
    assert_eq!(resolver.cache.flights(), 0);
}

#[tokio::test]
async fn who_waits_takes_over_from_who_left() {
    let first = std::sync::atomic::AtomicBool::new(true);
    let server = Server::start(move |_, _| {
        if first.swap(false, Ordering::Relaxed) {
            Reply::Silence
        } else {
            Reply::Addrs(60, vec![v4(1)])
        }
    })
    .await;
    let resolver = Arc::new(server.resolver(|_| {}));
    let ask = || {
        let resolver = Arc::clone(&resolver);
        tokio::spawn(async move { resolver.resolve("a.example").await })
    };
    let leaves = ask();
    while server.asked.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let stays = ask();
    tokio::task::yield_now().await;
    leaves.abort();
    assert_eq!(*stays.await.unwrap().unwrap(), [v4(1)]);
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn nobody_waits_nothing_stays() {
    let server = Server::start(|_, _| Reply::Silence).await;
    let resolver = server.resolver(|_| {});
    let waited =
        tokio::time::timeout(Duration::from_millis(50), resolver.resolve("a.example")).await;
    assert!(waited.is_err());
    assert_eq!(resolver.cache.flights(), 0);
}

#[tokio::test]
async fn the_second_server_helps_when_the_first_is_dead() {
    let server = Server::start(|_, _| Reply::Addrs(60, vec![v4(1)])).await;
    let dead = std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let resolver = server.resolver(|options| options.servers.insert(0, dead));
    assert_eq!(*resolver.resolve("a.example").await.unwrap(), [v4(1)]);
}

#[test]
fn a_resolver_is_shared_by_threads() {
    fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Resolver>();
}
