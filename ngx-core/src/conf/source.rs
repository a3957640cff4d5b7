//! Everything that a configuration asks of the outside goes through a [`ConfigSource`].

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::unistd;
use serde::{Deserialize, Serialize};

use crate::net::addr::system_lookup;

/// What a configuration may ask of the outside.
///
/// [`DiskSource`] answers from the machine, [`MemorySource`] from what it was given, and
/// [`RecordedSource`](super::RecordedSource) repeats the answers of an earlier run.
pub trait ConfigSource: Send + Sync {
    /// The content of a file.
    ///
    /// # Errors
    ///
    /// Those of opening and reading the file.
    fn read(&self, path: &Path, role: FileRole) -> io::Result<Arc<[u8]>>;

    /// The paths that match a shell pattern, sorted.
    ///
    /// # Errors
    ///
    /// Those of reading the folders, and `InvalidInput` for a malformed pattern. Matching
    /// nothing is not an error.
    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>>;

    /// What stands at a path.
    fn kind(&self, path: &Path) -> PathKind;

    /// A variable of the environment.
    fn env(&self, name: &str) -> Option<String>;

    /// A user by name.
    ///
    /// # Errors
    ///
    /// Those of reading the user database; an unknown name is `None`.
    fn user(&self, name: &str) -> io::Result<Option<User>>;

    /// The id of a group by name.
    ///
    /// # Errors
    ///
    /// Those of reading the group database; an unknown name is `None`.
    fn group(&self, name: &str) -> io::Result<Option<u32>>;

    /// The addresses of a host, as the system's resolver knows them.
    ///
    /// # Errors
    ///
    /// The name has none, or nobody could be asked.
    fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>>;

    /// How many processors this process may use, at least one.
    fn cpu_count(&self) -> usize;

    /// The name of this machine.
    ///
    /// # Errors
    ///
    /// Those of asking the system.
    fn hostname(&self) -> io::Result<String>;
}

/// What a file is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FileRole {
    /// It is part of the configuration, and `-T` shows it.
    Config,
    /// It is data that must not be shown: keys, certificates, passwords.
    Data,
}

/// What stands at a path, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PathKind {
    /// A file, or a device or socket.
    File,
    /// A folder.
    Directory,
    /// Nothing, or nothing that may be seen.
    Missing,
}

/// An entry of the user database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The id of the user.
    pub uid: u32,
    /// The id of the user's first group.
    pub gid: u32,
}

/// The machine itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskSource;

impl ConfigSource for DiskSource {
    fn read(&self, path: &Path, _role: FileRole) -> io::Result<Arc<[u8]>> {
        std::fs::read(path).map(Arc::from)
    }

    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let pattern = pattern.to_str().ok_or(io::ErrorKind::InvalidInput)?;
        let mut paths = glob::glob_with(pattern, GLOB)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?
            .collect::<Result<Vec<_>, _>>()
            .map_err(io::Error::from)?;
        paths.sort();
        Ok(paths)
    }

    fn kind(&self, path: &Path) -> PathKind {
        match std::fs::metadata(path) {
            Ok(meta) if meta.is_dir() => PathKind::Directory,
            Ok(_) => PathKind::File,
            Err(_) => PathKind::Missing,
        }
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn user(&self, name: &str) -> io::Result<Option<User>> {
        let user = unistd::User::from_name(name)?;
        Ok(user.map(|user| User {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
        }))
    }

    fn group(&self, name: &str) -> io::Result<Option<u32>> {
        Ok(unistd::Group::from_name(name)?.map(|group| group.gid.as_raw()))
    }

    fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        system_lookup(name)
    }

    fn cpu_count(&self) -> usize {
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    }

    fn hostname(&self) -> io::Result<String> {
        Ok(unistd::gethostname()?.to_string_lossy().into_owned())
    }
}

/// A configuration that is part of a program: a built-in default, or a test.
///
/// ```
/// use std::path::Path;
/// use ngx_core::conf::{ConfigSource, FileRole, MemorySource};
///
/// let source = MemorySource::new().with_file("/etc/ngx.conf", "events { }");
/// let text = source.read(Path::new("/etc/ngx.conf"), FileRole::Config)?;
/// assert_eq!(&text[..], b"events { }");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemorySource {
    files: BTreeMap<PathBuf, Arc<[u8]>>,
    env: BTreeMap<String, String>,
    users: BTreeMap<String, User>,
    hosts: BTreeMap<String, Vec<IpAddr>>,
}

impl MemorySource {
    /// A source without any file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file.
    #[must_use]
    pub fn with_file(mut self, path: impl Into<PathBuf>, text: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), Arc::from(text.into()));
        self
    }

    /// Adds a variable of the environment.
    #[must_use]
    pub fn with_env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Adds a user, and a group of the same name.
    #[must_use]
    pub fn with_user(mut self, name: impl Into<String>, user: User) -> Self {
        self.users.insert(name.into(), user);
        self
    }

    /// Adds a host.
    #[must_use]
    pub fn with_host(mut self, name: impl Into<String>, addrs: impl Into<Vec<IpAddr>>) -> Self {
        self.hosts.insert(name.into(), addrs.into());
        self
    }
}

impl ConfigSource for MemorySource {
    fn read(&self, path: &Path, _role: FileRole) -> io::Result<Arc<[u8]>> {
        self.files
            .get(path)
            .cloned()
            .ok_or_else(|| Errno::ENOENT.into())
    }

    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let pattern = pattern.to_str().ok_or(io::ErrorKind::InvalidInput)?;
        let pattern = glob::Pattern::new(pattern)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let matches = |path: &&PathBuf| pattern.matches_path_with(path, GLOB);
        Ok(self.files.keys().filter(matches).cloned().collect())
    }

    fn kind(&self, path: &Path) -> PathKind {
        if self.files.contains_key(path) {
            PathKind::File
        } else if self.files.keys().any(|file| file.starts_with(path)) {
            PathKind::Directory
        } else {
            PathKind::Missing
        }
    }

    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }

    fn user(&self, name: &str) -> io::Result<Option<User>> {
        Ok(self.users.get(name).copied())
    }

    fn group(&self, name: &str) -> io::Result<Option<u32>> {
        Ok(self.users.get(name).map(|user| user.gid))
    }

    fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        match self.hosts.get(name) {
            Some(addrs) => Ok(addrs.clone()),
            None if name == "localhost" => Ok(vec![Ipv4Addr::LOCALHOST.into()]),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn cpu_count(&self) -> usize {
        1
    }

    fn hostname(&self) -> io::Result<String> {
        Ok("localhost".to_owned())
    }
}

/// The bytes of a word as a path.
#[must_use]
pub fn path_of(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// What glob(3) does: a star stops at a slash, and does not match a leading dot.
const GLOB: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

#[cfg(test)]
mod tests;
