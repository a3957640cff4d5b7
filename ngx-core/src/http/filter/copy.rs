//! The copy filter: where the output chain of a response gets its settings from, and where it goes
//! behind it.

use std::cell::RefCell;

use ngx_buf::{Bufs, OutputChain, OutputContext, Tag};

use crate::http::core;
use crate::http::request::Request;

const TAG: Tag = Tag::new(&"copy filter");

thread_local! {
    /// Output chains that have made buffers, for the next responses that copy.
    static SPARE: RefCell<Vec<OutputChain>> = const { RefCell::new(Vec::new()) };
}

/// The output chain of a response, as `sendfile`, `output_buffers` and `aio` say.
pub(crate) fn output_chain(r: &Request) -> OutputChain {
    let conf = r.core();
    let (num, size) = *conf.output_buffers;
    let mut context = OutputContext::new(TAG);
    context.sendfile = *conf.sendfile && !r.parts().output.needs_memory();
    context.need_in_memory = r.parts().output.needs_memory();
    context.bufs = Bufs { num, size };
    let mut output = take(context);
    output.set_reader(core::file_io::reader(r));
    output
}

/// One with buffers, if there is one and they fit.
fn take(context: OutputContext) -> OutputChain {
    let copies = !context.sendfile || context.need_in_memory;
    let spare = if copies {
        SPARE.with_borrow_mut(Vec::pop)
    } else {
        None
    };
    match spare {
        Some(mut output) => {
            output.reset(context);
            output
        }
        None => OutputChain::new(context),
    }
}

/// Keeps the buffers of an output chain that is done.
pub(crate) fn give_back(mut output: OutputChain) {
    if output.stats().allocated == 0 || output.memory() > MOST_MEMORY {
        return;
    }
    // What is queued may hold anything, and is dropped before the list is touched.
    output.set_reader(None);
    output.reset(*output.context());
    if output.stats().allocated == 0 {
        return;
    }
    // While a thread ends its list is gone, and this one with it.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < MOST_SPARE {
            spare.push(output);
        }
    });
}

/// How many output chains a thread keeps.
const MOST_SPARE: usize = 4;
/// One with larger buffers is not kept: with `output_buffers 2 32k` a thread keeps 256 KiB at most.
const MOST_MEMORY: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use ngx_buf::{Buf, Chain, Flow, OutputError};

    use super::*;

    fn context(size: usize) -> OutputContext {
        let mut context = OutputContext::new(TAG);
        (context.need_in_temp, context.bufs) = (true, Bufs { num: 2, size });
        context
    }

    /// Copies a few bytes, which makes a buffer if there is none.
    fn copy(output: &mut OutputChain) {
        let mut copies = Chain::new();
        let flow =
            output.send::<OutputError>(Buf::from("nobody changes this").into(), &mut |run| {
                copies.append(run);
                Ok(Flow::Done)
            });
        assert_eq!(flow.unwrap(), Flow::Done);
        output.take_back(copies);
        drop(output.send::<OutputError>(Chain::new(), &mut |_| Ok(Flow::Done)));
    }

    #[test]
    fn buffers_are_used_by_the_next_response() {
        let mut first = take(context(1000));
        copy(&mut first);
        assert_eq!(first.stats().reused, 0);
        give_back(first);
        let mut next = take(context(1000));
        copy(&mut next);
        assert_eq!((next.stats().allocated, next.stats().reused), (1, 1));
        give_back(next);
        assert_eq!(take(context(2000)).stats().allocated, 0, "another size");
    }

    #[test]
    fn what_has_none_or_large_ones_is_not_kept() {
        give_back(take(context(1000)));
        let mut large = take(context(MOST_MEMORY as usize + 1));
        copy(&mut large);
        give_back(large);
        SPARE.with(|spare| assert!(spare.borrow().is_empty()));
    }
}
