//! A WebSocket (RFC 6455) that echoes, and its client.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::message::{Reader, Request};
use super::{Backend, Conn, PATIENCE};

/// The key of the RFC's example in §1.3, and what a server makes of it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// What clients send must be masked (§5.3).
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

/// A backend that upgrades every connection and sends back what it gets.
pub fn echo() -> Backend {
    Backend::script(|conn| {
        let request = conn.request();
        assert!(is_handshake(&request), "{request:?}");
        conn.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        ));
        while let Some((kind, payload)) = frame(conn) {
            let len = u8::try_from(payload.len()).expect("a short frame");
            conn.send([&[kind, len], payload.as_slice()].concat());
            if kind == CLOSE {
                return;
            }
        }
    })
}

fn is_handshake(request: &Request) -> bool {
    request.header("upgrade") == Some("websocket")
        && request.header("connection") == Some("upgrade")
        && request.header("sec-websocket-key") == Some(KEY)
        && request.header("sec-websocket-version") == Some("13")
}

/// The next frame of a client: what it is, and its bytes without the mask.
fn frame(conn: &mut Conn) -> Option<(u8, Vec<u8>)> {
    let head = conn.try_exact(6)?;
    assert!(head[1] & 0x80 != 0, "a frame without a mask");
    let payload = conn.try_exact(usize::from(head[1] & 0x7f))?;
    let mask = &head[2..6];
    let bytes = payload.iter().zip(mask.iter().cycle());
    Some((head[0], bytes.map(|(byte, mask)| byte ^ mask).collect()))
}

/// An open WebSocket.
pub struct WebSocket(TcpStream);

impl WebSocket {
    /// Opens one at `uri`.
    #[track_caller]
    pub fn open(addr: &str, uri: &str) -> Self {
        let addr: SocketAddr = addr.parse().expect("an address");
        let mut stream = TcpStream::connect(addr).expect("connect");
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "GET {uri} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("send");
        // Nothing follows the head before the first frame is sent.
        let response = Reader::new(&stream).response("GET").expect("a response");
        assert_eq!(response.status, 101, "{response:?}");
        assert_eq!(response.header("sec-websocket-accept"), Some(ACCEPT));
        Self(stream)
    }

    /// Sends a short text, which must come back.
    pub fn echo(&mut self, text: &str) -> io::Result<()> {
        let (kind, payload) = self.exchange(TEXT, text.as_bytes())?;
        let same = kind == TEXT && payload == text.as_bytes();
        let back = || io::Error::other(format!("{text:?} came back as {payload:?}"));
        same.then_some(()).ok_or_else(back)
    }

    /// Closes it as the RFC wants, which the peer answers.
    #[track_caller]
    pub fn close(mut self) {
        let (kind, code) = self.exchange(CLOSE, &1000_u16.to_be_bytes()).unwrap();
        assert_eq!((kind, code.as_slice()), (CLOSE, [0x03, 0xe8].as_slice()));
    }

    fn exchange(&mut self, kind: u8, payload: &[u8]) -> io::Result<(u8, Vec<u8>)> {
        let len = u8::try_from(payload.len()).expect("a short frame");
        let mut frame = vec![kind, 0x80 | len];
        frame.extend(MASK);
        frame.extend(
            payload
                .iter()
                .zip(MASK.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        self.0.write_all(&frame)?;
        let mut head = [0; 2];
        self.0.read_exact(&mut head)?;
        let mut payload = vec![0; usize::from(head[1])];
        self.0.read_exact(&mut payload)?;
        Ok((head[0], payload))
    }
}
