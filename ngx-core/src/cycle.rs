//! A configuration that is in use: one immutable generation.

use std::any::Any;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::conf::{ConfigSource, Diagnostics, Problem, Record, Severity, Span};
use crate::error::errno;
use crate::log::{ErrorLog, Level, LogSink};
use crate::main_module::{CoreConf, EventsConf, main_error_log};
use crate::module::{LoadOptions, Registry, SharedParts, Slots, load};
use crate::net::listener::{ListenError, ListenRules};
use crate::net::{ListenOptions, Listeners};
use crate::notice;
use crate::zone::Zones;

/// One generation of the configuration, shared by all threads and by everything that began under
/// it.
///
/// A reload builds the next one beside it and swaps; what is in flight keeps its own until it
/// ends. With its last owner it is freed, and says so in the log.
///
/// ```
/// use std::path::Path;
/// use std::sync::Arc;
/// use ngx_core::conf::MemorySource;
/// use ngx_core::cycle::{BuildOptions, Cycle};
/// use ngx_core::log::LogFiles;
/// use ngx_core::main_module;
/// use ngx_core::module::Registry;
///
/// let registry = Registry::new(main_module::ALL)?.with_extension(Arc::new(LogFiles::default()));
/// let source = MemorySource::new().with_file("/ngx.conf", "worker_processes 3; events { }");
/// let options = BuildOptions::default();
/// let cycle = Cycle::build(&registry, &source, Path::new("/ngx.conf"), &options, None)?;
/// assert_eq!(cycle.core().workers(), 3);
/// assert_eq!(cycle.listeners().iter().count(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Cycle {
    number: u64,
    global: Slots,
    parts: SharedParts,
    zones: Zones,
    record: Record,
    warnings: Diagnostics,
    error_log: Option<Arc<ErrorLog>>,
    /// Emptied when the generation is not the current one any more: a socket that nobody accepts
    /// from must not stay open for as long as the last response takes.
    listeners: Mutex<Arc<Listeners>>,
    pid_file: PathBuf,
    test: bool,
    master: bool,
}

/// How a [`Cycle`] is built, beside what the configuration says.
#[derive(Clone, Default)]
pub struct BuildOptions {
    /// The prefix and the directives of the command line.
    pub load: LoadOptions,
    /// Where lines of `error` and above go when the configuration has no `error_log` outside of
    /// all blocks; standard error if there is nothing here either.
    pub default_log: Option<Arc<dyn LogSink>>,
    /// The file of the process's number when there is no `pid` directive: `logs/nginx.pid` under
    /// the prefix unless set.
    pub default_pid: Option<PathBuf>,
    /// Only find out whether the configuration is good (`-t`): no socket is opened, so that
    /// testing beside a running server neither fails nor disturbs it.
    pub test: bool,
    /// What the process does with the generation.
    pub role: Role,
    /// Listening sockets from the program before this one, which the first generation may have.
    pub inherited: Option<Arc<Listeners>>,
}

/// What a process does with its generations.
#[derive(Debug, Clone, Default)]
pub enum Role {
    /// It does everything.
    #[default]
    Whole,
    /// It is a [`Master`](Self::Master) if `master_process` says so, else it does everything.
    ByConfiguration,
    /// It opens what takes rights, and leaves the serving to a worker process.
    Master,
    /// It serves, with what the master process has opened: the sockets of each listener.
    Worker(Arc<Vec<Vec<OwnedFd>>>),
}

impl BuildOptions {
    /// The file for the number of the process, by `pid` or by default.
    #[must_use]
    pub fn pid_file(&self, core: &CoreConf) -> PathBuf {
        let default = self.default_pid.as_deref();
        let default = default.unwrap_or_else(|| Path::new("logs/nginx.pid"));
        // An absolute path stays what it is.
        self.load.prefix.join(core.pid_file().unwrap_or(default))
    }
}

/// The listening sockets that blocks ask for; a part that `http` and its likes fill.
#[derive(Debug, Clone, Default)]
pub struct WantedListeners(pub Vec<ListenOptions>);

/// Folders for temporary files, which are made with mode 0700 for `user` when they are missing; a
/// part that modules fill. The folder above must exist.
#[derive(Debug, Clone, Default)]
pub struct TempPaths(pub Vec<PathBuf>);

/// What modules do with a generation before it may serve, such as running code of the
/// configuration; a part that modules fill. It may take long, and an error keeps the generation
/// from being used.
#[derive(Clone, Default)]
pub struct Preparations(pub Vec<Preparation>);

/// One of the [`Preparations`]. Its error is the whole message.
pub type Preparation = fn(&Arc<Cycle>) -> Result<(), String>;

/// Why there is no new generation. The old one is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CycleError {
    /// The configuration is wrong; displays all that is.
    #[error("{0}")]
    Config(Box<Diagnostics>),
    /// A folder for temporary files cannot be had.
    #[error("{call} \"{}\" failed {}", path.display(), errno(error))]
    TempPath {
        /// What was tried, `mkdir()` for instance.
        call: &'static str,
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// A module could not prepare the generation.
    #[error("{0}")]
    Prepare(String),
    /// Addresses cannot be listened on. [`Listeners::prepare`] has logged each already.
    #[error("{0}")]
    Listen(#[from] ListenError),
}

impl CycleError {
    /// Logs what is wrong, one line each, in nginx's words.
    pub fn log(&self) {
        match self {
            Self::Config(diagnostics) => log_problems(diagnostics),
            Self::TempPath { .. } => crate::emerg!("{self}"),
            Self::Prepare(message) => crate::error!(multiline = true, "{message}"),
            Self::Listen(_) => {}
        }
    }
}

impl Cycle {
    /// Reads a configuration and prepares everything that it needs, taking over from `old` what
    /// stays.
    ///
    /// Blocks the thread: for files, for names, and for seconds when an address is in use.
    ///
    /// # Errors
    ///
    /// [`CycleError`]; what was opened is closed again.
    pub fn build(
        registry: &Registry,
        source: &dyn ConfigSource,
        file: &Path,
        options: &BuildOptions,
        old: Option<&Self>,
    ) -> Result<Arc<Self>, CycleError> {
        let mut loaded = load(registry, source, file, &options.load)
            .map_err(|diagnostics| CycleError::Config(Box::new(diagnostics)))?;
        let core = CoreConf::of(&loaded.global);
        if !core.has_events() {
            let problem = Problem::new(Span::NOWHERE, "no \"events\" section in configuration")
                .with_help("add \"events { }\"");
            loaded.warnings.report(problem);
            return Err(CycleError::Config(Box::new(loaded.warnings)));
        }
        let error_log = main_error_log(&loaded.global)
            .or_else(|| Some(default_log(options.default_log.as_ref())));
        let workers = core.workers();
        let owner = core.user().map(|user| (user.uid, user.gid));
        let pid_file = options.pid_file(core);
        let zones = loaded.parts.take::<Zones>().unwrap_or_default();
        let zones = zones.open(old.map(Self::zones));
        let parts = loaded.parts.share();
        let role = &options.role;
        let master = matches!(role, Role::Master)
            || (matches!(role, Role::ByConfiguration) && core.master_process());
        if !matches!(role, Role::Worker(_)) {
            for path in &parts.get::<TempPaths>().unwrap_or_default().0 {
                temp_folder(path, owner)?;
            }
        }
        let cycle = Arc::new(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            global: loaded.global,
            parts,
            zones,
            record: loaded.record,
            warnings: loaded.warnings,
            error_log,
            listeners: Mutex::default(),
            pid_file,
            test: options.test,
            master,
        });
        if !master {
            for prepare in cycle.part::<Preparations>().unwrap_or_default().0.iter() {
                prepare(&cycle).map_err(CycleError::Prepare)?;
            }
        }
        if !options.test {
            cycle.listen(options, old, workers)?;
        }
        Ok(cycle)
    }

    fn listen(
        &self,
        options: &BuildOptions,
        old: Option<&Self>,
        workers: usize,
    ) -> Result<(), CycleError> {
        let wanted = self.part::<WantedListeners>().unwrap_or_default();
        let listeners = if let Role::Worker(sockets) = &options.role {
            Listeners::adopt(&wanted.0, sockets)
                .map_err(|error| CycleError::Prepare(error.to_string()))?
        } else {
            let kept = old.map(Self::listeners);
            let kept = kept
                .or_else(|| options.inherited.clone())
                .unwrap_or_default();
            Listeners::prepare(&kept, &wanted.0, ListenRules::new(workers))?
        };
        *self.lock_listeners() = Arc::new(listeners);
        Ok(())
    }

    /// Whether a worker process is to serve it, and not this one.
    #[must_use]
    pub const fn is_master(&self) -> bool {
        self.master
    }

    /// Whether it only answers if the configuration is good (`-t`).
    #[must_use]
    pub const fn is_test(&self) -> bool {
        self.test
    }

    /// Counts the generations of this process, from 1.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The configurations outside of all blocks.
    #[must_use]
    pub const fn global(&self) -> &Slots {
        &self.global
    }

    /// The directives about processes.
    #[must_use]
    pub fn core(&self) -> &CoreConf {
        CoreConf::of(&self.global)
    }

    /// The directives of `events`.
    #[must_use]
    pub fn events(&self) -> &EventsConf {
        EventsConf::of(&self.global)
    }

    /// What a block left behind, by its type: see [`Cx::part`](crate::module::Cx::part).
    #[must_use]
    pub fn part<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.parts.get()
    }

    /// The zones, with what they hold: the generation before shares those that are the same.
    #[must_use]
    pub const fn zones(&self) -> &Zones {
        &self.zones
    }

    /// The listening sockets; none when the generation is not the current one any more.
    #[must_use]
    pub fn listeners(&self) -> Arc<Listeners> {
        Arc::clone(&self.lock_listeners())
    }

    /// Gives up the listening sockets: a later generation has those that stay, the others close
    /// as soon as no thread accepts from them.
    pub fn retire(&self) {
        let sockets = std::mem::take(&mut *self.lock_listeners());
        drop(sockets);
    }

    /// Everything that was read.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// What is worth a warning.
    #[must_use]
    pub const fn warnings(&self) -> &Diagnostics {
        &self.warnings
    }

    /// Logs what is worth a warning, one line each.
    pub fn log_warnings(&self) {
        log_problems(&self.warnings);
    }

    /// The log of everything that has none of its own.
    #[must_use]
    pub fn error_log(&self) -> Option<Arc<ErrorLog>> {
        self.error_log.clone()
    }

    /// The file for the number of the process.
    #[must_use]
    pub fn pid_file(&self) -> &Path {
        &self.pid_file
    }

    fn lock_listeners(&self) -> std::sync::MutexGuard<'_, Arc<Listeners>> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cycle {
    fn drop(&mut self) {
        // Where nginx has a worker process per generation, this is its end, and those who wait
        // for that look for these words.
        if !self.test && !self.master {
            notice!(
                "configuration generation {} exited with code 0",
                self.number
            );
        }
    }
}

static NEXT: AtomicU64 = AtomicU64::new(1);

fn log_problems(diagnostics: &Diagnostics) {
    for problem in diagnostics.problems() {
        let level = match problem.severity {
            Severity::Warn => Level::Warn,
            Severity::Alert => Level::Alert,
            Severity::Emerg => Level::Emerg,
        };
        crate::log::write(level, format_args!("{}", diagnostics.headline(problem)));
    }
}

fn default_log(sink: Option<&Arc<dyn LogSink>>) -> Arc<ErrorLog> {
    let sink = sink.map_or_else(|| Arc::new(crate::log::Stderr) as _, Arc::clone);
    Arc::new(ErrorLog::new([(Level::Error, sink)]))
}

/// Makes the folder unless it is there, and gives it to `owner` (user and group).
fn temp_folder(path: &Path, owner: Option<(u32, u32)>) -> Result<(), CycleError> {
    let failed = |call| {
        move |error| CycleError::TempPath {
            call,
            path: path.to_owned(),
            error,
        }
    };
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed("mkdir()")(error)),
    }
    let Some((uid, gid)) = owner.filter(|_| rustix::process::geteuid().is_root()) else {
        return Ok(());
    };
    let there = fs::metadata(path).map_err(failed("stat()"))?;
    if there.uid() != uid {
        chown(path, Some(uid), Some(gid)).map_err(failed("chown()"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
