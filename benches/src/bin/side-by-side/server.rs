//! A server that is being measured.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cgroup::Quota;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::process::{self, Process};
use crate::programs::Program;

/// How long a server may take to listen; under valgrind that is seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// A started server.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    pub(crate) port: u16,
    wrapped: bool,
}

/// What to start, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start<'a> {
    pub(crate) program: &'a Program,
    /// Where its configuration is.
    pub(crate) folder: &'a Path,
    pub(crate) lua: bool,
    pub(crate) port: u16,
    pub(crate) core: Option<usize>,
    pub(crate) quota: Option<&'a Quota>,
    pub(crate) under: Option<&'a Tool>,
}

/// A program that watches the server.
#[derive(Debug)]
pub(crate) enum Tool {
    /// strace, and where it writes its counts.
    Strace(PathBuf, PathBuf),
    /// valgrind, and where callgrind's files begin with.
    Callgrind(PathBuf, PathBuf),
}

impl Server {
    /// Starts it and waits until it listens.
    pub(crate) fn start(start: Start<'_>) -> Result<Self> {
        let name = start.program.kind.name();
        let log = start.folder.join("output.log");
        let process = Process::start_logged(name, command(start), start.core, &log)?;
        let mut server = Self {
            process,
            port: start.port,
            wrapped: matches!(start.under, Some(Tool::Strace(..))),
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, start.port));
        let ready = interrupt::wait_for(PATIENCE, || {
            if let Some(status) = server.process.ended()? {
                let said = said(start.folder);
                return Error::failed(format!("{name} ended with {status}: {said}"));
            }
            Ok(TcpStream::connect(address).ok())
        })?;
        match ready {
            Some(_) => Ok(server),
            None => Error::failed(format!("{name} does not listen: {}", said(start.folder))),
        }
    }

    pub(crate) fn url(&self, target: &str) -> String {
        format!("http://127.0.0.1:{}{target}", self.port)
    }

    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.process.cpu_seconds()
    }

    pub(crate) fn resident_bytes(&self) -> u64 {
        self.process.resident_bytes()
    }

    /// Has it end, and waits for that.
    pub(crate) fn stop(self) -> Result<()> {
        if self.wrapped {
            self.process.stop_inner()
        } else {
            self.process.stop()
        }
    }
}

fn command(start: Start<'_>) -> Command {
    let program = &start.program.path;
    let mut command = match start.under {
        None => process::command(program, start.quota),
        Some(Tool::Strace(strace, counts)) => {
            let mut command = Command::new(strace);
            command
                .args(["-c", "-f", "-qq", "-o"])
                .arg(counts)
                .arg(program);
            command
        }
        Some(Tool::Callgrind(valgrind, out)) => {
            let mut files = out.as_os_str().to_owned();
            files.push(".%p");
            let mut option = std::ffi::OsString::from("--callgrind-out-file=");
            option.push(files);
            let mut command = Command::new(valgrind);
            command
                .args(["--tool=callgrind", "--trace-children=yes", "-q"])
                .arg(option)
                .arg(program);
            command
        }
    };
    command.args(match start.under {
        Some(Tool::Callgrind(..)) => {
            let program = start.program;
            program.arguments_of_one_process(start.folder, start.lua)
        }
        _ => start.program.arguments(start.folder, start.lua),
    });
    command
}

/// The last line that a server has left in one of its logs.
fn said(folder: &Path) -> String {
    let last = |name: &str| {
        let text = fs::read_to_string(folder.join(name)).ok()?;
        text.lines().next_back().map(str::to_owned)
    };
    last("output.log")
        .or_else(|| last("error.log"))
        .unwrap_or_else(|| "it says nothing".to_owned())
}
