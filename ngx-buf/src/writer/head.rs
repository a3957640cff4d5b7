//! A head that the caller keeps, and what follows it.

use super::ChainWriter;
use super::settle::{is_small_file, read_small};
use super::tail::{MOST_FILE, MOST_PIECE};
use crate::{Chain, Flow, Sink, WriteError};

impl ChainWriter {
    /// Appends `head`, which the caller keeps, and `body`, and writes, as
    /// [`push_slice`](Self::push_slice), [`push`](Self::push) and [`try_write`](Self::try_write)
    /// would do.
    ///
    /// But if nothing is kept already, and the body is one [small](Sink::reads_up_to) file, it is
    /// read right behind a copy of the head, without a chain for the two: the cheapest way to send
    /// what servers send most.
    ///
    /// ```
    /// # #[cfg(feature = "file")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use ngx_buf::testing::{Call, TestSink};
    /// use ngx_buf::{Buf, ChainWriter, FileBuf, Flags, Flow};
    ///
    /// # use std::io::Write as _;
    /// # let mut file = tempfile::NamedTempFile::new()?;
    /// # file.write_all(b"body")?;
    /// let file = FileBuf::open(file.path())?;
    /// let body = Buf::file(file.into(), 0..4).with_flags(Flags::LAST_BUF);
    /// let (mut writer, mut sink) = (ChainWriter::new(), TestSink::new().reads_up_to(8192));
    /// assert_eq!(writer.try_write_head(&mut sink, b"head ", body)?, Flow::Done);
    /// assert_eq!(sink.received, b"head body");
    /// assert_eq!(sink.calls, [Call::Write { pieces: 1, taken: 9, more: false }]);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "file"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    ///
    /// The sink or a file failed. This is the end of the writer.
    pub fn try_write_head<S: Sink + ?Sized>(
        &mut self,
        sink: &mut S,
        head: &[u8],
        body: impl Into<Chain>,
    ) -> Result<Flow, WriteError> {
        let body = body.into();
        if !(self.is_idle() && self.place_head(sink, head, &body)) {
            self.push_slice(head);
            self.push(body);
        }
        self.try_write(sink)
    }

    /// Copies a small head, and reads a small file behind it, if that is all there is.
    #[inline]
    fn place_head<S: Sink + ?Sized>(&mut self, sink: &S, head: &[u8], body: &Chain) -> bool {
        let [file] = body.as_slice() else {
            return false;
        };
        if head.is_empty()
            || head.len() > MOST_PIECE
            || !is_small_file(file, sink.reads_up_to().min(MOST_FILE))
        {
            return false;
        }
        self.tail.align(head.len());
        let placed = self.tail.push(head) && read_small(&mut self.tail, file);
        if placed {
            self.pending = head.len() as u64;
            self.count(file);
        } else {
            self.tail.clear();
        }
        placed
    }
}
