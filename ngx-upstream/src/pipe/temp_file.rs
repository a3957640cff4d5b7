//! A file without a name.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ngx_buf::{Buf, FileBuf, Flags};

/// How often another name is tried when one is taken.
const NAMES: usize = 16;

/// A temporary file: removed from its folder as soon as it is open, gone with its last buf.
#[derive(Debug)]
pub(super) struct TempFile {
    file: Arc<FileBuf>,
    end: u64,
}

impl TempFile {
    /// Makes a file in this folder, and the folder too.
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for _ in 0..NAMES {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{:010}-{}", number, std::process::id()));
            let mut options = OpenOptions::new();
            match options
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
            {
                Ok(file) => {
                    fs::remove_file(&path)?;
                    return Ok(Self {
                        file: Arc::new(FileBuf::new(file, path)),
                        end: 0,
                    });
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => last = e,
                Err(e) if e.kind() == io::ErrorKind::NotFound && !folder.exists() => {
                    DirBuilder::new()
                        .recursive(true)
                        .mode(0o700)
                        .create(folder)?;
                    last = e;
                }
                Err(e) => return Err(e),
            }
        }
        Err(last)
    }

    /// Writes these bytes behind the others and gives the range they are in.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<Buf> {
        self.file.file().write_all_at(bytes, self.end)?;
        let start = self.end;
        self.end += bytes.len() as u64;
        let buf = Buf::file(Arc::clone(&self.file), start..self.end);
        Ok(buf.with_flags(Flags::TEMP_FILE))
    }

    /// Begins at the start again if nobody holds a range any more. Says how much is in use.
    pub(super) fn rewind(&mut self) -> u64 {
        if Arc::strong_count(&self.file) == 1 {
            self.end = 0;
        }
        self.end
    }
}
