use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::log::{ErrorLog, set_default};

fn lookup(name: &str) -> io::Result<Vec<IpAddr>> {
    match name {
        "loghost" => Ok(vec![Ipv4Addr::new(10, 0, 0, 1).into()]),
        _ => Err(ErrorKind::NotFound.into()),
    }
}

fn parse(text: &str) -> Result<SyslogOptions, String> {
    SyslogOptions::parse(text, "Machine", &lookup).map_err(|error| error.to_string())
}

#[test]
fn parameters_have_nginx_s_defaults() {
    let options = parse("server=loghost").unwrap();
    assert_eq!(options.server.to_string(), "10.0.0.1:514");
    assert_eq!((options.facility, options.severity), (23, Level::Info));
    assert_eq!(&*options.tag, "nginx");
    assert_eq!(options.hostname.as_deref(), Some("machine"));
    let all = "server=unix:/dev/log,facility=kern,severity=emerg,tag=a_1,nohostname";
    let options = parse(all).unwrap();
    assert_eq!(options.server.to_string(), "unix:/dev/log");
    assert_eq!((options.facility, options.severity), (0, Level::Emerg));
    assert_eq!(&*options.tag, "a_1");
    assert_eq!(options.hostname, None);
    let six = parse("server=[::1]:99,facility=local0").unwrap();
    assert_eq!(
        (six.server.to_string().as_str(), six.facility),
        ("[::1]:99", 16)
    );
}

#[test]
fn errors_are_in_nginx_s_words() {
    let long = format!("server=loghost,tag={}", "a".repeat(33));
    for (text, message) in [
        ("", "unknown syslog parameter \"\""),
        ("server", "unknown syslog parameter \"server\""),
        ("server=", "no host in syslog server \"\""),
        ("server=a:x", "invalid port in syslog server \"a:x\""),
        ("server=none", "host not found in syslog server \"none\""),
        ("server=[::1", "invalid host in syslog server \"[::1\""),
        (
            "server=unix:",
            "no path in the unix domain socket in syslog server \"unix:\"",
        ),
        ("server=loghost,server=x", "duplicate syslog \"server\""),
        ("facility=user", "no syslog server specified"),
        ("facility=x", "unknown syslog facility \"x\""),
        (
            "facility=user,facility=user",
            "duplicate syslog \"facility\"",
        ),
        ("severity=x", "unknown syslog severity \"x\""),
        (
            "tag=a-b",
            "syslog \"tag\" only allows alphanumeric characters and underscore",
        ),
        (long.as_str(), "syslog tag length exceeds 32"),
        ("server=loghost,", "unknown syslog parameter \"\""),
        ("nohostname=1", "unknown syslog parameter \"nohostname=1\""),
    ] {
        assert_eq!(parse(text), Err(message.to_owned()), "{text}");
    }
}

fn receive(socket: &UnixDatagram) -> String {
    let mut datagram = [0; 4096];
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let len = socket.recv(&mut datagram).unwrap();
    String::from_utf8_lossy(&datagram[..len]).into_owned()
}

fn at(path: &std::path::Path, rest: &str) -> Syslog {
    let text = format!("server=unix:{}{rest}", path.display());
    Syslog::new(parse(&text).unwrap())
}

#[test]
fn a_datagram_is_as_nginx_writes_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let server = UnixDatagram::bind(&path).unwrap();
    let syslog = at(&path, ",facility=local0");
    syslog.write_line_at(Level::Warn, b"a line\n");
    syslog.send(b"another");
    let first = receive(&server);
    assert!(first.starts_with("<132>"), "{first}");
    assert_eq!(&first[20..], " machine nginx: a line");
    assert!(receive(&server).starts_with("<134>"));
}

/// A server that comes back under the same path gets the very line that finds the old one gone.
#[test]
fn a_server_that_comes_back_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let server = UnixDatagram::bind(&path).unwrap();
    let syslog = at(&path, "");
    syslog.send(b"one");
    assert!(receive(&server).ends_with("one"));
    drop(server);
    std::fs::remove_file(&path).unwrap();
    let server = UnixDatagram::bind(&path).unwrap();
    syslog.send(b"two");
    assert!(receive(&server).ends_with("two"));
}

#[derive(Default)]
struct Memory(Mutex<Vec<String>>);

impl LogSink for Memory {
    fn write_line(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(line).into_owned();
        self.0.lock().unwrap().push(line);
    }
}

/// One test for both: the log of the process is one.
#[test]
fn trouble_is_reported_once_and_never_blocks() {
    let memory = Arc::new(Memory::default());
    set_default(Arc::new(ErrorLog::new([(
        Level::Error,
        Arc::clone(&memory) as Arc<dyn LogSink>,
    )])));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let syslog = at(&path, "");
    for _ in 0..1000 {
        syslog.send(b"nobody");
    }
    let server = UnixDatagram::bind(&path).unwrap();
    std::thread::sleep(Duration::from_millis(2 * PAUSE));
    syslog.send(b"here");
    assert!(receive(&server).ends_with("here"));
    // Nobody reads: the queue is full soon, and what comes then is lost.
    let full = at(&path, "");
    let start = std::time::Instant::now();
    for _ in 0..10_000 {
        full.send(&[b'x'; 1000]);
    }
    assert!(start.elapsed() < Duration::from_secs(5));
    let mine = format!("server: unix:{}", path.display());
    let lines = memory.0.lock().unwrap();
    let lines: Vec<_> = lines.iter().filter(|line| line.contains(&mine)).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    let connect = "connect() failed (2: No such file or directory) while logging to syslog";
    assert!(lines[0].contains(connect), "{}", lines[0]);
    assert!(lines[1].contains("send() failed (11: "), "{}", lines[1]);
}

#[test]
fn a_udp_server_may_be_away_for_a_while() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr().unwrap();
    drop(server);
    let syslog = Syslog::new(parse(&format!("server={addr}")).unwrap());
    // The first is refused, which the second is told.
    syslog.send(b"lost");
    syslog.send(b"lost too");
    std::thread::sleep(Duration::from_millis(2 * PAUSE));
    let server = UdpSocket::bind(addr).unwrap();
    server
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    syslog.send(b"back");
    let mut datagram = [0; 100];
    let len = server.recv(&mut datagram).unwrap();
    assert!(datagram[..len].ends_with(b": back"));
}
