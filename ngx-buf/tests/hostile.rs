//! What goes wrong while something is on its way: files that change, sinks that fail or never take
//! anything, limits that make no sense.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::sync::Arc;
use std::task::{Context, Poll};

use ngx_buf::testing::{Step, TestSink};
use ngx_buf::{
    Buf, Bufs, Chain, ChainWriter, FileBuf, FileError, Flags, Flow, OutputChain, OutputContext,
    OutputError, Pause, Sink, Tag, WriteError,
};

const TAG: Tag = Tag::new(&"test");

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A file, and a handle to change it by.
fn file(len: usize) -> (Arc<FileBuf>, File) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![b'x'; len]).unwrap();
    let other = file.try_clone().unwrap();
    (Arc::new(FileBuf::new(file, "changing")), other)
}

fn output(sendfile: bool, num: usize, size: usize) -> OutputChain {
    let mut cx = OutputContext::new(TAG);
    (cx.sendfile, cx.bufs) = (sendfile, Bufs { num, size });
    OutputChain::new(cx)
}

/// Sends, with a writer behind it.
fn send(
    output: &mut OutputChain,
    writer: &mut ChainWriter,
    sink: &mut impl Sink,
    input: Chain,
) -> Result<Flow, Failure> {
    output.send(input, &mut |run| {
        writer.push(run);
        Ok(writer.try_write(sink)?)
    })
}

#[test]
fn a_file_that_is_cut_while_it_is_sent() {
    for (sendfile, sink_sends) in [(true, true), (true, false), (false, false)] {
        let (file, other) = file(200_000);
        let steps = [Step::Accept(3000), Step::WouldBlock];
        let mut sink = TestSink::new().script(steps);
        if sink_sends {
            sink = sink.with_files();
        }
        let (mut output, mut writer) = (output(sendfile, 2, 1500), ChainWriter::new());
        let whole = Buf::file(file, 0..200_000).with_flags(Flags::LAST_BUF);
        let flow = send(&mut output, &mut writer, &mut sink, whole.into());
        assert_eq!(flow.unwrap(), Flow::Again);
        other.set_len(150_000).unwrap();
        let mut failure = None;
        for _ in 0..500 {
            if let Err(error) = send(&mut output, &mut writer, &mut sink, Chain::new()) {
                failure = Some(error);
                break;
            }
        }
        let (Failure::Output(OutputError::File(error)) | Failure::Write(WriteError::File(error))) =
            failure.unwrap()
        else {
            panic!("another error")
        };
        let FileError::Truncated { name, offset, .. } = error else {
            panic!("{error}")
        };
        assert_eq!((name.to_str(), offset), (Some("changing"), 150_000));
        assert!((3000..=150_000).contains(&sink.received.len()));
        assert!(sink.received.iter().all(|byte| *byte == b'x'));
    }
}

#[test]
fn a_file_that_grows_is_sent_as_far_as_was_said() {
    for (sendfile, sink_sends) in [(true, true), (true, false), (false, false)] {
        let (file, mut other) = file(5000);
        let mut sink = TestSink::new().script([Step::Accept(1000), Step::WouldBlock]);
        if sink_sends {
            sink = sink.with_files();
        }
        let (mut output, mut writer) = (output(sendfile, 1, 700), ChainWriter::new());
        let chain = Chain::from_iter([Buf::file(file, 0..5000), "end".into(), Buf::last()]);
        let flow = send(&mut output, &mut writer, &mut sink, chain).unwrap();
        assert_eq!(flow, Flow::Again);
        other.write_all(&[b'y'; 5000]).unwrap();
        for _ in 0..100 {
            if send(&mut output, &mut writer, &mut sink, Chain::new()).unwrap() == Flow::Done {
                break;
            }
        }
        assert!(sink.received == ["x".repeat(5000), "end".into()].concat().as_bytes());
    }
}

/// Never takes anything.
struct Stuck(u64);

impl Sink for Stuck {
    fn try_write_vectored(&mut self, _bufs: &[IoSlice<'_>], _more: bool) -> io::Result<usize> {
        self.0 += 1;
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

#[test]
fn nothing_grows_while_nothing_is_taken() {
    let (file, _) = file(100_000);
    let (mut output, mut writer) = (output(false, 3, 1000), ChainWriter::new());
    let mut sink = Stuck(0);
    let mut input = Chain::from(Buf::file(file, 0..100_000).with_flags(Flags::LAST_BUF));
    for turn in 0..1000 {
        let flow = send(
            &mut output,
            &mut writer,
            &mut sink,
            std::mem::take(&mut input),
        )
        .unwrap();
        assert_eq!((flow, writer.pause()), (Flow::Again, Some(Pause::Sink)));
        assert!(output.memory() <= 3000, "{}", output.memory());
        assert_eq!(writer.pending() + output.pending(), 100_000);
        assert!(sink.0 <= 4 * (turn + 1), "tried too often");
    }
    assert_eq!((output.stats().peak, writer.sent()), (3, 0));
}

#[test]
fn a_sink_that_fails_in_the_middle_ends_it_once() {
    for at in 0..6 {
        let (file, _) = file(5000);
        let steps = (0..at).map(|_| Step::Accept(700));
        let mut sink = TestSink::new().script(steps.chain([Step::Error(io::ErrorKind::Other)]));
        let (mut output, mut writer) = (output(false, 2, 1000), ChainWriter::new());
        let whole = Buf::file(file, 0..5000).with_flags(Flags::LAST_BUF);
        let failure = send(&mut output, &mut writer, &mut sink, whole.clone().into()).unwrap_err();
        assert!(matches!(failure, Failure::Write(WriteError::Io(_))));
        // Portions end with the buffers that are offered.
        assert!(sink.received.len() <= at * 700 && (at == 0 || !sink.received.is_empty()));
        for _ in 0..3 {
            writer.push_buf("more");
            writer.push_slice(b"more");
            let parts = [bytes::Bytes::from_static(b"more")];
            let again = writer.try_write_bytes(&mut sink, &parts);
            assert!(matches!(again, Err(WriteError::Ended)));
            assert!(writer.is_empty() && writer.pending() == 0);
        }
        // The output chain starts over with the buffers that it has.
        let made = output.stats().peak;
        output.reset(*output.context());
        let (mut writer, mut sink) = (ChainWriter::new(), TestSink::new());
        let flow = send(&mut output, &mut writer, &mut sink, whole.into()).unwrap();
        assert_eq!((flow, sink.received.len()), (Flow::Done, 5000));
        assert!(output.stats().peak <= made.max(2) && output.stats().in_use == 0);
    }
}

#[test]
fn an_output_chain_starts_over_behind_an_error() {
    let (small, _) = file(10);
    let mut output = output(false, 1, 8);
    let mut out = Vec::new();
    for _ in 0..3 {
        let range = Buf::file(Arc::clone(&small), 0..20);
        let failed = output.send::<OutputError>(range.into(), &mut |_| Ok(Flow::Done));
        assert!(failed.is_err());
        output.reset(*output.context());
        assert_eq!((output.pending(), output.stats().in_use), (0, 0));
        let range = Buf::file(Arc::clone(&small), 0..10);
        let flow = output.send::<OutputError>(range.into(), &mut |run| {
            out.extend(run.to_vec());
            Ok(Flow::Done)
        });
        assert_eq!(flow.unwrap(), Flow::Done);
    }
    assert_eq!(out, "x".repeat(30).as_bytes());
}

#[test]
fn ranges_of_any_length_do_not_overflow() {
    let (file, _) = file(10);
    for sendfile in [true, false] {
        let chain = || -> Chain {
            let whole = || Buf::file(Arc::clone(&file), 0..u64::MAX);
            [whole(), whole().with_flags(Flags::LAST_BUF)]
                .into_iter()
                .collect()
        };
        assert_eq!(chain().size(), u64::MAX);
        let (mut output, mut writer) = (output(sendfile, usize::MAX, 16), ChainWriter::new());
        writer.set_turn(u64::MAX);
        let mut sink = TestSink::new().with_files().reads_up_to(usize::MAX);
        let failed = send(&mut output, &mut writer, &mut sink, chain()).unwrap_err();
        assert!(
            failed.to_string().contains("was truncated at 10"),
            "{failed}"
        );
    }
}

#[test]
fn odd_settings_are_settings() {
    for (num, size, alignment) in [
        (0, 0, 0),
        (1, 1, usize::MAX),
        (usize::MAX, 1, 1),
        (1, 3, 4096),
        (usize::MAX, 7, 512),
    ] {
        let (file, _) = file(1000);
        let mut cx = OutputContext::new(TAG);
        (cx.bufs, cx.alignment) = (Bufs { num, size }, alignment);
        let mut output = OutputChain::new(cx);
        let mut writer = ChainWriter::new();
        writer.set_postpone(u64::MAX);
        writer.set_turn(0);
        let mut sink = TestSink::new().copies_up_to(usize::MAX);
        let mut input = Chain::from_iter([Buf::file(file, 1..999), "end".into(), Buf::last()]);
        for _ in 0..3000 {
            let _ = send(
                &mut output,
                &mut writer,
                &mut sink,
                std::mem::take(&mut input),
            )
            .unwrap();
        }
        assert_eq!(sink.received.len(), 1001, "{num} x {size}, {alignment}");
        assert!(output.is_empty() && writer.is_empty());
    }
}
