//! The master process: signals, reloads, the worker process, the end.

use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, timeout_at};

use super::child::{Event, WorkerProcess, log_end};
use super::children::Children;
use super::daemon::Daemon;
use super::message::{FromWorker, ToWorker};
use super::notify::Manager;
use super::outcome;
use super::pid::PidFile;
use super::rights::ProcessRights;
use super::signals::{Ask, Signals};
use super::upgrade::{NewBinary, Predecessor};
use super::{Origin, RunError};
use crate::cycle::{Cycle, CycleError};
use crate::error::errno;
use crate::log::set_default;
use crate::{alert, emerg, error, notice};

/// Runs until a signal ends it.
pub(super) async fn run(
    origin: Origin,
    cycle: Arc<Cycle>,
    daemon: Option<Daemon>,
    ready: impl FnOnce(),
) -> Result<(), RunError> {
    let system = |call| move |error| RunError::System { call, error };
    // Before the file appears: who reads it may send a signal at once.
    let mut signals = Signals::new().map_err(system("sigaction()"))?;
    let (events, inbox) = unbounded_channel();
    let background = daemon.is_some() || origin.predecessor.is_some();
    let mut children = Children::new(origin, events);
    notice!("start worker processes");
    let Some((process, inbox)) = first(&mut children, &cycle, &mut signals, inbox).await? else {
        return Ok(());
    };
    let pid_file = PidFile::write(cycle.pid_file())?;
    process.tell(&ToWorker::Commit, &[]);
    children.current = Some(process);
    ready();
    daemon.map_or(Ok(()), Daemon::ready)?;
    let master = Master {
        children,
        inbox,
        cycle,
        pid_file,
        background,
        manager: Manager::of_environment(),
        flight: Flight::None,
        again: false,
        reloading: false,
        dismissed: false,
        new_binary: None,
    };
    master.manager.ready();
    master.serve(signals).await;
    Ok(())
}

/// Starts the first worker process and waits until it is prepared; `None` if a signal says that
/// there is to be no server.
async fn first(
    children: &mut Children,
    cycle: &Cycle,
    signals: &mut Signals,
    mut inbox: UnboundedReceiver<Event>,
) -> Result<Option<(WorkerProcess, UnboundedReceiver<Event>)>, RunError> {
    let rights = ProcessRights::of(cycle)?;
    let process = children.start(rights, cycle)?;
    loop {
        let event = tokio::select! {
            ask = signals.next() => match ask {
                Ask::Terminate | Ask::Quit => return Ok(None),
                _ => continue,
            },
            event = inbox.recv() => event,
        };
        match event {
            Some(Event::Message {
                message: FromWorker::Ready,
                ..
            }) => {
                return Ok(Some((process, inbox)));
            }
            Some(Event::Message {
                message: FromWorker::Refused(text),
                ..
            }) => {
                return Err(RunError::Refused(text));
            }
            Some(Event::Exited { status, .. }) => {
                log_end(process.pid, &status);
                return Err(RunError::Refused(DIED.to_owned()));
            }
            Some(
                Event::Message {
                    message: FromWorker::Serves,
                    ..
                }
                | Event::Restart
                | Event::NewBinaryExited { .. },
            )
            | None => {}
        }
    }
}

type Build = JoinHandle<Result<Arc<Cycle>, CycleError>>;

/// What is under way beside the serving; one at a time.
enum Flight {
    None,
    /// The files are being read.
    Building(Build),
    /// A worker process prepares a generation.
    Preparing(Preparing),
}

struct Preparing {
    cycle: Arc<Cycle>,
    /// The process, if it is not the one that serves.
    newcomer: Option<WorkerProcess>,
}

struct Master {
    children: Children,
    inbox: UnboundedReceiver<Event>,
    /// The generation in use.
    cycle: Arc<Cycle>,
    pid_file: PidFile,
    /// Nobody resizes its terminal.
    background: bool,
    manager: Manager,
    flight: Flight,
    /// A reload was asked for while something was under way, which may have read the old files.
    again: bool,
    /// Somebody may wait for the outcome of a reload.
    reloading: bool,
    /// There is to be no worker process (SIGWINCH).
    dismissed: bool,
    new_binary: Option<NewBinary>,
}

impl Master {
    async fn serve(mut self, mut signals: Signals) {
        loop {
            let ask = tokio::select! {
                biased;
                ask = signals.next() => ask,
                event = self.inbox.recv() => {
                    if let Some(event) = event {
                        self.heard(event);
                    }
                    continue;
                }
                built = built(&mut self.flight) => {
                    self.flight = Flight::None;
                    self.built(built);
                    continue;
                }
            };
            match ask {
                Ask::Terminate => break self.terminate().await,
                Ask::Quit => break self.quit(&mut signals).await,
                Ask::Reload => self.reload(),
                Ask::Reopen => self.children.reopen(),
                Ask::Upgrade => self.upgrade(),
                // A terminal sends it whenever its window changes.
                Ask::DismissWorkers if self.background => self.dismiss(),
                Ask::DismissWorkers => {}
            }
        }
        self.claim_files();
        notice!("exit");
    }

    fn heard(&mut self, event: Event) {
        match event {
            Event::Message {
                id,
                message: FromWorker::Serves,
            } => self.serves(id),
            Event::Message { id, message } if self.is_preparing(id) => self.answered(message),
            Event::Message { .. } => {}
            Event::Exited { id, status } => self.exited(id, &status),
            Event::Restart => self.restart(),
            Event::NewBinaryExited { status } => self.new_binary_exited(&status),
        }
    }

    /// All threads of a process serve what was committed last.
    fn serves(&mut self, id: u64) {
        let current = self.children.current.as_ref();
        if current.is_some_and(|process| process.id == id) {
            self.reported(None);
        }
    }

    /// A reload has ended; `why` there is no new generation, if there is none.
    fn reported(&mut self, why: Option<&str>) {
        if !self.reloading || self.again || !matches!(self.flight, Flight::None) {
            return;
        }
        self.reloading = false;
        self.manager.ready();
        outcome::tell(self.cycle.pid_file(), why);
    }

    fn is_preparing(&self, id: u64) -> bool {
        let Flight::Preparing(preparing) = &self.flight else {
            return false;
        };
        let process = preparing
            .newcomer
            .as_ref()
            .or(self.children.current.as_ref());
        process.is_some_and(|process| process.id == id)
    }

    fn reload(&mut self) {
        self.dismissed = false;
        if !matches!(self.flight, Flight::None) {
            self.again = true;
            return;
        }
        if self.new_binary.is_some() {
            // The files may be for the new binary alone.
            outcome::tell(self.cycle.pid_file(), Some("a new binary is taking over"));
            return self.restart();
        }
        notice!("reconfiguring");
        self.reloading = true;
        self.manager.reloading();
        let (origin, old) = (Arc::clone(&self.children.origin), Arc::clone(&self.cycle));
        let build = move || origin.build(Some(&old));
        self.flight = Flight::Building(tokio::task::spawn_blocking(build));
    }

    /// The files are read, or are wrong.
    fn built(&mut self, built: Result<Result<Arc<Cycle>, CycleError>, JoinError>) {
        let prepared = match built {
            Ok(Ok(cycle)) => self.prepare(cycle).map_err(|error| {
                emerg!("{error}");
                error.to_string()
            }),
            Ok(Err(error)) => {
                error.log();
                Err(error.to_string())
            }
            Err(_panic) => {
                alert!("{PANIC}");
                Err(PANIC.to_owned())
            }
        };
        if let Err(why) = prepared {
            self.failed(&why);
        }
    }

    /// Has a worker process prepare the generation: the one that serves, if its rights are right.
    fn prepare(&mut self, cycle: Arc<Cycle>) -> Result<(), RunError> {
        let rights = ProcessRights::of(&cycle)?;
        let newcomer = match &self.children.current {
            Some(process) if process.rights == rights => {
                let sent = process.prepare(&self.children.origin, &cycle);
                sent.map_err(|error| RunError::System {
                    call: "sendmsg()",
                    error,
                })?;
                None
            }
            _ => Some(self.children.start(rights, &cycle)?),
        };
        self.flight = Flight::Preparing(Preparing { cycle, newcomer });
        Ok(())
    }

    fn answered(&mut self, message: FromWorker) {
        let Flight::Preparing(preparing) = std::mem::replace(&mut self.flight, Flight::None) else {
            return;
        };
        match message {
            FromWorker::Ready => self.commit(preparing),
            FromWorker::Refused(text) => {
                error!(multiline = true, "{text}");
                self.forget(preparing, &text);
            }
            // Of an earlier generation.
            FromWorker::Serves => self.flight = Flight::Preparing(preparing),
        }
    }

    fn commit(&mut self, preparing: Preparing) {
        let path = preparing.cycle.pid_file();
        if path != self.cycle.pid_file() {
            match PidFile::write(path) {
                Ok(pid_file) => self.pid_file = pid_file,
                Err(error) => {
                    emerg!("{error}");
                    return self.forget(preparing, &error.to_string());
                }
            }
        }
        let Preparing { cycle, newcomer } = preparing;
        if let Some(process) = newcomer {
            process.tell(&ToWorker::Commit, &[]);
            self.children.dismiss();
            self.children.current = Some(process);
        } else if let Some(process) = &self.children.current {
            process.tell(&ToWorker::Commit, &[]);
        }
        if !Arc::ptr_eq(&cycle, &self.cycle) {
            if let Some(log) = cycle.error_log() {
                set_default(log);
            }
            cycle.log_warnings();
            self.claim_files();
            std::mem::replace(&mut self.cycle, cycle).retire();
        }
        if self.dismissed {
            self.children.dismiss();
        }
        self.landed();
    }

    /// A worker process cannot have the generation, or must not.
    fn forget(&mut self, preparing: Preparing, why: &str) {
        if let Some(process) = preparing.newcomer {
            process.tell(&ToWorker::Terminate, &[]);
            self.children.leaving.push(process);
        } else if let Some(process) = &self.children.current {
            process.tell(&ToWorker::Abort, &[]);
        }
        self.failed(why);
    }

    fn failed(&mut self, why: &str) {
        if self.children.current.is_some() {
            error!("{STAYS}");
        }
        self.reported(Some(why));
        self.landed();
    }

    /// Nothing is under way any more.
    fn landed(&mut self) {
        if self.children.current.is_none() && !self.dismissed {
            self.children.restart_later(PAUSE);
        }
        if std::mem::take(&mut self.again) {
            self.reload();
        }
    }

    fn exited(&mut self, id: u64, status: &io::Result<ExitStatus>) {
        if self.is_preparing(id)
            && let Flight::Preparing(mut preparing) =
                std::mem::replace(&mut self.flight, Flight::None)
        {
            error!("{DIED}");
            if let Some(process) = preparing.newcomer.take() {
                log_end(process.pid, status);
                return self.failed(DIED);
            }
            error!("{STAYS}");
            self.reported(Some(DIED));
        }
        let Some(process) = self.children.ended(id, status) else {
            return;
        };
        // At once to those who wait, and yet not as a busy loop when it keeps dying.
        let pause = if process.age() > PAUSE {
            Duration::ZERO
        } else {
            PAUSE
        };
        self.children.restart_later(pause);
    }

    /// Starts a worker process if there is none.
    fn restart(&mut self) {
        let idle = matches!(self.flight, Flight::None) && self.children.current.is_none();
        if !idle || self.dismissed {
            return;
        }
        if let Err(error) = self.prepare(Arc::clone(&self.cycle)) {
            alert!("{error}");
            self.children.restart_later(PAUSE);
        }
    }

    /// SIGWINCH: ends the worker process with its connections, and stays.
    fn dismiss(&mut self) {
        self.dismissed = true;
        self.children.dismiss();
    }

    /// SIGUSR2: starts the binary that has the name of this one now.
    fn upgrade(&mut self) {
        if self.new_binary.is_some() {
            return notice!("the new binary runs already");
        }
        if self
            .children
            .origin
            .predecessor
            .is_some_and(Predecessor::is_here)
        {
            return notice!("the old binary still runs, SIGUSR2 is ignored");
        }
        if let Err(error) = self.pid_file.step_aside() {
            return alert!("{error}");
        }
        let listeners = self.cycle.listeners();
        listeners.share_files(true);
        match NewBinary::start(&listeners, &self.children.events) {
            Ok(new) => self.new_binary = Some(new),
            Err(error) => {
                alert!("starting the new binary failed {}", errno(&error));
                self.step_back();
            }
        }
    }

    fn new_binary_exited(&mut self, status: &io::Result<ExitStatus>) {
        if let Some(new) = self.new_binary.take() {
            new.log_end(status);
        }
        self.step_back();
        if std::mem::take(&mut self.dismissed) {
            self.restart();
        }
    }

    /// There is no new binary: this one is the server again.
    fn step_back(&mut self) {
        self.cycle.listeners().share_files(false);
        if let Err(error) = self.pid_file.step_back() {
            alert!("{error}");
        }
    }

    /// With the binary before this one gone, the files of its sockets are this one's.
    fn claim_files(&self) {
        let predecessor = self.children.origin.predecessor;
        if predecessor.is_some_and(|parent| !parent.is_here()) && self.new_binary.is_none() {
            self.cycle.listeners().share_files(false);
        }
    }

    /// Waits for connections to end; TERM cuts that short.
    async fn quit(&mut self, signals: &mut Signals) {
        self.manager.stopping();
        self.abandon();
        self.children.dismiss();
        self.claim_files();
        self.cycle.retire();
        while self.children.running() > 0 {
            let ask = tokio::select! {
                ask = signals.next() => ask,
                event = self.inbox.recv() => {
                    self.heard_at_the_end(event);
                    continue;
                }
            };
            match ask {
                Ask::Terminate => return self.terminate().await,
                Ask::Reopen => self.children.reopen(),
                Ask::Quit | Ask::Reload | Ask::Upgrade | Ask::DismissWorkers => {}
            }
        }
    }

    async fn terminate(&mut self) {
        self.manager.stopping();
        self.abandon();
        for process in self.children.all() {
            process.tell(&ToWorker::Terminate, &[]);
        }
        let mut deadline = Instant::now() + LAST_PATIENCE;
        while self.children.running() > 0 {
            match timeout_at(deadline, self.inbox.recv()).await {
                Ok(event) => self.heard_at_the_end(event),
                Err(_late) => {
                    self.children.all().for_each(WorkerProcess::kill);
                    deadline = Instant::now() + LAST_PATIENCE;
                }
            }
        }
    }

    /// Ends what is under way.
    fn abandon(&mut self) {
        if let Flight::Preparing(preparing) = std::mem::replace(&mut self.flight, Flight::None)
            && let Some(process) = preparing.newcomer
        {
            process.tell(&ToWorker::Terminate, &[]);
            self.children.leaving.push(process);
        }
    }

    fn heard_at_the_end(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Exited { id, status }) => {
                let _no_other_is_started = self.children.ended(id, &status);
            }
            Some(Event::NewBinaryExited { status }) => {
                if let Some(new) = self.new_binary.take() {
                    new.log_end(&status);
                }
            }
            Some(Event::Message { .. } | Event::Restart) | None => {}
        }
    }
}

/// What came of reading the files; never if they are not being read.
async fn built(flight: &mut Flight) -> <Build as Future>::Output {
    match flight {
        Flight::Building(build) => build.await,
        Flight::None | Flight::Preparing(_) => std::future::pending().await,
    }
}

/// How soon a worker process that died young is started again.
const PAUSE: Duration = Duration::from_millis(300);
/// How long a worker process that was told to end now is waited for.
const LAST_PATIENCE: Duration = Duration::from_secs(1);
const STAYS: &str = "reconfiguring failed, the old configuration stays";
const PANIC: &str = "reading the configuration ended by a panic";
const DIED: &str = "the worker process ended before it could serve";
