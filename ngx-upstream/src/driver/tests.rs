use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use ngx_buf::{Buf, Chain, Flow};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::connect::Connection;
use crate::peer::{Addr, Balancer, RoundRobin, RoundRobinSession, Server};
use crate::pipe::Mode;
use crate::pool::{Pool, PoolSettings};
use crate::proto::http1::{Body, Framing, Head, Http1, Request};
use crate::protocol::Trailers;

mod bodies;
#[cfg(feature = "http")]
mod parts;
mod retries;
mod tunnels;

/// Connects to backends that the test plays: each connection's far end comes out of the channel.
struct Wire {
    backends: mpsc::UnboundedSender<(String, DuplexStream)>,
    /// Peers whose connections are refused.
    refused: Vec<&'static str>,
    /// Bytes in flight each way.
    depth: usize,
}

impl Connect for Wire {
    type Stream = DuplexStream;

    async fn connect(&self, peer: &Peer, _: bool) -> io::Result<Connection<DuplexStream>> {
        match &*peer.name {
            "silent" => std::future::pending().await,
            name if self.refused.contains(&name) => Err(io::Error::from_raw_os_error(111)),
            name => {
                let (near, far) = duplex(self.depth);
                self.backends.send((name.to_owned(), far)).unwrap();
                Ok(Connection::new(near))
            }
        }
    }
}

type Backends = mpsc::UnboundedReceiver<(String, DuplexStream)>;

fn wire(refused: &[&'static str]) -> (Wire, Backends) {
    let (backends, far) = mpsc::unbounded_channel();
    (
        Wire {
            backends,
            refused: refused.to_vec(),
            depth: 64 * 1024,
        },
        far,
    )
}

fn balance(names: &[&str]) -> RoundRobinSession {
    let addr = Addr::from(std::net::SocketAddr::from(([127, 0, 0, 1], 1)));
    let peer = |name: &&str| Peer {
        name: (*name).into(),
        ..Peer::new(addr.clone())
    };
    RoundRobin::new(names.iter().map(|name| Server::new(peer(name)))).session(b"")
}

/// A client that takes everything and writes down what it got.
#[derive(Default)]
struct Collector {
    heads: Vec<u16>,
    interim: Vec<u16>,
    body: Vec<u8>,
    pieces: usize,
    trailers: Trailers,
    errors: Vec<String>,
    discard: bool,
    mode: Option<Mode>,
    /// Takes nothing before this is true.
    open: Option<tokio::sync::watch::Receiver<bool>>,
    leave: Option<std::pin::Pin<Box<tokio::time::Sleep>>>,
    upload: VecDeque<Chain>,
    /// Once `upload` is sent, nothing comes and nothing ends.
    upload_open: bool,
    tries_at_head: usize,
}

impl Client<Head> for Collector {
    fn head(&mut self, head: Head, tries: &[Try]) -> Disposition {
        self.heads.push(head.code());
        self.tries_at_head = tries.len();
        match self.mode {
            _ if self.discard => Disposition::Discard,
            Some(mode) => Disposition::PassIn(mode),
            None => Disposition::Pass,
        }
    }

    fn body(&mut self, chain: Chain) -> Result<Flow, ClientError> {
        self.pieces += 1;
        for buf in chain {
            match (buf.shared_file(), buf.file_range()) {
                (Some(file), Some(range)) => {
                    let mut bytes = vec![0; buf.len() as usize];
                    file.read_exact_at(&mut bytes, range.start).unwrap();
                    self.body.extend(bytes);
                }
                _ => self.body.extend(buf.as_slice().unwrap_or_default()),
            }
        }
        let shut = self.open.as_ref().is_some_and(|open| !*open.borrow());
        Ok(if shut { Flow::Again } else { Flow::Done })
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        let Some(open) = &mut self.open else {
            return Poll::Ready(Ok(()));
        };
        let opened = pin!(open.wait_for(|open| *open)).poll(cx).is_ready();
        if opened {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.leave {
            Some(leave) => leave.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    fn poll_request_body(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<Result<Option<Chain>, ClientError>> {
        match self.upload.pop_front() {
            None if self.upload_open => Poll::Pending,
            chain => Poll::Ready(Ok(chain)),
        }
    }

    fn status(&mut self, head: &Head) -> Option<u16> {
        Some(head.code())
    }

    fn interim(&mut self, head: Head) {
        self.interim.push(head.code());
    }

    fn trailers(&mut self, trailers: Trailers) {
        self.trailers = trailers;
    }

    fn try_failed(&mut self, error: &Error, _: &[Try]) {
        self.errors.push(error.to_string());
    }
}

impl Collector {
    fn leaving_after(seconds: u64) -> Self {
        let leave = Box::pin(tokio::time::sleep(Duration::from_secs(seconds)));
        Self {
            leave: Some(leave),
            ..Self::default()
        }
    }
}

fn request(body: Body) -> Http1 {
    let head = Chain::from(Buf::from("GET / HTTP/1.1\r\n\r\n"));
    Http1::new(Request {
        head,
        body,
        is_head: false,
        upgrade: true,
    })
}

fn get() -> Http1 {
    request(Body::None)
}

async fn read_head(far: &mut DuplexStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(far.read_u8().await.unwrap());
    }
    String::from_utf8(text).unwrap()
}

/// Takes the next connection, reads a request head and answers.
async fn serve(backends: &mut Backends, answer: &[u8]) -> (String, DuplexStream) {
    let (name, mut far) = backends.recv().await.unwrap();
    read_head(&mut far).await;
    far.write_all(answer).await.unwrap();
    (name, far)
}

fn statuses(report: &Report) -> Vec<(&str, u16)> {
    report
        .tries
        .iter()
        .map(|attempt| (&*attempt.peer, attempt.status))
        .collect()
}

#[test]
fn the_future_is_send_when_its_parts_are() {
    fn assert_send<T: Send>(_: T) {}
    struct Sink;
    impl Client<Head> for Sink {
        fn head(&mut self, _: Head, _: &[Try]) -> Disposition {
            Disposition::Discard
        }
        fn body(&mut self, _: Chain) -> Result<Flow, ClientError> {
            Ok(Flow::Done)
        }
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
            Poll::Ready(Ok(()))
        }
    }
    let driver =
        |session| Driver::new(get(), session, crate::connect::Sockets, Settings::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _guard = runtime.enter();
    assert_send(async move { driver(balance(&["a"])).run(&mut Sink).await });
}

#[tokio::test(start_paused = true)]
async fn a_response_from_head_to_trailer() {
    let (wire, mut backends) = wire(&[]);
    let mut client = Collector::default();
    let mut driver = Driver::new(get(), balance(&["a"]), wire, Settings::default());
    let answer =
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\nhello\r\n0\r\nDigest: x\r\n\r\n";
    let (report, _) = tokio::join!(driver.run(&mut client), serve(&mut backends, answer));
    assert_eq!(report.result.as_ref().unwrap(), &End::Complete);
    assert_eq!((client.interim, client.heads), (vec![103], vec![200]));
    assert_eq!((client.body, client.trailers.len()), (b"hello".to_vec(), 1));
    assert_eq!((client.tries_at_head, report.tries.len()), (1, 1));
    let attempt = &report.tries[0];
    assert_eq!(
        (&*attempt.peer, attempt.status, attempt.body),
        ("a", 200, 5)
    );
    assert_eq!((attempt.sent, attempt.received), (18, answer.len() as u64));
    assert!(attempt.connect_time.is_some() && attempt.header_time.is_some());
    assert!(attempt.response_time.is_some() && !attempt.reused);
}
