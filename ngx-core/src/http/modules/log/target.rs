//! Where lines go: a log file, with its buffer's timer and its troubles.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::alert;
use crate::error::errno;
use crate::log::LogFile;
use crate::time::now_ms;

/// One file of `access_log` directives.
#[derive(Debug)]
pub(super) struct Target {
    file: Arc<LogFile>,
    /// `buffer=`, in bytes; 0 for none.
    pub(super) buffer: usize,
    /// `flush=`
    pub(super) flush: Option<Duration>,
    /// Somebody will flush.
    flushing: AtomicBool,
    /// When an error was logged last, in coarse monotonic milliseconds; 0 for never.
    complained: AtomicU64,
}

/// A full disk is reported once in so many milliseconds.
const COMPLAIN: u64 = 60_000;

impl Target {
    pub(super) fn new(file: Arc<LogFile>, buffer: usize, flush: Option<Duration>) -> Self {
        // A generation before may have had a buffer.
        file.set_buffer(buffer);
        let target = Self {
            file,
            buffer,
            flush,
            flushing: AtomicBool::new(false),
            complained: AtomicU64::new(0),
        };
        if buffer == 0 {
            target.flush();
        }
        target
    }

    /// Writes a line, or keeps it for a while if there is a buffer.
    pub(super) fn write(self: &Arc<Self>, line: &[u8]) {
        self.check(self.file.write_line(line));
        if let Some(delay) = self.flush
            && !self.flushing.swap(true, Ordering::Relaxed)
        {
            let flusher = Flusher(Arc::clone(self));
            tokio::task::spawn_local(async move {
                tokio::time::sleep(delay).await;
                drop(flusher);
            });
        }
    }

    /// The last part of the path.
    #[cfg(test)]
    pub(super) fn name(&self) -> String {
        let name = self.file.path().file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    fn flush(&self) {
        self.check(self.file.flush());
    }

    fn check(&self, result: std::io::Result<()>) {
        let Err(error) = result else { return };
        let now = now_ms();
        let last = self.complained.load(Ordering::Relaxed);
        if last == 0 || now.saturating_sub(last) >= COMPLAIN {
            self.complained.store(now, Ordering::Relaxed);
            alert!(
                "write() to \"{}\" failed {}",
                self.file.path().display(),
                errno(&error)
            );
        }
    }
}

/// Flushes when it is dropped: when its time has come, or when its thread ends before.
struct Flusher(Arc<Target>);

impl Drop for Flusher {
    fn drop(&mut self) {
        // Lines that come from here on need a timer of their own.
        self.0.flushing.store(false, Ordering::Relaxed);
        self.0.flush();
    }
}
