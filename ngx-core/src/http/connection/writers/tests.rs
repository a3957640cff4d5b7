use std::future::poll_fn;

use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;

use super::*;

/// What writes, with a postponement of 1000 bytes, its socket and the other end.
fn pair() -> (Box<Out>, Transport, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    (take(1000, 1 << 20), Transport::from(near), far)
}

fn last(text: &[u8]) -> Chain {
    let bytes = Bytes::copy_from_slice(text);
    Chain::from(Buf::from(bytes).with_flags(Flags::LAST_BUF))
}

async fn written(out: &mut Out, transport: &Transport) {
    poll_fn(|cx| out.poll_write(cx, transport)).await.unwrap();
}

#[tokio::test]
async fn head_and_small_body_leave_together() {
    let (mut out, transport, mut far) = pair();
    assert_eq!(
        out.push_head(false, |head| head.extend_from_slice(b"head ")),
        5
    );
    assert_eq!(out.try_write(&transport).unwrap(), Flow::Done);
    assert!(out.is_postponed() && !out.is_empty() && out.sent() == 0);
    out.push(&mut last(b"body"), false);
    assert_eq!(out.try_write(&transport).unwrap(), Flow::Done);
    assert!(out.is_empty() && !out.used);
    assert_eq!(out.sent(), 9);
    let mut got = [0; 64];
    assert_eq!(far.read(&mut got).await.unwrap(), 9);
    assert_eq!(&got[..9], b"head body");
}

#[tokio::test]
async fn order_holds_where_small_and_large_meet_a_full_socket() {
    let (mut out, transport, mut far) = pair();
    let mut want = Vec::new();
    let mut blocked = 0;
    for round in 0..400_usize {
        let size = [10, 3000, 5000, 70_000][round % 4];
        let text = vec![b'a' + (round % 26) as u8; size];
        want.extend_from_slice(&text);
        out.push(&mut Chain::from(Bytes::from(text)), false);
        blocked += usize::from(out.try_write(&transport).unwrap() == Flow::Again);
    }
    assert!(blocked > 0, "the socket was never full");
    out.push(&mut last(b"end"), false);
    want.extend_from_slice(b"end");
    let read = tokio::spawn(async move {
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        got
    });
    written(&mut out, &transport).await;
    assert_eq!(out.sent(), want.len() as u64);
    assert!(out.is_empty());
    drop(transport);
    assert!(read.await.unwrap() == want);
}

#[tokio::test]
async fn a_peer_that_is_gone_is_the_end() {
    let (mut out, transport, far) = pair();
    drop(far);
    out.push(&mut last(b"text"), false);
    assert!(out.try_write(&transport).unwrap_err().is_closed());
    assert!(out.has_ended());
    out.push(&mut last(b"more"), false);
    let again = out.try_write(&transport);
    assert!(matches!(again, Err(WriteError::Ended)), "{again:?}");
}

#[tokio::test]
async fn a_limit_is_gone_when_it_is_given_back() {
    let (mut out, transport, _far) = pair();
    let now = Instant::now();
    out.set_limit(Some(Limit::new(1, 0, now)), now);
    out.push(&mut last(b"slow"), false);
    assert_eq!(out.try_write(&transport).unwrap(), Flow::Again);
    assert!(matches!(out.pause(), Some(Pause::Until(_))));
    out.set_limit(None, now);
    written(&mut out, &transport).await;
    give_back(out);
    let mut out = take(1000, 1 << 20);
    assert!(!out.is_limited() && out.sent() == 0);
    out.push(&mut last(b"fast"), false);
    assert_eq!(out.try_write(&transport).unwrap(), Flow::Done);
}

/// What leaves for these chains of a chunked body, each written before the next is queued.
async fn chunked(chains: Vec<Chain>) -> Vec<u8> {
    let (mut out, transport, mut far) = pair();
    let read = tokio::spawn(async move {
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        got
    });
    let _ = out.push_head(false, |head| head.extend_from_slice(b"head "));
    for mut chain in chains {
        let flags = out.push(&mut chain, true);
        assert!(chain.is_empty());
        let _ = out.try_write(&transport).unwrap();
        if flags.intersects(HURRY) {
            written(&mut out, &transport).await;
            assert!(out.is_empty());
        }
    }
    drop(transport);
    read.await.unwrap()
}

#[tokio::test]
async fn chains_of_a_chunked_body_become_chunks() {
    let flush = || Chain::from(Buf::special(Flags::FLUSH));
    let mut two = Chain::from(Bytes::from_static(b"0123456789"));
    two.push(Buf::special(Flags::SYNC));
    two.push(Bytes::from_static(b"abcdef"));
    let got = chunked(vec![
        Chain::new(),
        two,
        flush(),
        Chain::from(Bytes::from_static(b"x")),
        last(b"the end"),
    ]);
    assert_eq!(
        String::from_utf8(got.await).unwrap(),
        "head 10\r\n0123456789abcdef\r\n1\r\nx\r\n7\r\nthe end\r\n0\r\n\r\n"
    );
    let only_end = chunked(vec![flush(), Chain::from(Buf::last())]);
    assert_eq!(only_end.await, b"head 0\r\n\r\n");
}

#[tokio::test]
async fn large_chunks_are_not_copied() {
    let large = Bytes::from(vec![b'l'; 70_000]);
    let mut chain = Chain::from(large.clone());
    chain.push(Buf::from_static(b"more").with_flags(Flags::FLUSH));
    let got = chunked(vec![
        Chain::from(large.clone()),
        chain,
        Chain::from(Bytes::from_static(b"x")),
        last(&large),
    ]);
    let mut want = b"head ".to_vec();
    for (size, parts) in [
        (70_000, vec![&large[..]]),
        (70_004, vec![&large[..], b"more"]),
        (1, vec![b"x"]),
        (70_000, vec![&large[..]]),
    ] {
        want.extend_from_slice(format!("{size:x}\r\n").as_bytes());
        want.extend(parts.concat());
        want.extend_from_slice(b"\r\n");
    }
    want.extend_from_slice(b"0\r\n\r\n");
    assert!(got.await == want);
}

#[tokio::test]
async fn small_pieces_are_copied_while_there_is_room() {
    let (mut out, transport, mut far) = pair();
    assert!(out.push_small(b"abc", Flags::empty(), true));
    assert!(out.push_small(b"", Flags::empty(), true));
    assert!(out.may_wait(), "it is not worth a packet");
    assert!(out.push_small(b"", Flags::LAST_BUF, true));
    assert!(!out.may_wait());
    assert_eq!(out.try_write(&transport).unwrap(), Flow::Done);
    let mut got = [0; 64];
    let n = far.read(&mut got).await.unwrap();
    assert_eq!(&got[..n], b"3\r\nabc\r\n0\r\n\r\n");
    assert!(out.push_small(&[b'x'; SMALL - FRAME], Flags::empty(), false));
    assert!(!out.push_small(b"y", Flags::empty(), false));
    out.push(&mut Chain::from(Bytes::from(vec![b'z'; SMALL])), false);
    assert!(
        !out.push_small(b"y", Flags::empty(), false),
        "it waits behind"
    );
    assert_eq!(out.try_write(&transport).unwrap(), Flow::Done);
    assert!(out.is_empty() && out.push_small(b"y", Flags::FLUSH, false));
}
