use super::*;

const TAG: Tag = Tag::new(&"test");

type Failure = Box<dyn std::error::Error>;

fn context(num: usize, size: usize) -> OutputContext {
    OutputContext {
        bufs: Bufs { num, size },
        ..OutputContext::new(TAG)
    }
}

/// Memory that must be copied under `need_in_temp`.
fn chain(parts: &[&'static str]) -> Chain {
    parts.iter().map(|part| Buf::from(*part)).collect()
}

/// Sends and keeps all runs.
fn collect(output: &mut OutputChain, input: Chain, runs: &mut Vec<Chain>) -> Flow {
    let send = output.send::<Failure>(input, &mut |run| {
        runs.push(run);
        Ok(Flow::Done)
    });
    send.unwrap()
}

#[test]
fn the_short_path_hands_on_the_same_links() {
    let mut output = OutputChain::new(context(1, 1));
    let mut runs = Vec::new();
    let mut input = chain(&["head", "body"]);
    input.push(Buf::last());
    assert_eq!(collect(&mut output, input, &mut runs), Flow::Done);
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].len(), 3);
    assert_eq!(output.stats(), PoolStats::default());
    assert_eq!(output.context().tag, TAG);
}

#[test]
fn a_chain_that_starts_over_keeps_its_buffers() {
    let cx = context(2, 4);
    let mut output = OutputChain::new(cx);
    assert!(size_of::<OutputChain>() <= 160);
    output.reset(cx);
    // Two buffers, one of which comes back.
    let free = &mut copying(&mut output.copying, &cx).free;
    let (a, b) = (free.take().unwrap(), free.take().unwrap());
    free.give(a);
    let held = b.freeze();
    let mut copies = Chain::from(Buf::from(held.clone()).with_tag(TAG));
    output.recycle(&mut copies);
    output.input.push("waits");
    output.alerts = 3;
    assert_eq!((output.stats().in_use, output.memory()), (1, 8));
    output.reset(cx);
    assert!(output.is_empty() && output.alerts() == 0);
    assert_eq!((output.stats().in_use, output.memory()), (0, 4));
    drop(held);
    output.reset(context(2, 5));
    assert_eq!((output.stats().allocated, output.memory()), (0, 0));
    assert_eq!(output.context().bufs.size, 5);
}

#[test]
fn an_empty_send_reaches_the_filter() {
    let mut output = OutputChain::new(context(1, 1));
    let mut runs = Vec::new();
    assert_eq!(collect(&mut output, Chain::new(), &mut runs), Flow::Done);
    assert!(runs.len() == 1 && runs[0].is_empty());
}

#[test]
fn the_empty_is_dropped_with_an_alert_but_not_its_mark() {
    let mut output = OutputChain::new(context(1, 1));
    let mut runs = Vec::new();
    let mut input = chain(&["a", "", "b"]);
    input.push(Buf::from("").with_flags(Flags::LAST_BUF | Flags::RECYCLED));
    assert_eq!(collect(&mut output, input, &mut runs), Flow::Done);
    assert_eq!(
        format!("{runs:?}"),
        r#"[[memory(1, "a"), memory(1, "b"), special LAST_BUF]]"#
    );
    assert_eq!(output.alerts(), 2);
}

#[test]
fn changeable_memory_belongs_to_nobody_else() {
    let cx = OutputContext {
        need_in_temp: true,
        ..context(2, 4)
    };
    let mut output = OutputChain::new(cx);
    let mut out = Vec::new();
    let mut most = 0;
    let input = chain(&["abcdef", "ghi", "jklmnopq"]);
    let flow = output.send::<Failure>(input, &mut |run| {
        most = most.max(run.len());
        for buf in run {
            assert_eq!(buf.tag(), TAG);
            out.extend_from_slice(&buf.into_bytes().unwrap().try_into_mut().unwrap());
        }
        Ok(Flow::Done)
    });
    assert_eq!(flow.unwrap(), Flow::Done);
    assert_eq!(out, b"abcdefghijklmnopq");
    assert_eq!((most, output.stats().in_use), (2, 0));
}

#[test]
fn a_filter_may_ask_to_wait() {
    let cx = OutputContext {
        need_in_temp: true,
        ..context(1, 2)
    };
    let mut output = OutputChain::new(cx);
    let mut out = Vec::new();
    let mut input = chain(&["abcde"]);
    for sent in [2, 4, 5] {
        let flow = output.send::<Failure>(std::mem::take(&mut input), &mut |run| {
            out.extend(run.to_vec());
            Ok(Flow::Again)
        });
        assert_eq!(flow.unwrap(), Flow::Again);
        assert_eq!((out.len(), output.pending()), (sent, 5 - sent as u64));
    }
    assert!(output.is_empty());
}

#[test]
fn what_the_filter_says_is_what_the_caller_gets() {
    let mut output = OutputChain::new(context(1, 1));
    let failed = output.send::<Failure>(chain(&["a"]), &mut |_| Err("no".into()));
    assert_eq!(failed.unwrap_err().to_string(), "no");
}

#[cfg(feature = "file")]
mod direct;
#[cfg(feature = "file")]
mod file;
#[cfg(feature = "file")]
mod reads;
