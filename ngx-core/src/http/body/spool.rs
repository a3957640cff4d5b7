//! A request body in a temporary file.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ngx_buf::{Buf, Chain, FileBuf, Flags};

use crate::error::errno;
use crate::http::core::InFileOnly;
use crate::http::request::Request;
use crate::{crit, notice, warn};

/// Numbers temporary files, so that their names in the log differ.
static NEXT: AtomicU32 = AtomicU32::new(1);
/// How far to go on from a number that is taken: files that were kept come in rows.
const STRIDE: u32 = 123_457;

/// A temporary file. Unless the location wants its name to be seen, it has none any more: it is
/// gone with its last user.
pub(super) struct Spool {
    file: File,
    name: PathBuf,
    len: u64,
}

/// A body's file that has a name, and goes with this unless it is to stay.
pub(super) struct NamedFile {
    pub(super) path: PathBuf,
    pub(super) remove: bool,
}

impl Drop for NamedFile {
    fn drop(&mut self) {
        if !self.remove {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            let path = self.path.display();
            crit!("unlink() \"{path}\" failed {}", errno(&error));
        }
    }
}

impl Spool {
    /// Creates the file under `client_body_temp_path`.
    pub(super) fn create(r: &Request) -> Result<Self, u16> {
        let conf = r.core();
        let failed = |(path, error): (PathBuf, io::Error)| {
            crit!("open() \"{}\" failed {}", path.display(), errno(&error));
            500_u16
        };
        let named = *conf.client_body_in_file_only;
        let mode = if named == InFileOnly::Off {
            0o600
        } else {
            0o660
        };
        let (file, name) = create(&conf.client_body_temp_path, mode).map_err(failed)?;
        let shown = name.display();
        let wants_name = r.parts().body.wants_name.get();
        if named == InFileOnly::Off && wants_name {
            warn!("a client request body is buffered to a temporary file {shown}");
            r.name_body_file(&name, true);
        } else if named == InFileOnly::Off {
            // The open file is all that is needed; nothing is left behind by a crash.
            std::fs::remove_file(&name).map_err(|error| failed((name.clone(), error)))?;
            warn!("a client request body is buffered to a temporary file {shown}");
        } else {
            notice!("a client request body is buffered to a temporary file {shown}");
            let file = NamedFile {
                path: name.clone(),
                remove: named == InFileOnly::Clean,
            };
            r.parts().body.named.replace(Some(file));
        }
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

fn create(dir: &Path, mode: u32) -> Result<(File, PathBuf), (PathBuf, io::Error)> {
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("{number:010}"));
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path);
        match opened {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                NEXT.fetch_add(STRIDE, Ordering::Relaxed);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !dir.exists() => {
                let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
                made.map_err(|error| (dir.to_owned(), error))?;
            }
            Err(error) => return Err((path, error)),
        }
    }
}
