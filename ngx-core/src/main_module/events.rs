//! The `events` block.

use crate::conf::{Args, Problem, Setting};
use crate::module::{Arity, Conf, Contexts, Cx, Directive, Level, Module, Slot, Slots};

/// What `events` says.
#[derive(Debug)]
pub struct EventsConf {
    worker_connections: Setting<usize>,
    method: Setting<()>,
    multi_accept: Setting<bool>,
    accept_mutex: Setting<bool>,
}

impl EventsConf {
    /// That of a finished configuration.
    #[must_use]
    pub fn of(global: &Slots) -> &Self {
        CONF.of(global)
    }

    /// `worker_connections`: how many connections a thread may have.
    #[must_use]
    pub fn worker_connections(&self) -> usize {
        *self.worker_connections
    }
}

impl Default for EventsConf {
    fn default() -> Self {
        Self {
            worker_connections: Setting::new(512),
            method: Setting::default(),
            multi_accept: Setting::new(false),
            accept_mutex: Setting::new(false),
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
                let count = args.number_in(0, 1..=most)?;
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                conf(cx).worker_connections.set(count, args.span())
            },
            default: "512",
            doc: "How many connections a thread may have at a time.",
        },
        Directive {
            name: "use",
            contexts: Contexts::EVENTS,
            arity: Arity::ONE,
            set: set_use,
            default: "epoll",
            doc: "How the system is asked for events: \"epoll\" is the only method.",
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
    ],
};

fn conf<'a>(cx: &'a mut Cx<'_>) -> &'a mut EventsConf {
    cx.conf(&CONF)
}

fn set_use(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let method = args.arg(0);
    if method.as_str() != "epoll" {
        let message = format!("invalid event type \"{method}\"");
        return Err(args
            .problem_at(0, message)
            .with_help("\"epoll\" is the only one"));
    }
    conf(cx).method.set((), args.span())
}
