//! Sends memory and a file through an output chain to standard output, with two small buffers.
//!
//! `cargo run -p ngx-buf --example output_chain [FILE]`

use std::io::{self, IoSlice, Write};
use std::sync::Arc;
use std::task::{Context, Poll};

use ngx_buf::{
    Buf, Bufs, Chain, ChainWriter, FileBuf, Flow, OutputChain, OutputContext, OutputError, Sink,
    Tag, WriteError,
};

const TAG: Tag = Tag::new(&"example");

/// Standard output never says that it would block.
struct Stdout(io::Stdout);

impl Sink for Stdout {
    fn try_write_vectored(&mut self, bufs: &[IoSlice<'_>], _more: bool) -> io::Result<usize> {
        self.0.write_vectored(bufs)
    }

    fn try_flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Write(#[from] WriteError),
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args()
        .nth(1)
        .unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/README.md").into());
    let file = Arc::new(FileBuf::open(path)?);
    let len = file.file().metadata()?.len();

    let mut chain = Chain::from(Buf::from("--- begin ---\n"));
    chain.push(Buf::file(file, 0..len));
    chain.push("--- end ---\n");
    chain.push(Buf::last());

    let mut cx = OutputContext::new(TAG);
    cx.bufs = Bufs { num: 2, size: 1024 };
    let mut output = OutputChain::new(cx);
    let (mut writer, mut sink) = (ChainWriter::new(), Stdout(io::stdout()));
    loop {
        let flow = output.send::<Failure>(std::mem::take(&mut chain), &mut |run| {
            writer.push(run);
            Ok(writer.try_write(&mut sink)?)
        })?;
        if flow == Flow::Done {
            break;
        }
    }
    eprintln!("{} bytes, copies: {:?}", writer.sent(), output.stats());
    Ok(())
}
