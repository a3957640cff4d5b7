//! What `proxy_pass` names: a group, an address, or a name that is resolved when it is known.

use std::net::SocketAddr;
use std::rc::Rc;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ngx_core::conf::{Args, Problem};
use ngx_core::error;
use ngx_core::http::{LocationKind, Request, current_location};
use ngx_core::module::Cx;
use ngx_core::net::Addr;
use ngx_core::net::addr::{Host, Target, split_uri};
use ngx_core::script::{Template, Variables};

use super::peers::{Group, Threads};
use super::state::Site;
use super::upstream_block::{UPSTREAMS, Upstream};
use crate::peer::Peer;

/// The compiled argument of `proxy_pass`.
#[derive(Clone)]
pub(super) enum Pass {
    /// No variables.
    Fixed(Fixed),
    /// Variables: everything is known with the request.
    Computed(Template),
}

/// A `proxy_pass` without variables.
#[derive(Clone)]
pub(super) struct Fixed {
    /// As written, for `proxy_redirect default`.
    pub(super) url: Bytes,
    pub(super) place: Place,
    pub(super) upstream: Arc<Upstream>,
    /// The name of the location that the URI part replaces.
    pub(super) location: Bytes,
}

/// The parts of an URL, without its address.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) site: Arc<Site>,
    /// The URI part; empty if there is none.
    pub(super) uri: Bytes,
}

impl Pass {
    /// Reads the argument of `proxy_pass` or its like in the location that is being read.
    pub(super) fn compile(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<Self, Problem> {
        let text = args.arg(0).as_str();
        if text.contains('$') {
            let template = Template::compile(text, cx.part::<Variables<Request>>());
            let template = template.map_err(|error| args.problem_at(0, error.to_string()))?;
            return Ok(Self::Computed(template));
        }
        let rest = match Scheme::of(text) {
            Some((Scheme::Http, rest)) => rest,
            Some((Scheme::Https, _)) => {
                return Err(args
                    .problem_at(0, "https protocol requires SSL support")
                    .with_help("TLS towards backends is not implemented yet"));
            }
            None => return Err(args.problem_at(0, "invalid URL prefix")),
        };
        let (target, place) = parse(rest).map_err(|error| args.problem_at(0, error))?;
        let (kind, location) = current_location(cx);
        let mut location = location;
        if matches!(kind, LocationKind::Regex | LocationKind::Named) || location.is_empty() {
            if !place.uri.is_empty() {
                return Err(args.problem_at(0, URI_PART));
            }
            location = Bytes::new();
        }
        let upstream = cx.conf(&UPSTREAMS).reference(&target, args.span());
        let url = Bytes::copy_from_slice(text.as_bytes());
        Ok(Self::Fixed(Fixed {
            url,
            place,
            upstream,
            location,
        }))
    }
}

const URI_PART: &str = "\"proxy_pass\" cannot have URI part in location given by regular \
    expression, or inside named location, or inside \"if\" statement, or inside \"limit_except\" \
    block";

/// What stands before `://`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn of(text: &str) -> Option<(Self, &str)> {
        let (scheme, rest) = text.split_once("://")?;
        match scheme {
            _ if scheme.eq_ignore_ascii_case("http") => Some((Self::Http, rest)),
            _ if scheme.eq_ignore_ascii_case("https") => Some((Self::Https, rest)),
            _ => None,
        }
    }
}

/// Splits what follows `http://`. The error is in nginx's words.
fn parse(rest: &str) -> Result<(Target, Place), String> {
    let (address, uri) = split_uri(rest);
    let target = Target::from_str(address)
        .map_err(|error| format!("{} in upstream \"{rest}\"", error.kind()))?;
    let uri = match uri.as_bytes() {
        [b'?' | b'#', ..] => Bytes::from([b"/", uri.as_bytes()].concat()),
        plain => Bytes::copy_from_slice(plain),
    };
    let site = Arc::new(site(&target));
    Ok((target, Place { site, uri }))
}

fn site(target: &Target) -> Site {
    let bare = Target {
        port: None,
        ..target.clone()
    };
    match (&target.host, target.port) {
        (Host::Unix(_), _) => Site {
            host: Bytes::from_static(b"localhost"),
            port: Bytes::new(),
        },
        (_, None | Some(80)) => Site {
            host: bare.to_string().into(),
            port: Bytes::from_static(b"80"),
        },
        (_, Some(port)) => Site {
            host: target.to_string().into(),
            port: port.to_string().into(),
        },
    }
}

/// Whom one request goes to.
pub(super) struct Found {
    pub(super) group: Rc<Group>,
    /// What tells locations apart, for connections that are `local`.
    pub(super) location: usize,
}

/// A target that is known, or a name that has to be resolved first.
pub(super) enum Lookup {
    Found(Found),
    Name { name: Box<str>, port: u16 },
}

impl Fixed {
    /// The peers of this target.
    pub(super) fn find(&self, r: &Request, location: usize) -> Option<Found> {
        of_upstream(r, &self.upstream, location)
    }
}

pub(super) fn of_upstream(r: &Request, upstream: &Arc<Upstream>, location: usize) -> Option<Found> {
    let threads = r.generation().local::<Threads>();
    let group = threads.group(upstream)?;
    Some(Found { group, location })
}

/// Evaluates a `proxy_pass` with variables.
///
/// # Errors
/// The status to end the request with; why was logged.
pub(super) fn evaluate(
    r: &Request,
    template: &Template,
    location: usize,
) -> Result<(Place, Lookup), u16> {
    let url = template.eval_bytes(r);
    let text = String::from_utf8_lossy(&url);
    let Some((Scheme::Http, rest)) = Scheme::of(&text) else {
        error!("invalid URL prefix in \"{text}\"");
        return Err(500);
    };
    let (target, place) = parse(rest).map_err(|error| {
        error!("{error}");
        500_u16
    })?;
    lookup(r, &target, location).map(|lookup| (place, lookup))
}

/// Looks for a group of this name, else for an address.
pub(super) fn lookup(r: &Request, target: &Target, location: usize) -> Result<Lookup, u16> {
    let upstreams = UPSTREAMS.of(&r.http().slots);
    let name = target.to_string();
    if let Some(upstream) = upstreams.find(&name) {
        return match of_upstream(r, upstream, location) {
            Some(found) => Ok(Lookup::Found(found)),
            None => Err(500),
        };
    }
    let port = target.port.unwrap_or(80);
    let addr = match &target.host {
        Host::Ip(ip) => Addr::from(SocketAddr::new(*ip, port)),
        Host::Unix(path) => Addr::Unix(Arc::clone(path)),
        Host::Name(name) => {
            return Ok(Lookup::Name {
                name: name.clone(),
                port,
            });
        }
    };
    let threads = r.generation().local::<Threads>();
    let group = threads.unnamed(name.into(), [Peer::new(addr)]);
    Ok(Lookup::Found(Found { group, location }))
}

/// Asks the `resolver` of the location.
///
/// # Errors
/// The status to end the request with; why was logged.
///
/// # Cancel safety
/// Nothing is lost but the answer.
pub(super) async fn resolve(r: &Request, name: &str, port: u16) -> Result<Found, u16> {
    let conf = r.core();
    let Some(resolver) = conf.resolver.as_ref() else {
        error!("no resolver defined to resolve {name}");
        return Err(502);
    };
    let timeout = Duration::from_millis(*conf.resolver_timeout);
    let addrs = match tokio::time::timeout(timeout, resolver.resolve(name)).await {
        Ok(Ok(addrs)) => addrs,
        Ok(Err(failed)) => {
            error!("{failed}");
            return Err(502);
        }
        Err(_) => {
            error!("{name} could not be resolved (110: Operation timed out)");
            return Err(502);
        }
    };
    let peers = addrs
        .iter()
        .map(|&ip| Peer::new(SocketAddr::new(ip, port).into()));
    let threads = r.generation().local::<Threads>();
    Ok(Found {
        group: threads.unnamed(name.into(), peers),
        // Their connections are not kept.
        location: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(rest: &str) -> (String, String, String) {
        let (_, place) = parse(rest).unwrap();
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        (
            text(&place.site.host),
            text(&place.site.port),
            text(&place.uri),
        )
    }

    #[test]
    fn the_host_is_shown_with_a_port_that_is_not_the_usual_one() {
        let is = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(parts("a.example"), is("a.example", "80", ""));
        assert_eq!(parts("a.example:80/x"), is("a.example", "80", "/x"));
        assert_eq!(
            parts("127.0.0.1:8080?a=b"),
            is("127.0.0.1:8080", "8080", "/?a=b")
        );
        assert_eq!(parts("[::1]:81/"), is("[::1]:81", "81", "/"));
        assert_eq!(parts("unix:/run/a.sock:/x/"), is("localhost", "", "/x/"));
    }

    #[test]
    fn what_is_no_address_is_named() {
        assert_eq!(parse("/x").unwrap_err(), "no host in upstream \"/x\"");
        assert_eq!(
            parse("a:b/").unwrap_err(),
            "invalid port in upstream \"a:b/\""
        );
    }

    #[test]
    fn schemes() {
        assert_eq!(Scheme::of("HTTP://a"), Some((Scheme::Http, "a")));
        assert_eq!(Scheme::of("https://a"), Some((Scheme::Https, "a")));
        assert_eq!(Scheme::of("ftp://a"), None);
    }
}
