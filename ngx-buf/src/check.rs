//! Sequences of operations on the real thing and on a model of it, for property tests and fuzzing.
//!
//! The model is trivial: it concatenates. What is compared, after every operation and at the end,
//! stands at the assertions in `run`.

mod model;
mod run;
mod source;

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use crate::testing::Step;
use crate::{FileBuf, Flags};

/// One sequence, and the setting that it runs in.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) setting: Setting,
    pub(crate) ops: Vec<Op>,
    /// What the sink does, call by call, before it takes everything.
    pub(crate) sink: Vec<Step>,
}

/// What stays the same while a [`Script`] runs.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) sendfile: bool,
    pub(crate) need_in_memory: bool,
    pub(crate) need_in_temp: bool,
    /// Changed copies are given back.
    pub(crate) gives_back: bool,
    pub(crate) num: usize,
    pub(crate) size: usize,
    pub(crate) boundary: usize,
    /// Under direct I/O more than 1.
    pub(crate) alignment: usize,
    /// Somebody else reads files.
    pub(crate) reader: bool,
    pub(crate) sink_sends_files: bool,
    /// What the sink calls small: pieces of memory, and file ranges.
    pub(crate) copies: usize,
    pub(crate) reads: usize,
    pub(crate) postpone: u64,
    pub(crate) turn: u64,
}

/// What is done.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// Gives the output chain more.
    Send(Vec<Part>),
    /// Has it go on with what it keeps.
    Resume,
    /// Has somebody keep all copies that pass from now on, or none.
    Hold(bool),
    /// Lets go of so many of the copies that are kept, the oldest first.
    Release(usize),
    /// Does the oldest read that was given away.
    Read,
}

/// A buf to be sent.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    /// Memory, which somebody else holds too or nobody.
    Memory {
        bytes: Vec<u8>,
        shared: bool,
        flags: Flags,
    },
    Static(Flags),
    File {
        from: u64,
        to: u64,
        flags: Flags,
    },
    Special(Flags),
    /// Neither bytes nor anything to say, but perhaps a mark.
    Empty(Flags),
}

/// Reads a script from `data`, runs it, and compares.
#[doc(hidden)]
pub fn fuzz_output(data: &[u8]) {
    source::script(data).run();
}

/// What all file ranges are ranges of: byte `i` is `content(i)`.
pub(crate) const FILE_LEN: u64 = 1000;

pub(crate) fn content(at: u64) -> u8 {
    (at % 251) as u8
}

/// The file, opened once for each alignment there is.
fn file(alignment: usize) -> io::Result<Arc<FileBuf>> {
    static OPEN: OnceLock<File> = OnceLock::new();
    let open = match OPEN.get() {
        Some(open) => open,
        None => {
            let mut open = unnamed_file()?;
            open.write_all(&(0..FILE_LEN).map(content).collect::<Vec<_>>())?;
            OPEN.get_or_init(|| open)
        }
    };
    let mut file = FileBuf::new(open.try_clone()?, "content");
    file.pretend_direct(alignment);
    Ok(Arc::new(file))
}

/// A file that is gone when it is closed.
fn unnamed_file() -> io::Result<File> {
    let name = format!("ngx-buf-check-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let mut options = File::options();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
