//! Remembers what a configuration asked and was told, to show it or to repeat it.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::source::{ConfigSource, FileRole, PathKind, User};

/// All answers that one run of the configuration got. With it another process can repeat the run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Record {
    /// In the order of the first reading.
    files: Vec<RecordedFile>,
    by_path: HashMap<PathBuf, usize>,
    globs: HashMap<PathBuf, Answer<Vec<PathBuf>>>,
    kinds: HashMap<PathBuf, PathKind>,
    env: HashMap<String, Option<String>>,
    users: HashMap<String, Answer<Option<User>>>,
    groups: HashMap<String, Answer<Option<u32>>>,
    hosts: HashMap<String, Answer<Vec<IpAddr>>>,
    cpu_count: Option<usize>,
    hostname: Option<Answer<String>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct RecordedFile {
    path: PathBuf,
    role: FileRole,
    text: Answer<Arc<[u8]>>,
}

/// An `io::Result` that can be repeated.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Answer<T>(Result<T, Failure>);

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Failure {
    Os(i32),
    Other(Kind, String),
}

/// The kinds of errors that sources have of their own; the system's have a number.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Kind {
    NotFound,
    InvalidInput,
    InvalidData,
    Other,
}

impl From<io::ErrorKind> for Kind {
    fn from(kind: io::ErrorKind) -> Self {
        match kind {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::InvalidInput => Self::InvalidInput,
            io::ErrorKind::InvalidData => Self::InvalidData,
            _ => Self::Other,
        }
    }
}

impl From<Kind> for io::ErrorKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::NotFound => Self::NotFound,
            Kind::InvalidInput => Self::InvalidInput,
            Kind::InvalidData => Self::InvalidData,
            Kind::Other => Self::Other,
        }
    }
}

impl Record {
    /// The files of the configuration in the order in which they were read, each once. Keys and
    /// other secrets are not among them.
    pub fn config_files(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.files
            .iter()
            .filter(|file| file.role == FileRole::Config)
            .filter_map(|file| {
                let text = file.text.0.as_ref().ok()?;
                Some((file.path.as_path(), &**text))
            })
    }

    /// What `-T` prints.
    #[must_use]
    pub fn dump(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (path, text) in self.config_files() {
            out.extend_from_slice(format!("# configuration file {}:\n", path.display()).as_bytes());
            out.extend_from_slice(text);
            out.push(b'\n');
        }
        out
    }
}

/// Passes questions on to another source and records the answers. A question that was asked
/// before gets the recorded answer, so that one run sees one state of the machine.
pub struct Recorder<'s> {
    source: &'s dyn ConfigSource,
    record: Mutex<Record>,
}

impl<'s> Recorder<'s> {
    /// Records what `source` answers.
    #[must_use]
    pub fn new(source: &'s dyn ConfigSource) -> Self {
        Self {
            source,
            record: Mutex::default(),
        }
    }

    /// Ends the recording.
    #[must_use]
    pub fn into_record(self) -> Record {
        self.record
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConfigSource for Recorder<'_> {
    fn read(&self, path: &Path, role: FileRole) -> io::Result<Arc<[u8]>> {
        let mut record = self.record();
        if let Some(known) = record.file_mut(path) {
            // What is secret to one reader is secret.
            known.role = known.role.max(role);
            return known.text.repeat();
        }
        let text = Answer::new(self.source.read(path, role));
        let place = record.files.len();
        record.by_path.insert(path.to_owned(), place);
        record.files.push(RecordedFile {
            path: path.to_owned(),
            role,
            text: text.clone(),
        });
        text.repeat()
    }

    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let mut record = self.record();
        let ask = || Answer::new(self.source.glob(pattern));
        record
            .globs
            .entry(pattern.to_owned())
            .or_insert_with(ask)
            .repeat()
    }

    fn kind(&self, path: &Path) -> PathKind {
        let mut record = self.record();
        *record
            .kinds
            .entry(path.to_owned())
            .or_insert_with(|| self.source.kind(path))
    }

    fn env(&self, name: &str) -> Option<String> {
        let mut record = self.record();
        record
            .env
            .entry(name.to_owned())
            .or_insert_with(|| self.source.env(name))
            .clone()
    }

    fn user(&self, name: &str) -> io::Result<Option<User>> {
        let mut record = self.record();
        let ask = || Answer::new(self.source.user(name));
        record
            .users
            .entry(name.to_owned())
            .or_insert_with(ask)
            .repeat()
    }

    fn group(&self, name: &str) -> io::Result<Option<u32>> {
        let mut record = self.record();
        let ask = || Answer::new(self.source.group(name));
        record
            .groups
            .entry(name.to_owned())
            .or_insert_with(ask)
            .repeat()
    }

    fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut record = self.record();
        let ask = || Answer::new(self.source.lookup(name));
        record
            .hosts
            .entry(name.to_owned())
            .or_insert_with(ask)
            .repeat()
    }

    fn cpu_count(&self) -> usize {
        *self
            .record()
            .cpu_count
            .get_or_insert_with(|| self.source.cpu_count())
    }

    fn hostname(&self) -> io::Result<String> {
        let mut record = self.record();
        record
            .hostname
            .get_or_insert_with(|| Answer::new(self.source.hostname()))
            .repeat()
    }
}

/// Repeats the answers of a [`Record`]. What was not asked then does not exist now.
#[derive(Debug, Clone)]
pub struct RecordedSource {
    record: Arc<Record>,
}

impl RecordedSource {
    /// A source that answers from `record` alone.
    #[must_use]
    pub fn new(record: Arc<Record>) -> Self {
        Self { record }
    }
}

impl ConfigSource for RecordedSource {
    fn read(&self, path: &Path, _role: FileRole) -> io::Result<Arc<[u8]>> {
        let place = self.record.by_path.get(path).copied();
        let file = place.and_then(|place| self.record.files.get(place));
        file.map_or_else(not_recorded, |file| file.text.repeat())
    }

    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        self.record
            .globs
            .get(pattern)
            .map_or_else(not_recorded, Answer::repeat)
    }

    fn kind(&self, path: &Path) -> PathKind {
        self.record
            .kinds
            .get(path)
            .copied()
            .unwrap_or(PathKind::Missing)
    }

    fn env(&self, name: &str) -> Option<String> {
        self.record.env.get(name).cloned().flatten()
    }

    fn user(&self, name: &str) -> io::Result<Option<User>> {
        self.record
            .users
            .get(name)
            .map_or_else(not_recorded, Answer::repeat)
    }

    fn group(&self, name: &str) -> io::Result<Option<u32>> {
        self.record
            .groups
            .get(name)
            .map_or_else(not_recorded, Answer::repeat)
    }

    fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.record
            .hosts
            .get(name)
            .map_or_else(not_recorded, Answer::repeat)
    }

    fn cpu_count(&self) -> usize {
        self.record.cpu_count.unwrap_or(1)
    }

    fn hostname(&self) -> io::Result<String> {
        self.record
            .hostname
            .as_ref()
            .map_or_else(not_recorded, Answer::repeat)
    }
}

impl Record {
    fn file_mut(&mut self, path: &Path) -> Option<&mut RecordedFile> {
        let place = *self.by_path.get(path)?;
        self.files.get_mut(place)
    }
}

impl<T: Clone> Answer<T> {
    fn new(result: io::Result<T>) -> Self {
        Self(result.map_err(|error| match error.raw_os_error() {
            Some(code) => Failure::Os(code),
            None => Failure::Other(error.kind().into(), error.to_string()),
        }))
    }

    fn repeat(&self) -> io::Result<T> {
        self.0.clone().map_err(|failure| match failure {
            Failure::Os(code) => io::Error::from_raw_os_error(code),
            Failure::Other(kind, text) => io::Error::new(kind.into(), text),
        })
    }
}

fn not_recorded<T>() -> io::Result<T> {
    Err(Errno::ENOENT.into())
}
