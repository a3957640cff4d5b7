//! The `upstream` block, and the groups that a mere address makes.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ngx_core::conf::{Args, ConfigSource, Problem, Span, values};
use ngx_core::http::HttpModule;
use ngx_core::module::{Arity, Conf, Contexts, Cx, Directive, Level, Module, Scope, Slot, Slots};
use ngx_core::net::addr::{Host, Target};
use ngx_core::{setter, settings};

use crate::peer::{Peer, RoundRobin, Server};
use crate::pool::PoolSettings;

/// The groups of the `http` block.
pub(super) static UPSTREAMS: Slot<Upstreams> = Slot::new(Level::Main);
/// What an `upstream` block says.
static BLOCK: Slot<Block> = Slot::new(Level::Upstream);

/// All groups, by the names that `proxy_pass` calls them.
#[derive(Default)]
pub(super) struct Upstreams {
    by_name: HashMap<Arc<str>, Arc<Upstream>>,
}

/// A group of servers. Shared by all locations that name it.
pub(super) struct Upstream {
    /// Counts the groups of a configuration.
    pub(super) id: usize,
    pub(super) name: Arc<str>,
    /// Made by an `upstream` block, not by an address.
    block: bool,
    span: Span,
    /// Filled when the block is read, or, for an address, when all blocks are.
    servers: OnceLock<Servers>,
}

/// What a group has once the configuration is complete.
pub(super) struct Servers {
    /// The counters that all threads share.
    pub(super) balancer: RoundRobin,
    pub(super) keepalive: Keepalive,
}

/// Which connections of a group are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keepalive {
    pub(super) settings: PoolSettings,
    /// A connection serves the location that made it.
    pub(super) local: bool,
}

settings! {
    /// An `upstream` block. Times are milliseconds.
    struct Block {
        servers: Vec<(Span, Vec<Server>)> = Vec::new(),
        /// The number of connections, and whether they are `local`.
        keepalive: (usize, bool) = (32, true),
        keepalive_requests: u64 = 1000,
        keepalive_time: u64 = 3_600_000,
        keepalive_timeout: u64 = 60_000,
    }
}

impl Conf for Upstreams {
    fn merge(&mut self, _: &Self) -> Result<(), Problem> {
        Ok(())
    }
}

impl Upstreams {
    /// The group of this name: of a block, or of an address with its port.
    pub(super) fn find(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.by_name.get(name)
    }

    /// The group that `target` names; one is made if no block has its name (which may follow).
    pub(super) fn reference(&mut self, target: &Target, span: Span) -> Arc<Upstream> {
        let name = target.to_string();
        if let Some(upstream) = self.by_name.get(name.as_str()) {
            return Arc::clone(upstream);
        }
        self.add(name.into(), false, span)
    }

    fn add(&mut self, name: Arc<str>, block: bool, span: Span) -> Arc<Upstream> {
        let upstream = Arc::new(Upstream {
            id: self.by_name.len(),
            name: Arc::clone(&name),
            block,
            span,
            servers: OnceLock::new(),
        });
        self.by_name.insert(name, Arc::clone(&upstream));
        upstream
    }
}

impl Upstream {
    /// Its servers; none before the configuration is complete.
    pub(super) fn servers(&self) -> Option<&Servers> {
        self.servers.get()
    }
}

impl Keepalive {
    /// No connection is kept.
    pub(super) fn none() -> Self {
        let settings = PoolSettings {
            size: 0,
            ..PoolSettings::default()
        };
        Self {
            settings,
            local: false,
        }
    }
}

/// `upstream` and what stands in it.
pub(super) static MODULE: HttpModule = HttpModule {
    finish: Some(resolve_addresses),
    ..HttpModule::new(&DESCRIPTOR)
};

#[rustfmt::skip]
static DESCRIPTOR: Module = Module {
    name: "ngx_http_upstream_module",
    directives: &[
        Directive { name: "upstream", contexts: Contexts::HTTP, arity: Arity::exact(1).block(), set: set_upstream, default: "", doc: "A group of servers." },
        row("server", Arity::at_least(1), "", "A server of the group.", set_server),
        row("keepalive", Arity::range(1, 2), "32 local", "The most idle connections that a worker keeps; 0 keeps none.", set_keepalive),
        row("keepalive_requests", Arity::ONE, "1000", "The most requests of one connection.", setter!(BLOCK, keepalive_requests, number)),
        row("keepalive_time", Arity::ONE, "1h", "The age at which a connection is kept no more.", setter!(BLOCK, keepalive_time, msec)),
        row("keepalive_timeout", Arity::ONE, "60s", "How long an idle connection is kept.", setter!(BLOCK, keepalive_timeout, msec)),
    ],
};

/// A directive of the block.
const fn row(
    name: &'static str,
    arity: Arity,
    default: &'static str,
    doc: &'static str,
    set: ngx_core::module::Setter,
) -> Directive {
    Directive {
        name,
        contexts: Contexts::UPSTREAM,
        arity,
        set,
        default,
        doc,
    }
}

/// `upstream name { }`
fn set_upstream(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let name = args.arg(0).as_str().to_owned();
    let scope = cx.with_scope(Scope::new(Level::Upstream), |cx| {
        cx.evaluate(args.block().unwrap_or_default(), Contexts::UPSTREAM);
    });
    let slots = scope.finish(&Slots::default(), cx.diagnostics());
    let block = BLOCK.of(&slots);
    let upstreams = cx.conf(&UPSTREAMS);
    let upstream = match upstreams.by_name.get(name.as_str()) {
        Some(known) if known.block || known.servers.get().is_some() => {
            return Err(args.problem(format!("duplicate upstream \"{name}\"")));
        }
        // A location above has named it already.
        Some(known) => Arc::clone(known),
        None => upstreams.add(name.as_str().into(), true, args.span()),
    };
    if block.servers.is_empty() {
        return Err(args.problem(format!("no servers are inside upstream \"{name}\"")));
    }
    let servers = block.servers.iter().flat_map(|(_, servers)| servers);
    if servers.clone().all(|server| server.backup) {
        return Err(args.problem(format!("no servers in upstream \"{name}\"")));
    }
    let _ = upstream.servers.set(Servers {
        balancer: RoundRobin::new(servers.cloned()),
        keepalive: block.keepalive(),
    });
    Ok(())
}

impl Block {
    fn keepalive(&self) -> Keepalive {
        let (size, local) = *self.keepalive;
        let settings = PoolSettings {
            size,
            requests: *self.keepalive_requests,
            time: Duration::from_millis(*self.keepalive_time),
            timeout: Duration::from_millis(*self.keepalive_timeout),
        };
        Keepalive { settings, local }
    }
}

/// `server address [parameters]`
fn set_server(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let text = args.arg(0).as_str();
    let target: Target = text
        .parse()
        .map_err(|error| bad_address(args, text, &error))?;
    let source = cx.source();
    let peers = target.addrs(Some(80), &|name| source.lookup(name));
    let peers = peers.map_err(|error| bad_address(args, text, &error))?;
    let mut common = Server::new(Peer::new(peers.first().cloned().ok_or_else(|| {
        args.problem_at(0, format!("host not found in upstream \"{text}\""))
    })?));
    for i in 1..args.values().len() {
        if parameter(args.arg(i).as_str(), &mut common).is_none() {
            let word = args.arg(i);
            return Err(args.problem_at(i, format!("invalid parameter \"{word}\"")));
        }
    }
    let servers = peers.into_iter().map(|addr| Server {
        peer: Peer::new(addr),
        ..common.clone()
    });
    let servers = servers.collect();
    cx.conf(&BLOCK)
        .servers
        .set_mut(args.span())
        .push((args.span(), servers));
    Ok(())
}

fn bad_address(args: &Args<'_>, text: &str, error: &ngx_core::net::addr::AddrError) -> Problem {
    args.problem_at(0, format!("{} in upstream \"{text}\"", error.kind()))
}

/// Takes one parameter of `server`; `None` if it is none, or its value is not right.
fn parameter(text: &str, server: &mut Server) -> Option<()> {
    let number = |value: &str| u32::try_from(values::number(value.as_bytes()).ok()?).ok();
    match text.split_once('=') {
        None if text == "backup" => server.backup = true,
        None if text == "down" => server.down = true,
        Some(("weight", value)) => server.weight = number(value).filter(|&weight| weight > 0)?,
        Some(("max_fails", value)) => server.max_fails = number(value)?,
        Some(("max_conns", value)) => server.max_conns = number(value)?,
        Some(("fail_timeout", value)) => {
            server.fail_timeout = values::seconds(value.as_bytes()).ok()?;
        }
        _ => return None,
    }
    Some(())
}

/// `keepalive connections [local]`
fn set_keepalive(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let word = args.arg(0);
    let size = values::number(word.as_bytes())
        .ok()
        .and_then(|size| usize::try_from(size).ok());
    let size = size.ok_or_else(|| {
        args.problem_at(
            0,
            format!("invalid value \"{word}\" in \"keepalive\" directive"),
        )
    })?;
    let local = match args.values().get(1) {
        None => false,
        Some(word) if word.as_str() == "local" => true,
        Some(word) => return Err(args.problem_at(1, format!("invalid parameter \"{word}\""))),
    };
    cx.conf(&BLOCK).keepalive.set((size, local), args.span())
}

/// Makes groups of the addresses and names that no `upstream` block has defined.
fn resolve_addresses(cx: &mut Cx<'_>) -> Result<(), Problem> {
    let upstreams = cx.conf(&UPSTREAMS);
    let missing: Vec<_> = upstreams
        .by_name
        .values()
        .filter(|upstream| upstream.servers.get().is_none() && !upstream.block)
        .cloned()
        .collect();
    let blocks: Vec<_> = upstreams
        .by_name
        .values()
        .filter(|upstream| upstream.block || upstream.servers.get().is_some())
        .map(|upstream| upstream.name.clone())
        .collect();
    for upstream in missing {
        if let Err(problem) = resolve(cx.source(), &upstream, &blocks) {
            cx.report(problem);
        }
    }
    Ok(())
}

fn resolve(
    source: &dyn ConfigSource,
    upstream: &Upstream,
    blocks: &[Arc<str>],
) -> Result<(), Problem> {
    let problem = |text: String| Problem::new(upstream.span, text);
    let target: Target =
        upstream
            .name
            .parse()
            .map_err(|error: ngx_core::net::addr::AddrError| {
                problem(format!(
                    "{} in upstream \"{}\"",
                    error.kind(),
                    upstream.name
                ))
            })?;
    if let (Host::Name(name), Some(port)) = (&target.host, target.port)
        && blocks.iter().any(|block| **block == **name)
    {
        return Err(problem(format!(
            "upstream \"{name}\" may not have port {port}"
        )));
    }
    let addrs = target.addrs(Some(80), &|name| source.lookup(name));
    let addrs = addrs.map_err(|error| {
        let shown = match &target.host {
            Host::Name(name) => name.to_string(),
            _ => upstream.name.to_string(),
        };
        problem(format!("{} in upstream \"{shown}\"", error.kind()))
    })?;
    let servers = addrs.into_iter().map(|addr| Server::new(Peer::new(addr)));
    let _ = upstream.servers.set(Servers {
        balancer: RoundRobin::new(servers),
        keepalive: Keepalive::none(),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(parameters: &[&str]) -> Option<Server> {
        let addr = std::net::SocketAddr::from(([127, 0, 0, 1], 80));
        let mut server = Server::new(Peer::new(addr.into()));
        parameters
            .iter()
            .try_for_each(|text| parameter(text, &mut server))
            .map(|()| server)
    }

    #[test]
    fn parameters_of_a_server() {
        let all = [
            "weight=5",
            "max_fails=0",
            "max_conns=7",
            "fail_timeout=1m",
            "backup",
            "down",
        ];
        let server_ = server(&all).unwrap();
        assert_eq!(
            (server_.weight, server_.max_fails, server_.max_conns),
            (5, 0, 7)
        );
        assert_eq!(server_.fail_timeout, Duration::from_secs(60));
        assert!(server_.backup && server_.down);
        for wrong in [
            "weight=0",
            "weight=x",
            "max_fails=-1",
            "fail_timeout=1x",
            "slow_start=1",
            "up",
        ] {
            assert!(server(&[wrong]).is_none(), "{wrong}");
        }
    }
}
