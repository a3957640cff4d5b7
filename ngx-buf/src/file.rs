//! Files in a chain.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Buf;
use crate::error::FileError;

/// An open file and the name it is known by, shared by all bufs that are ranges of it.
///
/// Reads name their own offset, so that many chains can use one descriptor at once. The file is
/// closed with the last buf that needs it.
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
}

impl FileBuf {
    /// Takes an open file; `name` is for messages.
    #[must_use]
    pub fn new(file: File, name: impl Into<PathBuf>) -> Self {
        Self {
            file,
            name: name.into(),
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
        Ok(Self { file, name })
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

    /// Fills `into` from the file at `offset` (pread(2), as often as it takes).
    ///
    /// # Errors
    ///
    /// [`FileError::Truncated`] when the file ends first, [`FileError::Read`] when the system
    /// says no. What `into` holds then is not defined.
    pub fn read_exact_at(&self, into: &mut [u8], offset: u64) -> Result<(), FileError> {
        let mut rest = into;
        let mut at = offset;
        while !rest.is_empty() {
            match self.file.read_at(rest, at) {
                Ok(0) => return Err(self.truncated(at, rest.len() as u64)),
                Ok(n) => {
                    rest = rest.get_mut(n..).unwrap_or_default();
                    at += n as u64;
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

    pub(crate) fn truncated(&self, offset: u64, missing: u64) -> FileError {
        FileError::Truncated {
            name: self.name.clone(),
            offset,
            missing,
        }
    }
}

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
    fn an_inverted_range_is_empty() {
        let buf = Buf::file(Arc::new(file(b"abc")), Range { start: 3, end: 1 });
        assert!(buf.is_empty() && buf.is_file());
    }
}
