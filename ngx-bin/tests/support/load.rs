//! Clients that ask without pause, and what they saw.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{PATIENCE, wait_until};

/// How many clients there are.
const CLIENTS: usize = 4;

/// Clients on threads of their own, until [`Load::end`].
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Tally>>,
}

/// What the clients saw.
#[derive(Debug, Default)]
pub struct Tally {
    /// How long each answer took, in microseconds; sorted.
    pub times: Vec<u32>,
    /// What went wrong; a connection that ends without having said so is an error.
    pub failures: Vec<String>,
    /// How many connections the server said that it ends, and ended.
    pub closed: usize,
    /// The longest that a client was without an answer.
    pub gap: Duration,
}

impl Load {
    /// GET / on connections that are kept for as long as the server keeps them.
    pub fn kept(addr: &str) -> Self {
        Self::new(addr, usize::MAX)
    }

    /// With so many requests on each connection.
    pub fn new(addr: &str, requests: usize) -> Self {
        let (stop, answered) = (Arc::default(), Arc::default());
        let clients = (0..CLIENTS).map(|_| {
            let addr = addr.to_owned();
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            thread::spawn(move || ask(&addr, requests, &stop, &answered))
        });
        Self {
            clients: clients.collect(),
            stop,
            answered,
        }
    }

    /// Waits until many more requests are answered.
    #[track_caller]
    pub fn go_on(&self) {
        let goal = self.answered.load(Ordering::SeqCst) + 200;
        wait_until("answers", || self.answered.load(Ordering::SeqCst) > goal);
    }

    /// Ends the clients.
    #[track_caller]
    pub fn stop(self) -> Tally {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Tally::default();
        for client in self.clients {
            let one = client.join().expect("a client");
            all.times.extend(one.times);
            all.failures.extend(one.failures);
            all.closed += one.closed;
            all.gap = all.gap.max(one.gap);
        }
        all.times.sort_unstable();
        all
    }

    /// Ends the clients once more was answered; fails if anything failed.
    #[track_caller]
    pub fn end(self) -> Tally {
        self.go_on();
        self.stop().expect_no_failure()
    }
}

impl Tally {
    /// Fails if anything failed.
    #[track_caller]
    pub fn expect_no_failure(self) -> Self {
        let (count, of) = (self.failures.len(), self.times.len());
        let first = self.failures.first();
        assert!(count == 0, "{count} failures, {of} answers: {first:?}");
        self
    }

    /// The time within which so many of a hundred answers came, in microseconds.
    pub fn percentile(&self, percent: usize) -> u32 {
        let last = self.times.len().saturating_sub(1);
        let place = (self.times.len() * percent / 100).min(last);
        self.times.get(place).copied().unwrap_or_default()
    }
}

fn ask(addr: &str, requests: usize, stop: &AtomicBool, answered: &AtomicUsize) -> Tally {
    let mut tally = Tally::default();
    let mut last = Instant::now();
    while !stop.load(Ordering::SeqCst) {
        let mut left = requests;
        let mut connection = match Connection::new(addr) {
            Ok(connection) => connection,
            Err(error) => {
                tally.failures.push(format!("connecting: {error}"));
                thread::sleep(Duration::from_millis(5));
                continue;
            }
        };
        while left > 0 && !stop.load(Ordering::SeqCst) {
            left -= 1;
            let start = Instant::now();
            let closes = match connection.get(left == 0) {
                Ok(closes) => closes,
                Err(error) => {
                    let served = requests - left - 1;
                    tally.failures.push(format!("after {served}: {error}"));
                    break;
                }
            };
            let now = Instant::now();
            let micros = now.duration_since(start).as_micros();
            tally.times.push(u32::try_from(micros).unwrap_or(u32::MAX));
            tally.gap = tally.gap.max(now.duration_since(last));
            last = now;
            answered.fetch_add(1, Ordering::SeqCst);
            if closes {
                tally.closed += usize::from(left > 0);
                break;
            }
        }
    }
    tally
}

struct Connection {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Connection {
    fn new(addr: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            bytes: Vec::with_capacity(1024),
        })
    }

    /// Asks for `/`, as the last request of the connection or not; says whether the server ends it.
    fn get(&mut self, last: bool) -> io::Result<bool> {
        let request: &[u8] = if last {
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        } else {
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        };
        self.stream.write_all(request)?;
        self.bytes.clear();
        loop {
            let mut more = [0; 1024];
            let len = self.stream.read(&mut more)?;
            if len == 0 {
                let text = String::from_utf8_lossy(&self.bytes);
                return Err(io::Error::new(ErrorKind::UnexpectedEof, text.into_owned()));
            }
            self.bytes.extend_from_slice(&more[..len]);
            if let Some(closes) = whole(&self.bytes)? {
                return Ok(closes);
            }
        }
    }
}

/// Whether the connection ends behind this response, once it is there; any but a 200 is an error.
fn whole(bytes: &[u8]) -> io::Result<Option<bool>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let wrong = |text: &str| io::Error::new(ErrorKind::InvalidData, text.to_owned());
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| wrong("bytes"))?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(wrong(head));
    }
    let field = |name: &str| {
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        fields.find_map(|(field, value)| field.eq_ignore_ascii_case(name).then_some(value))
    };
    let len = field("content-length").and_then(|len| len.parse::<usize>().ok());
    let len = len.ok_or_else(|| wrong(head))?;
    if bytes.len() < end + 4 + len {
        return Ok(None);
    }
    Ok(Some(field("connection") == Some("close")))
}
