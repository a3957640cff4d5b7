//! `daemon`: going to the background.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::mem::ManuallyDrop;

use super::{RunError, sys};
use crate::error::errno;
use crate::log::forked;

/// A process in the background whose starter still waits in the terminal, to hear how it went.
#[derive(Debug)]
pub(super) struct Daemon {
    /// Of a process that never is ready, it is closed by the end of the process alone: whatever
    /// that says about why comes before the end of the command.
    starter: ManuallyDrop<PipeWriter>,
}

impl Daemon {
    /// Goes to the background. What called the command waits until [`ready`](Self::ready), or
    /// for the end of the new process, and ends with success or failure.
    pub(super) fn new() -> Result<Self, RunError> {
        let failed = |call| move |error| RunError::System { call, error };
        let (news, starter) = io::pipe().map_err(failed("pipe()"))?;
        if !sys::fork().map_err(failed("fork()"))? {
            drop(starter);
            std::process::exit(heard(news));
        }
        drop(news);
        forked();
        rustix::process::setsid()
            .map_err(io::Error::from)
            .map_err(failed("setsid()"))?;
        let starter = ManuallyDrop::new(starter);
        Ok(Self { starter })
    }

    /// The server runs: gives up the terminal, which is somebody else's from now on.
    pub(super) fn ready(self) -> Result<(), RunError> {
        let failed = |call| move |error| RunError::System { call, error };
        let null = File::options()
            .read(true)
            .write(true)
            .open("/dev/null")
            .map_err(failed("open() \"/dev/null\""))?;
        rustix::stdio::dup2_stdin(&null)
            .and_then(|()| rustix::stdio::dup2_stdout(&null))
            .and_then(|()| rustix::stdio::dup2_stderr(&null))
            .map_err(io::Error::from)
            .map_err(failed("dup2()"))?;
        if let Err(error) = ManuallyDrop::into_inner(self.starter).write_all(&[0]) {
            crate::notice!("nobody waits for the start any more {}", errno(&error));
        }
        Ok(())
    }
}

/// How the command ends that started a daemon.
fn heard(mut news: PipeReader) -> i32 {
    i32::from(news.read_exact(&mut [0]).is_err())
}
