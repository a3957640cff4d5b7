//! A request body in a temporary file.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ngx_buf::{Buf, Chain, FileBuf, Flags};

use crate::error::errno;
use crate::http::core;
use crate::http::request::Request;
use crate::{crit, warn};

/// Numbers temporary files, so that their names in the log differ.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// A temporary file that has no name any more: it is gone with its last user.
pub(super) struct Spool {
    file: File,
    name: PathBuf,
    len: u64,
}

impl Spool {
    /// Creates the file under `client_body_temp_path`.
    pub(super) fn create(r: &Request) -> Result<Self, u16> {
        let dir = &*r.conf(&core::LOCATION).client_body_temp_path;
        let (file, name) = create(dir).map_err(|(path, error)| {
            crit!("open() \"{}\" failed {}", path.display(), errno(&error));
            500_u16
        })?;
        warn!(
            "a client request body is buffered to a temporary file {}",
            name.display()
        );
        Ok(Self { file, name, len: 0 })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), u16> {
        self.file.write_all(bytes).map_err(|error| {
            crit!(
                "write() \"{}\" failed {}",
                self.name.display(),
                errno(&error)
            );
            500_u16
        })?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn finish(self) -> Chain {
        let file = Arc::new(FileBuf::new(self.file, self.name));
        Chain::from(Buf::file(file, 0..self.len).with_flags(Flags::TEMP_FILE))
    }
}

fn create(dir: &Path) -> Result<(File, PathBuf), (PathBuf, io::Error)> {
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("{number:010}"));
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        match opened {
            Ok(file) => {
                // The open file is all that is needed; nothing is left behind by a crash.
                return match std::fs::remove_file(&path) {
                    Ok(()) => Ok((file, path)),
                    Err(error) => Err((path, error)),
                };
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && !dir.exists() => {
                let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
                made.map_err(|error| (dir.to_owned(), error))?;
            }
            Err(error) => return Err((path, error)),
        }
    }
}
