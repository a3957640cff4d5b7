//! Files in a chain.

mod direct;

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Buf;
use crate::error::FileError;
use crate::output::align::Plan;
use crate::pool::block;

/// An open file and the name it is known by, shared by all bufs that are ranges of it.
///
/// Reads name their own offset, so that many chains can use one descriptor at once. The file is
/// closed with the last buf that needs it.
///
/// A file is read through the page cache, or past it after [`make_direct`](Self::make_direct).
/// Which of both is settled before the file is shared, and stays.
///
/// ```
/// use std::sync::Arc;
/// use ngx_buf::{Buf, FileBuf};
///
/// # fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("page.html");
/// std::fs::write(&path, "hello, world")?;
/// let file = Arc::new(FileBuf::open(&path)?);
/// let mut buf = Buf::file(file, 7..12);
/// assert_eq!(buf.len(), 5);
/// buf.advance(2);
/// assert_eq!(buf.file_range(), Some(9..12));
/// # Ok(())
/// # }
/// ```
pub struct FileBuf {
    file: File,
    name: PathBuf,
    /// What offsets, lengths and addresses must be multiples of: 1, or, under direct I/O, a power
    /// of two above.
    alignment: usize,
}

impl FileBuf {
    /// Takes an open file; `name` is for messages.
    #[must_use]
    pub fn new(file: File, name: impl Into<PathBuf>) -> Self {
        Self {
            file,
            name: name.into(),
            alignment: 1,
        }
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let name = path.into();
        let file = File::open(&name)?;
        Ok(Self::new(file, name))
    }

    /// Turns direct I/O on (nginx: `directio`, `directio_alignment`): reads go past the page
    /// cache, which large files that are read once would only push others out of.
    ///
    /// Reads must then begin and end at multiples of `alignment` bytes, of a power of two in any
    /// case, and of what the system says that this file wants, if that is more. Whoever uses the
    /// file here need not care: what is asked for is read with what lies around it, and cut. (nginx
    /// turns direct I/O off for such a read and on again behind it, which everybody who has the
    /// same open file gets to feel.)
    ///
    /// Such a file is never sent by `sendfile`.
    ///
    /// # Errors
    ///
    /// The file system cannot do it, or not with this alignment, of 1 GiB at most. The file is then
    /// read as before.
    #[doc(alias = "ngx_directio_on")]
    pub fn make_direct(&mut self, alignment: usize) -> io::Result<()> {
        self.alignment = direct::turn_on(&self.file, alignment)?;
        Ok(())
    }

    /// Aligns reads as under direct I/O, without that being on: what alignment does can then be
    /// tested on any file system, with any alignment.
    pub(crate) fn pretend_direct(&mut self, alignment: usize) {
        self.alignment = alignment.max(1).next_power_of_two();
    }

    /// Whether direct I/O is on.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.alignment > 1
    }

    /// What reads must be aligned to, in bytes: a power of two under direct I/O, else 1.
    #[must_use]
    pub fn alignment(&self) -> usize {
        self.alignment
    }

    /// The open file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The name given at the beginning.
    #[must_use]
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// Fills `into` from the file at `offset` (pread(2), as often as it takes). Under direct I/O
    /// that takes a buffer of its own for each call; the output chain has those already.
    ///
    /// # Errors
    ///
    /// [`FileError::Truncated`] when the file ends first, [`FileError::Read`] when the system
    /// says no. What `into` holds then is not defined.
    pub fn read_exact_at(&self, into: &mut [u8], offset: u64) -> Result<(), FileError> {
        let Some(end) = offset.checked_add(into.len() as u64) else {
            return Err(self.truncated(offset, into.len() as u64));
        };
        let range = offset..end;
        if !self.is_direct() {
            let plan = Plan::new(self.alignment, &range, 0..into.len(), 0);
            return self.read(&plan, plan.into.start, into);
        }
        let mut memory = block(Plan::covering(self.alignment, &range), self.alignment);
        let plan = Plan::new(self.alignment, &range, 0..memory.len(), 0);
        self.read(&plan, plan.into.start, &mut memory)?;
        if let Some(read) = memory.get(plan.window.clone()) {
            into.copy_from_slice(read);
        }
        Ok(())
    }

    /// Does what `plan` says, from where in the `memory` it has been done already.
    pub(crate) fn read(
        &self,
        plan: &Plan,
        done: usize,
        memory: &mut [u8],
    ) -> Result<(), FileError> {
        let mut done = done;
        let mut stalled = 0;
        while done < plan.window.end {
            // Under direct I/O a read begins aligned, also when the one before ended elsewhere: at
            // the end of the file, or because a file system over a network had no more yet.
            let read = done - plan.into.start;
            let from = done - (read & (self.alignment - 1));
            let at = plan.offset + (from - plan.into.start) as u64;
            let into = memory.get_mut(from..plan.into.end).unwrap_or_default();
            match self.file.read_at(into, at) {
                Ok(n) if from + n > done => done = from + n,
                Ok(n) if n > 0 && stalled < MOST_STALLS && self.is_longer_than(at + n as u64) => {
                    stalled += 1;
                }
                Ok(_) => {
                    let missing = (plan.window.end - done.max(plan.window.start)) as u64;
                    return Err(self.truncated(plan.offset + read as u64, missing));
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(FileError::Read {
                        name: self.name.clone(),
                        offset: at,
                        source,
                    });
                }
            }
        }
        Ok(())
    }

    /// Reads what of `plan` is in the page cache already, without waiting for a disk. Says up to
    /// where in the memory there are bytes now, or `None` if the system cannot tell.
    pub(crate) fn read_cached(&self, plan: &Plan, memory: &mut [u8]) -> Option<usize> {
        let into = memory.get_mut(plan.into.clone()).unwrap_or_default();
        let n = direct::read_cached(&self.file, into, plan.offset)?;
        Some(plan.into.start + n)
    }

    fn is_longer_than(&self, size: u64) -> bool {
        self.file.metadata().is_ok_and(|file| file.len() > size)
    }

    pub(crate) fn truncated(&self, offset: u64, missing: u64) -> FileError {
        FileError::Truncated {
            name: self.name.clone(),
            offset,
            missing,
        }
    }
}

/// How often a direct read that ended between two multiples of the alignment, and not at the end of
/// the file, is made again without getting any further.
const MOST_STALLS: u32 = 16;

/// Reads once at `offset`.
pub(crate) fn read_some_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(into, offset)
}

impl fmt::Debug for FileBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileBuf({})", self.name.display())
    }
}

impl Buf {
    /// A range of a file. An inverted range is empty.
    #[must_use]
    pub fn file(file: Arc<FileBuf>, range: Range<u64>) -> Self {
        Self::from_file_range(file, range.start, range.end)
    }

    /// The shared file, if this is a file range.
    #[must_use]
    pub fn shared_file(&self) -> Option<&Arc<FileBuf>> {
        self.file_parts().map(|(file, _)| file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(content: &[u8]) -> FileBuf {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        FileBuf::new(file, "made up")
    }

    #[test]
    fn reads_at_its_own_offset() {
        let file = file(b"0123456789");
        let mut into = [0; 4];
        file.read_exact_at(&mut into, 3).unwrap();
        assert_eq!(&into, b"3456");
        file.read_exact_at(&mut into, 0).unwrap();
        assert_eq!(&into, b"0123");
    }

    #[test]
    fn a_truncated_file_is_named_with_the_offset() {
        let mut into = [0; 8];
        let error = file(b"0123456789").read_exact_at(&mut into, 6).unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"made up\" was truncated at 10, 4 more bytes were expected"
        );
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().to_owned();
        let error = FileBuf::open(name)
            .unwrap()
            .read_exact_at(&mut [0; 1], 5)
            .unwrap_err();
        assert!(
            matches!(error, FileError::Read { offset: 5, .. }),
            "{error}"
        );
    }

    #[test]
    fn there_is_no_place_behind_the_last() {
        let file = file(b"abc");
        for offset in [
            4,
            i64::MAX as u64,
            i64::MAX as u64 + 1,
            u64::MAX - 1,
            u64::MAX,
        ] {
            let error = file.read_exact_at(&mut [0; 8], offset).unwrap_err();
            assert!(error.to_string().contains("made up"), "{error}");
        }
        file.read_exact_at(&mut [], u64::MAX).unwrap();
    }

    #[test]
    fn an_inverted_range_is_empty() {
        let buf = Buf::file(Arc::new(file(b"abc")), Range { start: 3, end: 1 });
        assert!(buf.is_empty() && buf.is_file());
    }
}
