//! Runs of the command that serve.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use ngx_core::conf::DiskSource;
use ngx_core::cycle::{BuildOptions, CycleError, Role};
use ngx_core::log::{self, LogFiles};
use ngx_core::module::{LoadOptions, Registry};
use ngx_core::process::{self, Inherited, Origin, Predecessor, RunError, install_panic_hook};
use ngx_core::{emerg, error};

use crate::cli::Cli;
use crate::demo;
use crate::early::{ERROR_LOG, Early};
use crate::modules::{self, Worker};

/// Where everything is, by the command line or by default.
pub(crate) struct Paths {
    pub(crate) prefix: PathBuf,
    pub(crate) file: PathBuf,
    pub(crate) error_log: PathBuf,
    /// Unless it is under the prefix of the command line.
    default_pid: Option<PathBuf>,
    directives: String,
    /// Nothing of the command line says where, so that the demo may stand in.
    by_default: bool,
}

impl Paths {
    pub(crate) fn of(cli: &Cli) -> Self {
        // Without a working directory a relative prefix stays relative.
        let here = std::env::current_dir().unwrap_or_default();
        let prefix = cli
            .prefix
            .as_ref()
            .map_or_else(|| PathBuf::from(PREFIX), |prefix| here.join(prefix));
        let file = prefix.join(cli.file.as_deref().unwrap_or_else(|| Path::new(FILE)));
        let error_log = match &cli.error_log {
            Some(path) if path.as_os_str() == "stderr" => path.clone(),
            Some(path) => prefix.join(path),
            None if cli.prefix.is_some() => prefix.join("logs/error.log"),
            None => PathBuf::from(ERROR_LOG),
        };
        Self {
            prefix,
            file,
            error_log,
            default_pid: cli.prefix.is_none().then(|| PathBuf::from(PID)),
            directives: cli.directives.clone(),
            by_default: cli.prefix.is_none() && cli.file.is_none(),
        }
    }

    /// Whether there is nothing to serve, and nobody has said what.
    pub(crate) fn is_demo(&self) -> bool {
        self.by_default && !self.file.exists()
    }

    pub(crate) fn options(&self, early: &Early) -> BuildOptions {
        BuildOptions {
            load: LoadOptions {
                prefix: self.prefix.clone(),
                directives: self.directives.clone(),
            },
            default_log: Some(early.sink()),
            default_pid: self.default_pid.clone(),
            ..BuildOptions::default()
        }
    }

    fn server(
        self,
        registry: Registry,
        early: &Early,
        options: BuildOptions,
        predecessor: Option<Predecessor>,
    ) -> Origin {
        let has_log = early.has_file();
        Origin {
            registry: Arc::new(registry),
            source: Arc::new(DiskSource),
            file: self.file,
            options,
            log: has_log.then_some(self.error_log),
            predecessor,
        }
    }
}

/// Serves until a signal ends it.
pub(crate) fn serve(
    cli: &Cli,
    paths: Paths,
    registry: Registry,
    files: &LogFiles,
    inherited: Inherited,
) -> ExitCode {
    let early = Early::open(files, &paths.error_log, cli.quiet);
    let mut options = paths.options(&early);
    options.role = Role::ByConfiguration;
    options.inherited = Some(Arc::new(inherited.listeners));
    let server = paths.server(registry, &early, options, inherited.predecessor);
    match run(server, &early, || {}) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_said) => ExitCode::FAILURE,
    }
}

/// Serves as the worker process of a server.
pub(crate) fn work() -> ExitCode {
    let registry = match modules::registry(Arc::new(LogFiles::default())) {
        Ok(registry) => registry,
        Err(error) => {
            eprintln!("nginx: [emerg] {error}");
            return ExitCode::FAILURE;
        }
    };
    if let Err(error) = log::install() {
        eprintln!("nginx: [alert] {error}");
    }
    install_panic_hook();
    process::serve_as_worker::<Worker>(registry)
}

/// Serves the demo from a folder of its own until a signal ends it.
pub(crate) fn demo(cli: &Cli, registry: Registry, files: &LogFiles) -> ExitCode {
    let early = Early::open(files, Path::new("stderr"), cli.quiet);
    let folder = match DemoFolder::new() {
        Ok(folder) => folder,
        Err(error) => {
            emerg!("the demo cannot be written: {error}");
            return ExitCode::FAILURE;
        }
    };
    let paths = Paths {
        prefix: folder.path.clone(),
        file: folder.file.clone(),
        error_log: PathBuf::from("stderr"),
        default_pid: None,
        directives: cli.directives.clone(),
        by_default: false,
    };
    let ready = || {
        println!("There is no {PREFIX}/{FILE}, so this is the demo.");
        println!("Open {} and stop it with Ctrl-C.", demo::URL);
        println!("Its files are in {}.", folder.path.display());
    };
    let options = paths.options(&early);
    match run(paths.server(registry, &early, options, None), &early, ready) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Listen) => {
            eprintln!(
                "nginx: the demo wants its ports for itself: stop what listens on them, or run \
                 \"ngx -p FOLDER -c FILE\" with a configuration of your own"
            );
            ExitCode::FAILURE
        }
        Err(Failure::Other) => ExitCode::FAILURE,
    }
}

/// What kept the server from running; the log says it all.
enum Failure {
    Listen,
    Other,
}

fn run(origin: Origin, early: &Early, ready: impl FnOnce()) -> Result<(), Failure> {
    let cycle = origin.build(None).map_err(|error| {
        early.refuse(&error);
        match error {
            CycleError::Listen(_) => Failure::Listen,
            CycleError::Config(_) | CycleError::TempPath { .. } | CycleError::Prepare(_) => {
                Failure::Other
            }
        }
    })?;
    early.warnings(&cycle);
    process::run::<Worker>(origin, cycle, ready).map_err(|error| {
        early.to_both();
        match error {
            RunError::Refused(text) => error!(multiline = true, "{text}"),
            RunError::System { .. } | RunError::Pid(_) => emerg!("{error}"),
        }
        Failure::Other
    })
}

/// The folder of the demo; removed when dropped.
struct DemoFolder {
    path: PathBuf,
    file: PathBuf,
}

impl DemoFolder {
    fn new() -> io::Result<Self> {
        let name = format!("ngx-demo-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // It must not exist: somebody else's folder is no place to write to, or to remove.
        DirBuilder::new().mode(0o700).create(&path)?;
        let mut folder = Self {
            path,
            file: PathBuf::new(),
        };
        folder.file = demo::write_to(&folder.path)?;
        Ok(folder)
    }
}

impl Drop for DemoFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!(
                "nginx: [warn] {} cannot be removed: {error}",
                self.path.display()
            );
        }
    }
}

const PID: &str = "/run/ngx.pid";
const PREFIX: &str = "/etc/ngx";
const FILE: &str = "nginx.conf";
