use std::collections::BTreeMap;

use super::*;
use crate::results::Settings;

fn measured(samples: &[f64], cpu_us: &[f64]) -> Measured {
    Measured {
        samples: samples.to_vec(),
        cpu_us: cpu_us.to_vec(),
    }
}

fn row(unit: Unit, goal: Goal, servers: &[(Kind, Measured)]) -> RowResult {
    RowResult {
        name: "row".to_owned(),
        title: "a row".to_owned(),
        unit,
        goal,
        servers: servers.iter().cloned().collect(),
    }
}

fn results(rows: Vec<RowResult>) -> Results {
    Results {
        rows,
        settings: Settings {
            limited: true,
            pinned: true,
            quota: "30 %".to_owned(),
            ..Settings::default()
        },
        ..Results::default()
    }
}

#[test]
fn a_row_has_medians_spreads_and_the_ratio() {
    let servers = [
        (
            Kind::Ngx,
            measured(&[24_000.0, 26_000.0, 25_000.0], &[4.25]),
        ),
        (Kind::Nginx, measured(&[20_000.0], &[5.0])),
    ];
    let row = row(Unit::RequestsPerSecond, Goal::Ratio(1.1), &servers);
    let expected = "| a row | 25\u{202f}000/s ± 4 % | 20\u{202f}000/s ± 0 % | **1.25** | \
                    ≥ 1.10, met | 4.2 µs | 5.0 µs |";
    assert_eq!(line(&row, false), expected);
}

#[test]
fn bytes_and_a_goal_that_is_missed() {
    let servers = [(Kind::Ngx, measured(&[1300.0], &[]))];
    let row = row(Unit::BytesPerConnection, Goal::Bytes(1200.0), &servers);
    let expected = "| a row | 1\u{202f}300 B ± 0 % | – | – | ≤ 1\u{202f}200 B, missed | – | – |";
    assert_eq!(line(&row, false), expected);
}

#[test]
fn haproxy_has_columns_only_where_it_was_measured() {
    let alone = [(Kind::Ngx, measured(&[1.0], &[]))];
    let three = [
        (Kind::Nginx, measured(&[2e8], &[])),
        (Kind::Haproxy, measured(&[1e9], &[])),
    ];
    let unit = Unit::BytesPerSecond;
    let without = results(vec![row(unit, Goal::Ratio(1.0), &alone)]);
    assert!(!table(&without).contains("HAProxy"));
    let with = results(vec![row(unit, Goal::Ratio(1.0), &three)]);
    let text = table(&with);
    assert!(
        text.contains("| 1\u{202f}000 MB/s ± 0 % | 5.00 |"),
        "{text}"
    );
}

#[test]
fn every_line_of_a_table_has_as_many_cells() {
    let servers = [(Kind::Haproxy, measured(&[1.0], &[]))];
    let results = results(vec![row(Unit::BytesPerSecond, Goal::Ratio(1.0), &servers)]);
    let text = table(&results);
    let counts: Vec<usize> = text
        .lines()
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.matches('|').count())
        .collect();
    assert_eq!(counts, [10, 10, 10]);
}

#[test]
fn figures_that_mean_little_are_called_so() {
    let servers = [(Kind::Ngx, measured(&[50.0, 100.0, 150.0], &[]))];
    let mut results = results(vec![row(Unit::BytesPerSecond, Goal::Ratio(1.0), &servers)]);
    assert_eq!(
        warnings(&results),
        ["Noisy, with a spread above 10 %: a row."]
    );
    results.settings.limited = false;
    results.settings.pinned = false;
    results.machine.load = 3.0;
    assert_eq!(warnings(&results).len(), 4);
}

#[test]
fn what_was_skipped_is_said() {
    let mut results = results(Vec::new());
    results.skip("say", "unknown directive \"content_by_lua_block\"");
    assert!(table(&results).contains("\n* say: unknown directive \"content_by_lua_block\"\n"));
}

#[test]
fn a_profile_lists_calls_by_their_number() {
    let calls = [("epoll_wait", 0.0625), ("writev", 1.0), ("recvfrom", 1.5)];
    let profile = Profile {
        row: "row".to_owned(),
        title: "a row".to_owned(),
        server: Kind::Nginx,
        calls: calls.map(|(name, count)| (name.to_owned(), count)).into(),
        instructions: Some(7013.2),
    };
    let text = profiles(std::slice::from_ref(&profile));
    let expected =
        "| a row | nginx | 7\u{202f}013 | 2.56 | recvfrom 1.5, writev 1, epoll_wait 0.06 |\n";
    assert!(text.ends_with(expected), "{text}");

    let nothing = Profile {
        calls: BTreeMap::new(),
        instructions: None,
        ..profile
    };
    assert!(profiles(&[nothing]).ends_with("| a row | nginx | – | – |  |\n"));
}

#[test]
fn times_of_benches_have_their_unit() {
    let bench = Bench {
        name: "a/b".to_owned(),
        median_ns: 1500.0,
        low_ns: 999.0,
        high_ns: 2.5e6,
    };
    assert!(benches(&[bench]).ends_with("| a/b | 1.50 µs | 999.0 ns to 2.50 ms |\n"));
}
