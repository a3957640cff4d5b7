//! Clients that ask an exact number of times, on connections that stay open.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use crate::error::{Doing as _, Error, Result};
use crate::interrupt;

/// How long an answer may take; valgrind is slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// Open connections to a server.
#[derive(Debug)]
pub(crate) struct Clients {
    port: u16,
    request: Vec<u8>,
    streams: Vec<TcpStream>,
    /// Bytes of an answer. Every answer to the same request is as long.
    answer: usize,
    scratch: Vec<u8>,
}

/// What is told of a complete answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Answer {
    status: u16,
    body: usize,
    /// With its header and framing.
    length: usize,
}

impl Clients {
    /// Connects once and asks once, which has to give a 200 with so many bytes of body.
    pub(crate) fn new(port: u16, target: &str, body: usize) -> Result<Self> {
        let request = format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
        let mut clients = Self {
            port,
            request: request.into_bytes(),
            streams: Vec::new(),
            answer: 0,
            scratch: Vec::new(),
        };
        let stream = clients.connect()?;
        let answer = clients.ask_first(&stream)?;
        if answer.status != 200 || answer.body != body {
            return Error::failed(format!(
                "it answers {} with {} bytes instead of 200 with {body}",
                answer.status, answer.body
            ));
        }
        clients.answer = answer.length;
        clients.scratch.resize(64 * 1024, 0);
        clients.streams.push(stream);
        Ok(clients)
    }

    /// Opens connections until there are `count`, each of which asks once.
    pub(crate) fn grow(&mut self, count: usize) -> Result<()> {
        while self.streams.len() < count {
            interrupt::check()?;
            let stream = self.connect()?;
            ask(&stream, &self.request)?;
            read_all(&stream, self.answer, &mut self.scratch)?;
            self.streams.push(stream);
        }
        Ok(())
    }

    /// Every connection asks, and then every answer is read: `rounds` times.
    pub(crate) fn ask(&mut self, rounds: usize) -> Result<()> {
        for _ in 0..rounds {
            interrupt::check()?;
            for stream in &self.streams {
                ask(stream, &self.request)?;
            }
            for stream in &self.streams {
                read_all(stream, self.answer, &mut self.scratch)?;
            }
        }
        Ok(())
    }

    fn connect(&self) -> Result<TcpStream> {
        let doing = || format!("cannot connect to port {}", self.port);
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).doing(doing)?;
        stream.set_nodelay(true).doing(doing)?;
        stream.set_read_timeout(Some(PATIENCE)).doing(doing)?;
        // Closed without a trace: thousands that linger would use up the ports of the next run.
        set_socket_linger(&stream, Some(Duration::ZERO)).doing(doing)?;
        Ok(stream)
    }

    fn ask_first(&self, mut stream: &TcpStream) -> Result<Answer> {
        ask(stream, &self.request)?;
        let mut got = Vec::new();
        let mut piece = vec![0; 256 * 1024];
        loop {
            if let Some(answer) = answer(&got) {
                return Ok(answer);
            }
            let read = stream.read(&mut piece).doing(reading)?;
            if read == 0 {
                return Error::failed("the connection is closed in the middle of an answer");
            }
            got.extend_from_slice(piece.get(..read).unwrap_or_default());
        }
    }
}

fn ask(mut stream: &TcpStream, request: &[u8]) -> Result<()> {
    stream.write_all(request).doing(|| "asking".to_owned())
}

fn read_all(mut stream: &TcpStream, mut left: usize, scratch: &mut [u8]) -> Result<()> {
    while left > 0 {
        let most = left.min(scratch.len());
        let read = stream
            .read(scratch.get_mut(..most).unwrap_or_default())
            .doing(reading)?;
        if read == 0 {
            return Error::failed("the connection is closed in the middle of an answer");
        }
        left -= read;
    }
    Ok(())
}

fn reading() -> String {
    "reading an answer".to_owned()
}

/// The answer that the bytes are, if it is all there. Framed by length or chunks.
fn answer(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(bytes.get(..end)?)
        .ok()?
        .to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let field = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim())
    };
    if let Some(length) = field("content-length:") {
        let body: usize = length.parse().ok()?;
        let length = end + body;
        return (bytes.len() >= length).then_some(Answer {
            status,
            body,
            length,
        });
    }
    let (body, framed) = chunks(bytes.get(end..)?)?;
    Some(Answer {
        status,
        body,
        length: end + framed,
    })
}

/// The bytes of data and of everything in a complete chunked body.
fn chunks(bytes: &[u8]) -> Option<(usize, usize)> {
    let (mut at, mut data) = (0, 0);
    loop {
        let rest = bytes.get(at..)?;
        let line = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(rest.get(..line)?).ok()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        at += line + 2 + size + 2;
        data += size;
        if bytes.len() < at {
            return None;
        }
        if size == 0 {
            return Some((data, at));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn an_answer_with_a_length() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        let expected = Answer {
            status: 200,
            body: 2,
            length: bytes.len(),
        };
        assert_eq!(answer(bytes), Some(expected));
        for cut in 0..bytes.len() {
            assert_eq!(answer(&bytes[..cut]), None);
        }
    }

    #[test]
    fn an_answer_in_chunks() {
        let bytes = b"HTTP/1.1 404 X\r\nA: b\r\n\r\n5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n";
        let expected = Answer {
            status: 404,
            body: 15,
            length: bytes.len(),
        };
        assert_eq!(answer(bytes), Some(expected));
        for cut in 0..bytes.len() {
            assert_eq!(answer(&bytes[..cut]), None);
        }
    }

    #[test]
    fn exactly_as_many_requests_as_asked_for() {
        const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let serve = |mut stream: TcpStream| {
                let (mut requests, mut got) = (0, [0; 4096]);
                while let Ok(read) = stream.read(&mut got)
                    && read > 0
                {
                    requests += 1;
                    stream.write_all(ANSWER).unwrap();
                }
                requests
            };
            let accept = || {
                thread::spawn({
                    let (stream, _) = listener.accept().unwrap();
                    move || serve(stream)
                })
            };
            let both = [accept(), accept()];
            both.map(|one| one.join().unwrap()).iter().sum::<usize>()
        });
        let mut clients = Clients::new(port, "/", 2).unwrap();
        clients.grow(2).unwrap();
        clients.ask(3).unwrap();
        assert_eq!(clients.streams.len(), 2);
        drop(clients);
        assert_eq!(server.join().unwrap(), 2 + 3 * 2);
    }
}
