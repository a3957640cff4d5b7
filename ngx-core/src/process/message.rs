//! What the master and a worker process tell each other.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Origin;
use super::channel::MOST_OF_WORKER;
use super::rights::ProcessRights;
use crate::conf::{Record, RecordedSource};
use crate::cycle::{BuildOptions, Cycle, Role};
use crate::error::errno;
use crate::log::LogFiles;
use crate::module::{LoadOptions, Registry};

/// From the master.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToWorker {
    /// Build this generation beside the one that serves, and answer. With the sockets of its
    /// listeners, then its log files.
    Prepare(Box<Plan>),
    /// Serve the generation that was prepared.
    Commit,
    /// Forget the generation that was prepared.
    Abort,
    /// Go on with these log files, which come with it.
    Reopen(Vec<PathBuf>),
    /// Accept nothing any more, and end when the last connection does.
    Quit,
    /// End now.
    Terminate,
}

/// From a worker process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromWorker {
    /// The generation is prepared.
    Ready,
    /// It cannot be, for this reason.
    Refused(String),
    /// All threads serve the generation that was committed.
    Serves,
}

impl FromWorker {
    /// A refusal that is short enough to be sent.
    pub(super) fn refused(why: impl Into<String>) -> Self {
        let mut why = why.into();
        why.truncate(why.floor_char_boundary(MOST_OF_WORKER / 2));
        Self::Refused(why)
    }
}

/// A generation, as far as bytes can tell it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) rights: ProcessRights,
    file: PathBuf,
    prefix: PathBuf,
    directives: String,
    pid_file: Option<PathBuf>,
    /// The log when the configuration names none; standard error without one.
    log: Option<PathBuf>,
    record: Record,
    /// How many sockets each listener has.
    listeners: Vec<usize>,
    logs: Vec<PathBuf>,
}

impl Plan {
    /// How a worker process makes the same of the configuration as the master did.
    pub(super) fn of(origin: &Origin, cycle: &Cycle, rights: ProcessRights) -> Self {
        let options = &origin.options;
        let listeners = cycle.listeners();
        Self {
            rights,
            file: origin.file.clone(),
            prefix: options.load.prefix.clone(),
            directives: options.load.directives.clone(),
            pid_file: options.default_pid.clone(),
            log: origin.log.clone(),
            record: cycle.record().clone(),
            listeners: listeners
                .iter()
                .map(|listener| listener.descriptors().len())
                .collect(),
            logs: Vec::new(),
        }
    }

    /// The message, and the descriptors that are to go with it.
    pub(super) fn message(mut self, logs: OpenLogs) -> (ToWorker, Vec<File>) {
        self.logs = logs.paths;
        (ToWorker::Prepare(Box::new(self)), logs.files)
    }

    /// What a worker process builds the generation from.
    pub(super) fn open(
        self,
        registry: &Arc<Registry>,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Origin, String> {
        let mut descriptors = descriptors.into_iter();
        let mut sockets = Vec::with_capacity(self.listeners.len());
        for count in self.listeners {
            sockets.push(descriptors.by_ref().take(count).collect::<Vec<_>>());
        }
        let files = registry.extension::<Arc<LogFiles>>();
        if let Some(files) = files {
            files.give(self.logs.into_iter().zip(descriptors.map(File::from)));
        }
        let default_log = match (&self.log, files) {
            (Some(path), Some(files)) => {
                let file = files.open(path).map_err(|error| {
                    let path = path.display();
                    format!("open() \"{path}\" failed {}", errno(&error))
                })?;
                Some(file as _)
            }
            _ => None,
        };
        Ok(Origin {
            registry: Arc::clone(registry),
            source: Arc::new(RecordedSource::new(Arc::new(self.record))),
            file: self.file,
            options: BuildOptions {
                load: LoadOptions {
                    prefix: self.prefix,
                    directives: self.directives,
                },
                default_log,
                default_pid: self.pid_file,
                role: Role::Worker(Arc::new(sockets)),
                ..BuildOptions::default()
            },
            log: self.log,
            predecessor: None,
        })
    }
}

/// Duplicates of the log files that are in use.
#[derive(Debug, Default)]
pub(super) struct OpenLogs {
    pub(super) paths: Vec<PathBuf>,
    pub(super) files: Vec<File>,
}

impl OpenLogs {
    pub(super) fn of(files: Option<&Arc<LogFiles>>) -> io::Result<Self> {
        let mut logs = Self::default();
        for file in files.map(|files| files.in_use()).unwrap_or_default() {
            logs.files.push(file.duplicate()?);
            logs.paths.push(file.path().to_owned());
        }
        Ok(logs)
    }
}

/// The sockets of all listeners and then these files, to send them.
pub(super) fn descriptors<'a>(
    listeners: &'a crate::net::Listeners,
    files: &'a [File],
) -> Vec<BorrowedFd<'a>> {
    let sockets = listeners.iter().flat_map(|listener| listener.descriptors());
    sockets
        .chain(files.iter().map(|file| file.as_fd()))
        .collect()
}
