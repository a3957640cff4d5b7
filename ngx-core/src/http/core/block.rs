//! The blocks `http`, `server` and `location` while they are read.

use bytes::Bytes;

use super::build;
use super::listen::{ServerName, WantedAddr};
use super::path::set_default_root;
use crate::conf::{Args, Problem, Span, unsafe_ifs};
use crate::http::conf::Handler;
use crate::http::module::HttpModules;
use crate::http::regex::Pattern;
use crate::http::request::Request;
use crate::module::{Conf, Contexts, Cx, Level, Scope, Slot};
use crate::script::Variables;

/// The server blocks of `http`, in order.
pub(super) static SERVERS: Slot<Servers> = Slot::new(Level::Main);
/// What a server block says of itself.
pub(super) static HEAD: Slot<ServerHead> = Slot::new(Level::Server);
/// The locations directly inside of a block, and what the block does with requests.
pub(super) static INNER: Slot<Inner> = Slot::new(Level::Location);

#[derive(Default)]
pub(super) struct Servers(pub(super) Vec<ServerBlock>);

#[derive(Default)]
pub(super) struct ServerHead {
    pub(super) listens: Vec<WantedAddr>,
    pub(super) names: Vec<ServerName>,
    pub(super) first_name: Box<[u8]>,
}

/// Belongs to one block alone and is never inherited.
#[derive(Default)]
pub(super) struct Inner {
    pub(super) locations: Vec<LocationBlock>,
    /// The blocks of `if` with settings of their own.
    pub(super) ifs: Vec<IfBlock>,
    pub(super) handler: Option<Handler>,
    pub(super) auto_redirect: bool,
    /// The location that is being read; empty outside of locations.
    pub(super) name: Bytes,
    pub(super) kind: LocationKind,
}

pub(super) struct ServerBlock {
    pub(super) scope: Scope,
    pub(super) span: Span,
}

pub(super) struct LocationBlock {
    pub(super) kind: LocationKind,
    pub(super) name: Bytes,
    pub(super) pattern: Option<Pattern>,
    pub(super) scope: Scope,
    pub(super) span: Span,
}

pub(super) struct IfBlock {
    pub(super) scope: Scope,
    pub(super) span: Span,
}

/// How the name of a location is compared.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LocationKind {
    /// `/path`
    #[default]
    Prefix,
    /// `^~ /path`
    PrefixNoRegex,
    /// `= /path`
    Exact,
    /// `~ pattern` and `~* pattern`
    Regex,
    /// `@name`
    Named,
}

macro_rules! never_inherited {
    ($($name:ident),*) => { $(
        impl Conf for $name {
            fn merge(&mut self, _: &Self) -> Result<(), Problem> {
                Ok(())
            }
        }
    )* };
}
never_inherited!(Servers, ServerHead, Inner);

/// `http { }`
pub(super) fn set_http(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    if std::mem::replace(&mut cx.part::<Seen>().0, true) {
        return Err(Problem::of_directive(args.span(), "is duplicate"));
    }
    let Some(modules) = cx.registry().extension::<HttpModules>() else {
        return Err(args.problem("this program has no HTTP modules"));
    };
    for module in &modules.0 {
        if let Some(register) = module.variables {
            register(cx.part::<Variables<Request>>());
        }
    }
    cx.watch(|parts, span| {
        if let Some(variables) = parts.get_mut::<Variables<Request>>() {
            variables.set_place(Some(span));
        }
    });
    let scope = cx.with_scope(Scope::new(Level::Main), |cx| {
        set_default_root(cx);
        cx.evaluate(args.block().unwrap_or_default(), Contexts::HTTP);
        for module in &modules.0 {
            if let Some(finish) = module.finish
                && let Err(problem) = finish(cx)
            {
                cx.report(problem);
            }
        }
    });
    let place = args.span();
    cx.defer(move |cx| {
        if let Err(problem) = build::http(cx, place, scope) {
            cx.report(problem);
        }
    });
    Ok(())
}

/// Whether there was an `http` block already.
#[derive(Default)]
struct Seen(bool);

/// `server { }`
pub(super) fn set_server(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let scope = cx.with_scope(Scope::new(Level::Server), |cx| {
        cx.evaluate(args.block().unwrap_or_default(), Contexts::SERVER);
    });
    cx.conf(&SERVERS).0.push(ServerBlock {
        scope,
        span: args.span(),
    });
    Ok(())
}

/// `location [ = | ~ | ~* | ^~ ] name { }`
pub(super) fn set_location(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let (kind, name, caseless) = parse_name(args)?;
    let outer = cx.conf(&INNER);
    let (outer_kind, outer_name) = (outer.kind, outer.name.clone());
    check_nesting(args, kind, &name, outer_kind, &outer_name)?;
    let pattern = if kind == LocationKind::Regex {
        let text = String::from_utf8_lossy(&name).into_owned();
        let compiled = Pattern::compile(&text, caseless, cx.part::<Variables<Request>>());
        Some(compiled.map_err(|error| args.problem(error.to_string()))?)
    } else {
        None
    };
    let scope = cx.with_scope(Scope::new(Level::Location), |cx| {
        let inner = cx.conf(&INNER);
        inner.name = name.clone();
        inner.kind = kind;
        cx.evaluate(args.block().unwrap_or_default(), Contexts::LOCATION);
    });
    for problem in unsafe_ifs(args.block().unwrap_or_default()) {
        cx.report(problem);
    }
    let span = args.span();
    let block = LocationBlock {
        kind,
        name,
        pattern,
        scope,
        span,
    };
    cx.conf(&INNER).locations.push(block);
    Ok(())
}

fn parse_name(args: &Args<'_>) -> Result<(LocationKind, Bytes, bool), Problem> {
    let own = |text: &[u8]| Bytes::copy_from_slice(text);
    if args.values().len() == 2 {
        let name = own(args.arg(1).as_bytes());
        return match args.arg(0).as_bytes() {
            b"=" => Ok((LocationKind::Exact, name, false)),
            b"^~" => Ok((LocationKind::PrefixNoRegex, name, false)),
            b"~" => Ok((LocationKind::Regex, name, false)),
            b"~*" => Ok((LocationKind::Regex, name, true)),
            _ => Err(args
                .problem_at(0, format!("invalid location modifier \"{}\"", args.arg(0)))
                .with_help("the modifiers are =, ^~, ~ and ~*")),
        };
    }
    let name = args.arg(0).as_bytes();
    Ok(match name {
        // The space behind a modifier may be missing.
        [b'=', rest @ ..] => (LocationKind::Exact, own(rest), false),
        [b'^', b'~', rest @ ..] => (LocationKind::PrefixNoRegex, own(rest), false),
        [b'~', b'*', rest @ ..] => (LocationKind::Regex, own(rest), true),
        [b'~', rest @ ..] => (LocationKind::Regex, own(rest), false),
        [b'@', ..] => (LocationKind::Named, own(name), false),
        _ => (LocationKind::Prefix, own(name), false),
    })
}

fn check_nesting(
    args: &Args<'_>,
    kind: LocationKind,
    name: &[u8],
    outer_kind: LocationKind,
    outer_name: &[u8],
) -> Result<(), Problem> {
    let shown = String::from_utf8_lossy(name);
    let outer = String::from_utf8_lossy(outer_name);
    if outer_name.is_empty() {
        return Ok(());
    }
    match (outer_kind, kind) {
        (LocationKind::Exact, _) => Err(args.problem(format!(
            "location \"{shown}\" cannot be inside the exact location \"{outer}\""
        ))),
        (LocationKind::Named, _) => Err(args.problem(format!(
            "location \"{shown}\" cannot be inside the named location \"{outer}\""
        ))),
        (_, LocationKind::Named) => Err(args.problem(format!(
            "named location \"{shown}\" can be on the server level only"
        ))),
        (LocationKind::Prefix | LocationKind::PrefixNoRegex, LocationKind::Regex) => Ok(()),
        (LocationKind::Prefix | LocationKind::PrefixNoRegex, _)
            if !name.starts_with(outer_name) =>
        {
            Err(args.problem(format!(
                "location \"{shown}\" is outside location \"{outer}\""
            )))
        }
        _ => Ok(()),
    }
}

/// Whether a server block of the `http` block that was just read is what `test` looks for: for
/// [`HttpModule::finish`](crate::http::HttpModule::finish).
pub(in crate::http) fn any_server(
    cx: &mut Cx<'_>,
    mut test: impl FnMut(&mut Scope) -> bool,
) -> bool {
    cx.conf(&SERVERS)
        .0
        .iter_mut()
        .any(|server| test(&mut server.scope))
}

/// Adds a block of `if` to the location or server that is being read, and returns its number among
/// those there.
pub(in crate::http) fn push_if(cx: &mut Cx<'_>, scope: Scope, span: Span) -> usize {
    let ifs = &mut cx.conf(&INNER).ifs;
    ifs.push(IfBlock { scope, span });
    ifs.len() - 1
}

/// What the block being read does with a request instead of asking the content handlers.
///
/// For the setters of `proxy_pass` and its like.
///
/// # Errors
/// When the block has a handler already.
pub fn set_handler(cx: &mut Cx<'_>, args: &Args<'_>, handler: Handler) -> Result<(), Problem> {
    let inner = cx.conf(&INNER);
    if inner.handler.is_some() {
        return Err(Problem::of_directive(args.span(), "is duplicate"));
    }
    inner.handler = Some(handler);
    // Such a location answers for "/name" with a redirect to "/name/".
    inner.auto_redirect = inner.name.ends_with(b"/");
    Ok(())
}

/// The location being read: how its name is compared, and the name; empty outside of locations.
pub fn current_location(cx: &mut Cx<'_>) -> (LocationKind, Bytes) {
    let inner = cx.conf(&INNER);
    (inner.kind, inner.name.clone())
}
