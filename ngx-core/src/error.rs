//! How errors of the system are written.

use std::fmt;
use std::io;

use rustix::io::Errno;

/// Renders an error as nginx does, number first: `(2: No such file or directory)`.
///
/// An error without a number of its own (a timer that ran out, say) is given the number that the
/// system has for its kind, so that log readers find one form.
///
/// ```
/// use ngx_core::error::errno;
///
/// let missing = std::fs::File::open("/no/such/file").unwrap_err();
/// assert_eq!(errno(&missing).to_string(), "(2: No such file or directory)");
/// ```
#[must_use]
pub fn errno(error: &io::Error) -> ErrnoText<'_> {
    ErrnoText(error)
}

/// An [`io::Error`] on its way into a log line; made by [`errno`].
#[derive(Debug, Clone, Copy)]
pub struct ErrnoText<'a>(&'a io::Error);

impl fmt::Display for ErrnoText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match number(self.0) {
            Some(code) => {
                let text = io::Error::from_raw_os_error(code).to_string();
                // The standard library appends the number; here it stands in front.
                let end = text.rfind(" (os error").unwrap_or(text.len());
                write!(f, "({code}: {})", text.get(..end).unwrap_or(&text))
            }
            None => write!(f, "({})", self.0),
        }
    }
}

/// The number of an error: its own, or that of its kind.
fn number(error: &io::Error) -> Option<i32> {
    if let Some(code) = error.raw_os_error() {
        return Some(code);
    }
    let errno = match error.kind() {
        io::ErrorKind::TimedOut => Errno::TIMEDOUT,
        io::ErrorKind::ConnectionReset => Errno::CONNRESET,
        io::ErrorKind::ConnectionRefused => Errno::CONNREFUSED,
        io::ErrorKind::ConnectionAborted => Errno::CONNABORTED,
        io::ErrorKind::BrokenPipe => Errno::PIPE,
        io::ErrorKind::NotConnected => Errno::NOTCONN,
        _ => return None,
    };
    Some(errno.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_comes_first() {
        let error = io::Error::from_raw_os_error(98);
        assert_eq!(errno(&error).to_string(), "(98: Address already in use)");
    }

    #[test]
    fn kinds_have_the_number_of_the_system() {
        let error = io::Error::new(io::ErrorKind::TimedOut, "deadline has elapsed");
        assert_eq!(errno(&error).to_string(), "(110: Connection timed out)");
    }

    #[test]
    fn others_keep_their_text() {
        let error = io::Error::new(io::ErrorKind::InvalidData, "bad record");
        assert_eq!(errno(&error).to_string(), "(bad record)");
    }
}
