//! What threads and the process may do: users, processors, priorities, limits.

use std::ffi::CString;
use std::io;

use nix::unistd;
use rustix::fs::Gid;
use rustix::process::{Resource, Rlimit, Uid, getrlimit, setpriority_process, setrlimit};
use rustix::thread::{
    CpuSet, sched_setaffinity, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::RunError;
use crate::alert;
use crate::cycle::Cycle;
use crate::error::errno;
use crate::main_module::Credentials;

/// What a thread sets for itself when it starts, and cannot change later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ThreadRights {
    user: Option<Credentials>,
    cpus: Option<Vec<usize>>,
    priority: Option<i32>,
}

impl ThreadRights {
    /// What `cycle` says about worker `index` on a machine with so many processors.
    pub(super) fn of(cycle: &Cycle, index: usize, processors: usize) -> Self {
        let core = cycle.core();
        Self {
            user: core.user().cloned(),
            cpus: core.affinity().of_worker(index, processors),
            priority: core.priority(),
        }
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

/// Gives up the thread's rights for those of `user`. Threads that it starts have no more.
fn become_user(user: &Credentials) -> Result<(), RunError> {
    let failed = |call| move |error| RunError::System { call, error };
    let name = CString::new(user.name.as_str())
        .map_err(io::Error::from)
        .map_err(failed("getgrouplist()"))?;
    let groups = unistd::getgrouplist(&name, unistd::Gid::from_raw(user.gid))
        .map_err(io::Error::from)
        .map_err(failed("getgrouplist()"))?;
    let groups: Vec<Gid> = groups
        .iter()
        .map(|group| Gid::from_raw(group.as_raw()))
        .collect();
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
    if let Some(path) = core.working_directory()
        && let Err(error) = std::env::set_current_dir(path)
    {
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
