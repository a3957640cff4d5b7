//! ngx side by side with other servers, on the same configuration and the same machine.
//!
//! Each row of the table is measured in rounds in which every server has its turn: it is started on a
//! core of its own with a CPU quota, loaded by wrk from another core, and stopped. So the server is
//! what saturates, and whatever disturbs the machine disturbs all of them. See docs/performance.md.

#![forbid(unsafe_code)]

mod backends;
mod cgroup;
mod chart;
mod cli;
mod client;
mod criterion;
mod docs;
mod error;
mod interrupt;
mod machine;
mod measure;
mod proc;
mod process;
mod profile;
mod programs;
mod results;
mod rows;
mod run;
mod server;
mod site;
mod stats;
mod table;
mod wrk;

use std::process::ExitCode;

use crate::error::Error;

fn main() -> ExitCode {
    let options = match cli::parse(std::env::args_os()) {
        Ok(options) => options,
        Err(error) => error.exit(),
    };
    match interrupt::install().and_then(|()| run::run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Interrupted) => {
            eprintln!("\nside-by-side: interrupted, everything is stopped");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("side-by-side: {error}");
            ExitCode::FAILURE
        }
    }
}
