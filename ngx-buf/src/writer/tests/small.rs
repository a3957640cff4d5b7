//! Small pieces, and what the caller keeps.

use super::*;

#[test]
fn many_small_pieces_are_one() {
    let mut writer = ChainWriter::new();
    let parts = ["head", "a", "", "b", "c", "d", "e"];
    let mut response = chain(&parts);
    response.push(Buf::last());
    writer.push(response);
    writer.push_slice(b"f");
    writer.push_bytes(&Bytes::from_static(b"g"));
    writer.push_slice(b"");
    writer.push_buf("h");
    assert_eq!(writer.pending(), 12);
    let mut sink = TestSink::new().script([Step::Accept(3), Step::WouldBlock]);
    assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Again);
    assert!(writer.chain().is_empty() && !writer.is_empty());
    writer.push(chain(&["i"]));
    assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
    assert_eq!(sink.received, b"headabcdefghi");
    let write = |taken| Call::Write {
        pieces: 1,
        taken,
        more: false,
    };
    assert_eq!(sink.calls.first(), Some(&write(3)));
    assert_eq!(sink.calls.last(), Some(&write(10)));
    assert!(writer.is_empty());
}

#[test]
fn the_sink_says_what_is_small() {
    let pieces = |copies, links: usize, len: usize| {
        let bytes = Bytes::from(vec![b'x'; len]);
        let bufs = (0..links).map(|_| Buf::from(bytes.clone()));
        let mut sinks = [(); 2].map(|()| TestSink::new().copies_up_to(copies));
        let mut writer = ChainWriter::new();
        writer.push(bufs.collect());
        assert_eq!(writer.try_write(&mut sinks[0]).unwrap(), Flow::Done);
        let parts = vec![bytes; links];
        let flow = writer.try_write_bytes(&mut sinks[1], &parts).unwrap();
        assert_eq!(flow, Flow::Done);
        sinks.map(|sink| {
            assert_eq!(sink.received.len(), links * len);
            sink.calls
                .iter()
                .map(|call| match call {
                    Call::Write { pieces, .. } => *pieces,
                    other => panic!("{other:?}"),
                })
                .collect::<Vec<_>>()
        })
    };
    let both = |pieces: &[usize]| [pieces.to_vec(), pieces.to_vec()];
    assert_eq!(pieces(512, 64, 64), both(&[1]));
    assert_eq!(pieces(512, 64, 513), both(&[64]));
    assert_eq!(pieces(0, 64, 64), both(&[64]));
    assert_eq!(pieces(0, 1024, 1), both(&[1024]));
    assert_eq!(pieces(64, 5, 65), both(&[5]));
    assert_eq!(pieces(usize::MAX, 5, 2048), both(&[1]));
    assert_eq!(pieces(usize::MAX, 5, 2049), both(&[5]));
}

#[test]
fn what_is_copied_stays_in_order() {
    let large = Bytes::from(vec![b'L'; SMALL + 1]);
    let mut writer = ChainWriter::new();
    writer.push_buf("a");
    writer.push_slice(b"b");
    writer.push_bytes(&large);
    writer.push_buf("c");
    writer.push_slice(&large);
    for _ in 0..100 {
        writer.push_slice(&large[..SMALL]);
    }
    let mut sink = TestSink::new();
    assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
    let large = "L".repeat(SMALL + 1);
    let expected = format!("ab{large}c{large}{}", "L".repeat(100 * SMALL));
    assert_eq!(sink.received, expected.as_bytes());
    assert_eq!(writer.sent(), expected.len() as u64);
}

#[test]
fn what_goes_at_once_is_not_counted() {
    let parts = [Bytes::from(vec![b'h'; 10]), Bytes::from(vec![b'b'; 5000])];
    let mut writer = ChainWriter::new();
    let steps = [Step::Accept(5010), Step::Accept(100), Step::WouldBlock];
    let mut sink = TestSink::new().script(steps);
    let flow = writer.try_write_bytes(&mut sink, &parts).unwrap();
    assert_eq!(flow, Flow::Done);
    let flow = writer.try_write_bytes(&mut sink, &parts).unwrap();
    assert_eq!(flow, Flow::Again);
    assert_eq!(
        (writer.pause(), writer.pending()),
        (Some(Pause::Sink), 4910)
    );
    assert!(writer.chain().front().is_some_and(|buf| !buf.is_unique()));
    assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
    assert!(parts[1].is_unique() && writer.is_empty());
    let whole = Call::Write {
        pieces: 2,
        taken: 5010,
        more: false,
    };
    assert_eq!(sink.calls.first(), Some(&whole));
    assert_eq!(sink.received, [parts.concat(), parts.concat()].concat());

    let mut closed = TestSink::new().script([Step::Error(io::ErrorKind::BrokenPipe)]);
    let error = writer.try_write_bytes(&mut closed, &parts).unwrap_err();
    assert!(error.is_closed() && writer.has_ended());
    let again = writer.try_write_bytes(&mut closed, &parts);
    assert!(matches!(again, Err(WriteError::Ended)));
}

proptest! {
    #![proptest_config(crate::cases(256))]

    #[test]
    fn what_the_caller_keeps_comes_out_too(
        rounds in proptest::collection::vec(
            proptest::collection::vec((any::<u8>(), 0..1200usize), 0..90),
            0..6,
        ),
        script in script(),
        turn in 500..8000u64,
        postpone in 0..2000u64,
        copies in prop_oneof![Just(0), 1..3000usize],
    ) {
        let mut writer = ChainWriter::new();
        writer.set_turn(turn);
        writer.set_postpone(postpone);
        let mut sink = TestSink::new().script(script).copies_up_to(copies);
        let mut model = Vec::new();
        for round in rounds {
            let parts: Vec<Bytes> = round.iter().map(|(b, n)| vec![*b; *n].into()).collect();
            model.extend(parts.concat());
            if writer.try_write_bytes(&mut sink, &parts).unwrap() == Flow::Again {
                prop_assert!(writer.pending() > 0);
            }
            prop_assert_eq!(writer.sent() + writer.pending(), model.len() as u64);
            prop_assert_eq!(sink.received.len() as u64, writer.sent());
        }
        finish(&mut writer, &mut sink);
        prop_assert_eq!(sink.received, model);
    }
}
