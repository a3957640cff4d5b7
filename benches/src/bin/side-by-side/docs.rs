//! Writes figures where docs/performance.md has places for them.

use std::fs;
use std::path::Path;

use crate::chart;
use crate::error::{Doing as _, Error, Result};
use crate::results::Results;
use crate::table;

/// Fills in `performance.md` in this folder and writes the chart and the figures beside it.
pub(crate) fn write(results: &Results, folder: &Path) -> Result<()> {
    let page = folder.join("performance.md");
    let text = fs::read_to_string(&page).doing(|| format!("cannot read {}", page.display()))?;
    let mut parts = vec![("table", table::table(results))];
    // What was not measured this time stays as it is.
    if !results.profiles.is_empty() {
        parts.push(("profile", table::profiles(&results.profiles)));
    }
    if !results.criterion.is_empty() {
        parts.push(("criterion", table::benches(&results.criterion)));
    }
    let text = parts.iter().try_fold(text, |text, (name, part)| {
        let filled = fill(&text, name, part);
        filled.map_or_else(
            || Error::failed(format!("{} has no place called {name}", page.display())),
            Ok,
        )
    })?;
    fs::write(&page, text).doing(|| format!("cannot write {}", page.display()))?;
    let drawing = folder.join("performance.svg");
    fs::write(&drawing, chart::svg(results))
        .doing(|| format!("cannot write {}", drawing.display()))?;
    results.write(&folder.join("performance.json"))
}

/// Replaces what stands between the two marks of this place.
fn fill(text: &str, name: &str, part: &str) -> Option<String> {
    let begin = format!("<!-- begin {name} -->\n");
    let end = format!("<!-- end {name} -->");
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{part}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Title\n<!-- begin table -->\nold\n<!-- end table -->\nend\n";

    #[test]
    fn a_place_is_filled_again_and_again() {
        let once = fill(PAGE, "table", "new").unwrap();
        let expected = "# Title\n<!-- begin table -->\n\nnew\n<!-- end table -->\nend\n";
        assert_eq!(once, expected);
        assert_eq!(fill(&once, "table", "new").unwrap(), once);
        assert_eq!(fill(PAGE, "other", "new"), None);
    }

    #[test]
    fn the_page_keeps_a_profile_that_was_not_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("performance.md");
        let profile = "<!-- begin profile -->\nkept\n<!-- end profile -->\n";
        fs::write(&page, format!("{PAGE}{profile}")).unwrap();
        write(&Results::default(), folder.path()).unwrap();
        let text = fs::read_to_string(&page).unwrap();
        assert!(
            text.contains("ngx / nginx") && text.contains("kept"),
            "{text}"
        );
        assert!(folder.path().join("performance.svg").is_file());
        let read = Results::read(&folder.path().join("performance.json")).unwrap();
        assert!(read.rows.is_empty());
    }

    #[test]
    fn a_page_without_the_place_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("performance.md"), "nothing\n").unwrap();
        let error = write(&Results::default(), folder.path())
            .unwrap_err()
            .to_string();
        assert!(error.ends_with("has no place called table"), "{error}");
    }
}
