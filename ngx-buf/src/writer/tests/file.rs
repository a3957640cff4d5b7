use super::*;
use crate::FileError;

fn numbered(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

#[test]
fn head_and_file_are_told_to_stay_together() {
    let file = file(b"0123456789");
    let mut writer = ChainWriter::new();
    let mut out = chain(&["head", "er"]);
    out.push(Buf::file(Arc::clone(&file), 0..4));
    out.push(Buf::file(file, 4..9).with_flags(Flags::LAST_BUF));
    writer.push(out);
    let mut sink = TestSink::new().with_files();
    assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
    assert_eq!(sink.received, b"header012345678");
    let head = Call::Write {
        pieces: 2,
        taken: 6,
        more: true,
    };
    assert_eq!(
        sink.calls,
        [
            head,
            Call::File {
                offset: 0,
                len: 9,
                taken: 9
            }
        ]
    );
}

#[test]
fn a_small_file_goes_with_its_head() {
    let content = numbered(20_000);
    let file = file(&content);
    let calls = |files: &[(u64, u64)], reads| {
        let mut writer = ChainWriter::new();
        writer.push_buf("head");
        let mut expected = b"head".to_vec();
        for (from, to) in files {
            writer.push_buf(Buf::file(Arc::clone(&file), *from..*to));
            expected.extend(&content[*from as usize..*to as usize]);
        }
        writer.push_buf("end".to_owned());
        writer.push_buf(Buf::last());
        expected.extend(b"end");
        let mut sink = TestSink::new().with_files().reads_up_to(reads);
        assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
        assert!(sink.received == expected && writer.is_empty());
        pieces(&sink)
    };
    assert_eq!(calls(&[(5, 8197)], 8192), [1]);
    assert_eq!(calls(&[(5, 8198)], 8192), [1, 0, 1], "too large");
    assert_eq!(calls(&[(5, 8197)], 0), [1, 0, 1], "never");
    assert_eq!(calls(&[(0, 16_384)], usize::MAX), [1]);
    assert_eq!(calls(&[(0, 16_385)], usize::MAX), [1, 0, 1]);
    assert_eq!(calls(&[(0, 9), (10, 19)], 100), [1], "both");
    assert_eq!(calls(&[(0, 9), (9, 300)], 100), [1, 0, 1], "a part of more");
    assert_eq!(calls(&[(0, 300), (300, 309)], 100), [1, 0, 1]);
    assert_eq!(calls(&[(0, 300), (301, 309)], 100), [1, 0, 1]);
    let full = [(0, 8000), (8001, 16_001), (1, 8001), (3, 8003), (5, 8005)];
    let calls = calls(&full, 8000);
    assert!(calls[0] == 1 && calls.contains(&0), "{calls:?}");
}

/// A sink that looks at where what it is offered begins.
struct Place(Vec<usize>);

impl Sink for Place {
    fn try_write_vectored(&mut self, bufs: &[IoSlice<'_>], _more: bool) -> io::Result<usize> {
        self.0
            .extend(bufs.iter().map(|piece| piece.as_ptr().addr()));
        Ok(bufs.iter().map(|piece| piece.len()).sum())
    }

    fn reads_up_to(&self) -> usize {
        8192
    }

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The system copies a page faster to where a line of the cache begins.
#[test]
fn a_small_file_is_read_to_the_front_of_a_line() {
    let file = file(&numbered(4096));
    for head in [1, 200, 333, 512] {
        let mut writer = ChainWriter::new();
        writer.push_buf(vec![b'h'; head]);
        writer.push_buf(Buf::file(Arc::clone(&file), 0..4096).with_flags(Flags::LAST_BUF));
        let mut sink = Place(Vec::new());
        assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
        assert_eq!((sink.0.len(), (sink.0[0] + head) % 64), (1, 0), "{head}");
    }
}

#[test]
fn a_small_file_alone_is_sent() {
    let mut sink = TestSink::new().with_files().reads_up_to(100);
    let mut writer = ChainWriter::new();
    writer.push_buf(Buf::file(file(b"0123456789"), 0..10).with_flags(Flags::LAST_BUF));
    assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
    assert!(matches!(sink.calls[..], [Call::File { taken: 10, .. }]));
}

#[test]
fn what_is_before_a_truncated_small_file_goes_out() {
    for reads in [0, 100] {
        let mut sink = TestSink::new().with_files().reads_up_to(reads);
        let mut writer = ChainWriter::new();
        writer.push_buf("head");
        writer.push_buf(Buf::file(file(b"0123456789"), 5..15));
        let error = writer.try_write(&mut sink).unwrap_err();
        assert_eq!(sink.received, b"head56789");
        let WriteError::File(FileError::Truncated {
            offset, missing, ..
        }) = error
        else {
            panic!("{error}")
        };
        assert_eq!((offset, missing), (10, 5));
    }
}

#[test]
fn only_what_is_adjacent_goes_together() {
    let (a, b) = (file(b"0123456789"), file(b"abcdefghij"));
    let mut writer = ChainWriter::new();
    for (file, range) in [(&a, 0..3), (&a, 4..6), (&b, 6..8)] {
        writer.push(Buf::file(Arc::clone(file), range).into());
    }
    let mut sink = TestSink::new().with_files();
    assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
    assert_eq!(sink.received, b"01245gh");
    assert_eq!(sink.calls.len(), 3);
}

#[test]
fn a_turn_ends_within_a_file() {
    let content = numbered(5000);
    let mut writer = ChainWriter::new();
    writer.set_turn(2000);
    let file = file(&content);
    writer.push(Buf::file(Arc::clone(&file), 0..1500).into());
    writer.push(Buf::file(file, 1500..5000).into());
    let mut sink = TestSink::new().with_files();
    for sent in [2000, 4000] {
        assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Again);
        assert_eq!((writer.sent(), writer.pause()), (sent, Some(Pause::Turn)));
    }
    assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
    assert_eq!(sink.received, content);
}

#[test]
fn a_sink_without_files_gets_memory() {
    let content = numbered(3 * SCRATCH + 17);
    for portion in [1000, SCRATCH - 1, usize::MAX] {
        let mut writer = ChainWriter::new();
        writer.push(chain(&["head"]));
        let buf = Buf::file(file(&content), 5..content.len() as u64);
        writer.push(buf.with_flags(Flags::LAST_BUF | Flags::TEMP_FILE).into());
        let mut sink = TestSink::new().portion(portion);
        assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
        assert_eq!(sink.received[..4], *b"head");
        assert!(sink.received[4..] == content[5..]);
    }
}

#[test]
fn a_sink_that_refuses_a_file_gets_memory() {
    let mut writer = ChainWriter::new();
    writer.push(Buf::file(file(b"0123456789"), 0..10).into());
    let refusal = Step::Error(io::ErrorKind::InvalidInput);
    let mut sink = TestSink::new().with_files().script([refusal]);
    assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
    assert_eq!(sink.received, b"0123456789");
    assert_eq!(
        sink.calls[1],
        Call::Write {
            pieces: 1,
            taken: 10,
            more: false
        }
    );
}

#[test]
fn a_truncated_file_ends_the_writer() {
    for sink in [TestSink::new(), TestSink::new().with_files()] {
        let mut sink = sink;
        let mut writer = ChainWriter::new();
        writer.push(Buf::file(file(b"0123456789"), 0..15).into());
        let error = writer.try_write(&mut sink).unwrap_err();
        assert!(
            matches!(
                error,
                WriteError::File(FileError::Truncated {
                    offset: 10,
                    missing: 5,
                    ..
                })
            ),
            "{error}"
        );
        assert!(writer.has_ended() && !error.is_closed());
    }
}
