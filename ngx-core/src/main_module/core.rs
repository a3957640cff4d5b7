//! Directives about processes and threads.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Affinity;
use crate::conf::{Args, Problem, Setting};
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
    rlimit_core: Setting<Option<u64>>,
    shutdown_timeout: Setting<Option<Duration>>,
    priority: Setting<Option<i32>>,
    affinity: Setting<Affinity>,
    env: Vec<Env>,
    /// The server's own, for when no directive names it.
    tz: Option<String>,
    pcre_jit: Setting<bool>,
    timer_resolution: Setting<Duration>,
    lock_file: Setting<()>,
    debug_points: Setting<()>,
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

/// One `env` directive.
#[derive(Debug)]
struct Env {
    name: String,
    /// The directive's, or the server's own when the configuration was read.
    value: Option<String>,
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

    /// `worker_rlimit_core`: how large a core file may be, in bytes.
    #[must_use]
    pub fn rlimit_core(&self) -> Option<u64> {
        *self.rlimit_core
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

    /// The environment of the serving side, which scripts see: `TZ` and what `env` directives name,
    /// with the values that the server had when the configuration was read unless the directive
    /// gives one. Nothing else is in it. Of a name that is there twice the last one counts.
    pub fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = |name: &str| self.env.iter().any(|env| env.name == name);
        let tz = self.tz.as_deref().filter(|_| !named("TZ"));
        let last = |at: usize, name: &str| {
            let mut later = self.env.iter().skip(at + 1);
            !later.any(|env| env.name == name)
        };
        let own = self.env.iter().enumerate();
        tz.map(|value| ("TZ", value)).into_iter().chain(
            own.filter(move |(at, env)| last(*at, &env.name))
                .filter_map(|(_, env)| Some((env.name.as_str(), env.value.as_deref()?))),
        )
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
            rlimit_core: Setting::default(),
            shutdown_timeout: Setting::default(),
            priority: Setting::default(),
            affinity: Setting::default(),
            env: Vec::new(),
            tz: None,
            pcre_jit: Setting::default(),
            timer_resolution: Setting::default(),
            lock_file: Setting::default(),
            debug_points: Setting::default(),
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
            "A variable, or a variable and its value, for the environment of the worker process and of \
             scripts, which has no others but those of loaders (LD_*, LUA_PATH, ...): without a value \
             the one that the server had when the configuration was read.",
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
            "worker_rlimit_core",
            Arity::ONE,
            |cx, args| {
                let size = args.offset(0)?;
                conf(cx).rlimit_core.set(Some(size), args.span())
            },
            "",
            "How large a core file of the server may be.",
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
            "The scheduling priority of serving threads, as nice(1) counts; beyond -20 and 19 it is \
             one of these.",
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
        row(
            "lock_file",
            Arity::ONE,
            |cx, args| conf(cx).lock_file.set((), args.span()),
            "logs/nginx.lock",
            "Changes nothing: locks between the threads of a process need no file.",
        ),
        row(
            "debug_points",
            Arity::ONE,
            |cx, args| {
                args.choice(0, &[("stop", ()), ("abort", ())])?;
                conf(cx).debug_points.set((), args.span())
            },
            "",
            "Changes nothing: an inconsistency ends the request that met it, with a backtrace in \
             the log, and never stops the process.",
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
                Problem::of_directive(word.span(), "invalid value").with_help(format!(
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
        None => (word, cx.source().env(word)),
    };
    let name = name.to_owned();
    conf(cx).env.push(Env { name, value });
    Ok(())
}

/// Asks for what the environment has without an `env` directive. It is asked while the
/// configuration is read, so that a record of it has the answer.
pub(super) fn keep_time_zone(cx: &mut Cx<'_>) {
    let tz = cx.source().env("TZ");
    conf(cx).tz = tz;
}

fn set_priority(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let priority = args.arg(0).as_str().parse().map_err(|_| {
        Problem::of_directive(args.arg(0).span(), "invalid number")
            .with_help("a number from -20 (most urgent) to 19")
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
