//! Logs that go to a syslog server, as datagrams over UDP or a Unix-domain socket
//! ([RFC 3164](https://www.rfc-editor.org/rfc/rfc3164)).

mod options;
mod socket;

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

pub use self::options::{SyslogError, SyslogOptions};
use self::socket::Socket;
use super::{Level, LogSink, subscriber};
use crate::error::errno;
use crate::time;

/// One `syslog:` destination.
///
/// A line is one datagram: `<190>Nov 21 02:00:33 host nginx: line`. The socket is made for the
/// first line and never blocks: what the server's queue has no room for is lost. After an error the
/// socket is made anew and the line is sent once more; when that fails too, further lines are lost
/// for a tenth of a second. The error log of the process tells of it, at most once a minute.
///
/// ```
/// use std::net::UdpSocket;
/// use ngx_core::log::{Level, LogSink as _, Syslog, SyslogOptions};
/// use ngx_core::net::addr::system_lookup;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = UdpSocket::bind("127.0.0.1:0")?;
/// let text = format!("server={},tag=web,nohostname", server.local_addr()?);
/// let syslog = Syslog::new(SyslogOptions::parse(&text, "", &system_lookup)?);
/// syslog.write_line_at(Level::Error, b"it is late\n");
/// let mut datagram = [0; 100];
/// let len = server.recv(&mut datagram)?;
/// let text = String::from_utf8_lossy(&datagram[..len]);
/// assert!(text.starts_with("<187>") && text.ends_with(" web: it is late"), "{text}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Syslog {
    options: SyslogOptions,
    socket: RwLock<Option<Socket>>,
    /// Nobody is connected to before, in coarse monotonic milliseconds.
    retry_at: AtomicU64,
    /// When an error was reported last, on the same clock; 0 for never.
    reported: AtomicU64,
    lost: AtomicU64,
}

/// How long the server is left alone after it could not be connected to, in milliseconds.
const PAUSE: u64 = 100;
/// Trouble is reported once in so many milliseconds.
const REPORT: u64 = 60_000;

impl Syslog {
    /// A destination. Nothing is opened yet.
    #[must_use]
    pub fn new(options: SyslogOptions) -> Self {
        Self {
            options,
            socket: RwLock::new(None),
            retry_at: AtomicU64::new(0),
            reported: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }
    }

    /// What it was made with.
    #[must_use]
    pub fn options(&self) -> &SyslogOptions {
        &self.options
    }

    /// Sends one line, without its line feed, at the severity of the options.
    pub fn send(&self, line: &[u8]) {
        self.send_at(self.options.severity, line);
    }

    fn send_at(&self, severity: Level, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        // Taken, not borrowed: a report of trouble may come back here.
        let mut datagram = DATAGRAM.try_with(RefCell::take).unwrap_or_default();
        datagram.clear();
        let priority = u32::from(self.options.facility) * 8 + severity as u32 - 1;
        let _infallible = write!(datagram, "<{priority}>{} ", time::syslog_time());
        if let Some(host) = &self.options.hostname {
            let _infallible = write!(datagram, "{host} ");
        }
        let _infallible = write!(datagram, "{}: ", self.options.tag);
        datagram.extend_from_slice(line);
        if let Err(trouble) = self.transmit(&datagram) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            if let Some(trouble) = trouble {
                self.report(&trouble);
            }
        }
        let _thread_ends = DATAGRAM.try_with(|kept| kept.replace(datagram));
    }

    /// Sends a datagram, on a new socket if the old one fails. It is lost without a word within the
    /// pause after a failure.
    fn transmit(&self, datagram: &[u8]) -> Result<(), Option<Trouble>> {
        let sent = {
            let socket = self.socket.read().unwrap_or_else(PoisonError::into_inner);
            socket.as_ref().map(|socket| socket.send(datagram))
        };
        match sent {
            Some(Ok(())) => return Ok(()),
            Some(Err(error)) if !is_gone(&error) => return Err(Some(Trouble::Send(error))),
            Some(Err(_)) | None => {}
        }
        let now = time::now_ms();
        if now < self.retry_at.load(Ordering::Relaxed) {
            return Err(None);
        }
        let connected = Socket::connect(&self.options.server);
        let socket = connected.map_err(|error| {
            self.retry_at.store(now + PAUSE, Ordering::Relaxed);
            Some(Trouble::Connect(error))
        })?;
        let sent = socket.send(datagram);
        if sent.as_ref().is_err_and(is_gone) {
            self.retry_at.store(now + PAUSE, Ordering::Relaxed);
        }
        // The old one, if any, is closed outside of the lock.
        let old = {
            let mut place = self.socket.write().unwrap_or_else(PoisonError::into_inner);
            place.replace(socket)
        };
        drop(old);
        sent.map_err(|error| Some(Trouble::Send(error)))
    }

    fn report(&self, trouble: &Trouble) {
        let now = time::now_ms();
        let last = self.reported.load(Ordering::Relaxed);
        if last != 0 && now.saturating_sub(last) < REPORT {
            return;
        }
        // A report that gets lost itself is not reported.
        if REPORTING.replace(true) {
            return;
        }
        self.reported.store(now, Ordering::Relaxed);
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let lines = if lost == 1 { "line" } else { "lines" };
        let server = &self.options.server;
        subscriber::write_plain(
            Level::Error,
            format_args!(
                "{trouble} while logging to syslog, server: {server}, {lost} {lines} lost"
            ),
        );
        REPORTING.set(false);
    }
}

impl LogSink for Syslog {
    fn write_line(&self, line: &[u8]) {
        self.send(line);
    }

    fn write_line_at(&self, level: Level, line: &[u8]) {
        self.send_at(level, line);
    }
}

/// What went wrong.
enum Trouble {
    Connect(io::Error),
    Send(io::Error),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "connect() failed {}", errno(error)),
            Self::Send(error) => write!(f, "send() failed {}", errno(error)),
        }
    }
}

/// Whether another socket may do better: not when there is no room, or the line is too long.
fn is_gone(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let full = [Errno::AGAIN, Errno::NOBUFS, Errno::MSGSIZE, Errno::INTR];
    !full
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

thread_local! {
    /// Kept from line to line for its memory.
    static DATAGRAM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static REPORTING: Cell<bool> = const { Cell::new(false) };
}
