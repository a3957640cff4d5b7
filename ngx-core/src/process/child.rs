//! A worker process, as the master sees it.

use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc::UnboundedSender;

use super::channel::Channel;
use super::message::{FromWorker, OpenLogs, Plan, ToWorker, descriptors};
use super::rights::ProcessRights;
use super::{Origin, title, worker_process};
use crate::cycle::Cycle;
use crate::error::errno;
use crate::log::LogFiles;
use crate::{alert, notice};

/// What the master hears about its children.
#[derive(Debug)]
pub(super) enum Event {
    /// Worker process `id` says something.
    Message { id: u64, message: FromWorker },
    /// It has ended.
    Exited {
        id: u64,
        status: io::Result<ExitStatus>,
    },
    /// It is time to start one in place of one that died.
    Restart,
    /// The binary that was to take over has ended.
    NewBinaryExited { status: io::Result<ExitStatus> },
}

/// A worker process that was started and not seen to end.
pub(super) struct WorkerProcess {
    pub(super) id: u64,
    pub(super) pid: u32,
    pub(super) rights: ProcessRights,
    channel: Arc<Channel>,
    born: Instant,
}

impl WorkerProcess {
    /// Starts one, which waits for its first generation.
    pub(super) fn start(
        id: u64,
        rights: ProcessRights,
        events: UnboundedSender<Event>,
    ) -> io::Result<Self> {
        let (channel, other) = Channel::new()?;
        let channel = Arc::new(channel);
        // The file itself, even when another one has its name by now.
        let child = Command::new("/proc/self/exe")
            .arg0(title::WORKER)
            .env_clear()
            .envs(
                std::env::vars_os()
                    .filter(|(name, _)| name.to_str().is_some_and(worker_process::is_for_loaders)),
            )
            .envs(
                rights
                    .environment()
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .stdin(Stdio::from(other))
            .spawn()?;
        let pid = child.id();
        let listening = Arc::clone(&channel);
        thread::Builder::new()
            .name(format!("of worker {id}"))
            .spawn(move || listen(id, child, &listening, &events))?;
        notice!("start worker process {pid}");
        Ok(Self {
            id,
            pid,
            rights,
            channel,
            born: Instant::now(),
        })
    }

    /// Hands it a generation to prepare.
    pub(super) fn prepare(&self, origin: &Origin, cycle: &Cycle) -> io::Result<()> {
        let plan = Plan::of(origin, cycle, self.rights.clone());
        let logs = OpenLogs::of(origin.registry.extension::<Arc<LogFiles>>())?;
        let (message, logs) = plan.message(logs);
        let listeners = cycle.listeners();
        self.channel.send(&message, &descriptors(&listeners, &logs))
    }

    /// Sends a message. A process that has died is heard of another way.
    pub(super) fn tell(&self, message: &ToWorker, files: &[File]) {
        let none = crate::net::Listeners::default();
        if let Err(error) = self.channel.send(message, &descriptors(&none, files)) {
            notice!(
                "sendmsg() to worker process {} failed {}",
                self.pid,
                errno(&error)
            );
        }
    }

    /// Ends it, whatever it is at.
    pub(super) fn kill(&self) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _it_may_have_ended = kill_process(pid, Signal::KILL);
        }
    }

    pub(super) fn age(&self) -> Duration {
        self.born.elapsed()
    }
}

/// Passes on what a worker process says until it ends, and then how.
fn listen(id: u64, mut child: Child, channel: &Channel, events: &UnboundedSender<Event>) {
    loop {
        match channel.receive::<FromWorker>() {
            Ok(Some((message, _))) => {
                let _master_is_gone = events.send(Event::Message { id, message });
            }
            Ok(None) => break,
            Err(error) => {
                alert!(
                    "recvmsg() from worker process {} failed {}",
                    child.id(),
                    errno(&error)
                );
                break;
            }
        }
    }
    let status = child.wait();
    let _master_is_gone = events.send(Event::Exited { id, status });
}

/// Logs how a worker process ended, in nginx's words.
pub(super) fn log_end(pid: u32, status: &io::Result<ExitStatus>) {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => notice!("worker process {pid} exited with code {code}"),
            (None, Some(signal)) if status.core_dumped() => {
                alert!("worker process {pid} exited on signal {signal} (core dumped)");
            }
            (None, signal) => {
                let signal = signal.unwrap_or_default();
                alert!("worker process {pid} exited on signal {signal}");
            }
        },
        Err(error) => alert!("waitpid() failed {}", errno(error)),
    }
}
