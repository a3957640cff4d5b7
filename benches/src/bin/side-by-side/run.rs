//! The whole run: finds what takes part, measures, shows.

use std::env;
use std::path::PathBuf;

use crate::backends::Backends;
use crate::cgroup::Quota;
use crate::cli::Options;
use crate::criterion;
use crate::docs;
use crate::error::{Error, Result};
use crate::machine::{self, Cores, Machine};
use crate::measure::{Effort, Lab};
use crate::profile::Tools;
use crate::programs::{self, Program};
use crate::results::{Kind, Results, Settings};
use crate::rows::{Needs, Row};
use crate::site::Site;
use crate::table;

/// Descriptors that are needed besides those of connections.
const OTHER_DESCRIPTORS: u64 = 200;

/// Does what the command line asks for.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut results = match &options.from {
        Some(path) => Results::read(path)?,
        None => measure(options)?,
    };
    if let Some(target) = target_folder() {
        let benches = criterion::read(&target);
        if !benches.is_empty() {
            results.criterion = benches;
        }
    }
    println!("{}", table::table(&results));
    if !results.profiles.is_empty() {
        println!("{}", table::profiles(&results.profiles));
    }
    if let Some(path) = &options.json {
        results.write(path)?;
    }
    if let Some(folder) = &options.docs {
        if options.smoke {
            return Error::failed("a smoke run has no figures for the documentation");
        }
        docs::write(&results, folder)?;
    }
    if options.smoke {
        println!("A smoke run: the figures mean nothing.");
    }
    outcome(&results)
}

/// What a machine does not have is no failure; what went wrong although it is there is.
fn outcome(results: &Results) -> Result<()> {
    let failed = results.skipped.iter().find(|skipped| skipped.failed);
    match failed {
        Some(failed) => Error::failed(format!("{}: {}", failed.what, failed.why)),
        None if results.rows.is_empty() => Error::failed("nothing could be measured"),
        None => Ok(()),
    }
}

fn measure(options: &Options) -> Result<Results> {
    let mut results = Results {
        machine: Machine::this(),
        ..Results::default()
    };
    let mut lab = lab(options, &mut results)?;
    if !options.smoke {
        results.machine.settle()?;
    }
    results.settings = Settings {
        seconds: lab.effort.seconds,
        rounds: lab.effort.rounds,
        clients: lab.effort.clients,
        idle: lab.effort.idle,
        limited: lab.quota.is_some(),
        quota: std::mem::take(&mut results.settings.quota),
        pinned: lab.cores.server.is_some(),
    };
    let tools = Tools::find();
    if options.profile {
        for tool in tools.missing() {
            results.skip("profiles", format!("{tool} is not installed"));
        }
    }
    for &row in &options.rows {
        measure_row(&mut lab, row, &mut results)?;
    }
    if options.profile {
        for &row in options.rows.iter().filter(|row| row.is_load()) {
            profile_row(&mut lab, row, &tools, &mut results)?;
        }
    }
    Ok(results)
}

fn measure_row(lab: &mut Lab, row: &'static Row, results: &mut Results) -> Result<()> {
    if row.is_load() && lab.wrk.is_none() {
        results.skip(row.name, "wrk is not installed");
        return Ok(());
    }
    if row.needs == Needs::Redis && programs::find("redis-server").is_none() {
        results.skip(row.name, "redis-server is not installed");
        return Ok(());
    }
    let kinds: Vec<Kind> = lab.able(row, results)?.iter().map(|p| p.kind).collect();
    if kinds.is_empty() {
        return Ok(());
    }
    let measured = lab.row(row, &kinds);
    if let Some(measured) = results.skip_failed(row.name, measured)? {
        results.rows.push(measured);
    }
    Ok(())
}

fn profile_row(
    lab: &mut Lab,
    row: &'static Row,
    tools: &Tools,
    results: &mut Results,
) -> Result<()> {
    // Who cannot serve the row was named when it was measured.
    let kinds: Vec<Kind> = lab
        .able(row, &mut Results::default())?
        .iter()
        .map(|program| program.kind)
        .filter(|kind| *kind != Kind::Haproxy)
        .collect();
    for kind in kinds {
        let what = format!("profile of {} with {}", row.name, kind.name());
        let profile = tools.profile(lab, row, kind);
        if let Some(profile) = results.skip_failed(&what, profile)? {
            results.profiles.push(profile);
        }
    }
    Ok(())
}

/// Finds the programs and sets everything up.
fn lab(options: &Options, results: &mut Results) -> Result<Lab> {
    let debug = options.smoke && cfg!(debug_assertions);
    let mut found = vec![Program::ngx(options.ngx.as_deref(), debug)?];
    let nginx = Program::nginx(options.nginx.as_deref());
    found.extend(results.skip_missing("nginx", nginx)?);
    let haproxy = Program::haproxy(options.haproxy.as_deref());
    found.extend(results.skip_missing("HAProxy", haproxy)?);
    results.programs = found
        .iter()
        .map(|program| (program.kind, named(program)))
        .collect();

    let haproxy = found.iter().any(|program| program.kind == Kind::Haproxy);
    let quota = match options.quota {
        0 => Err("none was asked for".to_owned()),
        percent => Quota::new(percent),
    };
    results.settings.quota = match &quota {
        Ok(quota) => quota.describe(),
        Err(reason) => format!("none ({reason})"),
    };
    if let (Err(reason), false) = (&quota, options.smoke) {
        eprintln!("no CPU quota: {reason}; rates will mean little");
    }
    Ok(Lab {
        programs: found,
        wrk: programs::find("wrk"),
        cores: Cores::choose(),
        quota: quota.ok(),
        backends: Backends::default(),
        site: Site::new()?,
        effort: Effort {
            idle: idle(options.effort.idle, haproxy),
            ..options.effort
        },
    })
}

/// The version of a program with its name in front.
fn named(program: &Program) -> String {
    if program.version.contains('/') {
        program.version.clone()
    } else {
        format!("{} {}", program.kind.name(), program.version)
    }
}

/// As many idle connections as there are descriptors for. HAProxy does not start without two for
/// each, one of them for a server behind it.
fn idle(wanted: usize, haproxy: bool) -> usize {
    let possible = machine::raise_descriptors().saturating_sub(OTHER_DESCRIPTORS);
    let possible = if haproxy { possible / 2 } else { possible };
    let possible = usize::try_from(possible).unwrap_or(usize::MAX).max(100);
    if possible < wanted {
        eprintln!("{possible} idle connections instead of {wanted}: no more descriptors");
    }
    wanted.min(possible)
}

/// Where cargo has put this program.
fn target_folder() -> Option<PathBuf> {
    env::current_exe()
        .ok()?
        .ancestors()
        .nth(2)
        .map(PathBuf::from)
}
