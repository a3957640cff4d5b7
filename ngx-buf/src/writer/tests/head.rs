//! Heads that the caller keeps, before a file or before anything else.

use super::*;
use crate::FileError;

#[test]
fn only_a_small_head_and_a_small_file_are_one_piece() {
    let content: Vec<u8> = (0..40_000).map(|i| (i % 251) as u8).collect();
    let file = file(&content);
    let calls = |head: usize, len: u64, reads| {
        let head = vec![b'h'; head];
        let mut writer = ChainWriter::new();
        let mut sink = TestSink::new().with_files().reads_up_to(reads);
        let body = Buf::file(Arc::clone(&file), 3..3 + len).with_flags(Flags::LAST_BUF);
        assert_eq!(
            writer.try_write_head(&mut sink, &head, body).unwrap(),
            Flow::Done
        );
        let expected = [&head[..], &content[3..3 + len as usize]].concat();
        assert!(sink.received == expected && writer.is_empty());
        assert_eq!(
            (writer.sent(), writer.pending()),
            (expected.len() as u64, 0)
        );
        pieces(&sink)
    };
    assert_eq!(calls(200, 4096, 8192), [1]);
    assert_eq!(calls(2048, 16_384, usize::MAX), [1]);
    assert_eq!(calls(2049, 4096, 8192), [2], "a large head");
    assert_eq!(calls(200, 8193, 8192), [1, 0], "a large file");
    assert_eq!(calls(200, 4096, 0), [1, 0], "never");
    assert_eq!(calls(0, 4096, 8192), [0], "no head");
}

#[test]
fn whatever_follows_comes_behind_the_head() {
    let bodies = [
        Chain::new(),
        Buf::last().into(),
        chain(&["body"]),
        chain(&["bo", "", "dy"]),
    ];
    for body in bodies {
        let expected: Vec<u8> = body
            .iter()
            .filter_map(Buf::as_slice)
            .flatten()
            .copied()
            .collect();
        let (mut writer, mut sink) = (ChainWriter::new(), TestSink::new());
        assert_eq!(
            writer.try_write_head(&mut sink, b"head", body).unwrap(),
            Flow::Done
        );
        assert_eq!(sink.received, [b"head", &expected[..]].concat());
        assert!(writer.is_empty());
    }
}

#[test]
fn what_is_postponed_and_limited_is_so_with_a_head_too() {
    let file = file(b"12345");
    let body = |flags| Buf::file(Arc::clone(&file), 0..5).with_flags(flags);
    let mut writer = ChainWriter::new();
    writer.set_postpone(1000);
    let mut sink = TestSink::new().reads_up_to(8192);
    let flow = writer.try_write_head(&mut sink, b"head", body(Flags::empty()));
    assert_eq!(flow.unwrap(), Flow::Done);
    assert_eq!(
        (writer.pause(), writer.pending()),
        (Some(Pause::Postponed), 9)
    );
    let flow = writer.try_write_head(&mut sink, b"more", body(Flags::LAST_BUF));
    assert_eq!((flow.unwrap(), writer.pending()), (Flow::Done, 0));
    assert_eq!(sink.received, b"head12345more12345");

    let mut writer = ChainWriter::new();
    let now = Instant::now();
    writer.set_limit(Some(Limit::new(4, 0, now)), now);
    let mut sink = TestSink::new().reads_up_to(8192);
    let flow = writer.try_write_head(&mut sink, b"head", body(Flags::LAST_BUF));
    assert_eq!(flow.unwrap(), Flow::Again);
    assert!(sink.received.len() <= 4 && matches!(writer.pause(), Some(Pause::Until(_))));
}

#[test]
fn a_file_that_became_shorter_ends_the_writer_behind_the_head() {
    let file = file(b"12345");
    let (mut writer, mut sink) = (ChainWriter::new(), TestSink::new().reads_up_to(8192));
    let body = Buf::file(file, 0..9);
    let error = writer.try_write_head(&mut sink, b"head", body).unwrap_err();
    assert!(
        matches!(error, WriteError::File(FileError::Truncated { .. })),
        "{error}"
    );
    assert!(writer.has_ended());
    let error = writer
        .try_write_head(&mut sink, b"head", Buf::last())
        .unwrap_err();
    assert!(matches!(error, WriteError::Ended), "{error}");
}

proptest! {
    #![proptest_config(crate::cases(256))]

    #[test]
    fn heads_and_bodies_come_out_in_order(
        rounds in proptest::collection::vec((0..3000usize, 0..6000u64, any::<bool>(), any::<bool>()), 0..5),
        script in script(),
        reads in 0..6000usize,
        files in any::<bool>(),
        turn in 500..8000u64,
        postpone in 0..2000u64,
    ) {
        let content: Vec<u8> = (0..6000).map(|i| (i % 251) as u8).collect();
        let file = file(&content);
        let mut writer = ChainWriter::new();
        writer.set_turn(turn);
        writer.set_postpone(postpone);
        let mut sink = TestSink::new().script(script).reads_up_to(reads);
        if files {
            sink = sink.with_files();
        }
        let mut model = Vec::new();
        for (head, len, memory, last) in rounds {
            let head = vec![b'h'; head];
            model.extend(&head);
            model.extend(&content[..len as usize]);
            let body = if memory {
                Buf::from(content[..len as usize].to_vec())
            } else {
                Buf::file(Arc::clone(&file), 0..len)
            };
            let flags = if last { Flags::LAST_BUF } else { Flags::empty() };
            if writer.try_write_head(&mut sink, &head, body.with_flags(flags)).unwrap() == Flow::Again {
                prop_assert!(writer.pending() > 0);
            }
            prop_assert_eq!(writer.sent() + writer.pending(), model.len() as u64);
            prop_assert_eq!(sink.received.len() as u64, writer.sent());
        }
        finish(&mut writer, &mut sink);
        prop_assert_eq!(sink.received, model);
    }
}
