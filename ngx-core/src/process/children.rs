//! All worker processes of a master.

use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::child::{Event, WorkerProcess, log_end};
use super::message::{OpenLogs, ToWorker};
use super::rights::ProcessRights;
use super::{Origin, RunError};
use crate::alert;
use crate::cycle::Cycle;
use crate::error::errno;
use crate::log::LogFiles;

/// The worker process, and those on their way out.
pub(super) struct Children {
    pub(super) origin: Arc<Origin>,
    pub(super) current: Option<WorkerProcess>,
    pub(super) leaving: Vec<WorkerProcess>,
    pub(super) events: UnboundedSender<Event>,
    next_id: u64,
}

impl Children {
    /// None so far; they will report to `events`.
    pub(super) fn new(origin: Origin, events: UnboundedSender<Event>) -> Self {
        Self {
            origin: Arc::new(origin),
            current: None,
            leaving: Vec::new(),
            events,
            next_id: 1,
        }
    }

    /// Starts a process that prepares `cycle`.
    pub(super) fn start(
        &mut self,
        rights: ProcessRights,
        cycle: &Cycle,
    ) -> Result<WorkerProcess, RunError> {
        let system = |call| move |error| RunError::System { call, error };
        let id = self.next_id;
        self.next_id += 1;
        let process =
            WorkerProcess::start(id, rights, self.events.clone()).map_err(system("fork()"))?;
        process
            .prepare(&self.origin, cycle)
            .map_err(system("sendmsg()"))?;
        Ok(process)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &WorkerProcess> {
        self.current.iter().chain(&self.leaving)
    }

    pub(super) fn running(&self) -> usize {
        self.all().count()
    }

    /// Tells the process that serves to end with its connections.
    pub(super) fn dismiss(&mut self) {
        if let Some(process) = self.current.take() {
            process.tell(&ToWorker::Quit, &[]);
            self.leaving.push(process);
        }
    }

    /// Forgets a process that has ended, and logs how. Gives it back if it was the one that
    /// served.
    pub(super) fn ended(
        &mut self,
        id: u64,
        status: &io::Result<ExitStatus>,
    ) -> Option<WorkerProcess> {
        if let Some(process) = self.current.take_if(|process| process.id == id) {
            log_end(process.pid, status);
            return Some(process);
        }
        let place = self.leaving.iter().position(|process| process.id == id)?;
        log_end(self.leaving.remove(place).pid, status);
        None
    }

    /// Opens the log files anew and hands them on.
    pub(super) fn reopen(&self) {
        let Some(files) = self.origin.registry.extension::<Arc<LogFiles>>() else {
            return;
        };
        files.reopen();
        for process in self.all() {
            match OpenLogs::of(Some(files)) {
                Ok(logs) => process.tell(&ToWorker::Reopen(logs.paths), &logs.files),
                Err(error) => alert!("dup() failed {}", errno(&error)),
            }
        }
    }

    /// Starts a process in a while.
    pub(super) fn restart_later(&self, pause: Duration) {
        let events = self.events.clone();
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let _master_is_gone = events.send(Event::Restart);
        });
    }
}
