use super::*;
use crate::{FileBuf, FileError};
use std::io::Write;
use std::sync::Arc;

pub(super) const BYTES: [u8; 256] = {
    let mut bytes = [0; 256];
    let mut i = 0;
    while i < 256 {
        bytes[i] = i as u8;
        i += 1;
    }
    bytes
};

pub(super) fn content() -> Arc<FileBuf> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&BYTES).unwrap();
    Arc::new(FileBuf::new(file, "bytes"))
}

fn bytes(runs: &[Chain]) -> Vec<u8> {
    runs.iter().flat_map(Chain::to_vec).collect()
}

#[test]
fn with_sendfile_a_file_goes_as_it_is() {
    let mut output = OutputChain::new(OutputContext {
        sendfile: true,
        ..context(1, 10)
    });
    let mut runs = Vec::new();
    let input = Buf::file(content(), 5..200).into();
    assert_eq!(collect(&mut output, input, &mut runs), Flow::Done);
    assert_eq!(runs[0].front().unwrap().file_range(), Some(5..200));
}

#[test]
fn a_file_split_at_every_byte_keeps_bytes_and_marks() {
    let file = content();
    for size in 1..14 {
        for at in 1..12 {
            let mut input =
                Chain::from(Buf::file(Arc::clone(&file), 0..at).with_flags(Flags::FLUSH));
            input.push(Buf::file(Arc::clone(&file), at..12).with_flags(Flags::LAST_BUF));
            let mut output = OutputChain::new(context(2, size));
            let (mut out, mut flags) = (Vec::new(), Vec::new());
            let flow = output.send::<Failure>(input, &mut |run| {
                for buf in run {
                    out.extend_from_slice(buf.as_slice().unwrap());
                    let marks = buf.flags() & Flags::CONTROL;
                    if !marks.is_empty() {
                        flags.push((out.len() as u64, marks));
                    }
                }
                Ok(Flow::Done)
            });
            assert_eq!(flow.unwrap(), Flow::Done);
            assert_eq!(out, BYTES[..12]);
            assert_eq!(flags, [(at, Flags::FLUSH), (12, Flags::LAST_BUF)]);
        }
    }
}

#[test]
fn small_pieces_share_a_buffer() {
    let file = content();
    let input = (0..10)
        .map(|i| Buf::file(Arc::clone(&file), i * 2..i * 2 + 2))
        .collect();
    let mut output = OutputChain::new(context(1, 64));
    let mut runs = Vec::new();
    assert_eq!(collect(&mut output, input, &mut runs), Flow::Done);
    assert_eq!((runs.len(), runs[0].len()), (1, 1));
    assert_eq!(bytes(&runs), BYTES[..20]);
}

#[test]
fn waits_while_all_buffers_are_held() {
    let mut output = OutputChain::new(context(2, 10));
    let mut runs = Vec::new();
    let input = Buf::file(content(), 0..35).into();
    assert_eq!(collect(&mut output, input, &mut runs), Flow::Again);
    assert_eq!(bytes(&runs), BYTES[..20]);
    assert!(
        runs.iter()
            .flatten()
            .all(|buf| buf.flags() == Flags::RECYCLED)
    );
    assert_eq!((output.pending(), output.stats().in_use), (15, 2));

    // Nothing was released: the filter is asked, and nothing moves.
    let mut nothing = Vec::new();
    assert_eq!(
        collect(&mut output, Chain::new(), &mut nothing),
        Flow::Again
    );
    assert!(nothing.len() == 1 && nothing[0].is_empty());

    runs[0].pop_front();
    assert_eq!(collect(&mut output, Chain::new(), &mut runs), Flow::Again);
    assert_eq!(bytes(&runs), BYTES[10..30]);
    runs.clear();
    assert_eq!(collect(&mut output, Chain::new(), &mut runs), Flow::Done);
    assert_eq!(bytes(&runs), BYTES[30..35]);
    assert_eq!(output.stats().peak, 2);
    assert_eq!(output.stats().reused, 2);
}

#[test]
fn all_buffers_are_filled_before_they_are_handed_on() {
    let mut output = OutputChain::new(context(4, 16));
    let (mut out, mut lens) = (Vec::new(), Vec::new());
    let mut addresses = Vec::new();
    let flow = output.send::<Failure>(Buf::file(content(), 0..256).into(), &mut |run| {
        addresses.extend(run.iter().filter_map(Buf::as_slice).map(<[u8]>::as_ptr));
        out.extend(run.to_vec());
        lens.push(run.len());
        Ok(Flow::Done)
    });
    assert_eq!(flow.unwrap(), Flow::Done);
    assert_eq!((out, lens), (BYTES.to_vec(), vec![4; 4]));
    assert_eq!((output.stats().peak, output.stats().reused), (4, 12));
    addresses.sort();
    addresses.dedup();
    assert_eq!(
        addresses.len(),
        4,
        "a filter that is done at once has them used again"
    );
}

#[test]
fn the_end_gets_a_buffer_of_its_size() {
    // (num, size, length of the file, lengths of the copies)
    let cases: [(usize, usize, u64, &[u64]); 4] = [
        (2, 100, 40, &[40]),
        (1, 100, 125, &[125]),
        (1, 100, 126, &[100, 26]),
        (2, 100, 125, &[100, 25]),
    ];
    for (num, size, len, expected) in cases {
        let mut output = OutputChain::new(context(num, size));
        let mut lens = Vec::new();
        let input = Buf::file(content(), 0..len).with_flags(Flags::LAST_BUF);
        let flow = output.send::<Failure>(input.into(), &mut |run| {
            lens.extend(run.iter().map(Buf::len));
            assert_eq!(run.has_last_buf(), lens.len() == expected.len());
            Ok(Flow::Done)
        });
        assert_eq!((flow.unwrap(), lens), (Flow::Done, expected.to_vec()));
    }
}

#[test]
fn exact_ends_that_are_held_never_block_for_good() {
    // Nothing of these is recycled but the last that the bound allows, which hurries the writer.
    let mut output = OutputChain::new(context(2, 100));
    let mut runs = Vec::new();
    for _ in 0..2 {
        let buf = Buf::file(content(), 0..5).with_flags(Flags::LAST_IN_CHAIN);
        assert_eq!(collect(&mut output, buf.into(), &mut runs), Flow::Done);
    }
    let recycled = |run: &Chain| run.flags().contains(Flags::RECYCLED);
    assert_eq!(runs.iter().map(recycled).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn reads_end_at_the_alignment() {
    let cx = OutputContext {
        alignment: 16,
        ..context(1, 40)
    };
    let mut output = OutputChain::new(cx);
    let mut lens = Vec::new();
    let flow = output.send::<Failure>(Buf::file(content(), 5..100).into(), &mut |run| {
        lens.push(run.size());
        Ok(Flow::Done)
    });
    assert_eq!((flow.unwrap(), lens), (Flow::Done, vec![27, 32, 32, 4]));
}

#[test]
fn a_truncated_file_is_an_error_with_its_place() {
    let mut output = OutputChain::new(context(1, 100));
    let mut got = 0;
    let failed = output.send::<Failure>(Buf::file(content(), 100..300).into(), &mut |run| {
        got += run.size();
        Ok(Flow::Done)
    });
    let error = failed.unwrap_err();
    let Some(OutputError::File(error)) = error.downcast_ref() else {
        panic!("{error}")
    };
    assert!(
        matches!(
            error,
            FileError::Truncated {
                offset: 256,
                missing: 44,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(got, 100);
}

#[test]
fn needs_forbid_the_file() {
    for (need_in_memory, need_in_temp) in [(true, false), (false, true)] {
        let cx = OutputContext {
            sendfile: true,
            need_in_memory,
            need_in_temp,
            ..context(1, 300)
        };
        let mut runs = Vec::new();
        let input = Buf::file(content(), 0..256).with_flags(Flags::TEMP_FILE);
        assert_eq!(
            collect(&mut OutputChain::new(cx), input.into(), &mut runs),
            Flow::Done
        );
        assert_eq!(bytes(&runs), BYTES);
        assert!(!runs[0].flags().contains(Flags::TEMP_FILE));
    }
}
