//! Messages of a server that has no configuration yet, or is never to have one.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use ngx_core::conf::Diagnostics;
use ngx_core::cycle::{Cycle, CycleError};
use ngx_core::error::errno;
use ngx_core::log::{ErrorLog, Level, LogFiles, LogSink, Stderr, set_default};

/// The log when the command line names neither a log nor a prefix.
pub(crate) const ERROR_LOG: &str = "/var/log/ngx/error.log";

/// Where messages go until the configuration says where: to the terminal, and to the log file of
/// the command line.
pub(crate) struct Early {
    sink: Option<Arc<dyn LogSink>>,
    console: Level,
}

impl Early {
    /// Opens the log `path`, which may be `stderr`. When it cannot be had, that is said, and the
    /// terminal must do.
    pub(crate) fn open(files: &LogFiles, path: &Path, quiet: bool) -> Self {
        if path == Path::new(ERROR_LOG)
            && let Some(folder) = path.parent()
        {
            // The place that nobody has chosen is made; if it cannot be, opening says why.
            let _ = std::fs::create_dir_all(folder);
        }
        let sink: Option<Arc<dyn LogSink>> = if path.as_os_str() == "stderr" {
            None
        } else {
            files
                .open(path)
                .map_err(|error| {
                    eprintln!(
                        "nginx: [alert] could not open error log file: open() \"{}\" failed {}",
                        path.display(),
                        errno(&error)
                    );
                })
                .ok()
                .map(|file| file as _)
        };
        let console = if quiet { Level::Error } else { Level::Warn };
        let early = Self { sink, console };
        early.to_both();
        early
    }

    /// The log file, for a configuration that names none.
    pub(crate) fn sink(&self) -> Arc<dyn LogSink> {
        self.sink
            .as_ref()
            .map_or_else(|| Arc::new(Stderr) as _, Arc::clone)
    }

    /// Whether there is a log file.
    pub(crate) fn has_file(&self) -> bool {
        self.sink.is_some()
    }

    /// From now on messages go to the terminal and to the log file.
    pub(crate) fn to_both(&self) {
        let file = self.sink.iter().cloned().map(|sink| (Level::Notice, sink));
        let console: Arc<dyn LogSink> = Arc::new(Console);
        set_default(Arc::new(ErrorLog::new(
            file.chain([(self.console, console)]),
        )));
    }

    /// Says why there is no configuration.
    pub(crate) fn refuse(&self, error: &CycleError) {
        match error {
            CycleError::Config(problems) => self.problems(problems),
            other => other.log(),
        }
    }

    /// Says everything that is wrong: at length on the terminal, a line each in the log.
    pub(crate) fn problems(&self, problems: &Diagnostics) {
        eprint!("{problems}");
        self.to_file();
        CycleError::Config(Box::new(problems.clone())).log();
        self.to_both();
    }

    /// Says what is worth a warning.
    pub(crate) fn warnings(&self, cycle: &Cycle) {
        if !cycle.warnings().is_empty() && self.console >= Level::Warn {
            eprint!("{}", cycle.warnings());
        }
        self.to_file();
        cycle.log_warnings();
        self.to_both();
    }

    fn to_file(&self) {
        let file = self.sink.iter().cloned().map(|sink| (Level::Notice, sink));
        set_default(Arc::new(ErrorLog::new(file)));
    }
}

/// The terminal: `nginx: [level] message`, without the time and the numbers of the log.
struct Console;

impl LogSink for Console {
    fn write_line(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let short = shortened(&line).unwrap_or_else(|| line.to_string());
        let _nobody_to_tell = std::io::stderr().lock().write_all(short.as_bytes());
    }
}

/// A line of the log, `TIME [level] PID#TID: message`, for the terminal.
fn shortened(line: &str) -> Option<String> {
    let (_time, rest) = line.split_once(" [")?;
    let (level, rest) = rest.split_once("] ")?;
    let (_numbers, message) = rest.split_once(": ")?;
    Some(format!("nginx: [{level}] {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_gets_level_and_message() {
        let line = "2026/11/21 02:00:33 [emerg] 12#13: bind() to [::]:80 failed (98: in use)\n";
        let short = "nginx: [emerg] bind() to [::]:80 failed (98: in use)\n";
        assert_eq!(shortened(line).as_deref(), Some(short));
        assert_eq!(shortened("something else\n"), None);
    }
}
