//! What locations say about cosockets, and the `resolver` of a location for them.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ngx_core::conf::{Args, Problem};
use ngx_core::cycle::Cycle;
use ngx_core::http::{HttpConf, LOCATION, Request};
use ngx_core::module::{Arity, Contexts, Cx, Directive, Level, Module, Setter, Slot, Slots};
use ngx_core::resolver::{ResolveErrorKind, Resolver};
use ngx_core::{setter, settings};

use crate::cosocket::{Defaults, ReadingDefaults};
use crate::settings::{Resolve, Resolving, Settings};

settings! {
    /// What a location says about cosockets. Times are milliseconds, sizes bytes.
    pub(super) struct SocketConf {
        connect_timeout: u64 = 60_000,
        send_timeout: u64 = 60_000,
        read_timeout: u64 = 60_000,
        buffer_size: usize = 4096,
        pool_size: u64 = 30,
        keepalive_timeout: u64 = 60_000,
        log_errors: bool = true,
    }
}

static SOCKETS: Slot<SocketConf> = Slot::new(Level::Location);

pub(super) static DESCRIPTOR: Module = Module {
    name: "ngx_http_lua_socket_module",
    directives: DIRECTIVES,
};

const ALL: Contexts = Contexts::HTTP
    .or(Contexts::SERVER)
    .or(Contexts::LOCATION)
    .or(Contexts::IF_LOCATION);

const fn row(
    name: &'static str,
    arity: Arity,
    default: &'static str,
    doc: &'static str,
    set: Setter,
) -> Directive {
    Directive {
        name,
        contexts: ALL,
        arity,
        set,
        default,
        doc,
    }
}

#[rustfmt::skip]
static DIRECTIVES: &[Directive] = &[
    row("lua_socket_connect_timeout", Arity::ONE, "60s", "How long a cosocket may take to connect.", setter!(SOCKETS, connect_timeout, msec)),
    row("lua_socket_send_timeout", Arity::ONE, "60s", "How long a cosocket may wait between two writes.", setter!(SOCKETS, send_timeout, msec)),
    row("lua_socket_read_timeout", Arity::ONE, "60s", "How long a cosocket may wait between two reads.", setter!(SOCKETS, read_timeout, msec)),
    row("lua_socket_send_lowat", Arity::ONE, "0", "Not supported by this system, as in nginx: ignored with a warning.", set_send_lowat),
    row("lua_socket_buffer_size", Arity::ONE, "4k", "How much a cosocket reads at once.", setter!(SOCKETS, buffer_size, size)),
    row("lua_socket_pool_size", Arity::ONE, "30", "How many connections a pool of cosockets keeps unless it is told otherwise.", setter!(SOCKETS, pool_size, number)),
    row("lua_socket_keepalive_timeout", Arity::ONE, "60s", "How long a pool of cosockets keeps a connection unless it is told otherwise.", setter!(SOCKETS, keepalive_timeout, msec)),
    row("lua_socket_log_errors", Arity::FLAG, "on", "Whether what goes wrong on cosockets is logged.", setter!(SOCKETS, log_errors, flag)),
];

/// `lua_socket_send_lowat`: the system has no such mark for sending.
fn set_send_lowat(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    args.size(0)?;
    let warning = args.warning("\"lua_socket_send_lowat\" is not supported, ignored");
    cx.report(warning);
    Ok(())
}

/// What sockets begin with in the location of a request.
pub(crate) fn defaults(r: &Request) -> Defaults {
    in_slots(&r.location().slots)
}

/// What a receive begins with there.
#[inline]
pub(crate) fn reading_defaults(r: &Request) -> ReadingDefaults {
    let conf = SOCKETS.of(&r.location().slots);
    ReadingDefaults {
        timeout: *conf.read_timeout,
        buffer_size: *conf.buffer_size,
        log_errors: *conf.log_errors,
    }
}

/// The `resolver` of the location of a request.
pub(crate) fn resolver(r: &Request) -> Option<Rc<dyn Resolve>> {
    resolver_in(&r.location().slots)
}

/// What runs without a request begin with: what the `http` block says.
pub(super) fn settings(cycle: &Cycle) -> Settings {
    let http = cycle.part::<HttpConf>().unwrap_or_default();
    let defaults = in_slots(&http.slots);
    Settings {
        connect_timeout: Duration::from_millis(defaults.connect_timeout),
        send_timeout: Duration::from_millis(defaults.send_timeout),
        read_timeout: Duration::from_millis(defaults.read_timeout),
        buffer_size: defaults.buffer_size,
        pool_size: defaults.pool_size,
        keepalive_timeout: Duration::from_millis(defaults.keepalive_timeout),
        log_socket_errors: defaults.log_errors,
        resolver: resolver_in(&http.slots),
        ..Settings::default()
    }
}

fn in_slots(slots: &Slots) -> Defaults {
    let (conf, core) = (SOCKETS.of(slots), LOCATION.of(slots));
    Defaults {
        connect_timeout: *conf.connect_timeout,
        send_timeout: *conf.send_timeout,
        read_timeout: *conf.read_timeout,
        buffer_size: *conf.buffer_size,
        pool_size: usize::try_from(*conf.pool_size).unwrap_or(usize::MAX),
        keepalive_timeout: *conf.keepalive_timeout,
        log_errors: *conf.log_errors,
        nodelay: *core.tcp_nodelay,
    }
}

fn resolver_in(slots: &Slots) -> Option<Rc<dyn Resolve>> {
    let conf = LOCATION.of(slots);
    let resolver = conf.resolver.as_ref()?;
    Some(Rc::new(Names {
        resolver: Arc::clone(resolver),
        timeout: Duration::from_millis(*conf.resolver_timeout),
    }))
}

/// The `resolver` and `resolver_timeout` of a block.
struct Names {
    resolver: Arc<Resolver>,
    timeout: Duration,
}

impl Resolve for Names {
    fn resolve(&self, name: &str) -> Resolving {
        let (resolver, timeout) = (Arc::clone(&self.resolver), self.timeout);
        let name = name.to_owned();
        Box::pin(async move {
            match tokio::time::timeout(timeout, resolver.resolve(&name)).await {
                Ok(Ok(found)) => Ok(found.to_vec()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => {
                    let kind = ResolveErrorKind::TimedOut;
                    Err(format!(
                        "{name} could not be resolved ({}: {kind})",
                        kind.code()
                    ))
                }
            }
        })
    }
}
