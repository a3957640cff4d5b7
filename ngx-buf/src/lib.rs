#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod buf;
mod chain;
#[cfg(feature = "file")]
#[doc(hidden)]
pub mod check;
mod cursor;
mod error;
#[cfg(feature = "file")]
mod file;
#[cfg(not(feature = "file"))]
#[path = "file_none.rs"]
mod file;
mod flags;
mod limit;
mod output;
mod pool;
#[cfg(feature = "file")]
mod reads;
#[cfg(not(feature = "file"))]
#[path = "reads_none.rs"]
mod reads;
mod recycle;
mod sink;
mod tag;
pub mod testing;
#[cfg(feature = "file")]
mod threads;
mod writer;

pub use buf::Buf;
pub use chain::{Chain, IntoIter, Iter, IterMut};
pub use cursor::Cursor;
pub use error::{FileError, OutputError, WriteError};
#[cfg(feature = "file")]
pub use file::FileBuf;
pub use flags::Flags;
pub use limit::{Allowance, Limit};
pub use output::{Bufs, OutputChain, OutputContext};
pub use pool::{BufPool, PoolStats};
#[cfg(feature = "file")]
pub use reads::{FileReader, ReadJob};
pub use recycle::update_chains;
pub use sink::Sink;
#[cfg(feature = "tokio")]
pub use sink::net::AsyncSink;
pub use tag::Tag;
#[cfg(feature = "file")]
pub use threads::ReadThreads;
pub use writer::{ChainWriter, Pause};

/// Whether to go on producing, the answer of everything that takes a chain.
///
/// ```text
///   producer --chain--> OutputChain --run--> ChainWriter --> Sink
///      |                    |                     |
///      '<---- Done ---------'<---- Done ----------'   everything was taken: produce more
///      '<---- Again --------'<---- Again ---------'   stop: call again, without more, when the
///                                                     sink is ready or the file has been read
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// Everything was taken: produce more.
    Done,
    /// Something is kept: wait before producing more.
    Again,
}

/// So many cases of a property. Under Miri few, for it takes its time, and nothing kept of a failure: to look
/// for where it is kept, proptest asks for the working directory, which isolation refuses.
#[cfg(test)]
fn cases(most: u32) -> proptest::test_runner::Config {
    let config = proptest::test_runner::Config::with_cases(most);
    if cfg!(miri) {
        proptest::test_runner::Config {
            cases: 10,
            failure_persistence: None,
            ..config
        }
    } else {
        config
    }
}
