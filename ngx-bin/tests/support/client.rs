//! A raw HTTP client: says what it is told, byte for byte, and reads strictly.

use std::io::{self, ErrorKind, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::PATIENCE;
use super::message::{Reader, Response};

/// One connection.
pub struct Client {
    reader: Reader<Socket>,
}

impl Client {
    /// Connects to an address such as `127.0.0.1:8080` or `[::1]:8080`.
    #[track_caller]
    pub fn connect(addr: &str) -> Self {
        Self::try_connect(addr).unwrap_or_else(|error| panic!("connect to {addr}: {error}"))
    }

    /// Connects, or says why not.
    pub fn try_connect(addr: &str) -> io::Result<Self> {
        let addr: SocketAddr = addr.parse().expect("an address");
        Self::over(Domain::for_address(addr), &addr.into())
    }

    /// Connects to a Unix socket.
    #[track_caller]
    pub fn connect_unix(path: &Path) -> Self {
        let addr = SockAddr::unix(path).expect("a socket path");
        Self::over(Domain::UNIX, &addr).expect("connect to a Unix socket")
    }

    /// Connects with a receive buffer of `bytes`, so that an unread response stays at the server.
    pub fn connect_narrow(addr: &str, bytes: usize) -> Self {
        let addr: SocketAddr = addr.parse().expect("an address");
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(bytes).unwrap();
        Self::finish(socket, &addr.into()).expect("connect")
    }

    fn over(domain: Domain, addr: &SockAddr) -> io::Result<Self> {
        Self::finish(Socket::new(domain, Type::STREAM, None)?, addr)
    }

    fn finish(socket: Socket, addr: &SockAddr) -> io::Result<Self> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.connect(addr)?;
        if addr.is_ipv4() || addr.is_ipv6() {
            socket.set_tcp_nodelay(true)?;
        }
        Ok(Self {
            reader: Reader::new(socket),
        })
    }

    /// Sends bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.try_send(bytes).expect("send");
        self
    }

    /// Sends bytes, or says why not.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.reader.inner.write_all(bytes.as_ref())
    }

    /// Sends bytes one by one, each as a packet of its own.
    pub fn send_slowly(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        for byte in bytes.as_ref() {
            self.send([*byte]);
            std::thread::sleep(Duration::from_millis(1));
        }
        self
    }

    /// The next response (to anything but HEAD).
    #[track_caller]
    pub fn response(&mut self) -> Response {
        self.reader.response("GET").expect("a response")
    }

    /// The next response to a HEAD request.
    #[track_caller]
    pub fn response_to_head(&mut self) -> Response {
        self.reader.response("HEAD").expect("a response")
    }

    /// The next response, or what went wrong.
    pub fn try_response(&mut self) -> io::Result<Response> {
        self.reader.response("GET")
    }

    /// The head of the next response; its body stays to be read.
    #[track_caller]
    pub fn head(&mut self) -> Response {
        self.reader.response_head().expect("a response head")
    }

    /// One line without its CRLF.
    #[track_caller]
    pub fn line(&mut self) -> String {
        self.reader.line().expect("a line")
    }

    /// Exactly `len` bytes.
    #[track_caller]
    pub fn exact(&mut self, len: usize) -> Vec<u8> {
        self.reader.exact(len).expect("bytes")
    }

    /// Everything until the server closes; a reset counts as the end.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        match self.reader.rest() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Vec::new(),
            Err(error) => panic!("the server did not close: {error}"),
        }
    }

    /// Fails unless the server closes without another byte.
    #[track_caller]
    pub fn expect_close(&mut self) {
        let rest = self.rest();
        assert!(
            rest.is_empty(),
            "unexpected: {:?}",
            String::from_utf8_lossy(&rest)
        );
    }

    /// Fails if the server says anything, or closes, within `millis`.
    #[track_caller]
    pub fn expect_silence(&mut self, millis: u64) {
        let socket = &self.reader.inner;
        socket
            .set_read_timeout(Some(Duration::from_millis(millis)))
            .unwrap();
        let answer = self.reader.some();
        self.reader.inner.set_read_timeout(Some(PATIENCE)).unwrap();
        match answer {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("not silent: {error}"),
            Ok(bytes) => panic!("not silent: {:?}", String::from_utf8_lossy(&bytes)),
        }
    }

    /// Ends the sending half.
    pub fn shutdown_write(&mut self) -> &mut Self {
        self.reader
            .inner
            .shutdown(Shutdown::Write)
            .expect("shutdown");
        self
    }

    /// Closes with a reset.
    pub fn reset(mut self) {
        self.reset_on_drop();
    }

    /// Makes the coming close a reset.
    pub fn reset_on_drop(&mut self) {
        let socket = &self.reader.inner;
        socket.set_linger(Some(Duration::ZERO)).expect("linger");
    }
}
