//! The file with the number of the process (`pid`).

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, getpid};

use crate::error::errno;

/// What is wrong with the file of the process's number.
#[derive(Debug, thiserror::Error)]
pub enum PidError {
    /// It cannot be opened, read or written.
    #[error("{call} \"{}\" failed {}", path.display(), errno(error))]
    File {
        /// What was tried.
        call: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// It holds no number of a process.
    #[error("invalid PID number \"{text}\" in \"{}\"", path.display())]
    Invalid {
        /// What it holds.
        text: String,
        /// The file.
        path: PathBuf,
    },
}

/// The number of the running server.
///
/// # Errors
///
/// [`PidError`]: there is no file, or no number in it.
pub fn read_pid_file(path: &Path) -> Result<Pid, PidError> {
    let text = fs::read_to_string(path).map_err(|error| PidError::File {
        call: "open()",
        path: path.to_owned(),
        error,
    })?;
    let text = text.trim();
    let number = text.parse::<i32>().ok().filter(|number| *number > 0);
    number
        .and_then(Pid::from_raw)
        .ok_or_else(|| PidError::Invalid {
            text: text.to_owned(),
            path: path.to_owned(),
        })
}

/// The file while the server runs; removed when dropped.
#[derive(Debug)]
pub(super) struct PidFile {
    path: PathBuf,
}

impl PidFile {
    pub(super) fn write(path: &Path) -> Result<Self, PidError> {
        let failed = |error| PidError::File {
            call: "open()",
            path: path.to_owned(),
            error,
        };
        // One write: who waits for the file must not see half of it.
        fs::write(path, format!("{}\n", getpid().as_raw_nonzero())).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Leaves the name to the binary that takes over.
    pub(super) fn step_aside(&mut self) -> Result<(), PidError> {
        let mut name = self.path.clone().into_os_string();
        name.push(OLD);
        self.rename(name.into())
    }

    /// Takes the name back.
    pub(super) fn step_back(&mut self) -> Result<(), PidError> {
        let name = self.path.as_os_str().as_bytes();
        match name.strip_suffix(OLD.as_bytes()) {
            Some(name) => self.rename(OsStr::from_bytes(name).into()),
            None => Ok(()),
        }
    }

    fn rename(&mut self, to: PathBuf) -> Result<(), PidError> {
        fs::rename(&self.path, &to).map_err(|error| PidError::File {
            call: "rename()",
            path: self.path.clone(),
            error,
        })?;
        self.path = to;
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            crate::alert!(
                "unlink() \"{}\" failed {}",
                self.path.display(),
                errno(&error)
            );
        }
    }
}

/// What the name of the file of a binary ends with that another one is to replace.
const OLD: &str = ".oldbin";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_the_number_and_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ngx.pid");
        let file = PidFile::write(&path).unwrap();
        assert_eq!(read_pid_file(&path).unwrap(), getpid());
        drop(file);
        let error = read_pid_file(&path).unwrap_err().to_string();
        assert!(
            error.ends_with("failed (2: No such file or directory)"),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ngx.pid");
        for text in ["", "x", "-1", "0", "99999999999"] {
            fs::write(&path, text).unwrap();
            let error = read_pid_file(&path).unwrap_err().to_string();
            assert!(error.starts_with("invalid PID number"), "{error}");
        }
    }
}
