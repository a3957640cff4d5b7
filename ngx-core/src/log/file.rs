//! Log files: opened once by path, shared by generations, opened anew on demand.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use super::LogSink;
use crate::error::errno;

/// A file to which whole lines are appended, for `error_log` and for `access_log`.
///
/// Each line is one `write(2)` on a descriptor opened with `O_APPEND`, so that lines of several
/// threads and processes stay whole, unless [`set_buffer`](Self::set_buffer) collects them.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: RwLock<File>,
    buffer_size: AtomicUsize,
    buffer: Mutex<Vec<u8>>,
}

impl LogFile {
    /// Opens the file for appending; makes it with mode 0644 if there is none.
    ///
    /// # Errors
    ///
    /// What `open(2)` says.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let file = open(&path)?;
        Ok(Self::opened(path, file))
    }

    /// A file that is open already, by somebody with more rights than this process.
    #[must_use]
    pub fn opened(path: impl Into<PathBuf>, file: File) -> Self {
        Self {
            path: path.into(),
            file: RwLock::new(file),
            buffer_size: AtomicUsize::new(0),
            buffer: Mutex::default(),
        }
    }

    /// The open file, for another process.
    ///
    /// # Errors
    ///
    /// What `dup(2)` says.
    pub fn duplicate(&self) -> io::Result<File> {
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        file.try_clone()
    }

    /// Writes what was collected to the old file, then goes on with this one.
    ///
    /// # Errors
    ///
    /// What `write(2)` says to what was collected.
    pub fn replace(&self, file: File) -> io::Result<()> {
        let flushed = self.flush();
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = file;
        flushed
    }

    /// The path that it was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Collects lines until `size` bytes would be exceeded (`access_log ... buffer=size`);
    /// 0 writes each at once.
    pub fn set_buffer(&self, size: usize) {
        self.buffer_size.store(size, Ordering::Relaxed);
    }

    /// Appends one line, its line feed included.
    ///
    /// # Errors
    ///
    /// What `write(2)` says; a buffered line may fail later, then with those collected with it.
    pub fn write_line(&self, line: &[u8]) -> io::Result<()> {
        let size = self.buffer_size.load(Ordering::Relaxed);
        if size == 0 {
            return self.append(line);
        }
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        let flushed = if buffer.len() + line.len() > size {
            self.drain(&mut buffer)
        } else {
            Ok(())
        };
        if line.len() > size {
            let written = self.append(line);
            return flushed.and(written);
        }
        buffer.extend_from_slice(line);
        flushed
    }

    /// Writes what was collected.
    ///
    /// # Errors
    ///
    /// What `write(2)` says; the lines are lost then.
    pub fn flush(&self) -> io::Result<()> {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        self.drain(&mut buffer)
    }

    /// Writes what was collected to the old file, then opens the path anew.
    ///
    /// # Errors
    ///
    /// What `open(2)` says; the old file stays in use then.
    pub fn reopen(&self) -> io::Result<()> {
        let file = open(&self.path)?;
        self.replace(file)
    }

    fn drain(&self, buffer: &mut Vec<u8>) -> io::Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        let written = self.append(buffer);
        buffer.clear();
        written
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        (&*file).write_all(bytes)
    }
}

impl LogSink for LogFile {
    fn write_line(&self, line: &[u8]) {
        let _nobody_to_tell = Self::write_line(self, line);
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        let _nobody_to_tell = self.flush();
    }
}

/// The log files of a process: one descriptor a path, however many directives name it and
/// however many generations are alive.
#[derive(Debug, Default)]
pub struct LogFiles {
    open: Mutex<HashMap<PathBuf, Weak<LogFile>>>,
    /// Open files from another process, for paths that are not in use yet.
    given: Mutex<HashMap<PathBuf, File>>,
}

impl LogFiles {
    /// The file of this path: the one in use, or opened now.
    ///
    /// # Errors
    ///
    /// What `open(2)` says.
    pub fn open(&self, path: impl AsRef<Path>) -> io::Result<Arc<LogFile>> {
        let path = path.as_ref();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(path).and_then(Weak::upgrade) {
            return Ok(file);
        }
        let given = self.given().remove(path);
        let file = Arc::new(match given {
            Some(file) => LogFile::opened(path, file),
            None => LogFile::open(path)?,
        });
        open.retain(|_, file| file.strong_count() > 0);
        open.insert(path.to_owned(), Arc::downgrade(&file));
        Ok(file)
    }

    /// Opens every file in use anew (the signal USR1). A file that cannot be opened is logged and
    /// stays as it is.
    pub fn reopen(&self) {
        for file in self.in_use() {
            if let Err(error) = file.reopen() {
                crate::emerg!(
                    "open() \"{}\" failed {}",
                    file.path.display(),
                    errno(&error)
                );
            }
        }
    }

    /// Writes what the files in use have collected.
    pub fn flush(&self) {
        for file in self.in_use() {
            if let Err(error) = file.flush() {
                crate::alert!(
                    "write() to \"{}\" failed {}",
                    file.path.display(),
                    errno(&error)
                );
            }
        }
    }

    /// Has files at hand that are open already, so that opening these paths takes no rights;
    /// those of an earlier call that nobody wanted are closed.
    pub fn give(&self, files: impl IntoIterator<Item = (PathBuf, File)>) {
        *self.given() = files.into_iter().collect();
    }

    /// Goes on with other files, which another process has opened by these paths anew.
    pub fn replace(&self, files: impl IntoIterator<Item = (PathBuf, File)>) {
        let mut files: HashMap<_, _> = files.into_iter().collect();
        for used in self.in_use() {
            let Some(file) = files.remove(&used.path) else {
                continue;
            };
            if let Err(error) = used.replace(file) {
                crate::alert!(
                    "write() to \"{}\" failed {}",
                    used.path.display(),
                    errno(&error)
                );
            }
        }
    }

    fn given(&self) -> MutexGuard<'_, HashMap<PathBuf, File>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files that anybody has.
    #[must_use]
    pub fn in_use(&self) -> Vec<Arc<LogFile>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().filter_map(Weak::upgrade).collect()
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o644)
        .open(path)
}
