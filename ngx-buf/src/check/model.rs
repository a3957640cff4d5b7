//! What ought to come out: everything that went in, in order.

use super::{Part, content};
use crate::{Buf, Flags};

/// Bytes, and the marks with how many bytes stand before each.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) bytes: Vec<u8>,
    pub(super) marks: Vec<(usize, Flags)>,
    /// How many bufs there were that must not be.
    pub(super) alerts: u64,
}

impl Model {
    /// What a part adds.
    pub(super) fn push(&mut self, part: &Part) {
        let (flags, proper) = match part {
            Part::Memory { bytes, flags, .. } => {
                self.bytes.extend_from_slice(bytes);
                (*flags, !bytes.is_empty())
            }
            Part::Static(flags) => {
                self.bytes.extend_from_slice(STATIC);
                (*flags, true)
            }
            Part::File { from, to, flags } => {
                self.bytes.extend((*from..*to).map(content));
                (*flags, from < to)
            }
            Part::Special(flags) => (*flags, flags.intersects(Flags::CONTROL)),
            Part::Empty(flags) => (*flags, false),
        };
        self.alerts += u64::from(!proper);
        self.mark(flags);
    }

    /// What a buf that came out adds; bytes of files are those of the file.
    pub(super) fn push_buf(&mut self, buf: &Buf) {
        match (buf.as_slice(), buf.file_range()) {
            (Some(bytes), _) => self.bytes.extend_from_slice(bytes),
            (None, Some(range)) => self.bytes.extend(range.map(content)),
            (None, None) => {}
        }
        self.mark(buf.flags());
    }

    fn mark(&mut self, flags: Flags) {
        let control = flags & Flags::CONTROL;
        if !control.is_empty() {
            self.marks.push((self.bytes.len(), control));
        }
    }
}

/// What static parts are.
pub(super) const STATIC: &[u8] = b"static";
