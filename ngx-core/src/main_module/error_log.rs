//! `error_log`, outside of all blocks and within `http`.

use std::fmt;
use std::sync::Arc;

use crate::conf::{Args, Problem, Setting, Span};
use crate::error::errno;
use crate::log::{
    ErrorLog, Json, Level as LogLevel, LineFormat, LogFiles, LogSink, ParseLevelError, Stderr,
    Syslog, SyslogOptions,
};
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
        arity: Arity::at_least(1),
        set: set_error_log,
        default: "logs/error.log error",
        doc: "Where messages go (a file, \"stderr\" or \"syslog:\" with its parameters), and how \
              grave they must be. May be repeated. The levels \"debug_core\", \"debug_http\" and \
              so on mean \"debug\". \"format=json\", an extension, writes an object a line.",
    }],
};

fn set_error_log(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let (level, format) = options(args)?;
    let sink = sink(cx, args)?;
    let slot = if cx.context() == Contexts::MAIN {
        &MAIN
    } else {
        &BLOCK
    };
    let sink = match format {
        LineFormat::Text => sink,
        LineFormat::Json => Arc::new(Json(sink)),
    };
    let sinks = cx.conf(slot).sinks.set_mut(args.span());
    sinks.push((level, sink));
    Ok(())
}

/// `[level | debug_part ...] [format=text|json]`
fn options(args: &Args<'_>) -> Result<(LogLevel, LineFormat), Problem> {
    let mut level = None;
    let mut format = None;
    for (i, word) in args.values().iter().enumerate().skip(1) {
        let word = word.as_str();
        if let Some(name) = word.strip_prefix("format=") {
            let known = match name {
                "text" => LineFormat::Text,
                "json" => LineFormat::Json,
                _ => {
                    return Err(args
                        .problem_at(i, format!("unknown error log format \"{name}\""))
                        .with_help("it must be one of \"text\", \"json\""));
                }
            };
            if format.replace(known).is_some() {
                return Err(args.problem_at(i, "duplicate error log format"));
            }
            continue;
        }
        let part = DEBUG_PARTS.contains(&word);
        let known = if part {
            LogLevel::Debug
        } else {
            let parsed = word.parse();
            parsed.map_err(|error| level_problem(args, i, &error))?
        };
        // Parts of "debug" add up.
        let repeats = level
            .replace(known)
            .is_some_and(|other| !part || other != known);
        if repeats {
            return Err(args.problem_at(i, format!("duplicate log level \"{word}\"")));
        }
    }
    Ok((level.unwrap_or(LogLevel::Error), format.unwrap_or_default()))
}

fn level_problem(args: &Args<'_>, i: usize, error: &ParseLevelError) -> Problem {
    let names: Vec<&str> = LogLevel::ALL.iter().map(|level| level.name()).collect();
    args.problem_at(i, error.to_string())
        .with_help(format!("it must be one of {}", names.join(", ")))
}

fn sink(cx: &Cx<'_>, args: &Args<'_>) -> Result<Arc<dyn LogSink>, Problem> {
    let name = args.arg(0);
    // As in nginx, a log without a name is there too.
    if name.as_str() == "stderr" || name.is_empty() {
        return Ok(Arc::new(Stderr));
    }
    if let Some(parameters) = name.as_str().strip_prefix("syslog:") {
        return Ok(Arc::new(syslog(cx, args, parameters)?));
    }
    if name.as_str().starts_with("memory:") {
        return Err(args
            .problem_at(0, "\"memory:\" logs are not implemented")
            .with_help("they are read with a debugger; log to a file or to \"stderr\""));
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

/// The destination that the first argument, `syslog:` and `parameters`, names.
pub(crate) fn syslog(cx: &Cx<'_>, args: &Args<'_>, parameters: &str) -> Result<Syslog, Problem> {
    let source = cx.source();
    let hostname = source.hostname().map_err(|error| {
        let text = crate::conf::describe(&error);
        args.problem_at(0, format!("gethostname() failed {text}"))
    })?;
    SyslogOptions::parse(parameters, &hostname, &|name| source.lookup(name))
        .map(Syslog::new)
        .map_err(|error| {
            args.problem_at(0, error.to_string())
                .with_help(error.help())
        })
}

/// Parts of the server that nginx debugs one by one; here they are one.
const DEBUG_PARTS: [&str; 7] = [
    "debug_core",
    "debug_alloc",
    "debug_mutex",
    "debug_event",
    "debug_http",
    "debug_mail",
    "debug_stream",
];
