//! How a reload went, for whoever has asked for it in a terminal (`-s reload`).
//!
//! The asker binds a datagram socket beside the file of the server's number, and the server sends
//! a line there: nothing, or why the old configuration stays. Without a socket nobody asks.

use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::errno;
use crate::notice;

/// The ear of one who asks for a reload; its file is removed when dropped.
#[derive(Debug)]
pub struct ReloadOutcome {
    socket: UnixDatagram,
    path: PathBuf,
}

impl ReloadOutcome {
    /// Prepares to hear of the next reload of the server with this `pid` file.
    ///
    /// # Errors
    ///
    /// Those of making a socket beside it, such as `AddrInUse` when somebody else asks.
    pub fn of(pid_file: &Path) -> io::Result<Self> {
        let path = socket_of(pid_file);
        let socket = UnixDatagram::bind(&path)?;
        Ok(Self { socket, path })
    }

    /// Waits for so long; `None` when nothing was heard until then.
    ///
    /// # Errors
    ///
    /// What `recv(2)` says.
    pub fn wait(&self, patience: Duration) -> io::Result<Option<Result<(), String>>> {
        self.socket.set_read_timeout(Some(patience))?;
        let mut text = vec![0; MOST];
        match self.socket.recv(&mut text) {
            Ok(0) => Ok(Some(Ok(()))),
            Ok(length) => {
                text.truncate(length);
                let text = String::from_utf8_lossy(&text).into_owned();
                Ok(Some(Err(text)))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for ReloadOutcome {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            notice!(
                "unlink() \"{}\" failed {}",
                self.path.display(),
                errno(&error)
            );
        }
    }
}

/// Tells whoever asks; `why` there is no new configuration, if there is none.
pub(super) fn tell(pid_file: &Path, why: Option<&str>) {
    let path = socket_of(pid_file);
    let text = why.unwrap_or_default();
    let text = text
        .get(..text.floor_char_boundary(MOST))
        .unwrap_or_default();
    let sent = UnixDatagram::unbound().and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.send_to(text.as_bytes(), &path)
    });
    match sent {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // Who asked has ended without removing it, and must not keep others from asking.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            let _it_may_be_gone = fs::remove_file(&path);
        }
        Err(error) => notice!("sendto() \"{}\" failed {}", path.display(), errno(&error)),
    }
}

fn socket_of(pid_file: &Path) -> PathBuf {
    let mut name = pid_file.as_os_str().to_owned();
    name.push(".reload");
    name.into()
}

/// The longest reason.
const MOST: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_arrives() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("ngx.pid");
        tell(&pid_file, None);
        let outcome = ReloadOutcome::of(&pid_file).unwrap();
        let soon = Duration::from_millis(10);
        assert_eq!(outcome.wait(soon).unwrap(), None);
        tell(&pid_file, Some("no luck"));
        tell(&pid_file, None);
        assert_eq!(outcome.wait(soon).unwrap(), Some(Err("no luck".to_owned())));
        assert_eq!(outcome.wait(soon).unwrap(), Some(Ok(())));
        assert!(ReloadOutcome::of(&pid_file).is_err());
        drop(outcome);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
