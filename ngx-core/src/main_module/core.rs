//! Directives about processes and threads.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Affinity;
use crate::conf::{Args, ConfigSource, Problem, Setting};
use crate::module::{Arity, Conf, Contexts, Cx, Directive, Level, Module, Slot, Slots};

/// What the directives about processes and threads say.
#[derive(Debug)]
pub struct CoreConf {
    daemon: Setting<bool>,
    master_process: Setting<bool>,
    worker_processes: Setting<usize>,
    pid: Setting<Option<PathBuf>>,
    user: Setting<Option<Credentials>>,
    working_directory: Setting<Option<PathBuf>>,
    rlimit_nofile: Setting<Option<u64>>,
    shutdown_timeout: Setting<Option<Duration>>,
    priority: Setting<Option<i32>>,
    affinity: Setting<Affinity>,
    env: Vec<(String, Option<String>)>,
    pcre_jit: Setting<bool>,
    timer_resolution: Setting<Duration>,
    pub(super) events: Setting<()>,
}

/// Whose rights worker threads have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name of the user, which further groups are looked up by.
    pub name: String,
    /// The user.
    pub uid: u32,
    /// The user's main group.
    pub gid: u32,
}

impl CoreConf {
    /// That of a finished configuration.
    #[must_use]
    pub fn of(global: &Slots) -> &Self {
        CONF.of(global)
    }

    /// `daemon`: whether the server goes to the background.
    #[must_use]
    pub fn daemon(&self) -> bool {
        *self.daemon
    }

    /// `master_process`: whether a process of its own serves.
    #[must_use]
    pub fn master_process(&self) -> bool {
        *self.master_process
    }

    /// `worker_processes`: how many threads serve, at least one.
    #[must_use]
    pub fn workers(&self) -> usize {
        (*self.worker_processes).max(1)
    }

    /// `pid`, if it is set.
    #[must_use]
    pub fn pid_file(&self) -> Option<&Path> {
        self.pid.as_deref()
    }

    /// `user`, unless the server was started without the rights to change it.
    #[must_use]
    pub fn user(&self) -> Option<&Credentials> {
        self.user.as_ref()
    }

    /// `working_directory`.
    #[must_use]
    pub fn working_directory(&self) -> Option<&Path> {
        self.working_directory.as_deref()
    }

    /// `worker_rlimit_nofile`: how many files may be open.
    #[must_use]
    pub fn rlimit_nofile(&self) -> Option<u64> {
        *self.rlimit_nofile
    }

    /// `worker_shutdown_timeout`: how long a graceful end may take; as long as it needs if unset.
    #[must_use]
    pub fn shutdown_timeout(&self) -> Option<Duration> {
        *self.shutdown_timeout
    }

    /// `worker_priority`, as nice(1) counts.
    #[must_use]
    pub fn priority(&self) -> Option<i32> {
        *self.priority
    }

    /// `worker_cpu_affinity`.
    #[must_use]
    pub fn affinity(&self) -> &Affinity {
        &self.affinity
    }

    /// The environment that scripts are shown: `TZ` and what `env` directives name, with the
    /// server's own values unless the directive gives one.
    pub fn environment<'a>(
        &'a self,
        source: &'a dyn ConfigSource,
    ) -> impl Iterator<Item = (&'a str, String)> {
        let own = self.env.iter();
        let tz = (!own.clone().any(|(name, _)| name == "TZ")).then_some(("TZ", None));
        tz.into_iter()
            .chain(own.map(|(name, value)| (name.as_str(), value.clone())))
            .filter_map(|(name, value)| Some((name, value.or_else(|| source.env(name))?)))
    }

    /// Whether there is an `events` block.
    pub(crate) fn has_events(&self) -> bool {
        self.events.is_set()
    }
}

impl Default for CoreConf {
    fn default() -> Self {
        Self {
            daemon: Setting::new(true),
            master_process: Setting::new(true),
            worker_processes: Setting::new(1),
            pid: Setting::default(),
            user: Setting::default(),
            working_directory: Setting::default(),
            rlimit_nofile: Setting::default(),
            shutdown_timeout: Setting::default(),
            priority: Setting::default(),
            affinity: Setting::default(),
            env: Vec::new(),
            pcre_jit: Setting::default(),
            timer_resolution: Setting::default(),
            events: Setting::default(),
        }
    }
}

impl Conf for CoreConf {
    fn merge(&mut self, _parent: &Self) -> Result<(), Problem> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Problem> {
        match (self.affinity.masks(), self.affinity.set_at()) {
            (Some(masks), Some(span)) if masks > 1 && masks != self.workers() => {
                Err(Problem::warn(
                    span,
                    "the number of \"worker_processes\" is not equal to the number of \
                     \"worker_cpu_affinity\" masks, using last mask for remaining worker processes",
                ))
            }
            _ => Ok(()),
        }
    }
}

static CONF: Slot<CoreConf> = Slot::new(Level::Global);

pub(super) static MODULE: Module = Module {
    name: "ngx_core_module",
    directives: &[
        row(
            "daemon",
            Arity::FLAG,
            |cx, args| {
                let on = args.flag(0)?;
                conf(cx).daemon.set(on, args.span())
            },
            "on",
            "Whether the server goes to the background.",
        ),
        row(
            "master_process",
            Arity::FLAG,
            |cx, args| {
                let on = args.flag(0)?;
                conf(cx).master_process.set(on, args.span())
            },
            "on",
            "Whether a process of its own serves, with the rights of \"user\"; with \"off\" threads \
             of one process do.",
        ),
        row(
            "worker_processes",
            Arity::ONE,
            set_worker_processes,
            "1",
            "How many threads serve; \"auto\" is one per processor.",
        ),
        row(
            "pid",
            Arity::ONE,
            |cx, args| {
                let path = cx.full_path(args.arg(0));
                conf(cx).pid.set(Some(path), args.span())
            },
            "logs/nginx.pid",
            "The file for the number of the process, which \"-s\" reads.",
        ),
        row(
            "user",
            Arity::range(1, 2),
            set_user,
            "",
            "Whose rights the worker process has when the server is started by root. Without it \
             that keeps those of root.",
        ),
        row(
            "working_directory",
            Arity::ONE,
            |cx, args| {
                let path = cx.full_path(args.arg(0));
                conf(cx).working_directory.set(Some(path), args.span())
            },
            "",
            "The working directory of the worker process, where core files go.",
        ),
        row(
            "env",
            Arity::ONE,
            set_env,
            "TZ",
            "A variable, or a variable and its value, for the environment of the worker process, \
             which has no others but those of loaders (LD_*, LUA_PATH, ...).",
        ),
        row(
            "worker_rlimit_nofile",
            Arity::ONE,
            |cx, args| {
                let files = args.number(0)?;
                conf(cx).rlimit_nofile.set(Some(files), args.span())
            },
            "",
            "How many files the worker process may have open.",
        ),
        row(
            "worker_shutdown_timeout",
            Arity::ONE,
            |cx, args| {
                let time = args.time(0)?;
                conf(cx).shutdown_timeout.set(Some(time), args.span())
            },
            "",
            "How long a graceful shutdown may take, and what a configuration has begun that was \
             replaced.",
        ),
        row(
            "worker_priority",
            Arity::ONE,
            set_priority,
            "0",
            "The scheduling priority of serving threads, as nice(1) counts.",
        ),
        row(
            "worker_cpu_affinity",
            Arity::at_least(1),
            |cx, args| {
                let affinity = Affinity::parse(args)?;
                conf(cx).affinity.set(affinity, args.span())
            },
            "",
            "Which processors serving threads run on.",
        ),
        row(
            "load_module",
            Arity::ONE,
            set_load_module,
            "",
            "Accepted for modules that are built in; others are warned about, nothing is loaded.",
        ),
        row(
            "pcre_jit",
            Arity::FLAG,
            |cx, args| {
                let on = args.flag(0)?;
                conf(cx).pcre_jit.set(on, args.span())
            },
            "off",
            "Changes nothing: regular expressions are compiled to machine code wherever the \
             library can, and match the same either way.",
        ),
        row(
            "timer_resolution",
            Arity::ONE,
            |cx, args| {
                let time = args.time(0)?;
                conf(cx).timer_resolution.set(time, args.span())
            },
            "",
            "Changes nothing: the clock is read without asking the system, so there are no calls \
             to save.",
        ),
    ],
};

pub(super) fn conf<'a>(cx: &'a mut Cx<'_>) -> &'a mut CoreConf {
    cx.conf(&CONF)
}

const fn row(
    name: &'static str,
    arity: Arity,
    set: crate::module::Setter,
    default: &'static str,
    doc: &'static str,
) -> Directive {
    Directive {
        name,
        contexts: Contexts::MAIN,
        arity,
        set,
        default,
        doc,
    }
}

fn set_worker_processes(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let count = if args.arg(0).as_str() == "auto" {
        cx.source().cpu_count()
    } else {
        let word = args.arg(0);
        crate::conf::values::number(word.as_bytes())
            .ok()
            .and_then(|count| usize::try_from(count).ok())
            .filter(|count| (1..=MOST_WORKERS).contains(count))
            .ok_or_else(|| {
                Problem::of_directive(word.span(), "invalid number").with_help(format!(
                    "a number between 1 and {MOST_WORKERS}, or \"auto\""
                ))
            })?
    };
    conf(cx).worker_processes.set(count, args.span())
}

fn set_user(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    if conf(cx).user.is_set() {
        return conf(cx).user.set(None, args.span());
    }
    if !rustix::process::geteuid().is_root() {
        cx.report(args.warning(
            "the \"user\" directive makes sense only if the master process runs with super-user \
             privileges, ignored",
        ));
        return conf(cx).user.set(None, args.span());
    }
    let user = args.arg(0);
    let group = args.values().get(1).unwrap_or(user);
    let found = cx.source().user(user.as_str());
    let found = found.map_err(|error| {
        let text = crate::conf::describe(&error);
        args.problem_at(0, format!("getpwnam(\"{user}\") failed {text}"))
    })?;
    let found = found.ok_or_else(|| {
        args.problem_at(0, format!("getpwnam(\"{user}\") failed"))
            .with_help(format!("there is no user \"{user}\" on this machine"))
    })?;
    let gid = cx.source().group(group.as_str()).map_err(|error| {
        let text = crate::conf::describe(&error);
        args.problem_at(1, format!("getgrnam(\"{group}\") failed {text}"))
    })?;
    let gid = gid.ok_or_else(|| {
        args.problem_at(1, format!("getgrnam(\"{group}\") failed"))
            .with_help(format!("there is no group \"{group}\" on this machine"))
    })?;
    let credentials = Credentials {
        name: user.as_str().to_owned(),
        uid: found.uid,
        gid,
    };
    conf(cx).user.set(Some(credentials), args.span())
}

fn set_env(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let word = args.arg(0).as_str();
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (word, None),
    };
    conf(cx).env.push((name.to_owned(), value));
    Ok(())
}

fn set_priority(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let priority = args.arg(0).as_str().parse::<i32>();
    let priority = priority.ok().filter(|nice| (-20..=20).contains(nice));
    let priority = priority.ok_or_else(|| {
        Problem::of_directive(args.arg(0).span(), "invalid number")
            .with_help("a number from -20 (most urgent) to 20")
    })?;
    conf(cx).priority.set(Some(priority), args.span())
}

fn set_load_module(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let word = args.arg(0);
    let file = Path::new(word.as_str()).file_stem();
    let name = file.and_then(|file| file.to_str()).unwrap_or_default();
    if !cx.registry().has_module(name) {
        let warning = Problem::warn(
            word.span(),
            format!("module \"{word}\" is not built in, nothing is loaded"),
        );
        cx.warn_once(word.as_str(), warning);
    }
    Ok(())
}

/// More threads than any machine has use for; a slip of the finger must not start a million.
const MOST_WORKERS: usize = 4096;
