//! `listen` and `server_name`

use crate::conf::values::{flag, size};
use crate::conf::{Args, Problem, Span, Word};
use crate::http::core::block::HEAD;
use crate::http::regex::Pattern;
use crate::http::request::Request;
use crate::module::Cx;
use crate::net::addr::{Addr, parse_listen};
use crate::net::listener::ListenOptions;
use crate::script::Variables;

/// An address of one server block.
pub(crate) struct WantedAddr {
    pub(super) options: ListenOptions,
    /// The directive sets options of the socket, which may be said once per address.
    pub(super) sets_socket: bool,
    pub(super) is_default: bool,
    pub(super) span: Span,
}

/// A name of one server block.
pub(super) enum ServerName {
    Exact(Box<[u8]>),
    /// `*.example.com` as `.example.com`
    Head(Box<[u8]>),
    /// `.example.com`: the name itself and everything below it.
    Dot(Box<[u8]>),
    /// `www.example.*` as `www.example.`
    Tail(Box<[u8]>),
    Regex(Pattern),
}

/// `listen 127.0.0.1:8080 default_server backlog=511 reuseport`
pub(super) fn set_listen(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let source = cx.source();
    let addrs = parse_listen(args.arg(0).as_str(), 80, &|name| source.lookup(name))
        .map_err(|error| args.problem_at(0, format!("{error} of the \"listen\" directive")))?;
    for addr in addrs {
        let mut wanted = WantedAddr {
            options: ListenOptions::new(addr),
            sets_socket: false,
            is_default: false,
            span: args.span(),
        };
        for (i, word) in args.values().iter().enumerate().skip(1) {
            set_option(&mut wanted, word).map_err(|message| args.problem_at(i, message))?;
        }
        let head = cx.conf(&HEAD);
        if let Some(first) = head
            .listens
            .iter()
            .find(|l| l.options.addr == wanted.options.addr)
        {
            let addr = &wanted.options.addr;
            return Err(args
                .problem_at(0, format!("a duplicate listen {addr}"))
                .with_note(first.span, "first listen"));
        }
        head.listens.push(wanted);
    }
    Ok(())
}

fn set_option(wanted: &mut WantedAddr, word: &Word) -> Result<(), String> {
    let text = word.as_str();
    let invalid = || format!("invalid parameter \"{text}\"");
    let (name, value) = text
        .split_once('=')
        .map_or((text, None), |(n, v)| (n, Some(v)));
    let bytes = |value: Option<&str>| {
        value
            .and_then(|v| size(v.as_bytes()).ok())
            .filter(|n| *n > 0)
            .ok_or_else(invalid)
    };
    match (name, value) {
        ("default_server" | "default", None) => {
            wanted.is_default = true;
            return Ok(());
        }
        ("bind", None) => {}
        ("reuseport", None) => wanted.options.reuseport = true,
        ("backlog", Some(value)) => {
            wanted.options.backlog = value
                .parse()
                .ok()
                .filter(|backlog| *backlog > 0)
                .ok_or_else(|| format!("invalid backlog \"{value}\""))?;
        }
        ("rcvbuf", value) => wanted.options.rcvbuf = Some(bytes(value)?),
        ("sndbuf", value) => wanted.options.sndbuf = Some(bytes(value)?),
        ("ipv6only", Some(value)) => {
            wanted.options.ipv6only = flag(value.as_bytes())
                .ok_or_else(|| format!("invalid ipv6only flags \"{value}\""))?;
            if !matches!(wanted.options.addr.ip(), Some(ip) if ip.is_ipv6()) {
                return Err(format!(
                    "ipv6only is not supported on addr \"{}\"",
                    wanted.options.addr
                ));
            }
        }
        ("ssl" | "quic" | "http2" | "proxy_protocol" | "spdy", None)
        | (
            "deferred" | "setfib" | "fastopen" | "accept_filter" | "so_keepalive" | "multipath",
            _,
        ) => {
            return Err(format!(
                "ngx does not implement the \"{name}\" parameter of \"listen\" yet"
            ));
        }
        _ => return Err(invalid()),
    }
    wanted.sets_socket = true;
    Ok(())
}

/// `server_name example.com *.example.com ~^(?<user>.+)\.example\.com$`
pub(super) fn set_server_name(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    for (i, word) in args.values().iter().enumerate() {
        let name = parse_name(cx, args, i, word)?;
        let head = cx.conf(&HEAD);
        if head.names.is_empty() {
            head.first_name = first_name(word);
        }
        head.names.push(name);
    }
    Ok(())
}

fn parse_name(
    cx: &mut Cx<'_>,
    args: &Args<'_>,
    i: usize,
    word: &Word,
) -> Result<ServerName, Problem> {
    let text = word.as_str();
    if let Some(pattern) = text.strip_prefix('~') {
        if pattern.is_empty() {
            return Err(args.problem_at(i, format!("empty regex in server name \"{text}\"")));
        }
        let pattern = Pattern::compile(pattern, true, cx.part::<Variables<Request>>())
            .map_err(|error| args.problem_at(i, error.to_string()))?;
        return Ok(ServerName::Regex(pattern));
    }
    let invalid = || args.problem_at(i, format!("invalid server name or wildcard \"{text}\""));
    if text.contains('/') {
        let warning = format!("server name \"{text}\" has suspicious symbols");
        cx.report(Problem::warn(word.span(), warning));
    }
    // Too short for what they begin with.
    if (text.starts_with('*') && (text.len() < 3 || !text.starts_with("*."))) || text == "." {
        return Err(args.problem_at(i, format!("server name \"{text}\" is invalid")));
    }
    let lower = text.to_ascii_lowercase();
    if lower == "$hostname" {
        let name = cx
            .source()
            .hostname()
            .map_err(|error| args.problem_at(i, format!("gethostname() failed: {error}")))?;
        return Ok(ServerName::Exact(
            name.to_ascii_lowercase().as_bytes().into(),
        ));
    }
    if let Some(rest) = lower.strip_prefix('*') {
        let fits = rest.starts_with('.') && rest.len() > 1 && !rest.contains('*');
        return if fits {
            Ok(ServerName::Head(rest.as_bytes().into()))
        } else {
            Err(invalid())
        };
    }
    if let Some(rest) = lower.strip_suffix('*') {
        let fits = rest.ends_with('.') && rest.len() > 1 && !rest.contains('*');
        return if fits {
            Ok(ServerName::Tail(rest.as_bytes().into()))
        } else {
            Err(invalid())
        };
    }
    if lower.contains('*') {
        return Err(invalid());
    }
    if lower.starts_with('.') {
        return Ok(ServerName::Dot(lower.as_bytes().into()));
    }
    Ok(ServerName::Exact(lower.as_bytes().into()))
}

/// The name that redirects and `$server_name` show.
fn first_name(word: &Word) -> Box<[u8]> {
    match word.as_bytes() {
        [b'.', rest @ ..] => rest.into(),
        name => name.into(),
    }
}

/// The address in the form that groups of listening sockets are found by.
pub(super) fn wildcard_of(addr: &Addr) -> Option<Addr> {
    let Addr::Inet(inet) = addr else { return None };
    let ip: std::net::IpAddr = match inet {
        std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    Some(std::net::SocketAddr::new(ip, inet.port()).into())
}
