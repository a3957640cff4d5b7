//! The copy filter: where the output chain of a response gets its settings from.

use ngx_buf::{Bufs, OutputChain, OutputContext, Tag};

use crate::http::core;
use crate::http::request::Request;

const TAG: Tag = Tag::new(&"copy filter");

/// The output chain of a response, as `sendfile`, `output_buffers` and `aio` say.
pub(crate) fn output_chain(r: &Request) -> OutputChain {
    let conf = r.core();
    let (num, size) = *conf.output_buffers;
    let mut context = OutputContext::new(TAG);
    context.sendfile = *conf.sendfile && !r.parts().output.needs_memory();
    context.need_in_memory = r.parts().output.needs_memory();
    context.bufs = Bufs { num, size };
    let mut output = OutputChain::new(context);
    output.set_reader(core::file_io::reader(r));
    output
}
