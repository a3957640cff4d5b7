//! Listening sockets from one program to the next: the upgrade of the running binary (SIGUSR2),
//! and socket activation.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::process::{Child, Command, ExitStatus};
use std::thread;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, getppid};
use tokio::sync::mpsc::UnboundedSender;

use super::child::Event;
use super::sys;
use crate::error::errno;
use crate::net::Listeners;
use crate::{emerg, notice};

/// The variable with the descriptors of listening sockets, each followed by a semicolon.
const NGINX: &str = "NGINX";
/// Those of socket activation: who is meant, how many descriptors, from 3 on, and their names.
const ACTIVATION: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// The binary before this one, which has started it to take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Predecessor(Option<Pid>);

impl Predecessor {
    /// Whether it has not ended yet.
    pub(super) fn is_here(self) -> bool {
        getppid() == self.0
    }
}

/// What a program finds open when it starts.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Sockets that listen already.
    pub listeners: Listeners,
    /// Set when they are those of the binary before this one.
    pub predecessor: Option<Predecessor>,
}

/// Takes over the listening sockets that the environment names: those of the binary that this one
/// is to replace (`NGINX`), or of a service manager (`LISTEN_FDS`).
///
/// To be called once, before anything else is opened.
#[must_use]
pub fn inherited() -> Inherited {
    if let Some(list) = env::var_os(NGINX) {
        let list = list.to_string_lossy();
        notice!("using inherited sockets from \"{list}\"");
        let numbers = list.split([';', ':']).filter(|number| !number.is_empty());
        let sockets = take(numbers.map(|number| number.parse().map_err(|_| number.to_owned())));
        return Inherited {
            listeners: Listeners::inherit(sockets, true),
            predecessor: Some(Predecessor(getppid())),
        };
    }
    let number = |name| env::var(name).ok()?.parse::<i32>().ok();
    let [pid, count, _names] = ACTIVATION;
    let mine = number(pid).is_some_and(|pid| u32::try_from(pid) == Ok(std::process::id()));
    let count = number(count).filter(|_| mine).unwrap_or(0).max(0);
    let sockets = take((FIRST..FIRST.saturating_add(count)).map(Ok));
    Inherited {
        listeners: Listeners::inherit(sockets, false),
        predecessor: None,
    }
}

fn take(numbers: impl Iterator<Item = Result<RawFd, String>>) -> Vec<OwnedFd> {
    let mut taken = Vec::new();
    for number in numbers {
        let fd = match number {
            Ok(fd) => fd,
            Err(text) => {
                emerg!("invalid socket number \"{text}\" in {NGINX} environment variable, ignored");
                continue;
            }
        };
        match sys::inherited(fd) {
            Ok(fd) => taken.push(fd),
            Err(error) => emerg!("inherited socket {fd} failed {}", errno(&error)),
        }
    }
    taken
}

/// The binary that is to take over.
#[derive(Debug)]
pub(super) struct NewBinary {
    pid: u32,
}

impl NewBinary {
    /// Starts it as this one was started, with the listening sockets.
    pub(super) fn start(
        listeners: &Listeners,
        events: &UnboundedSender<Event>,
    ) -> io::Result<Self> {
        let mut open = Vec::new();
        let mut list = String::new();
        for fd in listeners.iter().flat_map(|listener| listener.descriptors()) {
            let fd = fd.try_clone_to_owned()?;
            list.push_str(&format!("{};", fd.as_raw_fd()));
            open.push(fd);
        }
        let child = spawn(&open, &list)?;
        let pid = child.id();
        notice!("start new binary process {pid}");
        let events = events.clone();
        thread::Builder::new()
            .name("of new binary".to_owned())
            .spawn(move || wait(child, &events))?;
        Ok(Self { pid })
    }

    pub(super) fn log_end(&self, status: &io::Result<ExitStatus>) {
        let pid = self.pid;
        match status {
            Ok(status) => notice!("new binary process {pid} ended: {status}"),
            Err(error) => notice!("waitpid() for {pid} failed {}", errno(error)),
        }
    }
}

/// The program gets these descriptors, since they stay open until it runs.
fn spawn(open: &[OwnedFd], list: &str) -> io::Result<Child> {
    let mut args = env::args_os();
    let program = args.next().unwrap_or_else(|| OsString::from("ngx"));
    for fd in open {
        fcntl_setfd(fd, FdFlags::empty())?;
    }
    let mut command = Command::new(program);
    command.args(args).env(NGINX, list);
    for name in ACTIVATION {
        command.env_remove(name);
    }
    command.spawn()
}

fn wait(mut child: Child, events: &UnboundedSender<Event>) {
    let status = child.wait();
    let _master_is_gone = events.send(Event::NewBinaryExited { status });
}

/// The first descriptor of socket activation.
const FIRST: RawFd = 3;
