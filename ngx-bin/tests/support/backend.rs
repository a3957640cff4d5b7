//! Scripted backends: each accepted connection runs the script on a thread of its own.

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::PATIENCE;
use super::message::{Reader, Request};

/// A listening peer. Dropping it fails the test if a script failed.
pub struct Backend {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    accepted: AtomicUsize,
    closed: AtomicUsize,
    requests: Mutex<Vec<Request>>,
    scripts: Mutex<Vec<JoinHandle<()>>>,
    failed: AtomicBool,
}

impl Shared {
    /// Remembers a script. Those that have ended are joined, for their stacks stay until then.
    fn began(&self, script: JoinHandle<()>) {
        let mut scripts = self.scripts.lock().unwrap();
        scripts.push(script);
        if scripts.len() >= 64 {
            let (ended, running) = std::mem::take(&mut *scripts)
                .into_iter()
                .partition(JoinHandle::is_finished);
            *scripts = running;
            self.ended(ended);
        }
    }

    fn ended(&self, scripts: Vec<JoinHandle<()>>) {
        for script in scripts {
            if script.join().is_err() {
                self.failed.store(true, Ordering::SeqCst);
            }
        }
    }
}

impl Backend {
    /// Runs `script` on each connection.
    pub fn script(script: impl Fn(&mut Conn) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind a backend");
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let (script, accepting) = (Arc::new(script), Arc::clone(&shared));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let number = accepting.accepted.fetch_add(1, Ordering::SeqCst);
                let (script, shared) = (Arc::clone(&script), Arc::clone(&accepting));
                let handle = thread::spawn(move || script(&mut Conn::new(stream, number, shared)));
                accepting.began(handle);
            }
        });
        Self { addr, shared }
    }

    /// Reads a request, sends `bytes`, closes.
    pub fn answer(bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref().to_vec();
        Self::script(move |conn| {
            conn.request();
            conn.send(&bytes);
        })
    }

    /// Answers 200 with the body `respond` makes of the request, keeping connections.
    pub fn http(respond: impl Fn(&Request) -> String + Send + Sync + 'static) -> Self {
        Self::script(move |conn| {
            while let Some(request) = conn.try_request() {
                let body = respond(&request);
                conn.ok(&body);
            }
        })
    }

    /// A backend which answers 200 with `name`.
    pub fn named(name: &str) -> Self {
        let name = name.to_owned();
        Self::http(move |_| name.clone())
    }

    /// `127.0.0.1:port`.
    pub fn addr(&self) -> String {
        self.addr.to_string()
    }

    /// How many connections were accepted.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How many connections came to their end.
    pub fn closed(&self) -> usize {
        self.shared.closed.load(Ordering::SeqCst)
    }

    /// The requests read so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The only request read so far.
    #[track_caller]
    pub fn request(&self) -> Request {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.addr));
        let scripts = std::mem::take(&mut *self.shared.scripts.lock().unwrap());
        let ended = scripts.into_iter().filter(JoinHandle::is_finished);
        self.shared.ended(ended.collect());
        assert!(
            !self.shared.failed.load(Ordering::SeqCst) || thread::panicking(),
            "the script of a backend failed: see above"
        );
    }
}

/// The backend's end of one connection.
pub struct Conn {
    /// 0 for the first connection to the backend.
    pub number: usize,
    reader: Reader<TcpStream>,
    shared: Arc<Shared>,
}

impl Conn {
    fn new(stream: TcpStream, number: usize, shared: Arc<Shared>) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            number,
            reader: Reader::new(stream),
            shared,
        }
    }

    /// The next request, which must come.
    #[track_caller]
    pub fn request(&mut self) -> Request {
        self.try_request().expect("a request")
    }

    /// The next request, or nothing when the connection ends before one.
    pub fn try_request(&mut self) -> Option<Request> {
        let request = self.reader.request().ok()?;
        self.shared.requests.lock().unwrap().push(request.clone());
        Some(request)
    }

    /// The head of the next request; its body stays to be read.
    pub fn head(&mut self) -> Request {
        let request = self.reader.request_head().expect("a request head");
        self.shared.requests.lock().unwrap().push(request.clone());
        request
    }

    /// At least one byte, or nothing at the end.
    pub fn some(&mut self) -> Vec<u8> {
        self.reader.some().unwrap_or_default()
    }

    /// Exactly `len` bytes.
    pub fn exact(&mut self, len: usize) -> Vec<u8> {
        self.reader.exact(len).expect("bytes")
    }

    /// Exactly `len` bytes, or nothing when the connection ends before.
    pub fn try_exact(&mut self, len: usize) -> Option<Vec<u8>> {
        self.reader.exact(len).ok()
    }

    /// Sends bytes; a peer that left is not an error.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _left = self.reader.inner.write_all(bytes.as_ref());
    }

    /// Sends a 200 with `body`.
    pub fn ok(&mut self, body: &str) {
        let len = body.len();
        self.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n{body}"
        ));
    }

    /// Ends the sending half.
    pub fn shutdown_write(&mut self) {
        let _left = self.reader.inner.shutdown(Shutdown::Write);
    }

    /// Keeps the connection, saying nothing, until the peer ends it.
    pub fn hold(&mut self) {
        while !self.some().is_empty() {}
    }

    /// True when the peer ends the connection within `millis`.
    pub fn ends_within(&mut self, millis: u64) -> bool {
        let wait = Duration::from_millis(millis);
        self.reader.inner.set_read_timeout(Some(wait)).unwrap();
        match self.reader.rest() {
            Ok(_) => true,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.shared.closed.fetch_add(1, Ordering::SeqCst);
    }
}
