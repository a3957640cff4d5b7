//! Runs: rows, servers and rounds.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::time::Duration;

use crate::backends::Backends;
use crate::cgroup::Quota;
use crate::client::Clients;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::machine::Cores;
use crate::programs::Program;
use crate::results::{Kind, Measured, Results, RowResult, Unit};
use crate::rows::{Needs, Row};
use crate::server::{Server, Start, Tool};
use crate::site::{Ports, Site, free_port};
use crate::wrk::{self, Load};

/// What is needed to measure anything.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) programs: Vec<Program>,
    pub(crate) wrk: Option<PathBuf>,
    pub(crate) cores: Cores,
    pub(crate) quota: Option<Quota>,
    pub(crate) backends: Backends,
    pub(crate) site: Site,
    pub(crate) effort: Effort,
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) seconds: u64,
    pub(crate) rounds: u32,
    pub(crate) clients: u32,
    pub(crate) idle: usize,
    /// A load that does not count comes before each sample.
    pub(crate) warm_up: bool,
}

/// How a server is started for a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How<'a> {
    pub(crate) connections: usize,
    pub(crate) limited: bool,
    pub(crate) under: Option<&'a Tool>,
}

/// Connections that a server is configured for, unless a row is about that.
const CONNECTIONS: usize = 4096;

/// More clients than that do not make large bodies faster.
const LARGE_CLIENTS: u32 = 8;

impl Lab {
    /// Who can serve this row; the others are noted as skipped. Empty if ngx cannot.
    pub(crate) fn able(&self, row: &Row, results: &mut Results) -> Result<Vec<&Program>> {
        let mut able = Vec::new();
        for program in &self.programs {
            if program.kind == Kind::Haproxy && row.haproxy.is_none() {
                continue;
            }
            let ports = Ports {
                own: free_port()?,
                backend: 1,
                redis: 1,
                connections: CONNECTIONS,
            };
            let folder = self.site.write(row, program.kind, ports)?;
            let checked = program.check(&folder, row.lua);
            let what = format!("{} with {}", row.name, program.kind.name());
            if results.skip_missing(&what, checked)?.is_some() {
                able.push(program);
            } else if program.kind == Kind::Ngx {
                return Ok(Vec::new());
            }
        }
        Ok(able)
    }

    /// Starts a server, with what it needs.
    pub(crate) fn start(&mut self, row: &Row, kind: Kind, how: How<'_>) -> Result<Server> {
        let core = self.cores.load;
        let mut ports = Ports {
            own: free_port()?,
            backend: 0,
            redis: 0,
            connections: how.connections,
        };
        match row.needs {
            Needs::Nothing => {}
            Needs::Backend => {
                ports.backend = self.backends.http(&self.site, &self.programs, core)?;
            }
            Needs::Redis => ports.redis = self.backends.redis(&self.site, core)?,
        }
        let Some(program) = self.programs.iter().find(|program| program.kind == kind) else {
            return Error::failed(format!("there is no {}", kind.name()));
        };
        Server::start(Start {
            program,
            folder: &self.site.write(row, kind, ports)?,
            lua: row.lua,
            port: ports.own,
            core: self.cores.server,
            quota: self.quota.as_ref().filter(|_| how.limited),
            under: how.under,
        })
    }

    /// Measures a row with these servers: rounds in which each has its turn, in changing order.
    pub(crate) fn row(&mut self, row: &Row, kinds: &[Kind]) -> Result<RowResult> {
        let mut servers: BTreeMap<Kind, Measured> = BTreeMap::new();
        for round in 0..self.effort.rounds as usize {
            for turn in 0..kinds.len() {
                let Some(&kind) = kinds.get((round + turn) % kinds.len()) else {
                    continue;
                };
                progress(row, kind, round + 1);
                let measured = servers.entry(kind).or_default();
                if row.is_load() {
                    self.load(row, kind, measured)?;
                } else {
                    measured.samples.push(self.idle(row, kind)?);
                }
            }
        }
        if io::stderr().is_terminal() {
            eprintln!();
        }
        Ok(RowResult {
            name: row.name.to_owned(),
            title: row.title.to_owned(),
            unit: row.unit,
            goal: row.goal,
            servers,
        })
    }

    /// One sample by the load generator.
    fn load(&mut self, row: &Row, kind: Kind, measured: &mut Measured) -> Result<()> {
        let Some(wrk) = self.wrk.clone() else {
            return Error::failed("wrk is not installed");
        };
        let server = self.start(row, kind, How::load())?;
        drop(Clients::new(server.port, row.target, row.body)?);
        let url = server.url(row.target);
        let mut load = Load {
            clients: self.effort.clients.saturating_mul(row.crowd),
            seconds: 1,
            core: self.cores.load,
        };
        if row.is_large() {
            load.clients = load.clients.min(LARGE_CLIENTS);
        }
        if self.effort.warm_up {
            wrk::run(&wrk, &url, load)?;
        }
        load.seconds = self.effort.seconds;
        let before = server.cpu_seconds();
        let report = wrk::run(&wrk, &url, load)?;
        let cpu = server.cpu_seconds() - before;
        if report.errors > 0 || report.requests == 0 {
            return Error::failed(format!(
                "{}: {} errors among {} requests",
                kind.name(),
                report.errors,
                report.requests
            ));
        }
        let (sample, requests) = if row.unit == Unit::BytesPerSecond {
            // Those that the end of the run cut off count as far as they came.
            (
                report.bytes / report.seconds,
                report.bytes / row.body as f64,
            )
        } else {
            let requests = report.requests as f64;
            (requests / report.seconds, requests)
        };
        measured.samples.push(sample);
        measured.cpu_us.push(cpu / requests * 1e6);
        server.stop()
    }

    /// Bytes of memory per connection that idles after a request: what a server with thousands of
    /// them uses more than one with a few, tables made in advance for them included.
    fn idle(&mut self, row: &Row, kind: Kind) -> Result<f64> {
        const FEW: usize = 16;
        let many = self.effort.idle;
        let with_few = self.resident(row, kind, FEW)?;
        let with_many = self.resident(row, kind, many)?;
        Ok((with_many as f64 - with_few as f64) / (many - FEW) as f64)
    }

    fn resident(&mut self, row: &Row, kind: Kind, count: usize) -> Result<u64> {
        // Room for what a server needs for itself.
        let how = How {
            connections: count + 64,
            limited: false,
            under: None,
        };
        let server = self.start(row, kind, how)?;
        let mut clients = Clients::new(server.port, row.target, row.body)?;
        clients.grow(count)?;
        interrupt::sleep(Duration::from_millis(300))?;
        let resident = server.resident_bytes();
        drop(clients);
        server.stop()?;
        Ok(resident)
    }
}

fn progress(row: &Row, kind: Kind, round: usize) {
    if io::stderr().is_terminal() {
        eprint!("\r{}: round {round}, {:8}", row.name, kind.name());
    } else {
        eprintln!("{}: round {round}, {}", row.name, kind.name());
    }
}

impl How<'_> {
    const fn load() -> Self {
        Self {
            connections: CONNECTIONS,
            limited: true,
            under: None,
        }
    }
}

impl<'a> How<'a> {
    /// Watched by a tool, which makes it slow enough.
    pub(crate) const fn under(tool: &'a Tool) -> Self {
        Self {
            connections: CONNECTIONS,
            limited: false,
            under: Some(tool),
        }
    }
}
