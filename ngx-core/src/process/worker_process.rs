//! The worker process: serves what its master hands it, with the rights of `user`.

use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, timeout_at};

use super::channel::{self, Channel, Inbox};
use super::message::{FromWorker, Plan, ToWorker};
use super::signals::{Ask, Signals};
use super::{Origin, RunError, Service, Workers, last_words, runtime, title};
use crate::cycle::{Cycle, CycleError};
use crate::error::errno;
use crate::log::{ErrorLog, Level, LogFiles, Stderr, set_default};
use crate::module::Registry;
use crate::{alert, emerg, notice};

/// Whether the program was started by a master process to be its worker.
#[must_use]
pub fn is_worker() -> bool {
    let mut args = std::env::args_os();
    args.next().is_some_and(|name| name == title::WORKER)
        && args.next().is_none()
        && channel::is_on_stdin()
}

/// Whether a variable of the environment is for those who load programs and their parts, before
/// the configuration has a say.
pub(super) fn is_for_loaders(name: &str) -> bool {
    [
        "LD_",
        "MALLOC_",
        "GLIBC_",
        "LUA_PATH",
        "LUA_CPATH",
        "LLVM_PROFILE_",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
}

/// Serves as a worker process until the master or a signal ends it.
///
/// The log must be [installed](crate::log::install) by then.
#[must_use]
pub fn serve_as_worker<S: Service>(registry: Registry) -> ExitCode {
    // The name of the file that was executed is that of a link.
    let _only_for_ps = rustix::thread::set_name(c"ngx");
    title::show(title::WORKER);
    match attend::<S>(&Arc::new(registry)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            emerg!("the worker process cannot run: {error}");
            ExitCode::from(FATAL)
        }
    }
}

fn attend<S: Service>(registry: &Arc<Registry>) -> Result<(), RunError> {
    let system = |call| move |error| RunError::System { call, error };
    let channel = Arc::new(Channel::of_stdin().map_err(system("dup()"))?);
    let Some((first, descriptors)) = channel.receive().map_err(system("recvmsg()"))? else {
        return Ok(());
    };
    let ToWorker::Prepare(plan) = first else {
        return Ok(());
    };
    if let Err(error) = plan.rights.apply() {
        let refused = FromWorker::refused(error.to_string());
        channel.send(&refused, &[]).map_err(system("sendmsg()"))?;
        return Ok(());
    }
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let signals = Signals::new().map_err(system("sigaction()"))?;
        let inbox = Inbox::new(Arc::clone(&channel)).map_err(system("epoll_ctl()"))?;
        let mut post = Post::<S> {
            registry: Arc::clone(registry),
            channel,
            workers: None,
            build: None,
            prepared: None,
            announced: true,
        };
        post.prepare(*plan, descriptors);
        Ok::<_, RunError>(post.serve(signals, inbox).await)
    });
    // What a worker on this thread has left ends with it, and may have something to log.
    runtime.shutdown_background();
    if outcome? {
        last_words(registry);
    }
    Ok(())
}

/// What the master says; nothing more when it has ended.
///
/// # Cancel safety
///
/// Nothing is lost when the future is dropped.
async fn heard(inbox: &mut Inbox) -> Option<(ToWorker, Vec<OwnedFd>)> {
    inbox.next().await.unwrap_or_else(|error| {
        alert!("recvmsg() from the master process failed {}", errno(&error));
        None
    })
}

type Build = JoinHandle<Result<Arc<Cycle>, CycleError>>;

struct Post<S> {
    registry: Arc<Registry>,
    channel: Arc<Channel>,
    /// The threads, from the first commit on.
    workers: Option<Workers<S>>,
    build: Option<Build>,
    /// The generation that was acknowledged.
    prepared: Option<Arc<Cycle>>,
    /// The master knows whether all threads serve it.
    announced: bool,
}

impl<S: Service> Post<S> {
    /// Whether it came to serving.
    async fn serve(&mut self, mut signals: Signals, mut inbox: Inbox) -> bool {
        loop {
            let message = tokio::select! {
                biased;
                ask = signals.next_of_worker() => match ask {
                    Ask::Terminate => ToWorker::Terminate,
                    _ => ToWorker::Quit,
                },
                built = finished(&mut self.build) => {
                    self.build = None;
                    if !self.answer(built) {
                        return false;
                    }
                    continue;
                }
                message = heard(&mut inbox) => match message {
                    Some((ToWorker::Prepare(plan), descriptors)) => {
                        self.prepare(*plan, descriptors);
                        continue;
                    }
                    Some((ToWorker::Reopen(paths), descriptors)) => {
                        self.reopen(paths, descriptors);
                        continue;
                    }
                    Some((message, _)) => message,
                    None => {
                        notice!("the master process is gone");
                        ToWorker::Quit
                    }
                },
                () = watch(&mut self.workers) => {
                    self.announce();
                    continue;
                }
            };
            match message {
                ToWorker::Commit => {
                    if let Err(error) = self.commit() {
                        alert!("clone() failed {}", errno(&error));
                        return false;
                    }
                }
                ToWorker::Abort => self.prepared = None,
                ToWorker::Quit => {
                    title::show(title::LEAVING_WORKER);
                    break self.quit(&mut signals, &mut inbox).await;
                }
                ToWorker::Terminate => break self.terminate().await,
                ToWorker::Prepare(_) | ToWorker::Reopen(_) => {}
            }
        }
        true
    }

    fn files(&self) -> Option<&Arc<LogFiles>> {
        self.registry.extension::<Arc<LogFiles>>()
    }

    fn prepare(&mut self, plan: Plan, descriptors: Vec<OwnedFd>) {
        let origin = match plan.open(&self.registry, descriptors) {
            Ok(origin) => origin,
            Err(error) => return self.say(&FromWorker::refused(error)),
        };
        if self.workers.is_none() {
            set_default(first_log(&origin));
        }
        let old = self
            .workers
            .as_ref()
            .map(|workers| Arc::clone(workers.cycle()));
        let build = move || origin.build(old.as_deref());
        self.build = Some(tokio::task::spawn_blocking(build));
    }

    /// Tells the master how preparing went; and whether there is anything to stay for.
    fn answer(&mut self, built: <Build as Future>::Output) -> bool {
        if let Some(files) = self.files() {
            files.give([]);
        }
        let refusal = match built {
            Ok(Ok(cycle)) => {
                self.prepared = Some(cycle);
                self.say(&FromWorker::Ready);
                return true;
            }
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panicked(panic),
        };
        self.say(&FromWorker::refused(refusal));
        self.workers.is_some()
    }

    fn commit(&mut self) -> std::io::Result<()> {
        let Some(cycle) = self.prepared.take() else {
            return Ok(());
        };
        if let Some(log) = cycle.error_log() {
            set_default(log);
        }
        match &mut self.workers {
            Some(workers) => workers.swap(cycle),
            None => self.workers = Some(Workers::start_here(cycle)?),
        }
        self.announced = false;
        Ok(())
    }

    /// Tells the master once that all threads serve what it has committed.
    fn announce(&mut self) {
        let settled = self.workers.as_ref().is_some_and(Workers::is_settled);
        if settled && !self.announced {
            self.announced = true;
            self.say(&FromWorker::Serves);
        }
    }

    fn reopen(&self, paths: Vec<std::path::PathBuf>, descriptors: Vec<OwnedFd>) {
        if let Some(files) = self.files() {
            let opened = descriptors.into_iter().map(std::fs::File::from);
            files.replace(paths.into_iter().zip(opened));
        }
    }

    fn say(&self, message: &FromWorker) {
        if let Err(error) = self.channel.send(message, &[]) {
            notice!("sendmsg() to the master process failed {}", errno(&error));
        }
    }

    /// Waits for connections to end; TERM and the master cut that short.
    async fn quit(&mut self, signals: &mut Signals, inbox: &mut Inbox) {
        let mut orphan = false;
        let Some(workers) = &mut self.workers else {
            return;
        };
        workers.quit();
        workers.cycle().retire();
        while self
            .workers
            .as_ref()
            .is_some_and(|workers| workers.running() > 0)
        {
            let message = tokio::select! {
                ask = signals.next_of_worker() => (ask == Ask::Terminate).then_some(ToWorker::Terminate),
                message = heard(inbox), if !orphan => match message {
                    Some((ToWorker::Reopen(paths), descriptors)) => {
                        self.reopen(paths, descriptors);
                        None
                    }
                    Some((message, _)) => Some(message),
                    None => {
                        orphan = true;
                        None
                    }
                },
                () = watch(&mut self.workers) => None,
            };
            if matches!(message, Some(ToWorker::Terminate)) {
                return self.terminate().await;
            }
        }
    }

    async fn terminate(&mut self) {
        let Some(workers) = &mut self.workers else {
            return;
        };
        workers.terminate();
        let deadline = Instant::now() + LAST_PATIENCE;
        while workers.running() > 0 {
            if timeout_at(deadline, workers.watch()).await.is_err() {
                return alert!("{} worker threads do not end", workers.running());
            }
        }
    }
}

/// The log until the first generation is in use.
fn first_log(origin: &Origin) -> Arc<ErrorLog> {
    let sink = origin.options.default_log.as_ref();
    let sink = sink.map_or_else(|| Arc::new(Stderr) as _, Arc::clone);
    Arc::new(ErrorLog::new([(Level::Notice, sink)]))
}

fn panicked(panic: JoinError) -> String {
    format!("preparing the configuration ended by a panic: {panic}")
}

/// The outcome of building a generation; never if none is being built.
async fn finished(build: &mut Option<Build>) -> <Build as Future>::Output {
    match build {
        Some(build) => build.await,
        None => std::future::pending().await,
    }
}

/// Looks after the threads, once there are any.
async fn watch<S: Service>(workers: &mut Option<Workers<S>>) {
    match workers {
        Some(workers) => workers.watch().await,
        None => std::future::pending().await,
    }
}

/// How long threads that were told to end now are waited for.
const LAST_PATIENCE: Duration = Duration::from_millis(900);
/// The code of a worker process that cannot run.
const FATAL: u8 = 2;
