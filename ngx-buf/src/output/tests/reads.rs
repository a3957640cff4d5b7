use super::file::{BYTES, content};
use super::*;
use crate::testing::Jobs;
use crate::{FileError, FileReader, ReadJob};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn reading(cx: OutputContext) -> (OutputChain, Arc<Jobs>) {
    let jobs = Arc::new(Jobs::new());
    let mut output = OutputChain::new(cx);
    output.set_reader(Some(jobs.clone()));
    (output, jobs)
}

#[test]
fn waits_without_blocking() {
    let (mut output, jobs) = reading(context(1, 100));
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = Context::from_waker(&waker);
    assert!(output.poll_read(&mut cx).is_ready(), "nothing is read");

    let mut runs = Vec::new();
    let mut input = chain(&["head"]);
    input.push(Buf::file(content(), 0..150));
    input.push("tail");
    input.push(Buf::last());
    assert_eq!(collect(&mut output, input, &mut runs), Flow::Again);
    assert_eq!(runs[0].to_vec(), b"head", "what is before is not kept back");
    assert!(output.is_reading() && output.poll_read(&mut cx).is_pending());
    assert_eq!(format!("{jobs:?}"), "[ReadJob(FileBuf(bytes), 0..100)]");

    // Nothing moves before the read is done, and the order stays.
    let more = Buf::from("late").into();
    assert_eq!(collect(&mut output, more, &mut runs), Flow::Again);
    assert!(jobs.run() && !jobs.run());
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert!(output.poll_read(&mut cx).is_ready() && output.is_reading());
    runs.clear();
    assert_eq!(collect(&mut output, Chain::new(), &mut runs), Flow::Again);
    assert_eq!(runs[0].to_vec(), BYTES[..100]);
    runs.clear();
    assert_eq!(collect(&mut output, Chain::new(), &mut runs), Flow::Again);
    assert!(jobs.run());
    assert_eq!(collect(&mut output, Chain::new(), &mut runs), Flow::Done);
    let out: Vec<u8> = runs.iter().flat_map(Chain::to_vec).collect();
    assert_eq!(out, [&BYTES[100..150], b"tail", b"late"].concat());
    assert!(output.is_empty() && !output.is_reading());
}

#[test]
fn what_is_in_the_buffer_already_is_pending() {
    let (mut output, jobs) = reading(context(1, 100));
    let file = content();
    let input = [0..30, 30..60].map(|range| Buf::file(Arc::clone(&file), range));
    let mut runs = Vec::new();
    assert_eq!(
        collect(&mut output, Chain::from_iter(input), &mut runs),
        Flow::Again
    );
    assert!(jobs.run());
    assert_eq!(collect(&mut output, Chain::new(), &mut runs), Flow::Again);
    assert_eq!((output.pending(), output.memory()), (60, 100));
    assert!(jobs.run());
    assert_eq!(collect(&mut output, Chain::new(), &mut runs), Flow::Done);
    let lens: Vec<u64> = runs.iter().map(Chain::size).collect();
    assert_eq!(lens, [0, 0, 60], "both pieces share a buffer");
}

#[test]
fn errors_of_jobs_are_errors_of_the_chain() {
    for run in [true, false] {
        let (mut output, jobs) = reading(context(1, 100));
        let input = Buf::file(content(), 200..290).into();
        assert_eq!(collect(&mut output, input, &mut Vec::new()), Flow::Again);
        let job = jobs.take().unwrap();
        assert_eq!((job.offset(), job.size()), (200, 90));
        assert_eq!(job.file().name().to_str(), Some("bytes"));
        if run {
            job.run();
        } else {
            drop(job);
        }
        let failed = output.send::<OutputError>(Chain::new(), &mut |_| Ok(Flow::Done));
        let message = failed.unwrap_err().to_string();
        if run {
            let expected = r#""bytes" was truncated at 256, 34 more bytes were expected"#;
            assert_eq!(message, expected);
        } else {
            assert_eq!(message, r#"reading "bytes" at 200 was given up"#);
        }
    }
}

#[test]
fn a_chain_may_go_while_its_file_is_read() {
    let (mut output, jobs) = reading(context(1, 100));
    let input = Buf::file(content(), 0..90).into();
    assert_eq!(collect(&mut output, input, &mut Vec::new()), Flow::Again);
    drop(output);
    assert!(jobs.run());
}

/// Has no room for anything.
struct Full;

impl FileReader for Full {
    fn submit(&self, job: ReadJob) -> Result<(), ReadJob> {
        Err(job)
    }
}

#[test]
fn what_nobody_takes_is_read_here() {
    let mut output = OutputChain::new(context(2, 10));
    output.set_reader(Some(Arc::new(Arc::new(Full))));
    let mut out = Vec::new();
    let flow = output.send::<Failure>(Buf::file(content(), 0..256).into(), &mut |run| {
        out.extend(run.to_vec());
        Ok(Flow::Done)
    });
    assert_eq!(flow.unwrap(), Flow::Done);
    assert_eq!(out, BYTES);
}

#[test]
fn the_error_that_names_what_was_given_up() {
    let error = FileError::Abandoned {
        name: "/srv/a".into(),
        offset: 7,
    };
    assert_eq!(error.to_string(), r#"reading "/srv/a" at 7 was given up"#);
}
