//! Everything in one process (`master_process off`): signals, reloads, the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, timeout_at};

use super::daemon::Daemon;
use super::pid::PidFile;
use super::signals::{Ask, Signals};
use super::{Origin, RunError, Service, Workers, outcome, rights};
use crate::cycle::{Cycle, CycleError};
use crate::log::{LogFiles, set_default};
use crate::{alert, emerg, error, notice, warn};

/// Serves until a signal ends it. What is left to do then is to remove the file of the process's
/// number, which happens when it is dropped.
pub(super) async fn run<S: Service>(
    origin: Origin,
    cycle: Arc<Cycle>,
    daemon: Option<Daemon>,
    ready: impl FnOnce(),
) -> Result<PidFile, RunError> {
    rights::apply_to_process(&cycle);
    let system = |call| move |error| RunError::System { call, error };
    // Before the file appears: who reads it may send a signal at once.
    let signals = Signals::new().map_err(system("sigaction()"))?;
    let pid_file = PidFile::write(cycle.pid_file())?;
    let workers = Workers::<S>::start_here(cycle).map_err(system("clone()"))?;
    ready();
    let background = daemon.is_some();
    daemon.map_or(Ok(()), Daemon::ready)?;
    let single = Single {
        origin: Arc::new(origin),
        workers,
        pid_file,
        background,
        build: None,
        again: false,
        swapped: false,
    };
    Ok(single.serve(signals).await)
}

type Build = JoinHandle<Result<Arc<Cycle>, CycleError>>;

struct Single<S> {
    origin: Arc<Origin>,
    workers: Workers<S>,
    pid_file: PidFile,
    background: bool,
    /// The reload that is under way.
    build: Option<Build>,
    /// A reload was asked for while one was under way, which may have read the old files.
    again: bool,
    /// Not all threads may serve the newest generation yet.
    swapped: bool,
}

impl<S: Service> Single<S> {
    async fn serve(mut self, mut signals: Signals) -> PidFile {
        loop {
            let ask = tokio::select! {
                ask = signals.next() => ask,
                built = finished(&mut self.build) => {
                    self.build = None;
                    let built = self.built(built);
                    match built {
                        Ok(()) => self.swapped = true,
                        Err(why) if !self.again => self.report(Some(&why)),
                        Err(_) => {}
                    }
                    if std::mem::take(&mut self.again) {
                        self.reload();
                    }
                    continue;
                }
                () = self.workers.watch() => {
                    if self.workers.is_settled() && std::mem::take(&mut self.swapped) {
                        self.report(None);
                    }
                    continue;
                }
            };
            match ask {
                Ask::Terminate => break self.terminate().await,
                Ask::Quit => break self.quit(&mut signals).await,
                Ask::Reload => self.reload(),
                Ask::Reopen => self.log_files(LogFiles::reopen),
                Ask::Upgrade => {
                    warn!("without a master process the running binary cannot be changed");
                }
                // A terminal sends it whenever its window changes.
                Ask::DismissWorkers if self.background => self.workers.quit(),
                Ask::DismissWorkers => {}
            }
        }
        self.pid_file
    }

    /// Tells whoever waits for it how a reload went.
    fn report(&self, why: Option<&str>) {
        outcome::tell(self.workers.cycle().pid_file(), why);
    }

    fn reload(&mut self) {
        if self.build.is_some() {
            self.again = true;
            return;
        }
        notice!("reconfiguring");
        let (origin, old) = (Arc::clone(&self.origin), Arc::clone(self.workers.cycle()));
        let build = move || origin.build(Some(&old));
        self.build = Some(tokio::task::spawn_blocking(build));
    }

    /// Uses the generation that was built; the error is why there is none, and logged.
    fn built(
        &mut self,
        built: Result<Result<Arc<Cycle>, CycleError>, JoinError>,
    ) -> Result<(), String> {
        let cycle = match built {
            Ok(Ok(cycle)) => cycle,
            Ok(Err(error)) => {
                error.log();
                error!("reconfiguring failed, the old configuration stays");
                return Err(error.to_string());
            }
            Err(_panic) => {
                alert!("reconfiguring ended by a panic, the old configuration stays");
                return Err("reconfiguring ended by a panic".to_owned());
            }
        };
        if cycle.pid_file() != self.pid_file.path() {
            match PidFile::write(cycle.pid_file()) {
                Ok(pid_file) => self.pid_file = pid_file,
                Err(error) => {
                    emerg!("{error}, the old configuration stays");
                    return Err(error.to_string());
                }
            }
        }
        if let Some(log) = cycle.error_log() {
            set_default(log);
        }
        cycle.log_warnings();
        rights::apply_to_process(&cycle);
        self.workers.swap(cycle);
        Ok(())
    }

    /// Waits for connections to end; TERM cuts that short.
    async fn quit(&mut self, signals: &mut Signals) {
        self.workers.quit();
        self.workers.cycle().retire();
        while self.workers.running() > 0 {
            let ask = tokio::select! {
                ask = signals.next() => ask,
                () = self.workers.watch() => continue,
            };
            match ask {
                Ask::Terminate => return self.terminate().await,
                Ask::Reopen => self.log_files(LogFiles::reopen),
                Ask::Quit | Ask::Reload | Ask::Upgrade | Ask::DismissWorkers => {}
            }
        }
    }

    async fn terminate(&mut self) {
        self.workers.terminate();
        let deadline = Instant::now() + LAST_PATIENCE;
        while self.workers.running() > 0 {
            if timeout_at(deadline, self.workers.watch()).await.is_err() {
                return alert!("{} worker threads do not end", self.workers.running());
            }
        }
    }

    fn log_files(&self, f: impl Fn(&LogFiles)) {
        if let Some(files) = self.origin.registry.extension::<Arc<LogFiles>>() {
            f(files);
        }
    }
}

/// The outcome of a reload; never if there is none under way.
async fn finished(build: &mut Option<Build>) -> <Build as Future>::Output {
    match build {
        Some(build) => build.await,
        None => std::future::pending().await,
    }
}

/// How long threads that were told to end now are waited for.
const LAST_PATIENCE: Duration = Duration::from_secs(1);
