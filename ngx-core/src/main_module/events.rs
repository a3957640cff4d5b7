//! The `events` block.

use std::time::Duration;

use super::Debugged;
use crate::conf::{Args, Problem, Setting};
use crate::log::Talkative;
use crate::module::{Arity, Conf, Contexts, Cx, Directive, Level, Module, Slot, Slots};
use crate::net::Addr;

/// What `events` says.
#[derive(Debug)]
pub struct EventsConf {
    worker_connections: Setting<usize>,
    method: Setting<()>,
    multi_accept: Setting<bool>,
    accept_mutex: Setting<bool>,
    accept_mutex_delay: Setting<Duration>,
    epoll_events: Setting<u64>,
    aio_requests: Setting<u64>,
    debugged: Vec<Debugged>,
    /// There while somebody is debugged.
    talkative: Option<Talkative>,
}

impl EventsConf {
    /// That of a finished configuration.
    #[must_use]
    pub fn of(global: &Slots) -> &Self {
        CONF.of(global)
    }

    /// `worker_connections`: how many connections a thread may have, with clients and backends.
    #[must_use]
    pub fn worker_connections(&self) -> usize {
        *self.worker_connections
    }

    /// `debug_connection`: whether everything about this client is logged.
    #[must_use]
    pub fn debugs(&self, client: &Addr) -> bool {
        self.debugged.iter().any(|clients| clients.matches(client))
    }
}

impl Default for EventsConf {
    fn default() -> Self {
        Self {
            worker_connections: Setting::new(512),
            method: Setting::default(),
            multi_accept: Setting::new(false),
            accept_mutex: Setting::new(false),
            accept_mutex_delay: Setting::default(),
            epoll_events: Setting::default(),
            aio_requests: Setting::default(),
            debugged: Vec::new(),
            talkative: None,
        }
    }
}

impl Conf for EventsConf {
    fn merge(&mut self, _parent: &Self) -> Result<(), Problem> {
        Ok(())
    }
}

static CONF: Slot<EventsConf> = Slot::new(Level::Global);

pub(super) static MODULE: Module = Module {
    name: "ngx_events_module",
    directives: &[
        Directive {
            name: "events",
            contexts: Contexts::MAIN,
            arity: Arity::BLOCK,
            set: |cx, args| {
                super::core::conf(cx).events.set((), args.span())?;
                super::core::keep_time_zone(cx);
                cx.evaluate(args.block().unwrap_or_default(), Contexts::EVENTS);
                Ok(())
            },
            default: "",
            doc: "How connections are processed. The block must be there.",
        },
        Directive {
            name: "worker_connections",
            contexts: Contexts::EVENTS,
            arity: Arity::ONE,
            set: |cx, args| {
                let most = u64::try_from(usize::MAX).unwrap_or(u64::MAX);
                if args.number(0).is_err() {
                    let message = format!("invalid number \"{}\"", args.arg(0));
                    return Err(args.problem_at(0, message));
                }
                let count = args.number_in(0, 1..=most)?;
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                conf(cx).worker_connections.set(count, args.span())
            },
            default: "512",
            doc: "How many connections a thread may have at a time, with clients and with backends. Beyond, idle ones make room.",
        },
        Directive {
            name: "use",
            contexts: Contexts::EVENTS,
            arity: Arity::ONE,
            set: set_use,
            default: "epoll",
            doc: "How the system is asked for events: with \"epoll\", whatever is named. \"poll\" and \
                  \"select\" are accepted, because they differ in what they cost only.",
        },
        Directive {
            name: "multi_accept",
            contexts: Contexts::EVENTS,
            arity: Arity::FLAG,
            set: |cx, args| {
                let on = args.flag(0)?;
                conf(cx).multi_accept.set(on, args.span())
            },
            default: "off",
            doc: "Changes nothing: a thread accepts as long as there is somebody to accept and \
                  others have had their turn, which is what both settings are after.",
        },
        Directive {
            name: "accept_mutex",
            contexts: Contexts::EVENTS,
            arity: Arity::FLAG,
            set: |cx, args| {
                let on = args.flag(0)?;
                conf(cx).accept_mutex.set(on, args.span())
            },
            default: "off",
            doc: "Changes nothing: threads of one process need no lock to take turns at a socket.",
        },
        Directive {
            name: "accept_mutex_delay",
            contexts: Contexts::EVENTS,
            arity: Arity::ONE,
            set: |cx, args| {
                let delay = args.time(0)?;
                conf(cx).accept_mutex_delay.set(delay, args.span())
            },
            default: "500ms",
            doc: "Changes nothing: there is no lock that a thread would wait for.",
        },
        Directive {
            name: "epoll_events",
            contexts: Contexts::EVENTS,
            arity: Arity::ONE,
            set: |cx, args| {
                let events = args.number(0)?;
                conf(cx).epoll_events.set(events, args.span())
            },
            default: "512",
            doc: "Changes nothing: how many events one call fetches is the runtime's affair.",
        },
        Directive {
            name: "worker_aio_requests",
            contexts: Contexts::EVENTS,
            arity: Arity::ONE,
            set: |cx, args| {
                let requests = args.number(0)?;
                conf(cx).aio_requests.set(requests, args.span())
            },
            default: "32",
            doc: "Changes nothing: the system's own asynchronous reads of files are not used.",
        },
        Directive {
            name: "debug_connection",
            contexts: Contexts::EVENTS,
            arity: Arity::ONE,
            set: |cx, args| {
                let debugged = Debugged::parse(cx, args)?;
                let conf = conf(cx);
                conf.talkative.get_or_insert_default();
                conf.debugged.extend(debugged);
                Ok(())
            },
            default: "",
            doc: "Clients, as an address, a network, a name or \"unix:\", about whom everything is \
                  logged, whatever the levels of logs. May be repeated.",
        },
    ],
};

fn conf<'a>(cx: &'a mut Cx<'_>) -> &'a mut EventsConf {
    cx.conf(&CONF)
}

fn set_use(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let method = args.arg(0);
    if !["epoll", "poll", "select"].contains(&method.as_str()) {
        let message = format!("invalid event type \"{method}\"");
        return Err(args
            .problem_at(0, message)
            .with_help("this system has \"epoll\""));
    }
    conf(cx).method.set((), args.span())
}
