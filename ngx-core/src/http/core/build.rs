//! From the blocks that were read to the [`HttpConf`] that requests are served by.

use std::collections::HashMap;

use rustc_hash::FxHashMap;

use super::block::{
    HEAD, INNER, IfBlock, LocationBlock, LocationKind, SERVERS, ServerBlock, ServerHead,
};
use super::listen::{ServerName, WantedAddr, wildcard_of};
use super::{LOCATION, SERVER};
use crate::conf::{Problem, Span, known};
use crate::cycle::WantedListeners;
use crate::http::conf::{HttpConf, Location, Server, VhostsId};
use crate::http::filter::Filters;
use crate::http::location::{Entry, LocationId, LocationTree};
use crate::http::module::HttpModules;
use crate::http::phases::PhaseTable;
use crate::http::request::Request;
use crate::http::server::{ListenGroup, ServerId, Vhosts};
use crate::module::{Cx, Scope, Slots};
use crate::net::addr::Addr;
use crate::net::listener::ListenOptions;
use crate::script::{UnknownVariable, Variables};

/// Compiles the `http` block and leaves it as a part of the configuration.
pub(super) fn http(cx: &mut Cx<'_>, place: Span, mut scope: Scope) -> Result<(), Problem> {
    let Some(modules) = cx.registry().extension::<HttpModules>() else {
        return Ok(());
    };
    let servers = scope.take(&SERVERS).0;
    let slots = scope.finish(&Slots::default(), cx.diagnostics());
    let mut http = HttpConf::default();
    http.slots = slots;
    let order = |error: crate::http::module::OrderError| Problem::new(place, error.to_string());
    http.phases = PhaseTable::new(&modules.0).map_err(order)?;
    http.filters = Filters::new(&modules.0).map_err(order)?;
    http.workers = modules.0.iter().filter_map(|m| m.worker).collect();

    let mut addresses = Addresses::default();
    for server in servers {
        add_server(cx, &mut http, &mut addresses, server);
    }
    addresses.finish(cx, &mut http);
    let leaves: Vec<bool> = http.locations.iter().map(|l| l.tree.is_none()).collect();
    let is_leaf = |id: LocationId| leaves.get(id.0 as usize).is_some_and(|leaf| *leaf);
    for location in &mut http.locations {
        if let Some(tree) = &mut location.tree {
            tree.settle(is_leaf);
        }
        location.places = http.phases.places(location);
        location.answers_first = location.places.from(0) < http.phases.find_config;
        location.is_logged = http.phases.logs_at(&location.places);
        location.filters = http.filters.plan(&location.slots);
    }
    match std::mem::take(cx.part::<Variables<Request>>()).freeze() {
        Ok(table) => http.variables = table,
        Err(unknown) => {
            for variable in unknown {
                let problem = unknown_variable(cx, place, &variable);
                cx.report(problem);
            }
        }
    }
    *cx.part::<HttpConf>() = http;
    Ok(())
}

/// A name that no module and no directive has defined, where it was used first.
fn unknown_variable(cx: &mut Cx<'_>, http: Span, variable: &UnknownVariable) -> Problem {
    let name = &variable.name;
    let directive = variable.place.unwrap_or(http);
    let files = cx.diagnostics().files();
    let span = [format!("${name}"), format!("${{{name}}}")]
        .iter()
        .filter_map(|word| files.find_from(directive, word.as_bytes()))
        .min_by_key(|span| span.start);
    let problem = Problem::new(span.unwrap_or(directive), variable.to_string());
    if let Some((_, module)) = known::variables().find(|(known, _)| known == name) {
        return problem.with_help(format!(
            "nginx has \"${name}\" ({module}), ngx does not implement it yet"
        ));
    }
    match &variable.meant {
        Some(meant) => problem.with_help(format!("did you mean \"${meant}\"?")),
        None => problem,
    }
}

fn add_server(cx: &mut Cx<'_>, http: &mut HttpConf, addresses: &mut Addresses, block: ServerBlock) {
    let ServerBlock { mut scope, span } = block;
    let head = scope.take(&HEAD);
    let inner = scope.take(&INNER);
    let slots = scope.finish(&http.slots, cx.diagnostics());
    let id = ServerId(index(http.servers.len()));
    let root = LocationId(index(http.locations.len()));
    http.locations.push(Location {
        core: LOCATION.share(&slots),
        slots: slots.clone(),
        handler: inner.handler,
        place: span,
        ..Location::default()
    });
    let core = SERVER.share(&slots);
    http.servers.push(Server {
        name: head.first_name.clone(),
        options: core.request_options(),
        core,
        slots: slots.clone(),
        root,
        named: Vec::new(),
        place: span,
    });
    let ifs = add_ifs(cx, http, root, inner.ifs);
    let tree = add_locations(cx, http, &slots, inner.locations, id);
    if let Some(location) = http.locations.get_mut(root.0 as usize) {
        location.tree = tree.map(Box::new);
        location.ifs = ifs;
    }
    addresses.add(cx, id, head, span);
}

/// Compiles the locations of one block and of those within it.
fn add_locations(
    cx: &mut Cx<'_>,
    http: &mut HttpConf,
    outer: &Slots,
    blocks: Vec<LocationBlock>,
    server: ServerId,
) -> Option<LocationTree> {
    if blocks.is_empty() {
        return None;
    }
    let mut exact: Vec<Entry> = Vec::new();
    let mut prefixes: Vec<Entry> = Vec::new();
    let mut regexes = Vec::new();
    let mut seen: HashMap<(bool, Box<[u8]>), Span> = HashMap::new();
    for mut block in blocks {
        let inner = block.scope.take(&INNER);
        let slots = block.scope.finish(outer, cx.diagnostics());
        let id = LocationId(index(http.locations.len()));
        let name: Box<[u8]> = block.name.as_ref().into();
        http.locations.push(Location {
            name: name.clone(),
            is_regex: block.kind == LocationKind::Regex,
            core: LOCATION.share(&slots),
            slots: slots.clone(),
            handler: inner.handler,
            place: block.span,
            ..Location::default()
        });
        let ifs = add_ifs(cx, http, id, inner.ifs);
        let tree = add_locations(cx, http, &slots, inner.locations, server);
        if let Some(location) = http.locations.get_mut(id.0 as usize) {
            location.tree = tree.map(Box::new);
            location.ifs = ifs;
        }
        if block.kind != LocationKind::Regex {
            let key = (block.kind == LocationKind::Exact, name.clone());
            if let Some(first) = seen.insert(key, block.span) {
                cx.report(duplicate(block.kind, &name, block.span, first));
            }
        }
        let entry = |name| Entry {
            name,
            id,
            no_regex: block.kind == LocationKind::PrefixNoRegex,
            auto_redirect: inner.auto_redirect,
        };
        match (block.kind, block.pattern) {
            (LocationKind::Exact, _) => exact.push(entry(name)),
            (LocationKind::Named, _) => {
                if let Some(server) = http.servers.get_mut(server.0 as usize) {
                    server.named.push((name, id));
                }
            }
            (LocationKind::Regex, Some(pattern)) => regexes.push((pattern, id)),
            _ => prefixes.push(entry(name)),
        }
    }
    Some(LocationTree::new(exact, prefixes, regexes))
}

/// A second location of a name: nginx accepts those with `@`, and takes the first.
fn duplicate(kind: LocationKind, name: &[u8], here: Span, first: Span) -> Problem {
    let message = format!("duplicate location \"{}\"", String::from_utf8_lossy(name));
    let problem = if kind == LocationKind::Named {
        Problem::warn(here, format!("{message}, ignored"))
    } else {
        Problem::new(here, message)
    };
    problem.with_note(first, "first one")
}

/// Compiles the blocks of `if` in a location as locations inside of it, which nobody looks up.
fn add_ifs(
    cx: &mut Cx<'_>,
    http: &mut HttpConf,
    around: LocationId,
    blocks: Vec<IfBlock>,
) -> Box<[LocationId]> {
    let mut ids = Vec::with_capacity(blocks.len());
    for IfBlock { mut scope, span } in blocks {
        let inner = scope.take(&INNER);
        let location = http.location(around);
        let slots = scope.finish(&location.slots, cx.diagnostics());
        let block = Location {
            name: location.name.clone(),
            is_regex: location.is_regex,
            is_if: true,
            core: LOCATION.share(&slots),
            slots,
            handler: inner.handler,
            place: span,
            ..Location::default()
        };
        ids.push(LocationId(index(http.locations.len())));
        http.locations.push(block);
    }
    ids.into()
}

/// The addresses of all servers, in the order they were first named.
#[derive(Default)]
struct Addresses(Vec<Address>);

struct Address {
    options: ListenOptions,
    sets_socket: Option<Span>,
    default: Option<(ServerId, Span)>,
    vhosts: Vhosts,
    first: ServerId,
}

impl Addresses {
    fn add(&mut self, cx: &mut Cx<'_>, id: ServerId, head: ServerHead, span: Span) {
        let ServerHead {
            mut listens,
            mut names,
            ..
        } = head;
        if listens.is_empty() {
            let port = if nix::unistd::Uid::effective().is_root() {
                80
            } else {
                8000
            };
            let addr = Addr::from(std::net::SocketAddr::from(([0, 0, 0, 0], port)));
            let options = ListenOptions::new(addr);
            listens.push(WantedAddr {
                options,
                sets_socket: false,
                is_default: false,
                span,
            });
        }
        let mut places = Vec::new();
        for wanted in listens {
            places.push(self.place(cx, id, wanted));
        }
        if names.is_empty() {
            // It takes requests that name no host.
            names.push(ServerName::Exact(Box::default()));
        }
        for name in names {
            for &place in &places {
                if let Some(address) = self.0.get_mut(place) {
                    address.name(cx, id, &name, span);
                }
            }
        }
    }

    fn place(&mut self, cx: &mut Cx<'_>, id: ServerId, wanted: WantedAddr) -> usize {
        let known = self
            .0
            .iter()
            .position(|a| a.options.addr == wanted.options.addr);
        let place = known.unwrap_or_else(|| {
            self.0.push(Address {
                options: wanted.options.clone(),
                sets_socket: None,
                default: None,
                vhosts: Vhosts::default(),
                first: id,
            });
            self.0.len() - 1
        });
        let Some(address) = self.0.get_mut(place) else {
            return place;
        };
        let addr = &wanted.options.addr;
        if wanted.sets_socket {
            match address.sets_socket {
                Some(first) => cx.report(
                    Problem::new(wanted.span, format!("duplicate listen options for {addr}"))
                        .with_note(first, "first options"),
                ),
                None => {
                    address.sets_socket = Some(wanted.span);
                    address.options = wanted.options.clone();
                }
            }
        }
        if wanted.is_default {
            match address.default {
                Some((_, first)) => cx.report(
                    Problem::new(
                        wanted.span,
                        format!("a duplicate default server for {addr}"),
                    )
                    .with_note(first, "first default server"),
                ),
                None => address.default = Some((id, wanted.span)),
            }
        }
        place
    }

    /// Groups addresses under the sockets that accept for them.
    fn finish(self, cx: &mut Cx<'_>, http: &mut HttpConf) {
        let wildcards: Vec<Addr> = self
            .0
            .iter()
            .filter(|address| address.options.addr.is_wildcard())
            .map(|address| address.options.addr.clone())
            .collect();
        for mut address in self.0 {
            address.vhosts.default = address.default.map_or(address.first, |(id, _)| id);
            let vhosts = VhostsId(index(http.vhosts.len()));
            http.vhosts.push(address.vhosts);
            let addr = address.options.addr.clone();
            let covered = wildcard_of(&addr)
                .filter(|wildcard| wildcards.contains(wildcard) && address.sets_socket.is_none());
            let bind = covered.clone().unwrap_or_else(|| addr.clone());
            match http.groups.iter_mut().find(|group| group.bind == bind) {
                Some(group) => group.addrs.push((addr.clone(), vhosts)),
                None => http.groups.push(ListenGroup {
                    bind: bind.clone(),
                    addrs: vec![(addr.clone(), vhosts)],
                }),
            }
            if bind == addr {
                cx.part::<WantedListeners>().0.push(address.options);
            }
        }
    }
}

impl Address {
    fn name(&mut self, cx: &mut Cx<'_>, id: ServerId, name: &ServerName, span: Span) {
        let vhosts = &mut self.vhosts;
        let (table, name): (&mut FxHashMap<_, _>, &[u8]) = match name {
            ServerName::Exact(name) => (&mut vhosts.exact, name),
            ServerName::Head(name) => (&mut vhosts.heads, name),
            ServerName::Tail(name) => (&mut vhosts.tails, name),
            ServerName::Dot(name) => {
                vhosts
                    .exact
                    .entry(name.get(1..).unwrap_or_default().into())
                    .or_insert(id);
                (&mut vhosts.heads, name)
            }
            ServerName::Regex(pattern) => {
                vhosts.regexes.push((pattern.clone(), id));
                return;
            }
        };
        match table.get(name) {
            Some(first) if *first != id => {
                let shown = String::from_utf8_lossy(name);
                let addr = &self.options.addr;
                let message = format!("conflicting server name \"{shown}\" on {addr}, ignored");
                cx.report(Problem::warn(span, message));
            }
            Some(_) => {}
            None => {
                table.insert(name.into(), id);
            }
        }
    }
}

fn index(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
