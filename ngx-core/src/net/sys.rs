//! What no crate has a safe function for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};

use bytes::BufMut;
use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

/// A descriptor of whatever kind that tokio watches for being readable.
#[derive(Debug)]
pub(crate) struct Readable(AsyncFd<OwnedFd>);

impl Readable {
    /// # Errors
    ///
    /// What `epoll_ctl(2)` says.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its I/O driver on.
    pub(crate) fn new(descriptor: OwnedFd) -> io::Result<Self> {
        // SAFETY: an `OwnedFd` is open, and the one descriptor, for as long as it is; nobody gets
        // at this one but by shared reference.
        let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
        Ok(Self(watched?))
    }

    /// Waits until there is something to read, as far as is known.
    ///
    /// # Errors
    ///
    /// The runtime is shutting down.
    pub(crate) fn poll_ready(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'_, OwnedFd>>> {
        self.0.poll_read_ready(cx)
    }
}

impl AsFd for Readable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

/// Receives what there is, up to `most` bytes, into memory of `buf` that nobody has written to yet,
/// and makes it part of it. Returns how many bytes came, and how many there was room for.
///
/// # Errors
///
/// What `recv(2)` says.
pub(super) fn recv_into(
    socket: BorrowedFd<'_>,
    buf: &mut impl BufMut,
    most: usize,
) -> io::Result<(usize, usize)> {
    // SAFETY: bytes are only ever written there, by the system.
    let room = unsafe { buf.chunk_mut().as_uninit_slice_mut() };
    let most = most.min(room.len());
    let room = room.get_mut(..most).unwrap_or_default();
    let ((received, _), _) = rustix::net::recv(socket, room, RecvFlags::empty())?;
    let received = received.len();
    // SAFETY: the system has written so many bytes at the front of the chunk.
    unsafe { buf.advance_mut(received) };
    Ok((received, most))
}
