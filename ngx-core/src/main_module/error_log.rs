//! `error_log`, outside of all blocks and within `http`.

use std::fmt;
use std::sync::Arc;

use crate::conf::{Args, Problem, Setting, Span};
use crate::error::errno;
use crate::log::{ErrorLog, Level as LogLevel, LogFiles, LogSink, Stderr};
use crate::module::{Arity, Conf, Contexts, Cx, Directive, Level, Module, Slot, Slots};

/// The log of requests that have these configurations; `None` means that of the process.
#[must_use]
pub fn error_log_of(slots: &Slots) -> Option<Arc<ErrorLog>> {
    BLOCK.of(slots).log.clone()
}

/// The log that `error_log` directives outside of all blocks make, if there are any.
#[must_use]
pub fn main_error_log(global: &Slots) -> Option<Arc<ErrorLog>> {
    MAIN.of(global).log.clone()
}

/// The `error_log` directives of one block.
#[derive(Default)]
struct ErrorLogConf {
    sinks: Setting<Vec<(LogLevel, Arc<dyn LogSink>)>>,
    log: Option<Arc<ErrorLog>>,
}

impl fmt::Debug for ErrorLogConf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorLogConf")
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

impl Conf for ErrorLogConf {
    /// A block with a log of its own takes over nothing: it exists because it has one.
    fn merge(&mut self, parent: &Self) -> Result<(), Problem> {
        self.sinks.merge(&parent.sinks);
        Ok(())
    }

    fn places(&self, tell: &mut dyn FnMut(Span)) {
        self.sinks.set_at().into_iter().for_each(tell);
    }

    fn finish(&mut self) -> Result<(), Problem> {
        if self.sinks.is_set() {
            self.log = Some(Arc::new(ErrorLog::new(self.sinks.iter().cloned())));
        }
        Ok(())
    }
}

static MAIN: Slot<ErrorLogConf> = Slot::new(Level::Global);
static BLOCK: Slot<ErrorLogConf> = Slot::new(Level::Location);

pub(super) static MODULE: Module = Module {
    name: "ngx_errlog_module",
    directives: &[Directive {
        name: "error_log",
        contexts: Contexts::MAIN
            .or(Contexts::HTTP)
            .or(Contexts::SERVER)
            .or(Contexts::LOCATION),
        arity: Arity::range(1, 2),
        set: set_error_log,
        default: "logs/error.log error",
        doc: "Where messages go, and how grave they must be. May be repeated.",
    }],
};

fn set_error_log(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let level = match args.values().get(1) {
        None => LogLevel::Error,
        Some(word) => word
            .as_str()
            .parse()
            .map_err(|error| level_problem(args, &error))?,
    };
    let sink = sink(cx, args)?;
    let slot = if cx.context() == Contexts::MAIN {
        &MAIN
    } else {
        &BLOCK
    };
    let sinks = cx.conf(slot).sinks.set_mut(args.span());
    sinks.push((level, sink));
    Ok(())
}

fn level_problem(args: &Args<'_>, error: &crate::log::ParseLevelError) -> Problem {
    let names: Vec<&str> = LogLevel::ALL.iter().map(|level| level.name()).collect();
    args.problem_at(1, error.to_string())
        .with_help(format!("it must be one of {}", names.join(", ")))
}

fn sink(cx: &Cx<'_>, args: &Args<'_>) -> Result<Arc<dyn LogSink>, Problem> {
    let name = args.arg(0);
    if name.as_str() == "stderr" {
        return Ok(Arc::new(Stderr));
    }
    for prefix in ["syslog:", "memory:"] {
        if name.as_str().starts_with(prefix) {
            let message = format!("\"{prefix}\" logs are not implemented");
            return Err(args
                .problem_at(0, message)
                .with_help("log to a file or to \"stderr\""));
        }
    }
    let path = cx.full_path(name);
    let Some(files) = cx.registry().extension::<Arc<LogFiles>>() else {
        return Err(args.problem_at(0, "this program has no log files"));
    };
    let file = files.open(&path).map_err(|error| {
        let message = format!("open() \"{}\" failed {}", path.display(), errno(&error));
        args.problem_at(0, message)
    })?;
    Ok(file)
}
