//! System calls that no crate has a safe function for.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

use nix::unistd::{self, ForkResult};
use rustix::io::Errno;

/// Splits the process in two; tells which half runs on: `true` in the new one.
///
/// # Errors
///
/// What `fork(2)` says, and `EBUSY` when the process has more than one thread.
pub(super) fn fork() -> io::Result<bool> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(Errno::BUSY.into());
    }
    // SAFETY: the calling thread is the only one, as was just seen, so that no lock and no
    // half-done allocation of another is copied into the new process.
    match unsafe { unistd::fork() }? {
        ForkResult::Child => Ok(true),
        ForkResult::Parent { .. } => Ok(false),
    }
}

/// Takes over a descriptor that the process was started with; the programs that it starts do not
/// get it.
///
/// # Errors
///
/// There is no such descriptor, or it is one of the standard three.
pub(super) fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    if fd <= 2 {
        return Err(Errno::BADF.into());
    }
    // SAFETY: the descriptor is open, which the first call finds out. Who started the process
    // says by the environment that it is there to be taken over, each is taken once, before
    // anything else is opened, so nothing else owns it.
    let fd = unsafe {
        rustix::io::fcntl_setfd(
            std::os::fd::BorrowedFd::borrow_raw(fd),
            rustix::io::FdFlags::CLOEXEC,
        )?;
        OwnedFd::from_raw_fd(fd)
    };
    Ok(fd)
}
