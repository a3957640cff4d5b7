//! What the system has to say about a file and its cache.

use std::fs::File;
use std::io;

/// Turns direct I/O on; says what reads must be aligned to, which is `alignment` at least.
#[cfg(target_os = "linux")]
pub(super) fn turn_on(file: &File, alignment: usize) -> io::Result<usize> {
    use crate::pool::MOST_SIZE;
    use rustix::fs::{AtFlags, OFlags, StatxFlags};

    let mut needed = alignment.max(2);
    if let Ok(stat) = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN)
        && stat.stx_mask & StatxFlags::DIOALIGN.bits() != 0
    {
        if stat.stx_dio_offset_align == 0 {
            return Err(io::ErrorKind::Unsupported.into());
        }
        for says in [stat.stx_dio_offset_align, stat.stx_dio_mem_align] {
            needed = needed.max(usize::try_from(says).unwrap_or(usize::MAX));
        }
    }
    let needed = needed
        .checked_next_power_of_two()
        .filter(|needed| *needed <= MOST_SIZE)
        .ok_or(io::ErrorKind::InvalidInput)?;
    let flags = rustix::fs::fcntl_getfl(file)?;
    rustix::fs::fcntl_setfl(file, flags | OFlags::DIRECT)?;
    Ok(needed)
}

/// Reads what needs no waiting; `None` if that cannot be said of this file. (Miri does not know the
/// system call.)
#[cfg(all(target_os = "linux", not(miri)))]
pub(super) fn read_cached(file: &File, into: &mut [u8], offset: u64) -> Option<usize> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    let mut into = [io::IoSliceMut::new(into)];
    match preadv2(file, &mut into, offset, ReadWriteFlags::NOWAIT) {
        Ok(n) => Some(n),
        Err(Errno::AGAIN | Errno::INTR) => Some(0),
        // Errors are for the read that waits: it says them with name and place.
        Err(_) => None,
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn turn_on(_file: &File, _alignment: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(any(not(target_os = "linux"), miri))]
pub(super) fn read_cached(_file: &File, _into: &mut [u8], _offset: u64) -> Option<usize> {
    None
}
