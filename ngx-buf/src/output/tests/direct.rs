use super::*;
use crate::pool::is_aligned;
use crate::testing::{Call, TestSink};
use crate::{ChainWriter, FileBuf, FileError, ReadThreads};
use std::io::Write;
use std::sync::Arc;
use std::task::{Context, Waker};

fn numbered(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

/// A file under direct I/O, or `None` where the folder for temporary files is on a file system that
/// cannot do it.
fn direct(content: &[u8]) -> Option<Arc<FileBuf>> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file.sync_all().unwrap();
    let mut file = FileBuf::new(file, "direct");
    assert!(!file.is_direct());
    if let Err(error) = file.make_direct(512) {
        let folder = std::env::temp_dir();
        println!("skipped: no direct I/O in {}: {error}", folder.display());
        return None;
    }
    assert!(file.is_direct() && file.alignment() >= 512);
    Some(Arc::new(file))
}

/// A file whose reads are aligned, on any file system.
fn pretended(content: &[u8], alignment: usize) -> Arc<FileBuf> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    let mut file = FileBuf::new(file, "pretended");
    file.pretend_direct(alignment);
    Arc::new(file)
}

#[test]
fn any_range_is_read_whole_and_trimmed() {
    let content = numbered(20_000);
    let Some(file) = direct(&content) else { return };
    for (from, to) in [
        (0, 20_000),
        (1, 19_999),
        (511, 513),
        (4096, 8192),
        (4095, 4096),
        (19_999, 20_000),
    ] {
        for (num, size) in [(1, 4096), (2, 8192), (2, 100), (1, 65_536)] {
            let mut output = OutputChain::new(OutputContext {
                sendfile: true,
                ..context(num, size)
            });
            let mut input = chain(&["head"]);
            input.push(Buf::file(Arc::clone(&file), from..to).with_flags(Flags::LAST_BUF));
            let mut out = Vec::new();
            let flow = output.send::<Failure>(input, &mut |run| {
                assert!(run.iter().all(|buf| !buf.is_file()), "direct, not sendfile");
                out.extend(run.to_vec());
                Ok(Flow::Done)
            });
            assert_eq!(flow.unwrap(), Flow::Done);
            assert!(out.strip_prefix(b"head").unwrap() == &content[from as usize..to as usize]);
            assert!(output.stats().peak <= num);
        }
    }
}

#[test]
fn threads_read_directly() {
    let content = numbered(50_000);
    let Some(file) = direct(&content) else { return };
    let mut output = OutputChain::new(context(2, 4096));
    let threads = Arc::new(ReadThreads::new("test", 2, 10));
    output.set_reader(Some(threads.clone()));
    let mut input = Chain::from(Buf::file(file, 100..49_000));
    let mut out = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    while output
        .send::<Failure>(std::mem::take(&mut input), &mut |run| {
            out.extend(run.to_vec());
            Ok(Flow::Done)
        })
        .unwrap()
        == Flow::Again
    {
        while output.poll_read(&mut cx).is_pending() {
            std::thread::yield_now();
        }
    }
    assert!(out == content[100..49_000]);
    assert_eq!(threads.started(), 1, "nothing is cached");
}

#[test]
fn a_writer_reads_directly_what_it_cannot_send() {
    let content = numbered(200_000);
    let Some(file) = direct(&content) else { return };
    let mut writer = ChainWriter::new();
    writer.push(Buf::file(Arc::clone(&file), 3..199_000).into());
    let mut sink = TestSink::new().with_files();
    assert_eq!(writer.try_write(&mut sink).unwrap(), Flow::Done);
    assert!(sink.received == content[3..199_000]);
    let sent = |call: &Call| matches!(call, Call::File { .. });
    assert!(!sink.calls.iter().any(sent), "a direct file is never sent");
    let mut into = [0; 1000];
    file.read_exact_at(&mut into, 777).unwrap();
    assert!(into == content[777..1777]);
}

#[test]
fn the_end_of_the_file_is_found() {
    let content = numbered(1000);
    let Some(file) = direct(&content) else { return };
    let input = Buf::file(file, 600..2000).into();
    let failed =
        OutputChain::new(context(1, 4096)).send::<OutputError>(input, &mut |_| Ok(Flow::Done));
    let OutputError::File(FileError::Truncated {
        offset: 1000,
        missing: 1000,
        ..
    }) = failed.unwrap_err()
    else {
        panic!("not at its end")
    };
}

#[test]
fn buffers_are_aligned_and_come_back() {
    let content = numbered(3000);
    let file = pretended(&content, 64);
    let mut output = OutputChain::new(context(2, 200));
    let mut runs = Vec::new();
    let mut input = chain(&["ab"]);
    input.push(Buf::file(file, 10..3000));
    assert_eq!(collect(&mut output, input, &mut runs), Flow::Again);
    let copies: Vec<&Buf> = runs.iter().flatten().skip(1).collect();
    let lens: Vec<u64> = copies.iter().map(|buf| buf.len()).collect();
    // What alignment costs is taken from the 200 bytes; the first begins behind it.
    assert_eq!(lens, [118, 128]);
    for (buf, skipped) in copies.iter().zip([10, 0]) {
        let whole = buf.as_slice().unwrap().as_ptr().addr() - skipped;
        assert_eq!(whole % 64, 0);
    }
    let mut out = Vec::new();
    while !runs.is_empty() {
        runs.drain(..).for_each(|run| out.extend(run.to_vec()));
        let _ = collect(&mut output, Chain::new(), &mut runs);
        runs.retain(|run| !run.is_empty());
    }
    assert!(out == [b"ab", &content[10..]].concat());
    assert_eq!(output.stats().peak, 2);
    assert!(output.stats().reused > 10);
}

#[test]
fn what_is_given_away_is_trimmed_too() {
    let content = numbered(500);
    let mut output = OutputChain::new(OutputContext {
        need_in_temp: true,
        ..context(1, 128)
    });
    let input = Buf::file(pretended(&content, 32), 33..470).with_flags(Flags::LAST_BUF);
    let mut out = Vec::new();
    let flow = output.send::<Failure>(input.into(), &mut |run| {
        for buf in run {
            let mut bytes = buf.into_bytes().unwrap().try_into_mut().unwrap();
            bytes.iter_mut().for_each(|b| *b ^= 0xff);
            out.extend_from_slice(&bytes);
        }
        Ok(Flow::Done)
    });
    assert_eq!(flow.unwrap(), Flow::Done);
    out.iter_mut().for_each(|b| *b ^= 0xff);
    assert!(out == content[33..470]);
}

#[test]
fn an_exact_end_is_exact_to_the_alignment() {
    let content = numbered(500);
    let mut output = OutputChain::new(context(1, 4096));
    let input = Buf::file(pretended(&content, 64), 60..70).with_flags(Flags::LAST_BUF);
    let flow = output.send::<Failure>(input.into(), &mut |run| {
        assert_eq!(run.to_vec(), content[60..70]);
        Ok(Flow::Done)
    });
    assert_eq!((flow.unwrap(), output.memory()), (Flow::Done, 0));
    assert!(is_aligned(&crate::pool::block(5, 64), 64));
}
