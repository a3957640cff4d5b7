//! From a file to a finished configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::contexts::Contexts;
use super::cx::Cx;
use super::parts::Parts;
use super::registry::Registry;
use super::slots::Slots;
use crate::conf::{
    ConfigSource, Diagnostics, MemorySource, Node, Reader, Record, RecordedSource, Recorder,
    SourceMap,
};

/// What the command line says about a configuration.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Where relative names of files start from (`-p`).
    pub prefix: PathBuf,
    /// Directives that come before those of the file (`-g`).
    pub directives: String,
}

/// A configuration that can be used.
#[derive(Debug)]
pub struct Loaded {
    /// The configurations outside of all blocks.
    pub global: Slots,
    /// What blocks left behind.
    pub parts: Parts,
    /// Everything that was read.
    pub record: Record,
    /// What is worth a warning.
    pub warnings: Diagnostics,
}

/// Reads a configuration and runs its directives.
///
/// # Errors
///
/// Everything that is wrong with it, not only the first thing, and all warnings, in the order of
/// the files.
pub fn load(
    registry: &Registry,
    source: &dyn ConfigSource,
    main_file: &Path,
    options: &LoadOptions,
) -> Result<Loaded, Diagnostics> {
    let recorder = Recorder::new(source);
    let folder = main_file.parent().unwrap_or_else(|| Path::new(""));
    let raw_names = |name: &str| registry.is_raw(name);
    let mut reader = Reader::new(&recorder, folder, &raw_names);
    let mut nodes = reader.command_line(&options.directives);
    nodes.extend(reader.main_file(main_file));

    let mut diagnostics = Diagnostics::new(Arc::new(reader.files));
    for problem in reader.problems {
        diagnostics.report(problem);
    }
    let mut cx = Cx::new(registry, &recorder, options, folder, diagnostics);
    cx.evaluate(&nodes, Contexts::MAIN);
    drop(nodes);
    cx.run_deferred();
    let (global, parts, mut diagnostics) = cx.into_results();
    let global = global.finish(&Slots::default(), &mut diagnostics);

    diagnostics.sort();
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    Ok(Loaded {
        global,
        parts,
        record: recorder.into_record(),
        warnings: diagnostics,
    })
}

/// The directives of a configuration that was loaded, as written, at the same places.
#[must_use]
pub fn reread(registry: &Registry, record: &Record, files: &SourceMap) -> Vec<Node> {
    let source = RecordedSource::new(Arc::new(record.clone()));
    let (directives, main_file) = files.given();
    let folder = main_file.parent().unwrap_or_else(|| Path::new(""));
    let raw_names = |name: &str| registry.is_raw(name);
    let mut reader = Reader::new(&source, folder, &raw_names);
    let mut nodes = reader.command_line(&directives);
    nodes.extend(reader.main_file(main_file));
    nodes
}

/// Reads arbitrary bytes as a configuration and shows what is wrong with them; for fuzzing.
#[doc(hidden)]
pub fn fuzz_config(data: &[u8]) {
    let source = MemorySource::new()
        .with_file("/ngx.conf", data)
        .with_file("/a.conf", "a b;");
    let Ok(registry) = Registry::new(&[]) else {
        return;
    };
    let loaded = load(
        &registry,
        &source,
        Path::new("/ngx.conf"),
        &LoadOptions::default(),
    );
    if let Err(diagnostics) = loaded {
        assert!(
            !diagnostics.to_string().is_empty(),
            "a refusal has a reason"
        );
    }
}

#[cfg(test)]
mod tests;
