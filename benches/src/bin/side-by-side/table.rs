//! Figures as Markdown, for the terminal and for docs/performance.md.

use std::fmt::Write as _;

use crate::results::{Bench, Goal, Kind, Measured, Profile, Results, RowResult, Unit};

/// From which spread on a figure is called noisy.
const NOISY: f64 = 0.10;

/// The table and what has to be said about it.
pub(crate) fn table(results: &Results) -> String {
    let with_haproxy = results
        .rows
        .iter()
        .any(|row| row.servers.contains_key(&Kind::Haproxy));
    let mut lines = vec![head(with_haproxy)];
    lines.extend(results.rows.iter().map(|row| line(row, with_haproxy)));
    let mut text = lines.join("\n");
    text.push_str("\n\n");
    text.push_str(&notes(results));
    text
}

fn head(with_haproxy: bool) -> String {
    let mut names = vec![
        "",
        "ngx",
        "nginx",
        "ngx / nginx",
        "goal",
        "CPU of ngx",
        "CPU of nginx",
    ];
    if with_haproxy {
        names.extend(["HAProxy", "HAProxy / nginx"]);
    }
    let rule = names
        .iter()
        .map(|name| if name.is_empty() { "---" } else { "---:" });
    format!("{}\n{}", cells(names.iter().copied()), cells(rule))
}

fn line(row: &RowResult, with_haproxy: bool) -> String {
    let of = |kind| row.servers.get(&kind);
    let amount = |kind| of(kind).map_or_else(none, |measured| figure(row.unit, measured));
    let cpu = |kind| {
        let median = of(kind).and_then(|measured| crate::stats::median(&measured.cpu_us));
        median.map_or_else(none, microseconds)
    };
    let ratio = |kind| {
        row.ratio(kind)
            .map_or_else(none, |ratio| format!("{ratio:.2}"))
    };
    let mut line = vec![
        row.title.clone(),
        amount(Kind::Ngx),
        amount(Kind::Nginx),
        row.ratio(Kind::Ngx)
            .map_or_else(none, |ratio| format!("**{ratio:.2}**")),
        goal(row),
        cpu(Kind::Ngx),
        cpu(Kind::Nginx),
    ];
    if with_haproxy {
        line.extend([amount(Kind::Haproxy), ratio(Kind::Haproxy)]);
    }
    cells(line.iter().map(String::as_str))
}

fn none() -> String {
    "–".to_owned()
}

fn goal(row: &RowResult) -> String {
    let goal = match row.goal {
        Goal::Ratio(least) => format!("≥ {least:.2}"),
        Goal::Bytes(most) => format!("≤ {} B", grouped(most)),
    };
    match row.reached() {
        Some(true) => format!("{goal}, met"),
        Some(false) => format!("{goal}, missed"),
        None => goal,
    }
}

fn figure(unit: Unit, measured: &Measured) -> String {
    let Some(median) = measured.median() else {
        return none();
    };
    let amount = match unit {
        Unit::RequestsPerSecond => format!("{}/s", grouped(median)),
        Unit::BytesPerSecond => format!("{} MB/s", grouped(median / 1e6)),
        Unit::BytesPerConnection => format!("{} B", grouped(median)),
    };
    format!("{amount} ± {:.0} %", measured.spread() * 100.0)
}

fn microseconds(us: f64) -> String {
    if us < 1000.0 {
        format!("{us:.1} µs")
    } else {
        format!("{:.2} ms", us / 1000.0)
    }
}

/// A whole number with a thin gap between thousands.
fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    if number < 0.0 {
        text.push('-');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

fn cells<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut line = String::from("|");
    for word in words {
        let _ = write!(line, " {word} |");
    }
    line
}

fn notes(results: &Results) -> String {
    let machine = &results.machine;
    let settings = &results.settings;
    let versions: Vec<&str> = results.programs.values().map(String::as_str).collect();
    let mut text = format!(
        "{}, {}, {} cores, Linux {}. {}. {} clients, {} rounds of {} s for each server in turn; \
         medians, ± half the distance between the least and the greatest. {} idle connections. \
         CPU is per request. Quota of a server: {}. Server and load generator {}.\n",
        machine.date,
        machine.cpu,
        machine.cores,
        machine.kernel,
        versions.join(", "),
        settings.clients,
        settings.rounds,
        settings.seconds,
        grouped(settings.idle as f64),
        settings.quota,
        if settings.pinned {
            "have a core each"
        } else {
            "share their cores"
        },
    );
    for warning in warnings(results) {
        let _ = write!(text, "\n**{warning}**\n");
    }
    if !results.skipped.is_empty() {
        text.push_str("\nNot measured:\n\n");
        for skipped in &results.skipped {
            let _ = writeln!(text, "* {}: {}", skipped.what, skipped.why.trim());
        }
    }
    text
}

/// Why the figures are not to be believed.
fn warnings(results: &Results) -> Vec<String> {
    let mut warnings = Vec::new();
    let measured = results
        .rows
        .iter()
        .any(|row| row.unit != Unit::BytesPerConnection);
    if measured && !results.settings.limited {
        warnings.push(
            "Without a quota the load generator may be what was measured: of these figures, \
             only CPU per request and memory mean much."
                .to_owned(),
        );
    }
    if measured && !results.settings.pinned {
        warnings.push("Server and load generator have disturbed each other.".to_owned());
    }
    if results.machine.was_busy() {
        warnings.push(format!(
            "Noisy: the machine was busy with other things ({:.1} cores just before the run).",
            results.machine.load
        ));
    }
    let noisy: Vec<&str> = results
        .rows
        .iter()
        .filter(|row| {
            row.servers
                .values()
                .any(|measured| measured.spread() > NOISY)
        })
        .map(|row| row.title.as_str())
        .collect();
    if !noisy.is_empty() {
        warnings.push(format!(
            "Noisy, with a spread above {:.0} %: {}.",
            NOISY * 100.0,
            noisy.join("; ")
        ));
    }
    warnings
}

/// What one request costs each server.
pub(crate) fn profiles(profiles: &[Profile]) -> String {
    let names = ["", "server", "instructions", "system calls", "which"];
    let mut lines = vec![cells(names), cells(["---", "---", "---:", "---:", "---"])];
    for profile in profiles {
        let mut calls: Vec<(&str, f64)> = profile
            .calls
            .iter()
            .map(|(name, count)| (name.as_str(), *count))
            .collect();
        calls.sort_by(|a, b| b.1.total_cmp(&a.1));
        let sum: f64 = calls.iter().map(|(_, count)| count).sum();
        let which: Vec<String> = calls
            .iter()
            .map(|(name, count)| format!("{name} {}", short(*count)))
            .collect();
        let instructions = profile.instructions.map_or_else(none, grouped);
        lines.push(cells([
            profile.title.as_str(),
            profile.server.name(),
            &instructions,
            &if calls.is_empty() { none() } else { short(sum) },
            &which.join(", "),
        ]));
    }
    lines.join("\n") + "\n"
}

fn short(count: f64) -> String {
    let text = format!("{count:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The medians of criterion.
pub(crate) fn benches(benches: &[Bench]) -> String {
    let mut lines = vec![
        cells(["bench", "median", "95 % confidence interval"]),
        cells(["---", "---:", "---:"]),
    ];
    for bench in benches {
        let interval = format!("{} to {}", time(bench.low_ns), time(bench.high_ns));
        lines.push(cells([
            bench.name.as_str(),
            &time(bench.median_ns),
            &interval,
        ]));
    }
    lines.join("\n") + "\n"
}

fn time(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.1} ns"),
        ns if ns < 1e6 => format!("{:.2} µs", ns / 1e3),
        ns if ns < 1e9 => format!("{:.2} ms", ns / 1e6),
        ns => format!("{:.2} s", ns / 1e9),
    }
}

#[cfg(test)]
mod tests;
