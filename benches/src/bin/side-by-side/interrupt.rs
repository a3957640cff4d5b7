//! Ctrl-C, and signals like it: whatever waits here is told to give up, so that everything that was
//! started is stopped on the way out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Doing as _, Error, Result};

static ASKED: AtomicBool = AtomicBool::new(false);

/// How often somebody who waits looks up.
const STEP: Duration = Duration::from_millis(10);

/// Takes over SIGINT, SIGTERM and SIGHUP.
pub(crate) fn install() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .doing(|| "cannot watch signals".to_owned())?;
    let signals: [Signal; 3] = {
        let _context = runtime.enter();
        let watch = |kind: SignalKind| signal(kind).doing(|| "cannot watch a signal".to_owned());
        [
            watch(SignalKind::interrupt())?,
            watch(SignalKind::terminate())?,
            watch(SignalKind::hangup())?,
        ]
    };
    thread::spawn(move || {
        runtime.block_on(async move {
            let [mut int, mut term, mut hup] = signals;
            loop {
                tokio::select! {
                    _ = int.recv() => {}
                    _ = term.recv() => {}
                    _ = hup.recv() => {}
                }
                ASKED.store(true, Ordering::Relaxed);
            }
        });
    });
    Ok(())
}

/// Whether to go on.
pub(crate) fn check() -> Result<()> {
    if ASKED.load(Ordering::Relaxed) {
        return Err(Error::Interrupted);
    }
    Ok(())
}

/// Waits until `done` has an answer or the time is over, which is `None`.
pub(crate) fn wait_for<T>(
    most: Duration,
    mut done: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let until = Instant::now() + most;
    loop {
        check()?;
        if let Some(answer) = done()? {
            return Ok(Some(answer));
        }
        if Instant::now() >= until {
            return Ok(None);
        }
        thread::sleep(STEP);
    }
}

/// Sleeps.
pub(crate) fn sleep(time: Duration) -> Result<()> {
    wait_for(time, || Ok(None::<()>)).map(|_| ())
}
