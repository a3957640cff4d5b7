//! The life of the server: signals, generations, and the threads that serve.
//!
//! ```text
//! main thread                      worker threads, `worker_processes` of them
//!   signals                          one runtime each, nothing shared on the way of a request
//!   HUP: build a Cycle aside ──swap──▶ accept loops that outlive the swap
//!   QUIT: stop accepting     ──quit──▶ a Service that ends what it has begun
//!   a thread that dies       ──start again
//! ```
//!
//! Everything lives in one process. The main thread keeps the rights that the server was started
//! with, so that a reload can open ports and logs, and the worker threads give theirs up one by
//! one, which Linux allows. A thread that is taken over could get at the memory of the main one,
//! so this keeps out mistakes rather than attackers. The next step is a master process that does
//! what the main thread does, and one worker process, a re-execution of the binary, that gets
//! the record of the configuration and the open descriptors over a socket. Nothing here hands
//! more to a worker than could be handed over that way: [`Cycle`]s and [`Command`]s.
//!
//! The handler of a signal may run in any thread, and reading it is the main thread's; a
//! reload never runs there, so signals are seen while one is under way.

mod accepting;
mod master;
mod panics;
mod pid;
mod rights;
mod worker;
mod workers;

use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use crate::conf::ConfigSource;
use crate::cycle::{BuildOptions, Cycle, CycleError};
use crate::error::errno;
use crate::module::Registry;
use crate::net::{Addr, Transport};

pub use self::master::run;
pub use self::panics::install_panic_hook;
pub use self::pid::{PidError, read_pid_file};
pub use self::worker::worker_index;
pub use self::workers::Workers;

/// What a worker thread does with connections. It lives on its thread and within a
/// [`LocalSet`](tokio::task::LocalSet), so that it may start tasks that are not [`Send`].
pub trait Service: 'static {
    /// The service of one thread under its first generation, with room for so many
    /// `connections`.
    fn new(cycle: Arc<Cycle>, connections: usize) -> Rc<Self>;

    /// Takes the next generation: what begins from now on sees it.
    fn swap(&self, cycle: Arc<Cycle>, connections: usize);

    /// Serves a connection that the listener of this address, as it was configured, has accepted;
    /// in a task of its own.
    fn serve(self: &Rc<Self>, transport: Transport, peer: Addr, listener: &Addr);

    /// Ends idle connections now, and the others with what they are at.
    fn close_gracefully(&self);

    /// Ends now what began under the generation of this number, or everything:
    /// `worker_shutdown_timeout` is over.
    fn cut_off(&self, generation: Option<u64>);

    /// How many connections there are.
    fn connections(&self) -> usize;
}

/// What the main thread tells a worker thread.
#[derive(Debug)]
pub enum Command {
    /// Take this generation.
    Swap(Arc<Cycle>),
    /// Accept nothing any more, and end when the last connection does.
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
}
