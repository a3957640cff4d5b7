//! What `cargo bench -p benches` has left in the target folder.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::results::Bench;

#[derive(Deserialize)]
struct Names {
    full_id: String,
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    confidence_interval: Interval,
    point_estimate: f64,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

/// The newest figure of every bench under `target/criterion`, by name; none if it was never run.
pub(crate) fn read(target: &Path) -> Vec<Bench> {
    let mut benches = Vec::new();
    collect(&target.join("criterion"), &mut benches);
    benches.sort_by(|a, b| a.name.cmp(&b.name));
    benches
}

fn collect(folder: &Path, benches: &mut Vec<Bench>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_name() == "new" {
            benches.extend(bench(&path));
        } else if path.is_dir() {
            collect(&path, benches);
        }
    }
}

fn bench(folder: &Path) -> Option<Bench> {
    let read = |name| fs::read_to_string(folder.join(name)).ok();
    let names: Names = serde_json::from_str(&read("benchmark.json")?).ok()?;
    let estimates: Estimates = serde_json::from_str(&read("estimates.json")?).ok()?;
    let median = estimates.median;
    Some(Bench {
        name: names.full_id,
        median_ns: median.point_estimate,
        low_ns: median.confidence_interval.lower_bound,
        high_ns: median.confidence_interval.upper_bound,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_figures_are_found_in_any_depth() {
        let target = tempfile::tempdir().unwrap();
        for (folder, name) in [("b/deep/new", "b/deep"), ("a/new", "a"), ("a/base", "old")] {
            let folder = target.path().join("criterion").join(folder);
            fs::create_dir_all(&folder).unwrap();
            let names = format!("{{\"full_id\":\"{name}\",\"title\":\"x\"}}");
            fs::write(folder.join("benchmark.json"), names).unwrap();
            let estimates = "{\"mean\":1,\"median\":{\"confidence_interval\":{\
                \"confidence_level\":0.95,\"lower_bound\":1.0,\"upper_bound\":3.0},\
                \"point_estimate\":2.0,\"standard_error\":0.1}}";
            fs::write(folder.join("estimates.json"), estimates).unwrap();
        }
        let benches = read(target.path());
        let names: Vec<&str> = benches.iter().map(|bench| bench.name.as_str()).collect();
        assert_eq!(names, ["a", "b/deep"]);
        assert_eq!((benches[0].median_ns, benches[0].high_ns), (2.0, 3.0));
    }

    #[test]
    fn a_target_folder_without_benches_is_fine() {
        assert_eq!(read(Path::new("/no/such/folder")), []);
    }
}
