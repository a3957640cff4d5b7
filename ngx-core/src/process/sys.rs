//! System calls that no crate has a safe function for.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::AtomicU8;

use nix::unistd::{self, ForkResult};
use rustix::io::Errno;
use rustix::process::{PrctlMmMap, configure_virtual_memory_map};

/// Splits the process in two; tells which half runs on: `true` in the new one.
///
/// # Errors
///
/// What `fork(2)` says, and `EBUSY` when the process has more than one thread.
pub(super) fn fork() -> io::Result<bool> {
    expect_one_thread()?;
    // SAFETY: the calling thread is the only one, as was just seen, so that no lock and no
    // half-done allocation of another is copied into the new process.
    match unsafe { unistd::fork() }? {
        ForkResult::Child => Ok(true),
        ForkResult::Parent { .. } => Ok(false),
    }
}

fn expect_one_thread() -> io::Result<()> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(Errno::BUSY.into());
    }
    Ok(())
}

/// Has the system show `text` where it shows what the process was started with. What was there
/// stays where it is, and so does what [`std::env::args_os`] says.
///
/// # Errors
///
/// What `prctl(2)` says for `PR_SET_MM_MAP`, which a kernel may be built without, and `EBUSY` when
/// the process has more than one thread.
pub(super) fn show_as_arguments(text: &'static [AtomicU8]) -> io::Result<()> {
    expect_one_thread()?;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    // The name in parentheses is the second field and may have spaces in it.
    let (_, fields) = stat.rsplit_once(") ").ok_or_else(invalid)?;
    let fields: Vec<u64> = fields
        .split_whitespace()
        .map(|field| field.parse().unwrap_or_default())
        .collect();
    // As proc(5) counts: the first of `fields` is number 3.
    let field = |number: usize| fields.get(number - 3).copied().ok_or_else(invalid);
    let start = text.as_ptr() as u64;
    let mut map = PrctlMmMap {
        start_code: field(26)?,
        end_code: field(27)?,
        start_data: field(45)?,
        end_data: field(46)?,
        start_brk: field(47)?,
        brk: 0,
        start_stack: field(28)?,
        arg_start: start,
        arg_end: start + text.len() as u64,
        env_start: field(50)?,
        env_end: field(51)?,
        auxv: std::ptr::null_mut(),
        auxv_size: 0,
        exe_fd: -1,
    };
    // SAFETY: asks where the heap ends and changes nothing.
    map.brk = unsafe { nix::libc::sbrk(0) } as u64;
    // SAFETY: every address is what it was but those of the arguments, which only tell the system
    // what to show; the text is there for as long as the process is. The end of the heap is what
    // it was too: the calling thread is the only one, as was seen above, and has allocated nothing
    // since it asked.
    unsafe { configure_virtual_memory_map(&map) }?;
    Ok(())
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
