//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::measure::Effort;
use crate::rows::{ROWS, Row};

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) rows: Vec<&'static Row>,
    pub(crate) effort: Effort,
    /// Percent of a core, 0 for no limit.
    pub(crate) quota: u32,
    pub(crate) profile: bool,
    /// Quick and without claims.
    pub(crate) smoke: bool,
    /// Figures to show instead of measuring.
    pub(crate) from: Option<PathBuf>,
    pub(crate) json: Option<PathBuf>,
    /// Where `performance.md` is to be filled in.
    pub(crate) docs: Option<PathBuf>,
    pub(crate) ngx: Option<PathBuf>,
    pub(crate) nginx: Option<PathBuf>,
    pub(crate) haproxy: Option<PathBuf>,
}

/// Reads the command line, the name of the program first.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    let smoke = matches.get_flag("smoke");
    let number = |name, usual: u64, short: u64| {
        let given = matches.get_one::<u64>(name).copied();
        given.unwrap_or(if smoke { short } else { usual })
    };
    let small = |name, usual, short| u32::try_from(number(name, usual, short)).unwrap_or(u32::MAX);
    let path = |name| matches.get_one::<PathBuf>(name).cloned();
    Ok(Options {
        rows: rows(&matches),
        effort: Effort {
            seconds: number("seconds", 3, 1),
            rounds: small("rounds", 5, 1),
            clients: small("clients", 64, 8),
            idle: usize::try_from(number("idle", 10_000, 500)).unwrap_or(usize::MAX),
            warm_up: !smoke,
        },
        quota: small("quota", 30, 0),
        profile: matches.get_flag("profile"),
        smoke,
        from: path("from"),
        json: path("json"),
        docs: path("docs"),
        ngx: path("ngx"),
        nginx: path("nginx"),
        haproxy: path("haproxy"),
    })
}

fn rows(matches: &ArgMatches) -> Vec<&'static Row> {
    let wanted: Option<Vec<&String>> = matches.get_many("rows").map(Iterator::collect);
    let is_wanted = |row: &&Row| {
        let all = wanted.as_ref();
        all.is_none_or(|names| names.iter().any(|name| name.as_str() == row.name))
    };
    ROWS.iter().filter(is_wanted).collect()
}

fn command() -> Command {
    let names = PossibleValuesParser::new(ROWS.iter().map(|row| row.name));
    let rows = Arg::new("rows")
        .long("rows")
        .value_name("NAMES")
        .value_delimiter(',')
        .value_parser(names)
        .help("Measures these alone");
    let docs = path(
        "docs",
        "Fills in performance.md in this folder [docs], with chart and JSON",
    );
    Command::new("side-by-side")
        .about("Measures ngx side by side with nginx and HAProxy on the same configuration")
        .arg(rows)
        .arg(number("seconds", 1, "Seconds of one sample [3]"))
        .arg(number("rounds", 1, "Samples of each server [5]"))
        .arg(number(
            "clients",
            1,
            "Connections of the load generator [64]",
        ))
        .arg(number(
            "idle",
            100,
            "Connections of the row about idle ones [10000]",
        ))
        .arg(number(
            "quota",
            0,
            "Percent of a core for a server, 0 for no limit [30]",
        ))
        .arg(flag(
            "profile",
            "Counts system calls and instructions per request too",
        ))
        .arg(flag(
            "smoke",
            "Shows in seconds that everything works; the figures mean nothing",
        ))
        .arg(path(
            "from",
            "Shows the figures of this JSON file instead of measuring",
        ))
        .arg(path("json", "Writes the figures to this file"))
        .arg(docs.num_args(0..=1).default_missing_value("docs"))
        .arg(path(
            "ngx",
            "The ngx to measure; built in release mode unless given",
        ))
        .arg(path(
            "nginx",
            "The nginx to compare with; looked for unless given",
        ))
        .arg(path(
            "haproxy",
            "The HAProxy to compare with; looked for unless given",
        ))
}

fn number(name: &'static str, least: u64, what: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("N")
        .value_parser(value_parser!(u64).range(least..))
        .help(what)
}

fn path(name: &'static str, what: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("PATH")
        .value_parser(value_parser!(PathBuf))
        .help(what)
}

fn flag(name: &'static str, what: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .action(ArgAction::SetTrue)
        .help(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Result<Options, clap::Error> {
        parse(
            std::iter::once("side-by-side")
                .chain(line.split_whitespace())
                .map(OsString::from),
        )
    }

    #[test]
    fn the_usual_run_measures_everything() {
        let options = options("").unwrap();
        assert_eq!(options.rows.len(), ROWS.len());
        assert_eq!((options.effort.seconds, options.effort.rounds), (3, 5));
        assert_eq!((options.quota, options.effort.clients), (30, 64));
        assert!(options.effort.warm_up && !options.profile && options.docs.is_none());
    }

    #[test]
    fn rows_are_chosen_by_name_in_the_order_of_the_table() {
        let options = options("--rows idle,return-200").unwrap();
        let names: Vec<&str> = options.rows.iter().map(|row| row.name).collect();
        assert_eq!(names, ["return-200", "idle"]);
    }

    #[test]
    fn smoke_is_short_unless_told_otherwise() {
        let options = options("--smoke --seconds 2 --docs").unwrap();
        assert_eq!((options.effort.seconds, options.effort.rounds), (2, 1));
        assert_eq!(options.docs, Some("docs".into()));
        assert!(!options.effort.warm_up);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "--rows nothing",
            "--seconds 0",
            "--idle 5",
            "--rounds x",
            "more",
        ] {
            assert!(options(line).is_err(), "{line}");
        }
    }
}
