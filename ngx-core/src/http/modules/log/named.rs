//! Logs whose path has variables: opened when a request is logged.

use std::cell::{Cell, RefCell};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use crate::error::errno;
use crate::http::core;
use crate::http::request::Request;
use crate::log::LogFile;
use crate::script::Template;
use crate::time::now_ms;
use crate::{alert, crit};

/// A path with variables.
pub(super) struct NamedTarget {
    /// What a relative path begins with; empty for an absolute one.
    prefix: Box<[u8]>,
    path: Template,
}

/// The files that a thread has written to last.
///
/// A file is opened anew after a while, so that one that was renamed, as those who rotate logs
/// do, is left alone soon.
#[derive(Default)]
pub(super) struct OpenLogs {
    files: RefCell<Vec<Open>>,
    /// When a failed write was logged last; 0 for never.
    complained: Cell<u64>,
}

struct Open {
    file: LogFile,
    since: u64,
}

/// The most files that stay open.
const FILES_MAX: usize = 32;
/// For how long, in milliseconds.
const KEEP: u64 = 1_000;
/// A full disk is reported once in so many milliseconds.
const COMPLAIN: u64 = 60_000;

impl NamedTarget {
    pub(super) fn new(prefix: Box<[u8]>, path: Template) -> Self {
        Self { prefix, path }
    }

    /// Writes a line, unless the folder of the request's files is missing: a host that nobody
    /// has set up must not get a log just because it was asked for.
    pub(super) fn write(&self, r: &Request, line: &[u8]) {
        let has_root = core::with_name_buffer(|root| {
            r.write_document_root(root);
            rustix::fs::stat(root.as_slice()).is_ok()
        });
        if !has_root {
            return;
        }
        core::with_name_buffer(|path| {
            path.extend_from_slice(&self.prefix);
            self.path.eval(r, path);
            r.generation().local::<OpenLogs>().write(path, line);
        });
    }
}

impl OpenLogs {
    fn write(&self, path: &[u8], line: &[u8]) {
        let now = now_ms();
        let mut files = self.files.borrow_mut();
        files.retain(|open| now.saturating_sub(open.since) < KEEP);
        let known = files
            .iter()
            .position(|open| open.file.path().as_os_str().as_bytes() == path);
        let at = match known {
            Some(at) => at,
            None => match LogFile::open(OsStr::from_bytes(path)) {
                Ok(file) => {
                    if files.len() >= FILES_MAX {
                        files.remove(0);
                    }
                    files.push(Open { file, since: now });
                    files.len() - 1
                }
                Err(error) => {
                    drop(files);
                    let path = String::from_utf8_lossy(path);
                    return crit!("open() \"{path}\" failed {}", errno(&error));
                }
            },
        };
        let Some(Err(error)) = files.get(at).map(|open| open.file.write_line(line)) else {
            return;
        };
        drop(files);
        let last = self.complained.get();
        if last == 0 || now.saturating_sub(last) >= COMPLAIN {
            self.complained.set(now);
            let path = String::from_utf8_lossy(path);
            alert!("write() to \"{path}\" failed {}", errno(&error));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_open_files_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let logs = OpenLogs::default();
        let path = |number: usize| folder.path().join(number.to_string());
        for round in 0..2 {
            for number in 0..2 * FILES_MAX {
                let path = path(number);
                logs.write(path.as_os_str().as_bytes(), b"line\n");
                assert!(logs.files.borrow().len() <= FILES_MAX);
                let text = std::fs::read_to_string(path).unwrap();
                assert_eq!(text, "line\n".repeat(round + 1));
            }
        }
    }

    #[test]
    fn a_file_that_was_renamed_is_left_alone_soon() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
        let logs = OpenLogs::default();
        logs.write(path.as_os_str().as_bytes(), b"one\n");
        std::fs::rename(&path, &old).unwrap();
        for open in logs.files.borrow_mut().iter_mut() {
            open.since = open.since.saturating_sub(KEEP);
        }
        logs.write(path.as_os_str().as_bytes(), b"two\n");
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "one\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
    }
}
