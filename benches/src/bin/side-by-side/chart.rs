//! A bar chart of the ratios to nginx, as SVG.

use std::fmt::Write as _;

use crate::results::{Goal, Kind, Results, RowResult, Unit};

const WIDTH: f64 = 760.0;
/// Where bars begin, how long the longest may be, and where numbers end.
const LEFT: f64 = 290.0;
const LONGEST: f64 = 400.0;
const RIGHT: f64 = 744.0;
const TOP: f64 = 64.0;
const BAR: f64 = 16.0;
const GAP: f64 = 14.0;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1f2937}\
    .title{font-size:16px;font-weight:600}.small{font-size:11px;fill:#6b7280}\
    .ngx{fill:#2563eb}.missed{fill:#d97706}.haproxy{fill:#9ca3af}\
    .line{stroke:#1f2937;stroke-width:1}.goal{stroke:#dc2626;stroke-width:2}";

/// One bar.
#[derive(Debug, PartialEq)]
struct Bar {
    kind: Kind,
    ratio: f64,
}

/// The chart. A bar is the longer, the better: memory is turned round.
pub(crate) fn svg(results: &Results) -> String {
    let rows: Vec<(&RowResult, Vec<Bar>)> = results
        .rows
        .iter()
        .map(|row| (row, bars(row)))
        .filter(|(_, bars)| !bars.is_empty())
        .collect();
    let greatest = rows
        .iter()
        .flat_map(|(row, bars)| bars.iter().map(|bar| bar.ratio).chain(goal(row)))
        .fold(1.2, f64::max);
    let scale = LONGEST / greatest;
    let mut body = String::new();
    let mut y = TOP;
    for (row, bars) in &rows {
        draw_row(&mut body, row, bars, (y, scale));
        y += BAR * bars.len() as f64 + GAP;
    }
    let bottom = y;
    let x = LEFT + scale;
    let _ = write!(
        body,
        "<line class=\"line\" x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\"/>\
         <text class=\"small\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">nginx = 1</text>",
        TOP - 8.0,
        TOP - 14.0,
    );
    let height = bottom + 46.0;
    let [colours, versions] = legend(results);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
         width=\"{WIDTH}\" height=\"{height:.0}\" role=\"img\" \
         aria-label=\"ngx in relation to nginx\">\n<style>{STYLE}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text class=\"title\" x=\"16\" y=\"26\">ngx in relation to nginx, longer is better</text>\n\
         {body}\n<text class=\"small\" x=\"16\" y=\"{:.1}\">{colours}</text>\n\
         <text class=\"small\" x=\"16\" y=\"{:.1}\">{versions}</text>\n</svg>\n",
        bottom + 16.0,
        bottom + 32.0,
    )
}

fn bars(row: &RowResult) -> Vec<Bar> {
    let better = |ratio: f64| match row.unit {
        Unit::BytesPerConnection => 1.0 / ratio,
        Unit::RequestsPerSecond | Unit::BytesPerSecond => ratio,
    };
    [Kind::Ngx, Kind::Haproxy]
        .into_iter()
        .filter_map(|kind| {
            let ratio = better(row.ratio(kind)?);
            (ratio.is_finite() && ratio > 0.0).then_some(Bar { kind, ratio })
        })
        .collect()
}

/// Where the row's bar is to end at least; a goal in bytes in relation to what nginx uses.
fn goal(row: &RowResult) -> Option<f64> {
    match row.goal {
        Goal::Ratio(least) => Some(least),
        Goal::Bytes(most) => Some(row.servers.get(&Kind::Nginx)?.median()? / most),
    }
}

fn draw_row(out: &mut String, row: &RowResult, bars: &[Bar], (y, scale): (f64, f64)) {
    let middle = y + BAR * bars.len() as f64 / 2.0;
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
        LEFT - 10.0,
        middle + 4.5,
        escaped(&row.title),
    );
    for (at, bar) in bars.iter().enumerate() {
        let top = y + BAR * at as f64;
        let class = match bar.kind {
            Kind::Haproxy => "haproxy",
            _ if row.reached() == Some(false) => "missed",
            _ => "ngx",
        };
        let length = bar.ratio * scale;
        let _ = writeln!(
            out,
            "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{length:.1}\" \
             height=\"{:.1}\" rx=\"2\"/>\
             <text class=\"small\" x=\"{RIGHT}\" y=\"{:.1}\" text-anchor=\"end\">{:.2}</text>",
            top + 1.0,
            BAR - 2.0,
            top + 12.0,
            bar.ratio,
        );
    }
    if let Some(goal) = goal(row) {
        let x = LEFT + goal * scale;
        let _ = writeln!(
            out,
            "<line class=\"goal\" x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\"/>",
            y - 2.0,
            y + BAR + 2.0,
        );
    }
}

/// What the colours are, and whose figures these are.
fn legend(results: &Results) -> [String; 2] {
    let has_haproxy = results.programs.contains_key(&Kind::Haproxy);
    let haproxy = if has_haproxy { " · grey: HAProxy" } else { "" };
    let noisy = if results.machine.was_busy() {
        " · noisy: the machine was busy"
    } else {
        ""
    };
    let versions: Vec<&str> = results.programs.values().map(String::as_str).collect();
    let versions = versions.join(", ");
    [
        format!("red mark: goal · blue: ngx, goal met · orange: ngx, missed{haproxy}"),
        escaped(&format!("{versions} · {}{noisy}", results.machine.date)),
    ]
}

/// Text without Markdown that XML can hold.
fn escaped(text: &str) -> String {
    text.replace('`', "")
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Measured;

    fn row(title: &str, unit: Unit, samples: &[(Kind, f64)]) -> RowResult {
        let measured = |sample| Measured {
            samples: vec![sample],
            cpu_us: Vec::new(),
        };
        let servers = samples
            .iter()
            .map(|(kind, sample)| (*kind, measured(*sample)));
        RowResult {
            name: title.to_owned(),
            title: title.to_owned(),
            unit,
            goal: Goal::Ratio(1.0),
            servers: servers.collect(),
        }
    }

    #[test]
    fn less_memory_is_a_longer_bar() {
        let samples = [(Kind::Ngx, 500.0), (Kind::Nginx, 1000.0)];
        let ratio = |unit| bars(&row("a", unit, &samples))[0].ratio;
        assert!((ratio(Unit::BytesPerConnection) - 2.0).abs() < 1e-9);
        assert!((ratio(Unit::RequestsPerSecond) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_row_without_nginx_has_no_bar() {
        let alone = row("a", Unit::RequestsPerSecond, &[(Kind::Ngx, 5.0)]);
        assert_eq!(bars(&alone), []);
        let zero = row(
            "a",
            Unit::BytesPerConnection,
            &[(Kind::Ngx, 0.0), (Kind::Nginx, 1.0)],
        );
        assert_eq!(bars(&zero), []);
    }

    #[test]
    fn the_longest_bar_fits_and_names_are_escaped() {
        let samples = [
            (Kind::Ngx, 50.0),
            (Kind::Nginx, 10.0),
            (Kind::Haproxy, 20.0),
        ];
        let results = Results {
            rows: vec![row("`a` <&b>", Unit::BytesPerSecond, &samples)],
            ..Results::default()
        };
        let text = svg(&results);
        assert!(text.contains(&format!("width=\"{LONGEST:.1}\"")), "{text}");
        assert!(text.contains(">a &lt;&amp;b&gt;<"), "{text}");
        assert_eq!(text.matches("<rect class=").count(), 2);
        assert!(text.contains(">5.00<") && text.contains(">2.00<"), "{text}");
    }
}
