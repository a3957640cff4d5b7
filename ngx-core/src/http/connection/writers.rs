//! Writers that idle connections have no need of, and how long one may write at a time.

use std::cell::RefCell;

use ngx_buf::ChainWriter;

/// A fresh writer, in memory that an idle connection has left if there is some.
pub(super) fn take() -> Box<ChainWriter> {
    let spare = SPARE.with_borrow_mut(|spare| spare.0.pop());
    spare.unwrap_or_default()
}

/// Leaves the memory of a writer to others.
pub(super) fn give_back(mut writer: Box<ChainWriter>) {
    *writer = ChainWriter::new();
    SPARE.with_borrow_mut(|spare| {
        if spare.0.len() < SPARE_MAX {
            spare.0.push(writer);
        }
    });
}

#[expect(clippy::vec_box, reason = "it is the boxes that are used again")]
struct Spare(Vec<Box<ChainWriter>>);

const SPARE_MAX: usize = 64;

thread_local! {
    static SPARE: RefCell<Spare> = const { RefCell::new(Spare(Vec::new())) };
}

/// How much is written before other connections have their turn (`sendfile_max_chunk`). The writer
/// bounds what it is given at once; this bounds what a producer gives it piece by piece.
#[derive(Clone, Copy, Default)]
pub(super) struct Turn {
    /// Bytes written in this turn.
    pub(super) written: u64,
    pub(super) most: u64,
}

impl Turn {
    pub(super) fn is_over(self) -> bool {
        self.written > 0 && self.written >= self.most
    }
}
