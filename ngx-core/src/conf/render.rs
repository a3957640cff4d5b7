//! A problem as text: nginx's line, the source line with carets, notes and help.

use std::fmt::{self, Write as _};

use super::diagnostics::{Diagnostics, Problem};
use super::span::{SourceMap, Span};

pub(super) fn problem(
    f: &mut fmt::Formatter<'_>,
    all: &Diagnostics,
    problem: &Problem,
) -> fmt::Result {
    writeln!(
        f,
        "nginx: [{}] {}",
        problem.severity.as_str(),
        all.headline(problem)
    )?;
    let files = all.files();
    excerpt(f, files, problem.span, '^')?;
    for (span, text) in &problem.notes {
        match files.locate(*span) {
            Some(place) => writeln!(f, "{:GUTTER$}   note: {text} in {place}", "")?,
            None => writeln!(f, "{:GUTTER$}   note: {text}", "")?,
        }
        excerpt(f, files, *span, '-')?;
    }
    if let Some(help) = &problem.help {
        writeln!(f, "{:GUTTER$}   help: {help}", "")?;
    }
    Ok(())
}

/// The line on which `span` starts, and a mark under the part of `span` that is on it.
fn excerpt(f: &mut fmt::Formatter<'_>, files: &SourceMap, span: Span, mark: char) -> fmt::Result {
    let span = files.complete(span);
    let Some(line) = files.line_of(span) else {
        return Ok(());
    };
    let start = usize::try_from(span.column).map_or(0, |column| column.saturating_sub(1));
    let width = usize::try_from(span.end - span.start).unwrap_or(0);
    let start = start.min(line.len());
    let end = start.saturating_add(width).min(line.len());
    let (before, rest) = line.split_at(start);
    let (marked, after) = rest.split_at(end - start);

    let (before, clipped) = tail(&printable(before), MAX_BEFORE);
    let marked = head(&printable(marked), MAX_MARKED);
    let after = head(&printable(after), MAX_AFTER);
    let ellipsis = if clipped { "..." } else { "" };
    let shown = format!("{:>GUTTER$} | {ellipsis}{before}{marked}{after}", span.line);
    writeln!(f, "{}", shown.trim_end())?;

    write!(f, "{:GUTTER$} | {:2$}", "", "", ellipsis.len())?;
    for c in before.chars() {
        // A tab stays a tab, so that the marks stand right at any tab width.
        f.write_char(if c == '\t' { '\t' } else { ' ' })?;
    }
    for _ in 0..marked.chars().count().max(1) {
        f.write_char(mark)?;
    }
    f.write_char('\n')
}

/// The text with everything that a terminal would act on replaced.
pub(super) fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| {
            if c.is_control() && c != '\t' {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

fn head(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

fn tail(text: &str, max: usize) -> (String, bool) {
    let count = text.chars().count();
    (
        text.chars().skip(count.saturating_sub(max)).collect(),
        count > max,
    )
}

/// Line numbers up to 9999 are aligned.
const GUTTER: usize = 4;
const MAX_BEFORE: usize = 60;
const MAX_MARKED: usize = 80;
const MAX_AFTER: usize = 60;
