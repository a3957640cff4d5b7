//! A CPU quota, so that the server is what saturates and not the load generator: by a control group
//! of version 1 or 2, whichever the machine has.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::process::geteuid;

/// Microseconds after which the quota is granted anew.
const PERIOD_US: u32 = 10_000;

/// A control group with a CPU quota; removed when dropped.
#[derive(Debug)]
pub(crate) struct Quota {
    folder: PathBuf,
    percent: u32,
    version: u8,
}

/// Where a hierarchy with the CPU controller is mounted.
#[derive(Debug, Eq, PartialEq)]
enum Hierarchy {
    V1(PathBuf),
    V2(PathBuf),
}

impl Quota {
    /// Makes a group whose members together get `percent` of one core.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(crate) fn new(percent: u32) -> Result<Self, String> {
        if !geteuid().is_root() {
            return Err("only root can limit the CPU time of servers".to_owned());
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo")
            .map_err(|error| format!("/proc/self/mountinfo: {error}"))?;
        let mut reasons = Vec::new();
        for hierarchy in hierarchies(&mounts) {
            match Self::under(&hierarchy, percent) {
                Ok(quota) => return Ok(quota),
                Err(reason) => reasons.push(reason),
            }
        }
        if reasons.is_empty() {
            return Err("no control groups are mounted".to_owned());
        }
        Err(reasons.join("; "))
    }

    fn under(hierarchy: &Hierarchy, percent: u32) -> Result<Self, String> {
        let name = format!("ngx-side-by-side-{}", std::process::id());
        let quota_us = PERIOD_US * percent / 100;
        let (mount, version, files) = match hierarchy {
            Hierarchy::V1(mount) => (
                mount,
                1,
                vec![
                    ("cpu.cfs_period_us", PERIOD_US.to_string()),
                    ("cpu.cfs_quota_us", quota_us.to_string()),
                ],
            ),
            Hierarchy::V2(mount) => {
                // Fails where it is on already and may not be touched; `cpu.max` tells.
                let _on = fs::write(mount.join("cgroup.subtree_control"), "+cpu");
                (
                    mount,
                    2,
                    vec![("cpu.max", format!("{quota_us} {PERIOD_US}"))],
                )
            }
        };
        let folder = mount.join(name);
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        // From here on the folder is removed whatever happens.
        let quota = Self {
            folder,
            percent,
            version,
        };
        for (file, value) in files {
            let path = quota.folder.join(file);
            // Not created, if the kernel has no such file.
            let exists = path.exists();
            let written = fs::write(&path, value);
            if let (true, Err(error)) | (false, Err(error)) = (exists, written) {
                return Err(format!("{}: {error}", path.display()));
            }
        }
        Ok(quota)
    }

    /// The file that a process is made a member with.
    pub(crate) fn members(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// What the table says about it.
    pub(crate) fn describe(&self) -> String {
        format!(
            "{} % of a core (cgroup v{}, period {} ms)",
            self.percent,
            self.version,
            PERIOD_US / 1000
        )
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // A process that was just reaped may still be on its way out of the group.
        for _ in 0..50 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        eprintln!("cannot remove {}", self.folder.display());
    }
}

/// The mounted hierarchies that may have the CPU controller, version 1 first: where both are
/// mounted, the controller belongs to that one.
fn hierarchies(mountinfo: &str) -> Vec<Hierarchy> {
    let mut found = Vec::new();
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else {
            continue;
        };
        let Some(mount) = left.split(' ').nth(4).map(Path::new) else {
            continue;
        };
        let mut right = right.split(' ');
        let (kind, options) = (right.next(), right.nth(1));
        let has_cpu = || options.is_some_and(|options| options.split(',').any(|o| o == "cpu"));
        match kind {
            Some("cgroup") if has_cpu() => found.insert(0, Hierarchy::V1(mount.to_owned())),
            Some("cgroup2") => found.push(Hierarchy::V2(mount.to_owned())),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_controller_of_version_1_comes_first() {
        let mounts = "\
22 1 0:20 / /proc rw - proc proc rw
30 29 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw
31 29 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset
32 29 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:3 - cgroup cgroup rw,cpu,cpuacct
";
        let expected = [
            Hierarchy::V1("/sys/fs/cgroup/cpu,cpuacct".into()),
            Hierarchy::V2("/sys/fs/cgroup/unified".into()),
        ];
        assert_eq!(hierarchies(mounts), expected);
    }

    #[test]
    fn a_machine_with_version_2_alone() {
        let mounts = "30 29 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw,nsdelegate\n";
        assert_eq!(
            hierarchies(mounts),
            [Hierarchy::V2("/sys/fs/cgroup".into())]
        );
        assert_eq!(hierarchies("nonsense\n"), []);
    }
}
