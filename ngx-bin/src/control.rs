//! Runs of the command that serve nothing.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use ngx_core::conf::DiskSource;
use ngx_core::cycle::Cycle;
use ngx_core::error::errno;
use ngx_core::http;
use ngx_core::log::LogFiles;
use ngx_core::main_module::CoreConf;
use ngx_core::module::{Registry, load};
use ngx_core::process::{ReloadOutcome, read_pid_file};
use ngx_core::{alert, error, warn};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::cli::{Action, Cli};
use crate::early::Early;
use crate::start::Paths;

/// `-t` and `-T`: is the configuration good?
pub(crate) fn test(cli: &Cli, paths: Paths, registry: &Registry, files: &LogFiles) -> ExitCode {
    let early = Early::open(files, &paths.error_log, cli.quiet);
    let mut options = paths.options(&early);
    options.test = true;
    let file = paths.file.display();
    let cycle = match Cycle::build(registry, &DiskSource, &paths.file, &options, None) {
        Ok(cycle) => cycle,
        Err(error) => {
            early.refuse(&error);
            eprintln!("nginx: configuration file {file} test failed");
            return ExitCode::FAILURE;
        }
    };
    early.warnings(&cycle);
    if !cli.quiet {
        eprintln!("nginx: the configuration file {file} syntax is ok");
        eprintln!("nginx: configuration file {file} test is successful");
    }
    if cli.action == Action::Dump
        && let Err(error) = std::io::stdout().lock().write_all(&cycle.record().dump())
    {
        alert!("write() to standard output failed {}", errno(&error));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// `--explain`: how would this URL be served?
pub(crate) fn explain(
    cli: &Cli,
    paths: Paths,
    registry: &Registry,
    files: &LogFiles,
    url: &str,
) -> ExitCode {
    let early = Early::open(files, &paths.error_log, cli.quiet);
    let mut options = paths.options(&early);
    options.test = true;
    let cycle = match Cycle::build(registry, &DiskSource, &paths.file, &options, None) {
        Ok(cycle) => cycle,
        Err(error) => {
            early.refuse(&error);
            return ExitCode::FAILURE;
        }
    };
    match http::explain(registry, &cycle, url) {
        Ok(text) => page(&text),
        Err(error) => {
            eprintln!("nginx: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a page of the reference.
pub(crate) fn page(text: &str) -> ExitCode {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "nginx: [alert] write() to standard output failed {}",
                errno(&error)
            );
            ExitCode::FAILURE
        }
    }
}

/// `-s`: sends a signal to the server that runs this configuration.
pub(crate) fn send(
    cli: &Cli,
    paths: Paths,
    registry: &Registry,
    files: &LogFiles,
    signal: Signal,
) -> ExitCode {
    let early = Early::open(files, &paths.error_log, cli.quiet);
    let options = paths.options(&early);
    let loaded = match load(registry, &DiskSource, &paths.file, &options.load) {
        Ok(loaded) => loaded,
        Err(problems) => {
            early.problems(&problems);
            return ExitCode::FAILURE;
        }
    };
    let pid_file = options.pid_file(CoreConf::of(&loaded.global));
    let pid = match read_pid_file(&pid_file) {
        Ok(pid) => pid,
        Err(error) => {
            error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    // Where that cannot be had, the log must do.
    let outcome = (signal == Signal::HUP).then(|| ReloadOutcome::of(&pid_file));
    if let Err(error) = kill_process(pid, signal) {
        let number = pid.as_raw_nonzero();
        let signal = signal.as_raw();
        alert!("kill({number}, {signal}) failed {}", errno(&error.into()));
        return ExitCode::FAILURE;
    }
    match outcome {
        Some(Ok(outcome)) => hear(&outcome, pid),
        Some(Err(_)) | None => ExitCode::SUCCESS,
    }
}

/// Says how the reload went.
fn hear(outcome: &ReloadOutcome, server: Pid) -> ExitCode {
    for _ in 0..PATIENCE {
        match outcome.wait(Duration::from_secs(1)) {
            Ok(Some(Ok(()))) => return ExitCode::SUCCESS,
            Ok(Some(Err(why))) => {
                error!(multiline = true, "{why}");
                error!("reconfiguring failed, the old configuration stays");
                return ExitCode::FAILURE;
            }
            Ok(None) => {}
            Err(error) => {
                alert!("recv() failed {}", errno(&error));
                return ExitCode::FAILURE;
            }
        }
        if test_kill_process(server).is_err() {
            error!("the server has ended");
            return ExitCode::FAILURE;
        }
    }
    warn!("the reload takes long, its outcome will be in the log");
    ExitCode::SUCCESS
}

/// For how many seconds the outcome of a reload is waited for.
const PATIENCE: u32 = 60;
