//! Access logs: `log_format`, `access_log`.

mod escape;
mod format;
mod named;
mod target;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::escape::Escape;
use self::format::{COMBINED, Format};
use self::named::NamedTarget;
use self::target::Target;
use crate::conf::{Args, Problem, Setting, Span, Word, values};
use crate::error::errno;
use crate::http::core;
use crate::http::module::{HttpModule, Ordered, Phase};
use crate::http::request::Request;
use crate::http::step::PhaseStep;
use crate::log::{LogFiles, Syslog};
use crate::main_module::syslog;
use crate::module::{Arity, Conf, Contexts, Cx, Directive, Level, Module, Slot};
use crate::script::{Template, Variables};

/// The module of access logs.
pub(in crate::http) static MODULE: HttpModule = HttpModule {
    phases: &[(
        Phase::Log,
        Ordered {
            name: "log",
            before: &[],
            after: &[],
            run: log,
        },
    )],
    handles_at: Some(|location, _, _| !LOGS.of(&location.slots).list.is_empty()),
    finish: Some(add_default),
    ..HttpModule::new(&DESCRIPTOR)
};

const PLACES: Contexts = Contexts::HTTP.or(Contexts::SERVER).or(Contexts::LOCATION);

static DESCRIPTOR: Module = Module {
    name: "ngx_http_log_module",
    directives: &[
        Directive {
            name: "log_format",
            contexts: Contexts::HTTP,
            arity: Arity::at_least(2),
            set: set_log_format,
            default: "combined \"...\"",
            doc: "What the lines of access logs say.",
        },
        Directive {
            name: "access_log",
            contexts: PLACES.or(Contexts::IF_LOCATION).or(Contexts::LIMIT_EXCEPT),
            arity: Arity::at_least(1),
            set: set_access_log,
            default: "logs/access.log combined",
            doc: "Where requests are logged (a file, or \"syslog:\" with its parameters), and how. \
                  May be repeated.",
        },
    ],
};

static LOGS: Slot<Logs> = Slot::new(Level::Location);

/// The `access_log` directives of one block.
#[derive(Default)]
struct Logs {
    list: Setting<Vec<AccessLog>>,
    off: bool,
}

impl Conf for Logs {
    /// A block with logs of its own has those alone.
    fn merge(&mut self, parent: &Self) -> Result<(), Problem> {
        self.list.merge(&parent.list);
        Ok(())
    }

    fn places(&self, tell: &mut dyn FnMut(Span)) {
        self.list.set_at().into_iter().for_each(tell);
    }

    fn finish(&mut self) -> Result<(), Problem> {
        if self.off {
            self.list.adjust(Vec::new());
        }
        Ok(())
    }
}

/// One `access_log`.
#[derive(Clone)]
struct AccessLog {
    target: Destination,
    format: Arc<Format>,
    /// `if=`
    condition: Option<Arc<Template>>,
}

/// Where the lines of a log go.
#[derive(Clone)]
enum Destination {
    /// To a file that was opened with the configuration.
    File(Arc<Target>),
    /// To one that the request names.
    Named(Arc<NamedTarget>),
    /// To a server.
    Syslog(Arc<Syslog>),
}

impl Destination {
    fn write(&self, r: &Request, line: &[u8]) {
        match self {
            Self::File(target) => target.write(line),
            Self::Named(target) => target.write(r, line),
            Self::Syslog(syslog) => syslog.send(line),
        }
    }
}

/// The formats and files of the configuration that is being read.
#[derive(Default)]
struct Known {
    formats: HashMap<String, Arc<Format>>,
    targets: HashMap<PathBuf, Arc<Target>>,
}

fn log(r: &Request) -> PhaseStep {
    for log in r.conf(&LOGS).list.iter() {
        if let Some(condition) = &log.condition
            && matches!(&*condition.eval_bytes(r), b"" | b"0")
        {
            continue;
        }
        log.format.with_line(r, |line| log.target.write(r, line));
    }
    PhaseStep::DECLINED
}

/// `log_format name [escape=default|json|none] string ...`
fn set_log_format(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let name = args.arg(0).as_str();
    if name == "combined" || cx.part::<Known>().formats.contains_key(name) {
        return Err(args.problem_at(0, format!("duplicate \"log_format\" name \"{name}\"")));
    }
    let (escape, first) = match args.arg(1).as_str().strip_prefix("escape=") {
        None => (Escape::Default, 1),
        Some("default") => (Escape::Default, 2),
        Some("json") => (Escape::Json, 2),
        Some("none") => (Escape::None, 2),
        Some(other) => {
            return Err(args
                .problem_at(1, format!("unknown log format escaping \"{other}\""))
                .with_help("it must be one of \"default\", \"json\", \"none\""));
        }
    };
    let text: String = args.values().iter().skip(first).map(Word::as_str).collect();
    let format = Format::compile(&text, escape, cx.part::<Variables<Request>>())
        .map_err(|error| args.problem_at(first, error.to_string()))?;
    cx.part::<Known>()
        .formats
        .insert(name.to_owned(), Arc::new(format));
    Ok(())
}

/// `access_log path [format [buffer=size] [flush=time] [if=condition]]`,
/// `access_log syslog:... [format [if=condition]]`, `access_log off`
fn set_access_log(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let path = args.arg(0).as_str();
    if path == "off" {
        if args.values().len() > 1 {
            let message = format!("invalid parameter \"{}\"", args.arg(1));
            return Err(args.problem_at(1, message));
        }
        let logs = cx.conf(&LOGS);
        logs.off = true;
        logs.list.set_mut(args.span());
        return Ok(());
    }
    let format = match args.values().get(1) {
        None => find_format(cx, "combined"),
        Some(name) => find_format(cx, name.as_str()),
    };
    let unknown = || args.problem_at(1, format!("unknown log format \"{}\"", args.arg(1)));
    let format = format.ok_or_else(|| {
        unknown().with_help("a \"log_format\" stands before the \"access_log\" that names it")
    })?;
    let options = Options::read(cx, args)?;
    let log = AccessLog {
        target: destination(cx, args, &options)?,
        format,
        condition: options.condition,
    };
    cx.conf(&LOGS).list.set_mut(args.span()).push(log);
    Ok(())
}

/// A path with variables is opened when a request is logged, any other now; syslog needs no more
/// than its address.
fn destination(
    cx: &mut Cx<'_>,
    args: &Args<'_>,
    options: &Options,
) -> Result<Destination, Problem> {
    let path = args.arg(0);
    if let Some(parameters) = path.as_str().strip_prefix("syslog:") {
        if options.buffer > 0 {
            return Err(args.problem_at(0, "logs to syslog cannot be buffered"));
        }
        let syslog = syslog(cx, args, parameters)?;
        return Ok(Destination::Syslog(Arc::new(syslog)));
    }
    if !path.as_str().contains('$') {
        let target = open(cx, cx.full_path(path), options);
        let target = target.map_err(|message| args.problem_at(0, message))?;
        return Ok(Destination::File(target));
    }
    if options.buffer > 0 {
        return Err(args.problem_at(0, "buffered logs cannot have variables in name"));
    }
    let template = Template::compile(path.as_bytes(), cx.part::<Variables<Request>>())
        .map_err(|error| args.problem_at(0, error.to_string()))?;
    let mut prefix = Vec::new();
    if !path.as_str().starts_with('/') {
        // With the slash that parts the two.
        prefix.extend_from_slice(cx.prefix().join("").as_os_str().as_bytes());
    }
    let target = NamedTarget::new(prefix.into(), template);
    Ok(Destination::Named(Arc::new(target)))
}

/// What stands behind the format.
#[derive(Default)]
struct Options {
    buffer: usize,
    flush: Option<Duration>,
    condition: Option<Arc<Template>>,
}

impl Options {
    fn read(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<Self, Problem> {
        let mut options = Self::default();
        for (i, word) in args.values().iter().enumerate().skip(2) {
            let word = word.as_str();
            if let Some(text) = word.strip_prefix("buffer=") {
                options.buffer = match values::size(text.as_bytes()) {
                    Ok(size @ 1..) => size,
                    _ => return Err(args.problem_at(i, format!("invalid buffer size \"{text}\""))),
                };
            } else if let Some(text) = word.strip_prefix("flush=") {
                options.flush = match values::time(text.as_bytes()) {
                    Ok(time) if !time.is_zero() => Some(time),
                    _ => return Err(args.problem_at(i, format!("invalid flush time \"{text}\""))),
                };
            } else if let Some(text) = word.strip_prefix("if=") {
                let condition = Template::compile(text, cx.part::<Variables<Request>>())
                    .map_err(|error| args.problem_at(i, error.to_string()))?;
                options.condition = Some(Arc::new(condition));
            } else if word == "gzip" || word.starts_with("gzip=") {
                return Err(args
                    .problem_at(i, "compressed access logs are not implemented")
                    .with_help("compress the file when it is rotated"));
            } else {
                return Err(args.problem_at(i, format!("invalid parameter \"{word}\"")));
            }
        }
        if options.flush.is_some() && options.buffer == 0 {
            let message = format!("no buffer is defined for access_log \"{}\"", args.arg(0));
            return Err(args.problem(message).with_help("add \"buffer=64k\""));
        }
        Ok(options)
    }
}

fn find_format(cx: &mut Cx<'_>, name: &str) -> Option<Arc<Format>> {
    if let Some(format) = cx.part::<Known>().formats.get(name) {
        return Some(Arc::clone(format));
    }
    if name != "combined" {
        return None;
    }
    // Compiled when it is used for the first time: its variables are in use then.
    let variables = cx.part::<Variables<Request>>();
    let format = Arc::new(Format::compile(COMBINED, Escape::Default, variables).ok()?);
    cx.part::<Known>()
        .formats
        .insert(name.to_owned(), Arc::clone(&format));
    Some(format)
}

/// The file of this path, opened while configuring: a log that cannot be written is an error of
/// the configuration.
fn open(cx: &mut Cx<'_>, path: PathBuf, options: &Options) -> Result<Arc<Target>, String> {
    let (buffer, flush) = (options.buffer, options.flush);
    if let Some(target) = cx.part::<Known>().targets.get(&path) {
        // A log without parameters takes the buffer that another one has given to the file.
        if buffer == 0 || (buffer, flush) == (target.buffer, target.flush) {
            return Ok(Arc::clone(target));
        }
        if target.buffer != 0 {
            let path = path.display();
            return Err(format!(
                "access_log \"{path}\" already defined with conflicting parameters"
            ));
        }
    }
    let Some(files) = cx.registry().extension::<Arc<LogFiles>>() else {
        return Err("this program has no log files".to_owned());
    };
    let file = files
        .open(&path)
        .map_err(|error| format!("open() \"{}\" failed {}", path.display(), errno(&error)))?;
    let target = Arc::new(Target::new(file, buffer, flush));
    cx.part::<Known>().targets.insert(path, Arc::clone(&target));
    Ok(target)
}

/// The log of servers that nobody has said anything to. A program without log files has none.
fn add_default(cx: &mut Cx<'_>) -> Result<(), Problem> {
    if cx.conf(&LOGS).list.is_set()
        || cx.registry().extension::<Arc<LogFiles>>().is_none()
        || !core::any_server(cx, |scope| !scope.conf(&LOGS).list.is_set())
    {
        return Ok(());
    }
    let Some(format) = find_format(cx, "combined") else {
        return Ok(());
    };
    let path = cx.prefix().join("logs/access.log");
    let target = match open(cx, path, &Options::default()) {
        Ok(target) => target,
        Err(message) => {
            // Nobody has asked for this one: it must not keep the server from starting.
            let warning = format!("{message}, so requests are not logged");
            cx.report(
                Problem::warn(Span::NOWHERE, warning)
                    .with_help("name a file with \"access_log\", or say \"access_log off;\""),
            );
            return Ok(());
        }
    };
    let log = AccessLog {
        target: Destination::File(target),
        format,
        condition: None,
    };
    cx.conf(&LOGS).list.set_mut(Span::NOWHERE).push(log);
    Ok(())
}
