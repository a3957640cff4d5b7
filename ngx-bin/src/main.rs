//! The `ngx` command: a list of modules and a command line.
//!
//! The standard library has opened `/dev/null` in place of standard descriptors that were closed,
//! and ignores SIGPIPE, before anything here runs.

#![forbid(unsafe_code)]

mod cli;
mod control;
mod demo;
mod early;
mod lua;
mod modules;
mod start;
mod version;

use std::process::ExitCode;
use std::sync::Arc;

use ngx_core::http::reference_of_variables;
use ngx_core::log::{self, LogFiles};
use ngx_core::process::{self, Inherited, install_panic_hook};

use crate::cli::{Action, Cli};
use crate::start::Paths;

fn main() -> ExitCode {
    if process::is_worker() {
        return start::work();
    }
    let mut args = std::env::args_os();
    if args.nth(1).is_some_and(|first| first == "lua") {
        return lua::run(args);
    }
    match cli::parse(std::env::args_os()) {
        Ok(cli) => run(&cli),
        Err(complaint) => {
            eprintln!("nginx: {complaint}\nngx -h lists the options");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> ExitCode {
    let log_files = Arc::new(LogFiles::default());
    let registry = match modules::registry(Arc::clone(&log_files)) {
        Ok(registry) => registry,
        Err(error) => {
            eprintln!("nginx: [emerg] {error}");
            return ExitCode::FAILURE;
        }
    };
    match &cli.action {
        Action::Help => eprintln!("{}\n{}", version::version(), cli::help()),
        Action::Version => eprintln!("{}", version::version()),
        Action::BuiltWith => eprintln!(
            "{}\n{}",
            version::version(),
            version::configure_arguments(&registry)
        ),
        Action::Directives => return control::page(&registry.reference()),
        Action::Variables => return control::page(&reference_of_variables(&registry)),
        Action::Run | Action::Test | Action::Dump | Action::Send(_) | Action::Explain(_) => {
            if let Err(error) = log::install() {
                eprintln!("nginx: [alert] {error}");
            }
            install_panic_hook();
            // Before anything is opened.
            let inherited = match cli.action {
                Action::Run => process::inherited(),
                _ => Inherited::default(),
            };
            let paths = Paths::of(cli);
            return match &cli.action {
                Action::Run if paths.is_demo() => start::demo(cli, registry, &log_files),
                Action::Run => start::serve(cli, paths, registry, &log_files, inherited),
                Action::Send(signal) => control::send(cli, paths, &registry, &log_files, *signal),
                Action::Explain(url) => control::explain(cli, paths, &registry, &log_files, url),
                _ => control::test(cli, paths, &registry, &log_files),
            };
        }
    }
    ExitCode::SUCCESS
}
