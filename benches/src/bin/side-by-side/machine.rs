//! The machine that figures come from.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::sched_getaffinity;
use serde::{Deserialize, Serialize};

/// A load average from which on figures are called noisy.
const BUSY: f64 = 0.5;

/// What the reader of a table wants to know.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    /// Processes that wanted to run during the minute before.
    pub(crate) load: f64,
}

/// Where servers run, and where everything else does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Cores {
    pub(crate) server: Option<usize>,
    pub(crate) load: Option<usize>,
}

impl Machine {
    /// This one, now.
    pub(crate) fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let load = read("/proc/loadavg");
        Self {
            date: jiff::Zoned::now().date().to_string(),
            cpu: cpu_model(&read("/proc/cpuinfo")).unwrap_or_else(|| "unknown".to_owned()),
            cores: available().len(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: load
                .split(' ')
                .next()
                .and_then(|first| first.parse().ok())
                .unwrap_or(0.0),
        }
    }

    /// Whether others were at work on it.
    pub(crate) fn was_busy(&self) -> bool {
        self.load >= BUSY
    }
}

impl Cores {
    /// The first two that this program may use. With a single one nothing is pinned.
    pub(crate) fn choose() -> Self {
        match available().as_slice() {
            [server, load, ..] => Self {
                server: Some(*server),
                load: Some(*load),
            },
            _ => Self {
                server: None,
                load: None,
            },
        }
    }
}

/// Lets this program and its children have as many descriptors as possible; says how many.
pub(crate) fn raise_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let now = match setrlimit(Resource::Nofile, most) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    now.unwrap_or(u64::MAX)
}

fn available() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else {
        return Vec::new();
    };
    (0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|core| set.is_set(*core))
        .collect()
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    let value = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    value("model name").or_else(|| value("CPU part"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_processor() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: other\n";
        assert_eq!(cpu_model(text).as_deref(), Some("Some CPU @ 2 GHz"));
        assert_eq!(cpu_model("processor : 0\n"), None);
    }

    #[test]
    fn a_machine_with_load_is_busy() {
        let with = |load| Machine {
            load,
            ..Machine::default()
        };
        assert!(with(1.5).was_busy());
        assert!(!with(0.1).was_busy());
    }

    #[test]
    fn this_machine_has_a_date_and_cores() {
        let machine = Machine::this();
        assert_eq!(machine.date.len(), "2026-11-21".len());
        assert!(machine.cores >= 1);
    }
}
