//! What threads and the process may do: users, processors, priorities, limits.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd;
use rustix::fs::Gid;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Uid, getegid, geteuid, getgid, getgroups,
    getpriority_process, getrlimit, getuid, set_dumpable_behavior, setpriority_process, setrlimit,
};
use rustix::thread::{
    CpuSet, sched_setaffinity, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use serde::{Deserialize, Serialize};

use super::RunError;
use crate::alert;
use crate::cycle::Cycle;
use crate::error::errno;
use crate::main_module::Credentials;

/// What a thread sets for itself when it starts, and cannot change later; not what it has from the
/// main thread in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ThreadRights {
    user: Option<Credentials>,
    cpus: Option<Vec<usize>>,
    priority: Option<i32>,
}

impl ThreadRights {
    /// What `cycle` says about worker `index` on a machine with so many processors, beyond what the
    /// calling thread has.
    pub(super) fn of(cycle: &Cycle, index: usize, processors: usize) -> Self {
        let core = cycle.core();
        Self {
            user: core.user().filter(|user| !is_caller(user)).cloned(),
            cpus: core.affinity().of_worker(index, processors),
            priority: core.priority().filter(|priority| !has_caller(*priority)),
        }
    }

    /// Whether there is nothing to set.
    pub(super) fn are_none(&self) -> bool {
        matches!(
            self,
            Self {
                user: None,
                cpus: None,
                priority: None
            }
        )
    }

    /// Sets them for the calling thread. Processors and priority are wishes: what the system
    /// refuses is logged.
    pub(super) fn apply(&self) -> Result<(), RunError> {
        if let Some(priority) = self.priority {
            // Zero means the caller, which on Linux is the thread.
            if let Err(error) = setpriority_process(None, priority) {
                alert!("setpriority({priority}) failed {}", errno(&error.into()));
            }
        }
        if let Some(cpus) = &self.cpus {
            let mut set = CpuSet::new();
            for cpu in cpus {
                set.set(*cpu);
            }
            if let Err(error) = sched_setaffinity(None, &set) {
                alert!("sched_setaffinity() failed {}", errno(&error.into()));
            }
        }
        self.user.as_ref().map_or(Ok(()), become_user)
    }
}

/// What a worker process sets for itself before it does anything else, and cannot change later:
/// a generation that wants other rights gets another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessRights {
    user: Option<Identity>,
    files: Option<u64>,
    core: Option<u64>,
    priority: Option<i32>,
    folder: Option<PathBuf>,
    environment: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl ProcessRights {
    /// What `cycle` says.
    pub(super) fn of(cycle: &Cycle) -> Result<Self, RunError> {
        let core = cycle.core();
        let environment = core.environment();
        let mut environment: Vec<(String, String)> = environment
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        environment.sort();
        Ok(Self {
            user: core.user().map(identity).transpose()?,
            files: core.rlimit_nofile(),
            core: core.rlimit_core(),
            priority: core.priority(),
            folder: core.working_directory().map(Path::to_owned),
            environment,
        })
    }

    /// The variables that the process has (`env`).
    pub(super) fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// Sets them for the calling process, for good. Limits and priority are wishes: what the
    /// system refuses is logged.
    pub(super) fn apply(&self) -> Result<(), RunError> {
        limit(Resource::Nofile, "RLIMIT_NOFILE", self.files);
        limit(Resource::Core, "RLIMIT_CORE", self.core);
        if let Some(priority) = self.priority
            && let Err(error) = setpriority_process(None, priority)
        {
            alert!("setpriority({priority}) failed {}", errno(&error.into()));
        }
        if let Some(user) = &self.user {
            user.become_it()?;
        }
        if let Some(path) = &self.folder {
            change_folder(path);
        }
        Ok(())
    }
}

impl Identity {
    fn become_it(&self) -> Result<(), RunError> {
        let failed = |call| {
            move |error: nix::Error| RunError::System {
                call,
                error: error.into(),
            }
        };
        let (uid, gid) = (
            unistd::Uid::from_raw(self.uid),
            unistd::Gid::from_raw(self.gid),
        );
        let groups = self.groups.iter().copied().map(unistd::Gid::from_raw);
        let groups: Vec<_> = groups.collect();
        // Groups first: with the user go the rights to change them.
        unistd::setgroups(&groups).map_err(failed("setgroups()"))?;
        unistd::setresgid(gid, gid, gid).map_err(failed("setgid()"))?;
        unistd::setresuid(uid, uid, uid).map_err(failed("setuid()"))?;
        // The system takes this away from a process that changes its user, and without it there
        // is neither a core file nor a look at /proc/self.
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::Dumpable) {
            alert!("prctl(PR_SET_DUMPABLE) failed {}", errno(&error.into()));
        }
        Ok(())
    }
}

/// A user with all groups, further ones included.
fn identity(user: &Credentials) -> Result<Identity, RunError> {
    let failed = |error| RunError::System {
        call: "getgrouplist()",
        error,
    };
    let name = CString::new(user.name.as_str())
        .map_err(io::Error::from)
        .map_err(failed)?;
    let groups = unistd::getgrouplist(&name, unistd::Gid::from_raw(user.gid))
        .map_err(io::Error::from)
        .map_err(failed)?;
    Ok(Identity {
        uid: user.uid,
        gid: user.gid,
        groups: groups.iter().map(|group| group.as_raw()).collect(),
    })
}

/// Whether the calling thread has the rights of `user` and no others.
fn is_caller(user: &Credentials) -> bool {
    let users = [getuid(), geteuid()].map(Uid::as_raw);
    let groups = [getgid(), getegid()].map(Gid::as_raw);
    if users != [user.uid; 2] || groups != [user.gid; 2] {
        return false;
    }
    let (Ok(own), Ok(identity)) = (getgroups(), identity(user)) else {
        return false;
    };
    let own: BTreeSet<u32> = own.into_iter().map(Gid::as_raw).chain(groups).collect();
    own == identity.groups.into_iter().collect()
}

fn has_caller(priority: i32) -> bool {
    getpriority_process(None) == Ok(priority)
}

/// Gives up the thread's rights for those of `user`. Threads that it starts have no more.
fn become_user(user: &Credentials) -> Result<(), RunError> {
    let failed = |call| move |error| RunError::System { call, error };
    let groups = identity(user)?.groups;
    let groups: Vec<Gid> = groups.into_iter().map(Gid::from_raw).collect();
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    // Groups first: with the user go the rights to change them.
    set_thread_groups(&groups)
        .map_err(io::Error::from)
        .map_err(failed("setgroups()"))?;
    set_thread_res_gid(gid, gid, gid)
        .map_err(io::Error::from)
        .map_err(failed("setgid()"))?;
    set_thread_res_uid(uid, uid, uid)
        .map_err(io::Error::from)
        .map_err(failed("setuid()"))
}

/// Limits and the working directory of the process, as `cycle` wants them. What the system
/// refuses is logged.
pub(super) fn apply_to_process(cycle: &Cycle) {
    let core = cycle.core();
    limit(Resource::Nofile, "RLIMIT_NOFILE", core.rlimit_nofile());
    limit(Resource::Core, "RLIMIT_CORE", core.rlimit_core());
    if let Some(path) = core.working_directory() {
        change_folder(path);
    }
}

fn change_folder(path: &Path) {
    if let Err(error) = std::env::set_current_dir(path) {
        alert!("chdir(\"{}\") failed {}", path.display(), errno(&error));
    }
}

/// Sets a limit of the process, if there is to be one.
fn limit(resource: Resource, name: &str, limit: Option<u64>) {
    let wanted = Rlimit {
        current: limit,
        maximum: limit,
    };
    if let Some(limit) = limit
        && getrlimit(resource).current != wanted.current
        && let Err(error) = setrlimit(resource, wanted)
    {
        alert!("setrlimit({name}, {limit}) failed {}", errno(&error.into()));
    }
}
