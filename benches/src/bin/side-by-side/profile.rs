//! What one request costs, counted instead of timed: system calls by strace, instructions outside
//! the kernel by callgrind. Two runs that differ by a known number of requests are subtracted, so
//! that starting, connecting and ending cost nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::client::Clients;
use crate::error::{Doing as _, Error, Result};
use crate::measure::{How, Lab};
use crate::programs;
use crate::results::{Kind, Profile};
use crate::rows::Row;
use crate::server::Tool;

/// Requests are asked for by so many connections at once.
const CONNECTIONS: usize = 16;

/// Less than so many calls per request belong to something that happens now and then.
const SELDOM: f64 = 0.005;

/// The tools that are installed.
#[derive(Debug)]
pub(crate) struct Tools {
    strace: Option<PathBuf>,
    valgrind: Option<PathBuf>,
}

impl Tools {
    pub(crate) fn find() -> Self {
        Self {
            strace: programs::find("strace"),
            valgrind: programs::find("valgrind"),
        }
    }

    /// The names of those that are not installed.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let tools = [("strace", &self.strace), ("valgrind", &self.valgrind)];
        let missing = tools.into_iter().filter(|(_, path)| path.is_none());
        missing.map(|(name, _)| name).collect()
    }

    /// Counts what one request of a row costs a server.
    pub(crate) fn profile(&self, lab: &mut Lab, row: &Row, kind: Kind) -> Result<Profile> {
        let mut profile = Profile {
            row: row.name.to_owned(),
            title: row.title.to_owned(),
            server: kind,
            calls: BTreeMap::new(),
            instructions: None,
        };
        // Rounds of all connections; large bodies differ by hundreds of calls each.
        let (few, many) = if row.is_large() { (1, 3) } else { (5, 65) };
        let requests = ((many - few) * CONNECTIONS) as f64;
        if let Some(strace) = &self.strace {
            eprintln!("{}: system calls of {}", row.name, kind.name());
            let with_few = count_calls(lab, (row, kind), strace, few)?;
            let with_many = count_calls(lab, (row, kind), strace, many)?;
            profile.calls = per_request(&with_few, &with_many, requests);
        }
        if let Some(valgrind) = &self.valgrind {
            eprintln!("{}: instructions of {}", row.name, kind.name());
            let with_few = count_instructions(lab, (row, kind), valgrind, few)?;
            let with_many = count_instructions(lab, (row, kind), valgrind, many)?;
            let more = with_many.saturating_sub(with_few);
            profile.instructions = Some(more as f64 / requests);
        }
        Ok(profile)
    }
}

type Served<'a> = (&'a Row, Kind);

/// Starts a server under a tool, asks it, and ends it.
fn serve(lab: &mut Lab, (row, kind): Served<'_>, tool: &Tool, rounds: usize) -> Result<()> {
    let server = lab.start(row, kind, How::under(tool))?;
    let mut clients = Clients::new(server.port, row.target, row.body)?;
    clients.grow(CONNECTIONS)?;
    clients.ask(rounds)?;
    server.stop()
}

fn count_calls(
    lab: &mut Lab,
    served: Served<'_>,
    strace: &Path,
    rounds: usize,
) -> Result<BTreeMap<String, f64>> {
    let counts = lab.site.path().join("strace.out");
    let tool = Tool::Strace(strace.to_owned(), counts.clone());
    serve(lab, served, &tool, rounds)?;
    let text = fs::read_to_string(&counts).doing(|| "cannot read strace's counts".to_owned())?;
    let calls = calls(&text);
    if calls.is_empty() {
        return Error::failed("strace has counted nothing");
    }
    Ok(calls)
}

fn count_instructions(
    lab: &mut Lab,
    served: Served<'_>,
    valgrind: &Path,
    rounds: usize,
) -> Result<u64> {
    let folder = lab.site.path().join("callgrind");
    let doing = || format!("cannot use {}", folder.display());
    // What a run that failed has left.
    if folder.exists() {
        fs::remove_dir_all(&folder).doing(doing)?;
    }
    fs::create_dir(&folder).doing(doing)?;
    // A worker of nginx writes its file with the rights of another user.
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(&folder, all).doing(doing)?;
    let tool = Tool::Callgrind(valgrind.to_owned(), folder.join("out"));
    serve(lab, served, &tool, rounds)?;
    let mut sum = 0;
    for entry in fs::read_dir(&folder).doing(doing)? {
        let path = entry.doing(doing)?.path();
        sum += instructions(&fs::read_to_string(&path).doing(doing)?).unwrap_or(0);
    }
    fs::remove_dir_all(&folder).doing(doing)?;
    if sum == 0 {
        return Error::failed("callgrind has counted nothing");
    }
    Ok(sum)
}

/// The table that `strace -c` writes.
fn calls(text: &str) -> BTreeMap<String, f64> {
    let rows = text.lines().filter_map(|line| {
        // % time, seconds, usecs/call, calls, errors (often empty), syscall
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (name, count) = (words.last()?, words.get(3)?.parse().ok()?);
        (*name != "total").then(|| ((*name).to_owned(), count))
    });
    rows.collect()
}

/// The sum at the end of a file of callgrind.
fn instructions(text: &str) -> Option<u64> {
    let sums = |name| {
        text.lines()
            .rev()
            .find_map(move |line| line.strip_prefix(name))
    };
    let line = sums("totals:").or_else(|| sums("summary:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn per_request(
    few: &BTreeMap<String, f64>,
    many: &BTreeMap<String, f64>,
    requests: f64,
) -> BTreeMap<String, f64> {
    let per_request = many.iter().map(|(name, count)| {
        let before = few.get(name).copied().unwrap_or(0.0);
        (name.clone(), (count - before) / requests)
    });
    per_request.filter(|(_, count)| *count >= SELDOM).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: &str = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 48.02    0.003641           3      1041           writev
 36.51    0.002768           2      1042         1 recvfrom
  0.00    0.000000           0         3           epoll_wait
------ ----------- ----------- --------- --------- ----------------
100.00    0.007582           2      2086         1 total
";

    #[test]
    fn counts_of_strace() {
        let calls = calls(COUNTS);
        let expected = [
            ("epoll_wait", 3.0),
            ("recvfrom", 1042.0),
            ("writev", 1041.0),
        ];
        assert_eq!(
            calls,
            expected
                .map(|(name, count)| (name.to_owned(), count))
                .into()
        );
    }

    #[test]
    fn what_both_runs_did_is_free() {
        let few = [("open", 50.0), ("writev", 10.0)];
        let many = [("open", 50.0), ("writev", 110.0), ("brk", 0.1)];
        let map = |rows: &[(&str, f64)]| {
            rows.iter()
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect()
        };
        let calls = per_request(&map(&few), &map(&many), 100.0);
        assert_eq!(calls, map(&[("writev", 1.0)]));
    }

    #[test]
    fn sums_of_callgrind() {
        let text = "version: 1\nevents: Ir\nsummary: 7\n\nfn=(1)\n+3 4\n\ntotals: 123456\n";
        assert_eq!(instructions(text), Some(123_456));
        assert_eq!(instructions("events: Ir\nsummary: 7\n"), Some(7));
        assert_eq!(instructions("events: Ir\n"), None);
    }
}
