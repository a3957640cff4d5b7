//! What the service manager hears (systemd, `Type=notify`).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::time::{ClockId, clock_gettime};

use crate::alert;
use crate::error::errno;

/// The manager that has started the server, if it wants to hear anything (`NOTIFY_SOCKET`).
#[derive(Debug)]
pub(super) struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
}

impl Manager {
    pub(super) fn of_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|name| {
            open(&name)
                .map_err(|error| {
                    alert!("NOTIFY_SOCKET {} failed {}", name.display(), errno(&error));
                })
                .ok()
        });
        Self { socket }
    }

    /// The server serves. This process is its main one.
    pub(super) fn ready(&self) {
        self.say(&format!("READY=1\nMAINPID={}\n", std::process::id()));
    }

    /// A reload begins; [`ready`](Self::ready) ends it.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\n"));
    }

    /// The end begins.
    pub(super) fn stopping(&self) {
        self.say("STOPPING=1\n");
    }

    fn say(&self, text: &str) {
        if let Some((socket, addr)) = &self.socket
            && let Err(error) = socket.send_to_addr(text.as_bytes(), addr)
        {
            alert!("sendmsg() to the service manager failed {}", errno(&error));
        }
    }
}

/// A path, or a name that is no file behind an `@`.
fn open(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let addr = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    Ok((UnixDatagram::unbound()?, addr))
}
