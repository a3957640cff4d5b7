//! The machine that figures come from.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::sched_getaffinity;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::interrupt;

/// So much of a core used by others, and figures are called noisy.
const BUSY: f64 = 0.1;

/// How long it is watched to see that.
const WATCHED: Duration = Duration::from_secs(2);

/// How many times, before it is taken as busy: compilers and the like end.
const TIMES: usize = 30;

/// What the reader of a table wants to know.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    /// How many cores others used just before anything was measured.
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
        Self {
            date: jiff::Zoned::now().date().to_string(),
            cpu: cpu_model(&read("/proc/cpuinfo")).unwrap_or_else(|| "unknown".to_owned()),
            cores: available().len(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: 0.0,
        }
    }

    /// Waits until others leave the machine alone, a minute at most, and notes how much they do.
    ///
    /// # Errors
    ///
    /// Of an interruption.
    pub(crate) fn settle(&mut self) -> Result<()> {
        for _ in 0..TIMES {
            let before = CpuTime::now();
            interrupt::sleep(WATCHED)?;
            self.load = CpuTime::now().cores_since(before);
            if !self.was_busy() {
                break;
            }
        }
        Ok(())
    }

    /// Whether others were at work on it.
    pub(crate) fn was_busy(&self) -> bool {
        self.load >= BUSY
    }
}

/// Ticks of all cores since the machine was started.
#[derive(Clone, Copy, Debug, Default)]
struct CpuTime {
    busy: u64,
    all: u64,
    cores: usize,
}

impl CpuTime {
    fn now() -> Self {
        Self::of(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    /// Reads `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal; what follows is
    /// part of the first two.
    fn of(stat: &str) -> Self {
        let of_cores = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
        let mut time = Self {
            cores: stat.lines().filter(of_cores).count(),
            ..Self::default()
        };
        let sums = stat.lines().find_map(|line| line.strip_prefix("cpu "));
        let ticks = sums.unwrap_or_default().split_ascii_whitespace().take(8);
        for (at, ticks) in ticks.enumerate() {
            let ticks: u64 = ticks.parse().unwrap_or(0);
            time.all += ticks;
            if !matches!(at, 3 | 4) {
                time.busy += ticks;
            }
        }
        time
    }

    fn cores_since(self, before: Self) -> f64 {
        let all = self.all.saturating_sub(before.all);
        if all == 0 {
            return 0.0;
        }
        let busy = self.busy.saturating_sub(before.busy);
        busy as f64 / all as f64 * self.cores as f64
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
        assert!(!with(0.05).was_busy());
    }

    #[test]
    fn cores_that_were_used() {
        let stat = |user: u64, idle: u64| {
            let line = format!("cpu  {user} 0 0 {idle} 0 0 0 0 7 7\n");
            CpuTime::of(&(line + "cpu0 0 0 0 0\ncpu1 0 0 0 0\nintr 5 5\n"))
        };
        let used = stat(150, 1050).cores_since(stat(100, 1000));
        assert!((used - 1.0).abs() < 1e-9, "{used}");
        assert!(stat(1, 1).cores_since(stat(1, 1)).abs() < 1e-9);
    }

    #[test]
    fn this_machine_has_a_date_and_cores() {
        let machine = Machine::this();
        assert_eq!(machine.date.len(), "2026-11-21".len());
        assert!(machine.cores >= 1);
    }
}
