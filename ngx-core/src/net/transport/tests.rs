use std::io::{Read as _, Seek as _, Write as _};
use std::net::TcpListener;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// A transport, and its peer as a blocking socket.
async fn pair() -> (Transport, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = Addr::from(listener.local_addr().unwrap());
    let transport = Transport::connect(&addr, Duration::from_secs(5))
        .await
        .unwrap();
    (transport, listener.accept().unwrap().0)
}

fn blocked<T: fmt::Debug>(result: io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Does tokio think that there is something to read?
fn thought_readable(transport: &Transport) -> bool {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    transport.poll_read_ready(&mut cx).is_ready()
}

#[tokio::test]
async fn a_short_read_takes_the_readiness_back() {
    let (transport, mut peer) = pair().await;
    peer.write_all(b"abc").unwrap();
    transport.readable().await.unwrap();
    let mut buf = [0; 8];
    assert_eq!(transport.try_read(&mut buf).unwrap(), 3);
    assert!(!thought_readable(&transport));
    assert!(blocked(transport.try_read(&mut buf)));
    peer.write_all(b"defgh").unwrap();
    transport.readable().await.unwrap();
    assert_eq!(transport.try_read(&mut buf[..4]).unwrap(), 4);
    assert!(thought_readable(&transport));
    assert_eq!(transport.try_read(&mut buf[..4]).unwrap(), 1);
    drop(peer);
    transport.readable().await.unwrap();
    assert_eq!(transport.try_read(&mut buf).unwrap(), 0);
}

#[tokio::test]
async fn reading_into_spare_capacity() {
    let (transport, mut peer) = pair().await;
    let mut buf = BytesMut::with_capacity(8);
    assert!(blocked(transport.try_read_buf(&mut buf)));
    peer.write_all(b"abc").unwrap();
    transport.readable().await.unwrap();
    assert_eq!(transport.try_read_buf(&mut buf).unwrap(), 3);
    assert!(!thought_readable(&transport));
    peer.write_all(b"defghij").unwrap();
    transport.readable().await.unwrap();
    assert_eq!(transport.try_read_buf(&mut buf).unwrap(), 5);
    assert!(thought_readable(&transport));
    assert_eq!(transport.try_read_buf(&mut buf).unwrap(), 2);
    assert_eq!(buf, &b"abcdefghij"[..]);
    drop(peer);
    transport.readable().await.unwrap();
    assert_eq!(transport.try_read_buf(&mut buf).unwrap(), 0);
}

#[tokio::test]
async fn a_full_socket_blocks_until_the_peer_reads() {
    let (transport, mut peer) = pair().await;
    let block = vec![7; 1 << 20];
    let mut sent = 0;
    loop {
        match transport.try_write_vectored(&[IoSlice::new(&block), IoSlice::new(&block)], false) {
            Ok(n) => sent += n,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                break;
            }
        }
    }
    let reader = std::thread::spawn(move || {
        let mut got = vec![0; sent];
        peer.read_exact(&mut got).unwrap();
        (peer, got.iter().all(|byte| *byte == 7))
    });
    transport.writable().await.unwrap();
    assert!(
        transport
            .try_write_vectored(&[IoSlice::new(b"more")], true)
            .unwrap()
            > 0
    );
    assert!(reader.join().unwrap().1);
}

#[tokio::test]
async fn parts_of_files_are_sent() {
    let (transport, mut peer) = pair().await;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"0123456789").unwrap();
    file.rewind().unwrap();
    assert_eq!(transport.try_send_file(&file, 2, 5).unwrap(), 5);
    assert_eq!(transport.try_send_file(&file, 10, 5).unwrap(), 0);
    let mut got = [0; 5];
    peer.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"23456");
    assert_eq!(file.stream_position().unwrap(), 0);
}

#[tokio::test]
async fn a_chain_of_memory_and_file_is_written_out() {
    let (transport, mut peer) = pair().await;
    let mut file = tempfile::tempfile().unwrap();
    let body = vec![b'x'; 5 << 20];
    file.write_all(&body).unwrap();
    let file = Arc::new(ngx_buf::FileBuf::new(file, "body"));
    let mut writer = ngx_buf::ChainWriter::new();
    let head = ngx_buf::Buf::from("head:");
    let body = ngx_buf::Buf::file(file, 0..body.len() as u64);
    writer.push([head, body].into_iter().collect());
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        peer.read_to_end(&mut got).unwrap();
        got
    });
    std::future::poll_fn(|cx| writer.poll_write(cx, &mut &transport))
        .await
        .unwrap();
    drop(transport);
    let got = reader.join().unwrap();
    assert_eq!(got.len(), 5 + (5 << 20));
    assert!(got.starts_with(b"head:x"));
}

#[tokio::test]
async fn a_silent_a_talking_and_a_gone_peer() {
    let (transport, mut peer) = pair().await;
    assert_eq!(transport.peek_closed().unwrap(), Peek::Nothing);
    peer.write_all(b"x").unwrap();
    transport.readable().await.unwrap();
    assert_eq!(transport.peek_closed().unwrap(), Peek::Data);
    let mut buf = [0; 4];
    assert_eq!(transport.try_read(&mut buf).unwrap(), 1);
    assert_eq!(transport.peek_closed().unwrap(), Peek::Nothing);
    drop(peer);
    transport.readable().await.unwrap();
    assert_eq!(transport.peek_closed().unwrap(), Peek::Closed);
    let (transport, peer) = pair().await;
    SockRef::from(&peer)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(peer);
    transport.readable().await.unwrap();
    assert_eq!(
        transport.peek_closed().unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
}

#[tokio::test]
async fn what_has_come_this_moment_is_seen_when_the_system_is_asked() {
    let (transport, mut peer) = pair().await;
    assert_eq!(transport.peek_now().unwrap(), Peek::Nothing);
    assert_eq!(transport.peek_closed().unwrap(), Peek::Nothing);
    peer.write_all(b"x").unwrap();
    // The runtime has had no chance to hear of it.
    assert_eq!(transport.peek_closed().unwrap(), Peek::Nothing);
    assert_eq!(transport.peek_now().unwrap(), Peek::Data);
    let mut buf = [0; 4];
    transport.readable().await.unwrap();
    assert_eq!(transport.try_read(&mut buf).unwrap(), 1);
    drop(peer);
    assert_eq!(transport.peek_now().unwrap(), Peek::Closed);
}

#[tokio::test]
async fn a_half_closed_connection_still_answers() {
    let (transport, mut peer) = pair().await;
    transport.shutdown_write().unwrap();
    assert_eq!(peer.read(&mut [0; 4]).unwrap(), 0);
    peer.write_all(b"late").unwrap();
    transport.readable().await.unwrap();
    assert_eq!(transport.try_read(&mut [0; 8]).unwrap(), 4);
}

#[tokio::test]
async fn closing_may_reset() {
    let (transport, mut peer) = pair().await;
    transport.reset_on_close().unwrap();
    drop(transport);
    assert_eq!(
        peer.read(&mut [0; 4]).unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
}

#[tokio::test]
async fn small_segments_leave_at_once_when_asked() {
    let (transport, peer) = pair().await;
    let nodelay = || SockRef::from(&transport).tcp_nodelay().unwrap();
    assert!(!nodelay());
    transport.set_nodelay().unwrap();
    assert!(nodelay());
    drop(peer);
}

#[tokio::test]
async fn a_writer_learns_that_the_peer_is_gone() {
    let (transport, peer) = pair().await;
    drop(peer);
    transport.readable().await.unwrap();
    let mut outcome = Ok(0);
    for _ in 0..100 {
        outcome = transport.try_write_vectored(&[IoSlice::new(b"x")], false);
        if outcome.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let kind = outcome.unwrap_err().kind();
    assert!(
        matches!(
            kind,
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
        ),
        "{kind}"
    );
}

#[tokio::test]
async fn nobody_there_refuses() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = Transport::connect(&port.into(), Duration::from_secs(5))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    let missing = Addr::unix("/nonexistent/socket");
    let error = Transport::connect(&missing, Duration::from_secs(5))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[tokio::test]
async fn it_is_an_async_stream_too() {
    let (transport, peer) = pair().await;
    speaks_as_a_stream(transport, peer).await;
}

/// Whatever watches the socket.
pub(in crate::net) async fn speaks_as_a_stream(
    mut transport: Transport,
    mut peer: std::net::TcpStream,
) {
    transport.write_all(b"ping").await.unwrap();
    let parts = [IoSlice::new(b"a"), IoSlice::new(b"b")];
    assert_eq!(transport.write_vectored(&parts).await.unwrap(), 2);
    transport.shutdown().await.unwrap();
    let mut text = String::new();
    peer.read_to_string(&mut text).unwrap();
    assert_eq!(text, "pingab");
    peer.write_all(b"pong").unwrap();
    drop(peer);
    text.clear();
    transport.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "pong");
}

#[test]
fn a_transport_may_move_between_threads() {
    fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Transport>();
}
