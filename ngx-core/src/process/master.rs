//! The main thread: signals, reloads, the end.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, timeout_at};

use super::pid::PidFile;
use super::{Origin, RunError, Service, Workers, rights};
use crate::cycle::{Cycle, CycleError};
use crate::log::{LogFiles, forked, set_default};
use crate::{alert, emerg, error, notice, warn};

/// Runs the server under its first generation until a signal ends it; the calling thread becomes
/// the main thread, and must be the only one of the process, because a daemon is a fork.
///
/// `ready` is called when the listening sockets are open and the file of the process's number is
/// written.
///
/// # Errors
///
/// [`RunError`] when it cannot even begin.
pub fn run<S: Service>(
    origin: Origin,
    cycle: Arc<Cycle>,
    ready: impl FnOnce(),
) -> Result<(), RunError> {
    if let Some(log) = cycle.error_log() {
        set_default(log);
    }
    rights::apply_to_process(&cycle);
    let daemon = cycle.core().daemon();
    if daemon {
        daemonize()?;
    }
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| RunError::System {
            call: "epoll_create()",
            error,
        })?;
    let outcome = runtime.block_on(async {
        // Before the file appears: who reads it may send a signal at once.
        let signals = Signals::new().map_err(|error| RunError::System {
            call: "sigaction()",
            error,
        })?;
        let pid_file = PidFile::write(cycle.pid_file())?;
        let workers = Workers::<S>::start(cycle).map_err(|error| RunError::System {
            call: "clone()",
            error,
        })?;
        ready();
        let master = Master {
            origin: Arc::new(origin),
            workers,
            pid_file,
            daemon,
            build: None,
            again: false,
        };
        master.serve(signals).await;
        Ok(())
    });
    // A configuration that is being built now is nobody's any more.
    runtime.shutdown_background();
    outcome
}

/// Goes to the background. Standard error is closed with the rest: the terminal is somebody
/// else's from now on.
fn daemonize() -> Result<(), RunError> {
    let failed = |call| move |error| RunError::System { call, error };
    nix::unistd::daemon(true, true)
        .map_err(io::Error::from)
        .map_err(failed("daemon()"))?;
    forked();
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(failed("open() \"/dev/null\""))?;
    rustix::stdio::dup2_stdin(&null)
        .and_then(|()| rustix::stdio::dup2_stdout(&null))
        .and_then(|()| rustix::stdio::dup2_stderr(&null))
        .map_err(io::Error::from)
        .map_err(failed("dup2()"))
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Terminate,
    Quit,
    Reload,
    Reopen,
    Upgrade,
    DismissWorkers,
}

/// The signals that the server listens to.
struct Signals {
    term: Signal,
    int: Signal,
    quit: Signal,
    hup: Signal,
    usr1: Signal,
    usr2: Signal,
    winch: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
            winch: signal(SignalKind::window_change())?,
        })
    }

    /// The next signal, logged.
    async fn next(&mut self) -> Ask {
        let (number, name, then, ask) = tokio::select! {
            biased;
            _ = self.term.recv() => (15, "SIGTERM", ", exiting", Ask::Terminate),
            _ = self.int.recv() => (2, "SIGINT", ", exiting", Ask::Terminate),
            _ = self.quit.recv() => (3, "SIGQUIT", ", shutting down", Ask::Quit),
            _ = self.hup.recv() => (1, "SIGHUP", ", reconfiguring", Ask::Reload),
            _ = self.usr1.recv() => (10, "SIGUSR1", ", reopening logs", Ask::Reopen),
            _ = self.usr2.recv() => (12, "SIGUSR2", "", Ask::Upgrade),
            _ = self.winch.recv() => (28, "SIGWINCH", "", Ask::DismissWorkers),
        };
        notice!("signal {number} ({name}) received{then}");
        ask
    }
}

type Build = JoinHandle<Result<Arc<Cycle>, CycleError>>;

struct Master<S> {
    origin: Arc<Origin>,
    workers: Workers<S>,
    pid_file: PidFile,
    daemon: bool,
    /// The reload that is under way.
    build: Option<Build>,
    /// A reload was asked for while one was under way, which may have read the old files.
    again: bool,
}

impl<S: Service> Master<S> {
    async fn serve(mut self, mut signals: Signals) {
        loop {
            let ask = tokio::select! {
                ask = signals.next() => ask,
                built = finished(&mut self.build) => {
                    self.build = None;
                    self.built(built);
                    if std::mem::take(&mut self.again) {
                        self.reload();
                    }
                    continue;
                }
                () = self.workers.watch() => continue,
            };
            match ask {
                Ask::Terminate => break self.terminate().await,
                Ask::Quit => break self.quit(&mut signals).await,
                Ask::Reload => self.reload(),
                Ask::Reopen => self.log_files(LogFiles::reopen),
                Ask::Upgrade => {
                    warn!("the upgrade of the running binary (SIGUSR2) is not implemented");
                }
                // A terminal sends it whenever its window changes.
                Ask::DismissWorkers if self.daemon => self.workers.quit(),
                Ask::DismissWorkers => {}
            }
        }
        self.log_files(LogFiles::flush);
        notice!("exit");
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

    fn built(&mut self, built: Result<Result<Arc<Cycle>, CycleError>, JoinError>) {
        let cycle = match built {
            Ok(Ok(cycle)) => cycle,
            Ok(Err(error)) => {
                error.log();
                return error!("reconfiguring failed, the old configuration stays");
            }
            Err(_panic) => {
                return alert!("reconfiguring ended by a panic, the old configuration stays");
            }
        };
        if cycle.pid_file() != self.pid_file.path() {
            match PidFile::write(cycle.pid_file()) {
                Ok(pid_file) => self.pid_file = pid_file,
                Err(error) => return emerg!("{error}, the old configuration stays"),
            }
        }
        if let Some(log) = cycle.error_log() {
            set_default(log);
        }
        cycle.log_warnings();
        rights::apply_to_process(&cycle);
        self.workers.swap(cycle);
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
