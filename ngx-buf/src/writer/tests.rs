use super::*;
#[cfg(feature = "file")]
use crate::FileBuf;
use crate::Limit;
use crate::testing::{Call, Step, TestSink};
use proptest::prelude::*;
use std::io::IoSlice;
#[cfg(feature = "file")]
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

fn chain(parts: &[&'static str]) -> Chain {
    parts.iter().map(|part| Buf::from(*part)).collect()
}

fn writer(parts: &[&'static str]) -> ChainWriter {
    let mut writer = ChainWriter::new();
    writer.push(chain(parts));
    writer.push(Buf::last().into());
    writer
}

#[cfg(feature = "file")]
fn file(content: &[u8]) -> Arc<FileBuf> {
    use std::io::Write as _;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    Arc::new(FileBuf::new(file, "f"))
}

/// How many pieces each call had; a file has none.
#[cfg(feature = "file")]
fn pieces(sink: &TestSink) -> Vec<usize> {
    let kind = |call: &Call| match call {
        Call::Write { pieces, .. } => *pieces,
        Call::File { .. } => 0,
        other => panic!("{other:?}"),
    };
    sink.calls.iter().map(kind).collect()
}

/// What a sink does that takes portions, or nothing, or is interrupted.
fn script() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1..4000usize).prop_map(Step::Accept),
        Just(Step::WouldBlock),
        Just(Step::Error(io::ErrorKind::Interrupted)),
    ];
    proptest::collection::vec(step, 0..40)
}

/// Writes all that is kept, postponed or not.
fn finish(writer: &mut ChainWriter, sink: &mut TestSink) {
    writer.flush();
    for _ in 0..5000 {
        if writer.try_write(sink).unwrap() == Flow::Done {
            break;
        }
    }
    assert!(writer.is_empty());
}

#[test]
fn a_response_is_one_write() {
    let mut writer = writer(&["head", "", "body"]);
    let mut sink = TestSink::new();
    assert_eq!(writer.pending(), 8);
    assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
    assert_eq!(
        sink.calls,
        [Call::Write {
            pieces: 2,
            taken: 8,
            more: false
        }]
    );
    assert!(writer.is_empty() && writer.chain().is_empty());
    assert_eq!(
        (writer.sent(), writer.pending(), writer.pause()),
        (8, 0, None)
    );
}

#[test]
fn a_byte_at_a_time() {
    let mut writer = writer(&["ab", "c", "de"]);
    let mut sink = TestSink::new().portion(1);
    assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
    assert_eq!(sink.received, b"abcde");
    assert_eq!(sink.calls.len(), 5);
}

#[test]
fn would_block_at_every_step() {
    for at in 0..5 {
        let steps = (0..at).map(|_| Step::Accept(1)).chain([Step::WouldBlock]);
        let mut writer = writer(&["ab", "c", "de"]);
        let mut sink = TestSink::new().script(steps);
        assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Again);
        assert_eq!(writer.pause(), Some(Pause::Sink));
        assert_eq!((writer.sent(), writer.pending()), (at, 5 - at));
        assert!(writer.chain().has_last_buf());
        assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
        assert_eq!(sink.received, b"abcde");
    }
}

#[test]
fn interrupted_is_tried_again() {
    let mut sink = TestSink::new().script([Step::Error(io::ErrorKind::Interrupted)]);
    assert_eq!(writer(&["ab"]).try_write(&mut sink).unwrap(), Flow::Done);
    assert_eq!(sink.received, b"ab");
}

#[test]
fn the_end_is_told_once() {
    let cases = [
        (Step::Error(io::ErrorKind::BrokenPipe), true),
        (Step::Error(io::ErrorKind::ConnectionReset), true),
        (Step::Accept(0), true),
        (Step::Error(io::ErrorKind::PermissionDenied), false),
    ];
    for (step, closed) in cases {
        let mut writer = writer(&["ab"]);
        let mut sink = TestSink::new().script([Step::Accept(1), step]);
        let error = writer.try_write(&mut sink).unwrap_err();
        assert_eq!(error.is_closed(), closed, "{error}");
        assert!(writer.has_ended() && writer.is_empty());
        writer.push(chain(&["more"]));
        assert_eq!(writer.pending(), 0);
        assert!(matches!(
            writer.try_write(&mut sink),
            Err(WriteError::Ended)
        ));
        assert_eq!(sink.received, b"a");
    }
}

#[test]
fn many_pieces_go_in_batches() {
    let large = Bytes::from(vec![b'x'; SMALL + 1]);
    let mut writer = ChainWriter::new();
    writer.push((0..2058).map(|_| Buf::from(large.clone())).collect());
    let mut sink = TestSink::new();
    assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
    let write = |pieces, more| Call::Write {
        pieces,
        taken: pieces * large.len(),
        more,
    };
    assert_eq!(
        sink.calls,
        [write(1024, true), write(1024, true), write(10, false)]
    );
}

#[test]
fn what_lies_together_is_one_piece() {
    for memory in [Buf::from(b"0123456789".to_vec()), Buf::from("0123456789")] {
        let mut rest = memory;
        let mut parts: Vec<Buf> = [2, 3, 1].map(|n| rest.split_to(n)).into();
        parts.push(rest);
        let joined = |order: &[usize]| {
            let mut writer = ChainWriter::new();
            writer.push(order.iter().map(|n| parts[*n].clone()).collect());
            let mut sink = TestSink::new();
            assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
            let Call::Write { pieces, .. } = sink.calls[0] else {
                panic!("{:?}", sink.calls)
            };
            (pieces, sink.received)
        };
        assert_eq!(joined(&[0, 1, 2, 3]), (1, b"0123456789".to_vec()));
        assert_eq!(joined(&[1, 2, 0, 1]), (2, b"234501234".to_vec()));
        assert_eq!(joined(&[3, 3]), (2, b"67896789".to_vec()));
    }
}

#[test]
fn what_takes_little_is_offered_little() {
    let mut writer = ChainWriter::new();
    writer.push((0..64).map(|_| Buf::from("x".repeat(1024))).collect());
    let steps = [
        Step::Accept(1000),
        Step::Accept(1500),
        Step::Accept(2900),
        Step::Accept(5800),
    ];
    let mut sink = TestSink::new().script(steps).portion(1 << 20);
    assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
    let write = |pieces, taken, more| Call::Write {
        pieces,
        taken,
        more,
    };
    let rest = 64 * 1024 - 1000 - 1500 - 2900 - 5800;
    assert_eq!(
        sink.calls,
        [
            write(64, 1000, false),
            // 2 KiB, of which the first piece has 24 bytes left.
            write(3, 1500, true),
            // 3000 bytes, of which the first piece has 572 left.
            write(4, 2900, true),
            // All of 5800 bytes: it may take anything now.
            write(6, 5800, true),
            write(54, rest, false),
        ]
    );
}

#[test]
fn a_turn_has_an_end() {
    let mut writer = ChainWriter::new();
    writer.set_turn(10);
    writer.push(chain(&["0123456", "789abc"]));
    let mut sink = TestSink::new().portion(4);
    assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Again);
    assert_eq!(writer.pause(), Some(Pause::Turn));
    assert_eq!(sink.received, b"0123456789");
    assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
    assert_eq!(sink.received, b"0123456789abc");
}

#[test]
fn little_is_postponed_until_something_hurries() {
    for hurry in [Flags::FLUSH, Flags::LAST_BUF, Flags::RECYCLED] {
        let mut writer = ChainWriter::new();
        writer.set_postpone(10);
        let mut sink = TestSink::new();
        writer.push(chain(&["1234"]));
        writer.push(Buf::special(Flags::SYNC | Flags::LAST_IN_CHAIN).into());
        assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
        assert_eq!(
            (writer.pause(), writer.pending()),
            (Some(Pause::Postponed), 4)
        );
        writer.push(Buf::from("5").with_flags(hurry).into());
        assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
        assert_eq!(sink.received, b"12345");
        writer.push(chain(&["6"]));
        assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
        assert_eq!(writer.pending(), 1, "the hurry is over");
        writer.flush();
        assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
        assert_eq!(sink.received, b"123456");
    }
}

#[test]
fn enough_is_not_postponed_and_its_rest_neither() {
    let mut writer = ChainWriter::new();
    writer.set_postpone(4);
    writer.push(chain(&["1234"]));
    let mut sink = TestSink::new().script([Step::Accept(3), Step::WouldBlock]);
    assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Again);
    assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
    assert_eq!(sink.received, b"1234");
}

#[test]
fn a_limit_lets_through_what_it_allows() {
    let start = Instant::now();
    let mut writer = ChainWriter::new();
    writer.push(chain(&["unlimited"]));
    let mut sink = TestSink::new();
    assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);

    writer.set_limit(Some(Limit::new(4, 2, start)), start);
    writer.push(chain(&["0123456789"]));
    assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Again);
    assert_eq!(sink.received, b"unlimited012345");
    let Some(Pause::Until(at)) = writer.pause() else {
        panic!("{:?}", writer.pause())
    };
    assert_eq!(at, start + Duration::from_millis(250));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(writer.poll_write(&mut cx, &mut sink).is_pending());
    writer.set_now(at);
    assert!(writer.poll_write(&mut cx, &mut sink).is_pending());
    assert_eq!(sink.received, b"unlimited0123456");
    writer.set_limit(None, at);
    assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
    assert_eq!(sink.received, b"unlimited0123456789");
}

/// A sink that keeps bytes itself and lets them go at the second flush.
struct Keeping(TestSink, bool);

impl Sink for Keeping {
    fn try_write_vectored(&mut self, bufs: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        self.0.try_write_vectored(bufs, more)
    }

    fn try_flush(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.1) {
            Ok(())
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.1 = true;
        Poll::Ready(Ok(()))
    }
}

#[test]
fn done_means_flushed() {
    let mut writer = writer(&["ab"]);
    let mut sink = Keeping(TestSink::new(), false);
    assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Again);
    assert!(!writer.is_empty() && writer.pending() == 0);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(
        writer.poll_write(&mut cx, &mut sink),
        Poll::Ready(Ok(()))
    ));
    assert!(writer.is_empty());
}

/// How a part is given to the writer.
#[derive(Debug, Clone)]
enum How {
    Chain,
    Pieces,
    Buf,
    Slice,
    Large,
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        4 => Just(How::Chain),
        4 => Just(How::Pieces),
        4 => Just(How::Buf),
        8 => Just(How::Slice),
        1 => Just(How::Large),
    ]
}

/// Few under Miri, where each takes its time.
const MOST_PARTS: usize = if cfg!(miri) { 8 } else { 100 };

proptest! {
    #![proptest_config(crate::cases(256))]

    #[test]
    fn what_goes_in_comes_out(
        parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..MOST_PARTS),
        script in proptest::collection::vec(
            prop_oneof![(1..30usize).prop_map(Step::Accept), Just(Step::WouldBlock)],
            0..100,
        ),
        how in proptest::collection::vec(how(), 1..7),
        portion in 1..40usize,
        turn in 1..200u64,
    ) {
        let mut writer = ChainWriter::new();
        writer.set_turn(turn);
        let mut sink = TestSink::new().script(script).portion(portion);
        let mut model = Vec::new();
        for (n, part) in parts.into_iter().enumerate() {
            model.extend_from_slice(&part);
            match how[n % how.len()] {
                How::Chain => writer.push(Buf::from(part).into()),
                How::Pieces => writer.push(part.chunks(2).map(|part| part.to_vec().into()).collect()),
                How::Buf => writer.push_buf(part),
                How::Slice => writer.push_slice(&part),
                How::Large => {
                    let large = part.repeat(SMALL);
                    model.truncate(model.len() - part.len());
                    model.extend_from_slice(&large);
                    writer.push_slice(&large);
                }
            }
            if writer.try_write(&mut sink).unwrap() == Flow::Again {
                prop_assert!(writer.pending() > 0);
            }
            prop_assert_eq!(writer.sent() + writer.pending(), model.len() as u64);
            let kept = writer.chain().size() + writer.tail.as_slice().len() as u64;
            prop_assert_eq!(kept, writer.pending());
        }
        for _ in 0..2_000_000 {
            if writer.try_write(&mut sink).unwrap() == Flow::Done {
                break;
            }
        }
        prop_assert!(writer.is_empty());
        prop_assert_eq!(sink.received, model);
    }
}

#[cfg(feature = "file")]
mod file;
#[cfg(feature = "file")]
mod head;
mod small;
