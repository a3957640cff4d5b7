//! The writer over real sockets, with real files.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::future::poll_fn;
use std::io::{IoSlice, Write};
use std::sync::Arc;
use std::time::Duration;

use ngx_buf::{AsyncSink, Buf, Chain, ChainWriter, FileBuf, FileError, Sink, WriteError};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

fn file(content: &[u8]) -> Arc<FileBuf> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    Arc::new(FileBuf::new(file, "content"))
}

async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    (listener.accept().await.unwrap().0, client)
}

/// Head, file in two ranges, tail, end.
fn response(body: &[u8]) -> (Chain, Vec<u8>) {
    let file = file(body);
    let half = body.len() as u64 / 2;
    let mut chain = Chain::from(Buf::from("head\r\n\r\n"));
    chain.push(Buf::file(Arc::clone(&file), 0..half));
    chain.push(Buf::file(file, half..body.len() as u64));
    chain.push("tail");
    chain.push(Buf::last());
    (chain, [b"head\r\n\r\n", body, b"tail"].concat())
}

/// Writes `chain` to `sink` while `reader` reads, and compares.
async fn transfer(sink: &mut impl Sink, reader: &mut (impl AsyncRead + Unpin)) {
    let (chain, expected) = response(&content(5_000_000));
    let mut writer = ChainWriter::new();
    writer.push(chain);
    let mut received = vec![0; expected.len()];
    let (sent, read) = tokio::join!(
        poll_fn(|cx| writer.poll_write(cx, sink)),
        reader.read_exact(&mut received)
    );
    sent.unwrap();
    read.unwrap();
    assert!(writer.is_empty());
    assert_eq!(writer.sent(), expected.len() as u64);
    assert!(received == expected);
}

#[tokio::test]
async fn tcp_gets_memory_and_files_in_order() {
    let (server, mut client) = tcp().await;
    transfer(&mut &server, &mut client).await;
}

#[tokio::test]
async fn unix_gets_memory_and_files_in_order() {
    let (server, mut client) = UnixStream::pair().unwrap();
    transfer(&mut &server, &mut client).await;
}

#[tokio::test]
async fn any_writer_gets_memory_and_files_in_order() {
    let (server, mut client) = tokio::io::duplex(3000);
    transfer(&mut AsyncSink::new(server), &mut client).await;
}

#[tokio::test]
async fn a_buffered_writer_is_flushed() {
    let (server, mut client) = tokio::io::duplex(100);
    let mut sink = AsyncSink::new(tokio::io::BufWriter::with_capacity(1 << 20, server));
    let mut writer = ChainWriter::new();
    let (chain, expected) = response(&content(10_000));
    writer.push(chain);
    let mut received = vec![0; expected.len()];
    let (sent, read) = tokio::join!(
        poll_fn(|cx| writer.poll_write(cx, &mut sink)),
        client.read_exact(&mut received)
    );
    sent.unwrap();
    read.unwrap();
    assert!(received == expected);
}

#[tokio::test]
async fn head_waits_for_the_file_behind_it() {
    let (server, mut client) = tcp().await;
    server.writable().await.unwrap();
    let mut sink = &server;
    assert_eq!(
        Sink::try_write_vectored(&mut sink, &[IoSlice::new(b"head")], true).unwrap(),
        4
    );
    let mut into = [0; 64];
    let early = tokio::time::timeout(Duration::from_millis(30), client.read(&mut into)).await;
    assert!(early.is_err(), "the head left alone");
    assert_eq!(
        sink.try_send_file(file(b"0123456789").file(), 2, 5)
            .unwrap(),
        5
    );
    let n = client.read(&mut into).await.unwrap();
    assert_eq!(&into[..n], b"head23456");
}

#[tokio::test]
async fn a_peer_that_left_is_told_once() {
    let (server, client) = tcp().await;
    drop(client);
    let mut writer = ChainWriter::new();
    let error = loop {
        writer.push(response(&content(1000)).0);
        if let Err(error) = poll_fn(|cx| writer.poll_write(cx, &mut &server)).await {
            break error;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert!(error.is_closed(), "{error}");
    let again = poll_fn(|cx| writer.poll_write(cx, &mut &server)).await;
    assert!(matches!(again, Err(WriteError::Ended)));
}

#[tokio::test]
async fn a_file_that_shrank_is_an_error() {
    let (server, _client) = tcp().await;
    let file = file(&content(1000));
    let mut writer = ChainWriter::new();
    writer.push(Buf::file(Arc::clone(&file), 0..1000).into());
    file.file().set_len(600).unwrap();
    let error = poll_fn(|cx| writer.poll_write(cx, &mut &server))
        .await
        .unwrap_err();
    let WriteError::File(FileError::Truncated {
        offset: 600,
        missing: 400,
        ..
    }) = error
    else {
        panic!("{error}");
    };
    assert_eq!(writer.sent(), 600);
}

#[tokio::test]
async fn one_turn_does_not_starve_the_others() {
    let (server, mut client) = tcp().await;
    let (chain, expected) = response(&content(100_000));
    let mut writer = ChainWriter::new();
    writer.set_turn(1000);
    writer.push(chain);
    let turns = std::cell::Cell::new(0);
    let other = async {
        while !writer.is_empty() {
            poll_fn(|cx| match writer.poll_write(cx, &mut &server) {
                std::task::Poll::Pending => {
                    turns.set(turns.get() + 1);
                    std::task::Poll::Pending
                }
                ready => ready,
            })
            .await
            .unwrap();
        }
    };
    let mut received = vec![0; expected.len()];
    let (read, ()) = tokio::join!(client.read_exact(&mut received), other);
    read.unwrap();
    assert!(turns.get() >= 100, "{}", turns.get());
    assert!(received == expected);
}

#[test]
fn a_response_over_a_socket_makes_no_allocation() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (server, mut client) = runtime.block_on(tcp());
    let file = file(&content(10_000));
    let mut writer = ChainWriter::new();
    let mut body = vec![0; 10_005];
    let mut respond = || {
        let mut chain = Chain::from(Buf::from("head\n"));
        chain.push(Buf::file(Arc::clone(&file), 0..10_000));
        chain.push(Buf::last());
        writer.push(chain);
        runtime
            .block_on(poll_fn(|cx| writer.poll_write(cx, &mut &server)))
            .unwrap();
        runtime.block_on(client.read_exact(&mut body)).unwrap();
    };
    respond();
    assert_eq!(allocation_counter::measure(respond).count_total, 0);
}

#[test]
fn parts_can_go_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Chain>();
    is_send::<ChainWriter>();
    is_send::<ngx_buf::OutputChain>();
    is_send::<AsyncSink<TcpStream>>();
}
