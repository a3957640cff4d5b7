use std::future::poll_fn;

use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;

use super::*;

/// What writes, with a postponement of 1000 bytes, its socket and the other end.
fn pair() -> (Box<Out>, Transport, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    let mut out = take();
    out.set_location(1000, 1 << 20);
    (out, Transport::from(near), far)
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
    out.push(last(b"body"));
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
        out.push(Chain::from(Bytes::from(text)));
        blocked += usize::from(out.try_write(&transport).unwrap() == Flow::Again);
    }
    assert!(blocked > 0, "the socket was never full");
    out.push(last(b"end"));
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
    out.push(last(b"text"));
    assert!(out.try_write(&transport).unwrap_err().is_closed());
    assert!(out.has_ended());
    out.push(last(b"more"));
    let again = out.try_write(&transport);
    assert!(matches!(again, Err(WriteError::Ended)), "{again:?}");
}

#[tokio::test]
async fn a_limit_is_gone_when_it_is_given_back() {
    let (mut out, transport, _far) = pair();
    let now = Instant::now();
    out.set_limit(Some(Limit::new(1, 0, now)), now);
    out.push(last(b"slow"));
    assert_eq!(out.try_write(&transport).unwrap(), Flow::Again);
    assert!(matches!(out.pause(), Some(Pause::Until(_))));
    out.set_limit(None, now);
    written(&mut out, &transport).await;
    give_back(out);
    let mut out = take();
    assert!(!out.is_limited() && out.sent() == 0);
    out.push(last(b"fast"));
    assert_eq!(out.try_write(&transport).unwrap(), Flow::Done);
}
