//! What was measured, as it is written to the JSON file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Doing as _, Error, Result};
use crate::machine::Machine;
use crate::stats;

/// Everything of a run.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) settings: Settings,
    /// The versions of what took part.
    pub(crate) programs: BTreeMap<Kind, String>,
    pub(crate) rows: Vec<RowResult>,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) profiles: Vec<Profile>,
    pub(crate) criterion: Vec<Bench>,
}

/// How it was measured.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Settings {
    pub(crate) seconds: u64,
    pub(crate) rounds: u32,
    pub(crate) clients: u32,
    /// Connections of the row about idle ones.
    pub(crate) idle: usize,
    /// Whether servers had a CPU quota.
    pub(crate) limited: bool,
    /// The quota, or why there was none.
    pub(crate) quota: String,
    /// Whether server and load generator had a core each.
    pub(crate) pinned: bool,
}

/// A server that takes part.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Ngx,
    Nginx,
    Haproxy,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ngx => "ngx",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
        }
    }
}

/// A row of the table.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct RowResult {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) unit: Unit,
    pub(crate) goal: Goal,
    pub(crate) servers: BTreeMap<Kind, Measured>,
}

/// What the samples of a row are.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    RequestsPerSecond,
    BytesPerSecond,
    BytesPerConnection,
}

/// What the project has set out for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// At least so many times as much as nginx.
    Ratio(f64),
    /// At most so many bytes.
    Bytes(f64),
}

/// The samples of one server.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Measured {
    pub(crate) samples: Vec<f64>,
    /// CPU microseconds per request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) cpu_us: Vec<f64>,
}

impl Measured {
    pub(crate) fn median(&self) -> Option<f64> {
        stats::median(&self.samples)
    }

    pub(crate) fn spread(&self) -> f64 {
        stats::spread(&self.samples)
    }
}

impl RowResult {
    /// The median of `kind` in relation to nginx's.
    pub(crate) fn ratio(&self, kind: Kind) -> Option<f64> {
        let own = self.servers.get(&kind)?.median()?;
        let nginx = self.servers.get(&Kind::Nginx)?.median()?;
        (nginx > 0.0).then_some(own / nginx)
    }

    /// Whether ngx does what the project has set out for; nothing if that cannot be said.
    pub(crate) fn reached(&self) -> Option<bool> {
        match self.goal {
            Goal::Ratio(least) => Some(self.ratio(Kind::Ngx)? >= least),
            Goal::Bytes(most) => Some(self.servers.get(&Kind::Ngx)?.median()? <= most),
        }
    }
}

/// Something that was not measured.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Skipped {
    pub(crate) what: String,
    pub(crate) why: String,
    /// Not for want of something, but because it went wrong.
    #[serde(default)]
    pub(crate) failed: bool,
}

/// What one request costs, free of noise.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Profile {
    pub(crate) row: String,
    pub(crate) title: String,
    pub(crate) server: Kind,
    /// System calls per request, by name.
    pub(crate) calls: BTreeMap<String, f64>,
    /// Instructions per request outside the kernel.
    pub(crate) instructions: Option<f64>,
}

/// A criterion bench.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Bench {
    pub(crate) name: String,
    pub(crate) median_ns: f64,
    pub(crate) low_ns: f64,
    pub(crate) high_ns: f64,
}

impl Results {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let doing = || format!("cannot read {}", path.display());
        let text = fs::read_to_string(path).doing(doing)?;
        serde_json::from_str(&text).doing(doing)
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let doing = || format!("cannot write {}", path.display());
        let mut text = serde_json::to_string_pretty(self).doing(doing)?;
        text.push('\n');
        fs::write(path, text).doing(doing)
    }

    /// Remembers what was not measured for want of something, and says so at once.
    pub(crate) fn skip(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.note(Skipped {
            what: what.into(),
            why: why.into(),
            failed: false,
        });
    }

    /// As [`skip`](Self::skip), for an error that says what is wanting.
    pub(crate) fn skip_missing<T>(&mut self, what: &str, found: Result<T>) -> Result<Option<T>> {
        self.keep(what, found, false)
    }

    /// An interruption ends everything; any other error costs what it happened to.
    pub(crate) fn skip_failed<T>(&mut self, what: &str, done: Result<T>) -> Result<Option<T>> {
        self.keep(what, done, true)
    }

    fn keep<T>(&mut self, what: &str, done: Result<T>, failed: bool) -> Result<Option<T>> {
        match done {
            Ok(value) => Ok(Some(value)),
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Err(error) => {
                self.note(Skipped {
                    what: what.to_owned(),
                    why: error.to_string(),
                    failed,
                });
                Ok(None)
            }
        }
    }

    fn note(&mut self, skipped: Skipped) {
        let how = if skipped.failed { "failed" } else { "skipped" };
        eprintln!("{how}: {}: {}", skipped.what, skipped.why);
        if !self.skipped.contains(&skipped) {
            self.skipped.push(skipped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_costs_one_row_and_an_interruption_everything() {
        let mut results = Results::default();
        let failed: Result<()> = Error::failed("no");
        assert!(results.skip_failed("row", failed).unwrap().is_none());
        assert!(results.skipped[0].failed && results.skipped[0].why == "no");
        let missing: Result<()> = Error::failed("not installed");
        assert!(results.skip_missing("nginx", missing).unwrap().is_none());
        assert!(!results.skipped[1].failed);
        assert_eq!(results.skip_failed("row", Ok(1)).unwrap(), Some(1));
        let interrupted: Result<()> = Err(Error::Interrupted);
        assert!(results.skip_failed("row", interrupted).is_err());
    }

    #[test]
    fn figures_come_back_from_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("figures.json");
        let measured = |sample: f64| Measured {
            samples: vec![sample, sample + 2.0],
            cpu_us: Vec::new(),
        };
        let row = RowResult {
            name: "idle".to_owned(),
            title: "idle".to_owned(),
            unit: Unit::BytesPerConnection,
            goal: Goal::Bytes(1200.0),
            servers: [(Kind::Ngx, measured(900.0)), (Kind::Nginx, measured(999.0))].into(),
        };
        let results = Results {
            rows: vec![row],
            ..Results::default()
        };
        results.write(&path).unwrap();
        let read = Results::read(&path).unwrap();
        assert_eq!(read.rows[0].reached(), Some(true));
        assert_eq!(read.rows[0].ratio(Kind::Ngx), Some(901.0 / 1000.0));
        assert_eq!(read.rows[0].ratio(Kind::Haproxy), None);
    }
}
