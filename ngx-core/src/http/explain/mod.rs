//! How a URL would be served: which server and location, why, and with which settings.
//!
//! A request that nobody has sent goes through the engine's own look-ups and the directives of
//! rewriting, which tell what they do. Nothing is answered, no backend is asked and no Lua runs.

mod nobody;
mod outline;
mod url;

use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;

use self::nobody::Nobody;
use self::outline::{Outline, shown};
use self::url::Url;
pub use self::url::UrlError;
use super::conf::{HttpConf, VhostsId};
use super::core::SERVER;
use super::generation::Generation;
use super::location::LocationId;
use super::modules::{rewrite, try_files};
use super::parse::{RequestOptions, RequestParser, normalize, split_args};
use super::phases::{LookUp, Seen};
use super::request::Request;
use super::server::ServerId;
use crate::conf::{Node, Span};
use crate::cycle::Cycle;
use crate::module::Registry;
use crate::net::addr::Addr;

/// Explains how the configuration in `cycle`, of the modules in `registry`, serves a `GET` of
/// `url`.
///
/// # Errors
///
/// The text is no URL that a server could be asked for.
pub fn explain(registry: &Registry, cycle: &Arc<Cycle>, url: &str) -> Result<String, UrlError> {
    let parsed = Url::parse(url)?;
    let generation = Rc::new(Generation::new(Arc::clone(cycle)));
    let outline = Outline::of(registry, cycle);
    let mut told = Told {
        outline: &outline,
        text: format!("{url}\n\n"),
    };
    let Some((addr, vhosts)) = listener(generation.http(), &parsed) else {
        told.nowhere(generation.http(), parsed.port);
        return Ok(told.text);
    };
    let local = match addr.is_wildcard() {
        true => Addr::from(std::net::SocketAddr::from(([127, 0, 0, 1], parsed.port))),
        false => addr.clone(),
    };
    let client = Nobody::at(local);
    let peer = client.peer();
    let first = generation.http().vhosts_of(vhosts).default;
    let r = Request::new(Rc::clone(&generation), client, peer, first);
    take_head(&r, &parsed)?;
    told.server(&r, &addr, vhosts);
    take_uri(&r, &parsed)?;
    told.follow(&r);
    told.settings(&r, cycle);
    Ok(told.text)
}

/// Where a connection for `url` is accepted: at its very address, else at a wildcard, else at any
/// address with the port.
fn listener(http: &HttpConf, url: &Url) -> Option<(Addr, VhostsId)> {
    let addrs = http.groups.iter().flat_map(|group| &group.addrs);
    let fits = |rank: u8| {
        let mut fitting = addrs
            .clone()
            .filter(|(addr, _)| addr.port() == Some(url.port));
        fitting.find(|(addr, _)| match rank {
            0 => url.ip.is_some() && addr.ip() == url.ip,
            1 => addr.is_wildcard(),
            _ => url.ip.is_none(),
        })
    };
    (0..3).find_map(fits).cloned()
}

fn take_head(r: &Request, url: &Url) -> Result<(), UrlError> {
    let text = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n",
        url.target, url.authority
    );
    let mut fields = Vec::new();
    let mut parser = RequestParser::new(RequestOptions::default());
    let Ok(super::parse::Progress::Done(head)) = parser.parse(text.as_bytes(), &mut fields) else {
        return Err(UrlError::Request(url.target.clone()));
    };
    r.with_head_mut(|own| {
        own.set(text.as_bytes(), &head, &fields);
        own.find_host()
    })
    .map_err(|_| UrlError::Host(url.authority.clone()))
}

fn take_uri(r: &Request, url: &Url) -> Result<(), UrlError> {
    let merge = *SERVER.of(&r.server().slots).merge_slashes;
    let (path, args) = split_args(url.target.as_bytes());
    r.with_uri_mut(|own_path, own_args| {
        own_path.clear();
        own_args.clear();
        own_args.extend_from_slice(args.unwrap_or_default());
        normalize(path, merge, own_path)
    })
    .map_err(|_| UrlError::Request(url.target.clone()))
}

/// What has been found out, line by line.
struct Told<'a> {
    outline: &'a Outline<'a>,
    text: String,
}

/// Changes of the URI that are followed.
const MAX_CHANGES: usize = 10;

impl Told<'_> {
    fn line(&mut self, what: &str, text: &str, place: Span) {
        let at = self.outline.at(place);
        // Writing to a string does not fail.
        let _ = if at.is_empty() {
            writeln!(self.text, "{what:<10} {text}")
        } else {
            writeln!(self.text, "{what:<10} {text}  ({at})")
        };
    }

    fn nowhere(&mut self, http: &HttpConf, port: u16) {
        let addrs = http.groups.iter().flat_map(|group| &group.addrs);
        let addrs: Vec<_> = addrs.map(|(addr, _)| addr.to_string()).collect();
        let text = format!("nobody on port {port}; there are: {}", addrs.join(", "));
        self.line("listen", &text, Span::NOWHERE);
    }

    /// Chooses the server as a connection does, and tells why it is this one.
    fn server(&mut self, r: &Request, addr: &Addr, vhosts: VhostsId) {
        let vhosts = r.http().vhosts_of(vhosts);
        let host = String::from_utf8_lossy(r.head().host()).into_owned();
        let found = vhosts.find(r);
        let chosen: ServerId = found.unwrap_or(vhosts.default);
        r.set_server(chosen);
        let place = r.server().place;
        let block = self.outline.block(place);
        let listen = words(block, "listen").find(|(word, _)| {
            let port = addr
                .port()
                .map_or_else(String::new, |port| port.to_string());
            word == &addr.to_string() || word.ends_with(&port)
        });
        let at = listen.map_or(place, |(_, at)| at);
        self.line("listen", &addr.to_string(), at);
        if found.is_none() {
            let text = format!("the default one of {addr}: no name fits \"{host}\"");
            self.line("server", &text, place);
            return;
        }
        let by = words(block, "server_name").find_map(|(word, at)| {
            Some((format!("by {} {word}", kind_of_match(&word, &host)?), at))
        });
        let (by, at) = by.unwrap_or_else(|| ("by name".to_owned(), place));
        self.line("server", &by, at);
    }

    /// Goes through rewriting and look-ups up to the content.
    fn follow(&mut self, r: &Request) {
        for _ in 0..MAX_CHANGES {
            r.keep_location();
            r.set_location(r.server().root);
            if self.rewrite(r) || !self.find_location(r) {
                return;
            }
            match self.try_files(r) {
                Next::Content => return self.content(r),
                Next::Ends => return,
                Next::Again => {}
            }
        }
        self.line(
            "error",
            "500: the URI changes again and again",
            Span::NOWHERE,
        );
    }

    fn rewrite(&mut self, r: &Request) -> bool {
        rewrite::trace(r, &mut |place, text| self.directive(place, &text))
    }

    /// A directive by its name, and what it does.
    fn directive(&mut self, place: Span, text: &str) {
        let node = self.outline.block(place);
        let name = node.map_or_else(String::new, |node| node.name().to_string());
        let shown = node.map_or_else(String::new, shown);
        let arguments = shown.strip_prefix(&name).unwrap_or_default().trim();
        let text = if arguments.is_empty() {
            text.to_owned()
        } else {
            format!("{arguments}: {text}")
        };
        self.line(&name, &text, place);
    }

    /// Looks the location up until rewriting leaves it as it is; whether there is content to make.
    fn find_location(&mut self, r: &Request) -> bool {
        for _ in 0..MAX_CHANGES {
            r.keep_location();
            r.set_location(r.server().root);
            r.location_looked_up();
            let mut seen = Vec::new();
            let end = r.look_up(&mut |one| seen.push(one));
            self.location(r, end, &seen);
            if end == LookUp::SlashMissing {
                let path = String::from_utf8_lossy(&r.path()).into_owned();
                self.line("answer", &format!("301 to {path}/"), Span::NOWHERE);
                return false;
            }
            let internal = &r.core().internal;
            if **internal && !r.is_internal() {
                let place = internal.set_at().unwrap_or_default();
                self.line(
                    "internal",
                    "answers 404: the request comes from outside",
                    place,
                );
                return false;
            }
            let outside = std::ptr::eq(r.location(), r.http().location(r.server().root));
            if !outside && self.rewrite(r) {
                return false;
            }
            if !r.take_uri_change() {
                return true;
            }
        }
        self.line(
            "error",
            "500: the URI changes again and again",
            Span::NOWHERE,
        );
        false
    }

    fn location(&mut self, r: &Request, end: LookUp, seen: &[Seen]) {
        let name = |id: LocationId| {
            let node = self.outline.block(r.http().location(id).place);
            node.map(shown).unwrap_or_default()
        };
        let mut tried = Vec::new();
        let mut prefix = None;
        for one in seen {
            match *one {
                Seen::Regex { id, matches: false } => tried.push(id),
                Seen::Prefix { id, no_regex } => prefix = Some((id, no_regex)),
                Seen::Exact(_) | Seen::Regex { matches: true, .. } => {}
            }
        }
        let place = r.location().place;
        let block = self.outline.block(place).map(shown).unwrap_or_default();
        let block = block.strip_prefix("location ").unwrap_or("none").to_owned();
        let why = match (seen.last(), prefix) {
            _ if end == LookUp::SlashMissing => "the path lacks its last slash".to_owned(),
            (Some(Seen::Exact(_)), _) => "the very path".to_owned(),
            _ if r.location().is_regex => match prefix {
                Some((id, _)) => {
                    format!(
                        "the first regular expression that matches, which goes before {}",
                        name(id)
                    )
                }
                None => "the first regular expression that matches".to_owned(),
            },
            (_, Some((_, true))) => {
                "the longest prefix; ^~ keeps regular expressions from being tried".to_owned()
            }
            (_, Some((_, false))) => "the longest prefix".to_owned(),
            (_, None) => "no location fits, so the server block applies".to_owned(),
        };
        let tried: Vec<_> = tried
            .into_iter()
            .map(|id| (name(id), r.http().location(id).place))
            .collect();
        for (name, place) in tried {
            let name = name
                .strip_prefix("location ")
                .unwrap_or_default()
                .to_owned();
            self.line("location", &format!("{name}: does not match"), place);
        }
        self.line("location", &format!("{block}: {why}"), place);
    }

    fn try_files(&mut self, r: &Request) -> Next {
        let mut place = Span::NOWHERE;
        let mut tries = Vec::new();
        let traced = try_files::trace(r, &mut |at, text| {
            place = at;
            tries.push(text);
        });
        for text in tries {
            self.line("try_files", &text, place);
        }
        match traced {
            try_files::Traced::Serves => Next::Content,
            try_files::Traced::Status(status) => {
                self.line("try_files", &format!("answers {status}"), place);
                Next::Ends
            }
            try_files::Traced::Target(target) => {
                let shown = String::from_utf8_lossy(&target).into_owned();
                self.line("try_files", &format!("goes on with {shown}"), place);
                let (path, args) = split_args(&target);
                r.change_uri(path, args.unwrap_or_default());
                r.clear_ctx();
                Next::Again
            }
            try_files::Traced::Named(name) => {
                let shown = String::from_utf8_lossy(&name).into_owned();
                let Some(location) = r.server().named(&name) else {
                    self.line(
                        "try_files",
                        &format!("answers 500: there is no {shown}"),
                        place,
                    );
                    return Next::Ends;
                };
                self.line("try_files", &format!("goes to {shown}"), place);
                r.set_internal();
                r.set_location(location);
                self.line("location", &shown, r.location().place);
                if self.rewrite(r) {
                    return Next::Ends;
                }
                if r.take_uri_change() {
                    Next::Again
                } else {
                    Next::Content
                }
            }
        }
    }

    fn content(&mut self, r: &Request) {
        let block = self.outline.block(r.content_location().place);
        let nodes = block.and_then(Node::block).unwrap_or_default();
        let handler = nodes.iter().find(|node| {
            let name = node.name().as_str();
            name.ends_with("_pass") || name.starts_with("content_by_lua")
        });
        if let Some(handler) = handler {
            self.line("content", &shown(handler), handler.span());
            return;
        }
        let (name, _) = r.file_name();
        let is = match std::fs::metadata(&name) {
            Ok(found) if found.is_dir() => "a folder".to_owned(),
            Ok(found) => format!("a file of {} bytes", found.len()),
            Err(error) => error.to_string(),
        };
        let text = format!("{}: {is}", name.display());
        self.line("content", &text, Span::NOWHERE);
    }

    fn settings(&mut self, r: &Request, cycle: &Cycle) {
        let place = r.location().place;
        let mut settings = self.outline.effective(&r.location().slots, place);
        if !settings.iter().any(|one| one.name == "error_log") {
            settings.extend(self.outline.outside(cycle.global(), "error_log"));
        }
        let width = |text: &dyn Fn(&outline::Effective) -> usize| {
            settings
                .iter()
                .map(text)
                .filter(|width| *width <= MAX_WIDTH)
                .max()
        };
        let text = width(&|one| one.text.chars().count()).unwrap_or(0);
        let block = width(&|one| one.block.chars().count()).unwrap_or(0);
        self.text
            .push_str("\nsettings, and the blocks they are from:\n");
        for one in &settings {
            let _ = writeln!(
                self.text,
                "  {:<text$}  {:<block$}  {}",
                one.text, one.block, one.at
            );
        }
        if settings.iter().any(|one| one.name.contains("_by_lua")) {
            self.text
                .push_str("\nLua was not run: what it changes is not seen here.\n");
        }
    }
}

const MAX_WIDTH: usize = 50;

/// What follows `try_files`.
enum Next {
    Content,
    Ends,
    Again,
}

/// All arguments of directives of this name in a block, with the places of the directives.
fn words<'n>(
    block: Option<&'n Node>,
    name: &'static str,
) -> impl Iterator<Item = (String, Span)> + 'n {
    let nodes = block.and_then(Node::block).unwrap_or_default();
    let named = nodes.iter().filter(move |node| *node.name() == *name);
    named.flat_map(|node| {
        let words = node.values().iter();
        words.map(|word| (word.to_string(), node.span()))
    })
}

/// How a server name fits the host, unless it does not.
fn kind_of_match(name: &str, host: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    if lower == host || lower.strip_prefix('.') == Some(host) {
        return Some("its exact name");
    }
    let suffix = lower
        .strip_prefix('*')
        .or_else(|| lower.starts_with('.').then_some(&*lower));
    if suffix.is_some_and(|suffix| host.ends_with(suffix)) {
        return Some("the wildcard name");
    }
    if lower
        .strip_suffix('*')
        .is_some_and(|prefix| host.starts_with(prefix))
    {
        return Some("the wildcard name");
    }
    lower.starts_with('~').then_some("the regular expression")
}

#[cfg(test)]
mod tests;
