//! What `/proc` says of the processes of a group.

use std::fs;

/// One line of `/proc/PID/stat`, as far as it is of use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stat {
    pub(crate) group: u32,
    /// Clock ticks in user and kernel mode.
    pub(crate) ticks: u64,
}

/// Reads a line of `/proc/PID/stat`.
pub(crate) fn stat(line: &str) -> Option<Stat> {
    // The name is in parentheses and may contain anything.
    let (_, rest) = line.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let group = fields.nth(2)?.parse().ok()?;
    let user: u64 = fields.nth(8)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Stat {
        group,
        ticks: user + system,
    })
}

/// The kilobytes behind this name in `/proc/PID/status`.
pub(crate) fn kilobytes(status: &str, name: &str) -> Option<u64> {
    let value = |line: &'_ str| {
        let (own, value) = line.split_once(':')?;
        (own == name).then(|| value.trim().to_owned())
    };
    let value = status.lines().find_map(value)?;
    value.strip_suffix("kB")?.trim().parse().ok()
}

/// The processes of a group, and what they have used.
pub(crate) fn group(leader: u32) -> Vec<(u32, Stat)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let line = fs::read_to_string(entry.path().join("stat")).ok()?;
            let stat = stat(&line)?;
            (stat.group == leader).then_some((pid, stat))
        })
        .collect()
}

/// CPU seconds that the group has used so far.
pub(crate) fn cpu_seconds(leader: u32) -> f64 {
    let ticks: u64 = group(leader).iter().map(|(_, stat)| stat.ticks).sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Bytes of memory that the group has in use.
pub(crate) fn resident_bytes(leader: u32) -> u64 {
    let resident = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        kilobytes(&status, "VmRSS")
    };
    let sum: u64 = group(leader)
        .iter()
        .filter_map(|(pid, _)| resident(*pid))
        .sum();
    sum * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_behind_any_name() {
        let line = "1234 (a ) (b) S 1 1200 1200 0 -1 4194560 100 0 0 0 17 25 3 4 20 0 1 0 99 0 0";
        let expected = Stat {
            group: 1200,
            ticks: 42,
        };
        assert_eq!(stat(line), Some(expected));
        assert_eq!(stat("1234 (cut"), None);
        assert_eq!(stat("1234 (short) S 1 2"), None);
    }

    #[test]
    fn kilobytes_are_found_by_their_whole_name() {
        let status = "Name:\tngx\nVmRSSx:\t 1 kB\nVmRSS:\t    5120 kB\n";
        assert_eq!(kilobytes(status, "VmRSS"), Some(5120));
        assert_eq!(kilobytes(status, "VmHWM"), None);
    }

    #[test]
    fn this_process_has_used_memory() {
        let line = fs::read_to_string("/proc/self/stat").unwrap();
        let own = stat(&line).unwrap();
        let seen = group(own.group);
        assert!(seen.iter().any(|(pid, _)| *pid == std::process::id()));
        assert!(resident_bytes(own.group) > 100_000);
    }
}
