//! The life of the server: processes, signals, generations, and the workers that serve.
//!
//! ```text
//! master process                worker process                  worker threads, or the main one
//!   signals                       runs as `user`                  one runtime each, nothing
//!   HUP: read the files,                                          shared on the way of a
//!   open sockets and logs ─Prepare▶ builds the Cycle aside        request
//!                         ◀Ready──  or says why not
//!                         ─Commit─▶ swaps generations ───swap──▶ accept loops that outlive it
//!   QUIT                  ──Quit──▶ stops accepting ─────quit──▶ a Service that ends what it
//!   a worker that dies: start another                            has begun
//! ```
//!
//! The master keeps the rights that the server was started with, and serves nobody. The worker
//! process is a re-execution of the binary. It has nothing of the master's memory: it gets the
//! [record](crate::conf::Record) of the configuration, the listening sockets and the open log
//! files over a socket, gives up its rights, and makes of the record what the master made of the
//! files. A reload is prepared, acknowledged and committed, so that whatever goes wrong leaves
//! the old generation as it was. Only when `user`, `env` or limits change, which a process cannot
//! do to itself, there is a second worker process, and the first one ends with its connections.
//!
//! With `master_process off` one process does it all: its main thread does what the master does,
//! and the worker threads give up their rights one by one, which Linux allows.
//!
//! A lone worker is no thread of its own. With more than one thread in a process the kernel counts
//! references to open files on every system call, so where one worker is wanted, and nothing that
//! only a thread can set for itself, the main thread does the work beside what else it has to do
//! ([`Workers::start_here`]), and the process has no other thread. That is for the first worker:
//! those that come with a later generation, or in place of one that died, are threads.
//!
//! The handler of a signal may run in any thread, and reading it is the main thread's; a
//! reload never runs there, so signals are seen while one is under way, and connections served.
//! Lua that never ends is another matter. As in nginx, a lone worker that is kept busy hears
//! neither signals nor its master: the master ends it a second after TERM, and without one only
//! KILL does.

mod accepting;
mod channel;
mod child;
mod children;
mod daemon;
mod master;
mod message;
mod notify;
mod outcome;
mod panics;
mod pid;
mod rights;
mod signals;
mod single;
#[expect(
    unsafe_code,
    reason = "fork and inherited descriptors; no other room needs it"
)]
mod sys;
mod title;
mod upgrade;
mod worker;
mod worker_process;
mod workers;

use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

use self::daemon::Daemon;
use crate::conf::ConfigSource;
use crate::cycle::{BuildOptions, Cycle, CycleError, Role};
use crate::error::errno;
use crate::log::{LogFiles, set_default};
use crate::module::Registry;
use crate::net::{Addr, Transport};
use crate::notice;

pub use self::outcome::ReloadOutcome;
pub use self::panics::install_panic_hook;
pub use self::pid::{PidError, read_pid_file};
pub use self::upgrade::{Inherited, Predecessor, inherited};
pub use self::worker::worker_index;
pub use self::worker_process::{is_worker, serve_as_worker};
pub use self::workers::Workers;

/// What a worker does with connections. It lives on its thread and within a
/// [`LocalRuntime`], so that it may start tasks that are not [`Send`].
pub trait Service: 'static {
    /// The service of one worker under its first generation, with room for so many
    /// `connections`.
    fn new(cycle: Arc<Cycle>, connections: usize) -> Rc<Self>;

    /// Takes the next generation: what begins from now on sees it.
    fn swap(&self, cycle: Arc<Cycle>, connections: usize);

    /// Serves a connection that the listener of this address, as it was configured, has accepted;
    /// in a task of its own.
    fn serve(self: &Rc<Self>, transport: Transport, peer: Addr, listener: &Addr);

    /// Ends idle connections now, and the others with what they are at.
    fn close_gracefully(&self);

    /// Ends connections with the next response, and idle ones when their time is over: the worker
    /// goes, the server stays, and nobody is to see a connection end that could have been used.
    fn leave(&self) {
        self.close_gracefully();
    }

    /// Ends now what began under the generation of this number, or everything:
    /// `worker_shutdown_timeout` is over.
    fn cut_off(&self, generation: Option<u64>);

    /// How many connections there are.
    fn connections(&self) -> usize;
}

/// What the main thread tells a worker.
#[derive(Debug)]
pub enum Command {
    /// Take this generation.
    Swap(Arc<Cycle>),
    /// Accept nothing any more, and end when the last connection does, which need not hurry: the
    /// others serve on.
    Leave,
    /// Accept nothing any more, and end when the last connection does; idle ones end in a moment.
    Quit,
    /// End now.
    Terminate,
}

/// Where generations come from.
pub struct Origin {
    /// The modules.
    pub registry: Arc<Registry>,
    /// The machine.
    pub source: Arc<dyn ConfigSource>,
    /// The main configuration file.
    pub file: PathBuf,
    /// What the command line says.
    pub options: BuildOptions,
    /// The file behind [`BuildOptions::default_log`], if it is one.
    pub log: Option<PathBuf>,
    /// The binary that this one takes over from; see [`inherited`].
    pub predecessor: Option<Predecessor>,
}

impl Origin {
    /// Builds the next generation, or the first; see [`Cycle::build`].
    ///
    /// # Errors
    ///
    /// [`CycleError`]; `old` is as it was.
    pub fn build(&self, old: Option<&Cycle>) -> Result<Arc<Cycle>, CycleError> {
        Cycle::build(
            &self.registry,
            &*self.source,
            &self.file,
            &self.options,
            old,
        )
    }
}

/// Runs the server under its first generation until a signal ends it; the calling thread becomes
/// the main thread, and must be the only one of the process, because a daemon is a fork.
///
/// If `cycle` [is a master's](Cycle::is_master), a worker process serves it: the program itself,
/// which must begin with [`is_worker`] and [`serve_as_worker`].
///
/// `ready` is called when the listening sockets are open and the file of the process's number is
/// written.
///
/// # Errors
///
/// [`RunError`] when it cannot even begin.
pub fn run<S: Service>(
    mut origin: Origin,
    cycle: Arc<Cycle>,
    ready: impl FnOnce(),
) -> Result<(), RunError> {
    if let Some(log) = cycle.error_log() {
        set_default(log);
    }
    // What the first generation did not want of it is closed.
    origin.options.inherited = None;
    let daemon = cycle.core().daemon() && origin.predecessor.is_none();
    let daemon = daemon.then(Daemon::new).transpose()?;
    let runtime = runtime()?;
    if cycle.is_master() {
        origin.options.role = Role::Master;
        title::show_master();
        let outcome = runtime.block_on(master::run(origin, cycle, daemon, ready));
        // A configuration that is being built now is nobody's any more.
        runtime.shutdown_background();
        return outcome;
    }
    origin.options.role = Role::Whole;
    let registry = Arc::clone(&origin.registry);
    let outcome = runtime.block_on(single::run::<S>(origin, cycle, daemon, ready));
    // Neither is what a worker on this thread has left, which may have something to log.
    runtime.shutdown_background();
    let _removed_at_last = outcome?;
    last_words(&registry);
    Ok(())
}

/// The runtime of a main thread. Threads that only build a configuration do not stay for the next.
fn runtime() -> Result<LocalRuntime, RunError> {
    Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(Duration::from_secs(1))
        .build_local(LocalOptions::default())
        .map_err(|error| RunError::System {
            call: "epoll_create()",
            error,
        })
}

/// What a process that has served does when nothing is left in it that could log.
fn last_words(registry: &Registry) {
    if let Some(files) = registry.extension::<Arc<LogFiles>>() {
        files.flush();
    }
    notice!("exit");
}

/// Why the server cannot run, though its configuration is good.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The system refuses something.
    #[error("{call} failed {}", errno(error))]
    System {
        /// What was tried.
        call: &'static str,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// The file of the process's number cannot be written.
    #[error(transparent)]
    Pid(#[from] PidError),
    /// The worker process could not prepare the first generation, and says why.
    #[error("{0}")]
    Refused(String),
}
