//! The load generator, and what it prints.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::process::Process;

/// What one run of wrk saw.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Report {
    pub(crate) requests: u64,
    /// How long it really ran.
    pub(crate) seconds: f64,
    /// Bytes of headers and bodies.
    pub(crate) bytes: f64,
    /// Responses that were not 2xx or 3xx, and failed connections, reads and writes.
    pub(crate) errors: u64,
}

/// How hard to try.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) clients: u32,
    pub(crate) seconds: u64,
    /// Where wrk runs.
    pub(crate) core: Option<usize>,
}

/// Runs wrk against this address and waits for its end.
pub(crate) fn run(wrk: &Path, url: &str, load: Load) -> Result<Report> {
    let mut command = Command::new(wrk);
    command
        .args(["--threads", "1", "--timeout", "10s"])
        .arg("--connections")
        .arg(load.clients.to_string())
        .arg("--duration")
        .arg(format!("{}s", load.seconds))
        .arg(url)
        .stdout(Stdio::piped());
    let process = Process::start("wrk", command, load.core)?;
    let text = process.output(Duration::from_secs(load.seconds + 30))?;
    match parse(&text) {
        Some(report) => Ok(report),
        None => Error::failed(format!("wrk said something unexpected:\n{text}")),
    }
}

/// Reads what wrk prints.
fn parse(text: &str) -> Option<Report> {
    let mut report = Report::default();
    let mut counted = false;
    for line in text.lines().map(str::trim) {
        if let Some((requests, rest)) = line.split_once(" requests in ") {
            let (seconds, read) = rest.split_once(", ")?;
            report.requests = requests.parse().ok()?;
            report.seconds = seconds_of(seconds)?;
            report.bytes = size(read.strip_suffix(" read")?)?;
            counted = true;
        } else if let Some(count) = line.strip_prefix("Non-2xx or 3xx responses: ") {
            report.errors += count.parse::<u64>().ok()?;
        } else if let Some(counts) = line.strip_prefix("Socket errors: ") {
            for count in counts.split(", ") {
                report.errors += count.split_once(' ')?.1.parse::<u64>().ok()?;
            }
        }
    }
    counted.then_some(report)
}

/// `1.50m` in seconds.
fn seconds_of(text: &str) -> Option<f64> {
    let units = [
        ("us", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    with_unit(text, &units)
}

/// `1.50MB` in bytes.
fn size(text: &str) -> Option<f64> {
    const K: f64 = 1024.0;
    let units = [
        ("KB", K),
        ("MB", K * K),
        ("GB", K * K * K),
        ("TB", K * K * K * K),
        ("B", 1.0),
    ];
    with_unit(text, &units)
}

fn with_unit(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(at);
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
Running 3s test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.93ms  820.11us  12.02ms   75.10%
    Req/Sec    33.01k     1.20k   35.48k    70.00%
  99012 requests in 3.01s, 16.05MB read
Requests/sec:  32894.35
Transfer/sec:      5.33MB
";

    #[test]
    fn a_good_run_is_read() {
        let report = parse(GOOD).unwrap();
        assert_eq!(report.requests, 99_012);
        assert!((report.seconds - 3.01).abs() < 1e-9);
        assert!((report.bytes - 16.05 * 1_048_576.0).abs() < 1.0);
        assert_eq!(report.errors, 0);
    }

    #[test]
    fn every_kind_of_error_counts() {
        let text = "  5 requests in 1.10m, 300B read\n  \
                    Socket errors: connect 1, read 2, write 3, timeout 4\n  \
                    Non-2xx or 3xx responses: 5\n";
        let report = parse(text).unwrap();
        assert_eq!(report.errors, 15);
        assert!((report.seconds - 66.0).abs() < 1e-9);
        assert!((report.bytes - 300.0).abs() < 1e-9);
    }

    #[test]
    fn something_else_is_not_a_report() {
        assert_eq!(
            parse("unable to connect to 127.0.0.1:1 Connection refused\n"),
            None
        );
        assert_eq!(parse("x requests in 1s, 1B read"), None);
        assert_eq!(parse("1 requests in 1 parsec, 1B read"), None);
    }
}
