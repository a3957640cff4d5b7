//! What no crate has a safe function for.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has tokio watch a descriptor of whatever kind for being readable.
///
/// # Errors
///
/// What `epoll_ctl(2)` says.
///
/// # Panics
///
/// Outside of a tokio runtime with its I/O driver on.
pub(super) fn watch_readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open, and the one descriptor, for as long as it is; it moves into
    // the `AsyncFd`, which gives nobody a way to change it.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    Ok(watched?)
}
