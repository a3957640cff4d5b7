//! The driver on real sockets.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ngx_buf::{Buf, Chain, FileBuf, Flow};
use ngx_upstream::connect::Sockets;
use ngx_upstream::driver::{Client, ClientError, Disposition, Driver, End, Settings, Try};
use ngx_upstream::peer::{Addr, Balancer, Peer, RoundRobin, Server};
use ngx_upstream::pool::{Pool, PoolSettings};
use ngx_upstream::proto::http1::{Body, Framing, Head, Http1, Request};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

#[derive(Default)]
struct Collector {
    body: Vec<u8>,
    errors: Vec<String>,
}

impl Client<Head> for Collector {
    fn head(&mut self, _: Head, _: &[Try]) -> Disposition {
        Disposition::Pass
    }

    fn body(&mut self, chain: Chain) -> Result<Flow, ClientError> {
        self.body.extend(chain.to_vec());
        Ok(Flow::Done)
    }

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        Poll::Ready(Ok(()))
    }

    fn status(&mut self, head: &Head) -> Option<u16> {
        Some(head.code())
    }

    fn try_failed(&mut self, error: &ngx_upstream::error::Error, _: &[Try]) {
        self.errors.push(error.to_string());
    }
}

fn request(length: u64, body: Chain) -> Http1 {
    let head = format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n");
    Http1::new(Request {
        head: Chain::from(Buf::from(head)),
        body: Body::Whole(Framing::Length(length), body),
        is_head: false,
        upgrade: false,
    })
}

fn get() -> Http1 {
    request(0, Chain::new())
}

/// Reads one request and gives its body back.
async fn echo(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.split_once("Content-Length: ").unwrap().1.trim_end();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await?;
    stream
        .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes())
        .await?;
    stream.write_all(&body).await
}

async fn tcp() -> (TcpListener, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = Peer::new(Addr::from(listener.local_addr().unwrap()));
    (listener, peer)
}

#[tokio::test]
async fn a_refused_connection_is_tried_elsewhere() {
    let (closed, first) = tcp().await;
    drop(closed);
    let (listener, second) = tcp().await;
    tokio::spawn(async move { echo(&mut listener.accept().await?.0).await });
    let balancer = RoundRobin::new([first, second].map(Server::new));
    let mut client = Collector::default();
    let mut driver = Driver::new(get(), balancer.session(b""), Sockets, Settings::default());
    let report = driver.run(&mut client).await;
    assert_eq!(report.result.unwrap(), End::Complete);
    let statuses: Vec<u16> = report.tries.iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [502, 200]);
    let refused = "connect() failed (111: Connection refused) while connecting to upstream";
    assert_eq!(client.errors, [refused]);
}

#[tokio::test]
async fn connections_are_kept_and_probed() {
    let (listener, peer) = tcp().await;
    let (close, closing) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        echo(&mut stream).await?;
        echo(&mut stream).await?;
        let _ = closing.await;
        drop(stream);
        echo(&mut listener.accept().await?.0).await
    });
    let pool = Rc::new(Pool::new(Sockets, PoolSettings::default()));
    let balancer = RoundRobin::new([Server::new(peer)]);
    let ask = async |reused: bool| {
        let session = balancer.session(b"");
        let mut driver = Driver::new(get(), session, Rc::clone(&pool), Settings::default());
        let report = driver.run(&mut Collector::default()).await;
        assert_eq!(report.result.unwrap(), End::Complete);
        assert_eq!(report.tries.len(), 1);
        assert_eq!(report.tries[0].reused, reused);
    };
    ask(false).await;
    ask(true).await;
    close.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    // The peer's close is seen before the request is sent.
    ask(false).await;
}

#[tokio::test]
async fn large_bodies_of_memory_and_file_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move { echo(&mut listener.accept().await?.0).await });

    let half: Vec<u8> = (0..3_000_000_u32).map(|at| (at / 5) as u8).collect();
    let name = folder.path().join("body");
    std::fs::write(&name, &half).unwrap();
    let file = FileBuf::open(name).unwrap().into();
    let body = Chain::from_iter([Buf::from(half.clone()), Buf::file(file, 0..3_000_000)]);

    let balancer = RoundRobin::new([Server::new(Peer::new(Addr::unix(path)))]);
    let mut client = Collector::default();
    let protocol = request(6_000_000, body);
    let mut driver = Driver::new(
        protocol,
        balancer.session(b""),
        Sockets,
        Settings::default(),
    );
    let report = driver.run(&mut client).await;
    assert_eq!(report.result.unwrap(), End::Complete);
    assert!(client.body == [half.clone(), half].concat());
    assert!(report.tries[0].sent > 6_000_000 && report.tries[0].received > 6_000_000);
}
