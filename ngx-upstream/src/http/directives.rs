//! The `proxy_*` directives.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use ngx_core::conf::{Args, Problem, Span, dropped_lines};
use ngx_core::http::parse::Version;
use ngx_core::http::{Pattern, Request};
use ngx_core::module::{Arity, Conf, Contexts, Cx, Directive, Level, Setter, Slot};
use ngx_core::script::{Template, Variables};
use ngx_core::{setter, settings};

use super::headers::{HIDDEN, Passing, STAY_HERE};
use super::redirect::{From, Redirect, Redirects};
use super::request::{OF_ONE_HOP, Sending, is_framing};
use super::settings::{Drive, buffers, conditions, default_conditions};
use super::target::Pass;
use crate::driver::Settings;
use crate::pipe::{Buffers, Mode};
use crate::retry::Conditions;

/// What a location says about passing requests on.
pub(super) static PROXY: Slot<ProxyConf> = Slot::new(Level::Location);

/// The settings of a location, and what follows from them.
#[derive(Default)]
pub(super) struct ProxyConf {
    settings: ProxySettings,
    pub(super) pass: Option<Pass>,
    pub(super) sending: Sending,
    pub(super) passing: Passing,
    pub(super) drive: Option<Arc<Settings>>,
}

settings! {
    /// What directives set. Times are milliseconds, sizes are bytes.
    pub(super) struct ProxySettings {
        set_header: Vec<(Bytes, Template)> = Vec::new(),
        hide_header: Vec<Bytes> = Vec::new(),
        pass_header: Vec<Bytes> = Vec::new(),
        ignore_headers: Vec<Ignored> = Vec::new(),
        redirects: Vec<Rule> = vec![Rule::Default(Span::NOWHERE)],
        http_version: Version = Version::HTTP_11,
        method: Option<Template> = None,
        pass_request_headers: bool = true,
        pass_request_body: bool = true,
        buffering: bool = true,
        request_buffering: bool = true,
        buffer_size: usize = 4096,
        buffers: (usize, usize) = (8, 4096),
        busy_buffers_size: usize = 0,
        max_temp_file_size: u64 = 1024 * 1024 * 1024,
        temp_path: PathBuf = PathBuf::from("proxy_temp"),
        connect_timeout: u64 = 60_000,
        send_timeout: u64 = 60_000,
        read_timeout: u64 = 60_000,
        next_upstream: Conditions = default_conditions(),
        next_upstream_tries: u64 = 0,
        next_upstream_timeout: u64 = 0,
        intercept_errors: bool = false,
        ignore_client_abort: bool = false,
        force_ranges: bool = false,
    }
}

/// A `proxy_redirect`.
#[derive(Clone)]
pub(super) enum Rule {
    Default(Span),
    Own(Redirect),
}

/// Fields of a response that have no effect (`proxy_ignore_headers`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ignored {
    AccelRedirect,
    AccelBuffering,
    AccelCharset,
    AccelLimitRate,
    /// Those that only a cache looks at.
    ForCaches,
}

impl Deref for ProxyConf {
    type Target = ProxySettings;

    fn deref(&self) -> &ProxySettings {
        &self.settings
    }
}

impl DerefMut for ProxyConf {
    fn deref_mut(&mut self) -> &mut ProxySettings {
        &mut self.settings
    }
}

impl Conf for ProxyConf {
    fn merge(&mut self, parent: &Self) -> Result<(), Problem> {
        self.settings.merge(&parent.settings)?;
        if self.pass.is_none() {
            self.pass.clone_from(&parent.pass);
        }
        Ok(())
    }

    fn warn(&self, parent: &Self, report: &mut dyn FnMut(Problem)) {
        let names = |conf: &Self| -> Vec<Bytes> {
            let list = conf.set_header.iter();
            list.map(|(name, _)| name.clone()).collect()
        };
        let (own, outer) = (&self.settings.set_header, &parent.settings.set_header);
        if let (Some(own_at), Some(outer_at)) = (own.set_at(), outer.set_at())
            && let Some(problem) = dropped_lines(
                "proxy_set_header",
                (&names(self), own_at),
                (&names(parent), outer_at),
            )
        {
            report(problem);
        }
    }

    fn places(&self, tell: &mut dyn FnMut(Span)) {
        self.settings.places(tell);
    }

    fn finish(&mut self) -> Result<(), Problem> {
        self.sending = self.sending();
        if let Some(Pass::Fixed(fixed)) = &self.pass {
            self.sending.fix(&fixed.place, *self.settings.http_version);
        }
        self.passing = self.passing()?;
        self.drive = Some(Arc::new(self.drive().settings()));
        Ok(())
    }
}

impl ProxyConf {
    pub(super) fn ignores(&self, field: Ignored) -> bool {
        self.ignore_headers.contains(&field)
    }

    fn sending(&self) -> Sending {
        let mut sending = Sending::default();
        for name in OF_ONE_HOP {
            sending
                .replaced
                .insert(&Bytes::from_static(name.as_bytes()));
        }
        for (name, value) in self.set_header.iter() {
            sending.replaced.insert(name);
            if name.eq_ignore_ascii_case(b"Host") {
                sending.host = Some(value.clone());
            } else if is_framing(name) {
                sending.framing.push((name.clone(), value.clone()));
            } else {
                sending.lines.push(name, value);
            }
        }
        sending
    }

    fn passing(&self) -> Result<Passing, Problem> {
        let mut passing = Passing {
            force_ranges: *self.force_ranges,
            ..Passing::default()
        };
        let hidden = HIDDEN
            .iter()
            .map(|name| Bytes::from_static(name.as_bytes()));
        for name in hidden.chain(self.hide_header.iter().cloned()) {
            if !self
                .pass_header
                .iter()
                .any(|passed| passed.eq_ignore_ascii_case(&name))
            {
                passing.hidden.insert(&name);
            }
        }
        for name in STAY_HERE {
            passing.hidden.insert(&Bytes::from_static(name.as_bytes()));
        }
        let mut redirects = Vec::new();
        for rule in self.redirects.iter() {
            match rule {
                Rule::Own(redirect) => redirects.push(redirect.clone()),
                Rule::Default(span) => redirects.extend(self.default_redirect(*span)?),
            }
        }
        passing.redirects = Redirects(redirects);
        Ok(passing)
    }

    /// What `proxy_pass` replaces, the other way round.
    fn default_redirect(&self, span: Span) -> Result<Option<Redirect>, Problem> {
        let fixed = match &self.pass {
            Some(Pass::Fixed(fixed)) => fixed,
            Some(Pass::Computed(_)) if span.is_somewhere() => {
                return Err(Problem::new(
                    span,
                    "\"proxy_redirect default\" cannot be used with \"proxy_pass\" directive with \
                     variables",
                ));
            }
            _ => return Ok(None),
        };
        let (from, to) = if fixed.place.uri.is_empty() {
            (
                [&fixed.url[..], b"/"].concat().into(),
                Bytes::from_static(b"/"),
            )
        } else {
            (fixed.url.clone(), fixed.location.clone())
        };
        let from = From::Prefix(Template::from_literal(from));
        Ok(Some(Redirect {
            from,
            to: Template::from_literal(to),
        }))
    }

    fn drive(&self) -> Drive {
        Drive {
            timeouts: [
                *self.connect_timeout,
                *self.send_timeout,
                *self.read_timeout,
            ],
            conditions: *self.next_upstream,
            tries: *self.next_upstream_tries,
            tries_timeout: *self.next_upstream_timeout,
            buffer_size: *self.buffer_size,
            mode: if *self.buffering {
                Mode::Buffered
            } else {
                Mode::Unbuffered
            },
            buffers: self.buffers_of(),
        }
    }

    /// The sizes that are written count; without them there is more memory than nginx takes,
    /// because larger reads are worth it.
    fn buffers_of(&self) -> Buffers {
        let mut all = buffers(&self.temp_path);
        all.temp_file_max = *self.max_temp_file_size;
        let (number, size) = *self.buffers;
        if self.buffers.is_set() {
            all.memory = number
                .saturating_mul(size)
                .saturating_add(*self.buffer_size);
            all.busy = size
                .max(*self.buffer_size)
                .saturating_mul(2)
                .min(all.memory);
        }
        if self.busy_buffers_size.is_set() {
            all.busy = *self.busy_buffers_size;
        }
        all
    }
}

const ALL: Contexts = Contexts::HTTP.or(Contexts::SERVER).or(Contexts::LOCATION);
const HERE: Contexts = Contexts::LOCATION
    .or(Contexts::IF_LOCATION)
    .or(Contexts::LIMIT_EXCEPT);

/// A directive with one argument.
const fn one(
    name: &'static str,
    default: &'static str,
    doc: &'static str,
    set: Setter,
) -> Directive {
    some(name, Arity::ONE, default, doc, set)
}

/// A directive of all levels, of whatever module that passes requests on.
pub(super) const fn some(
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
pub(super) static DIRECTIVES: &[Directive] = &[
    Directive { name: "proxy_pass", contexts: HERE, arity: Arity::ONE, set: set_pass, default: "", doc: "The server or group that requests are passed to." },
    some("proxy_redirect", Arity::range(1, 2), "default", "How Location and Refresh of responses are changed.", set_redirect),
    some("proxy_set_header", Arity::TWO, "Host $proxy_host", "Sets or removes a field of the request.", set_header),
    one("proxy_http_version", "1.1", "The version of HTTP spoken to servers.", set_http_version),
    one("proxy_method", "", "The method instead of the client's.", set_method),
    one("proxy_pass_request_headers", "on", "Pass the client's fields on.", setter!(PROXY, pass_request_headers, flag)),
    one("proxy_pass_request_body", "on", "Pass the client's body on.", setter!(PROXY, pass_request_body, flag)),
    one("proxy_hide_header", "", "A field of responses that the client does not get.", |cx, args| push_name(&mut cx.conf(&PROXY).hide_header, args)),
    one("proxy_pass_header", "", "A field of responses that the client gets though it is hidden by default.", |cx, args| push_name(&mut cx.conf(&PROXY).pass_header, args)),
    some("proxy_ignore_headers", Arity::at_least(1), "", "Fields of responses without effect here.", set_ignore_headers),
    one("proxy_buffering", "on", "Read responses faster than clients do.", setter!(PROXY, buffering, flag)),
    one("proxy_request_buffering", "on", "Read the whole body of a request before it is passed on.", setter!(PROXY, request_buffering, flag)),
    one("proxy_buffer_size", "4k", "The largest header of a response.", set_buffer_size),
    some("proxy_buffers", Arity::TWO, "", "Memory for a response: number and size of buffers.", set_buffers),
    one("proxy_busy_buffers_size", "", "How much of a response is on its way to the client at a time.", set_busy),
    one("proxy_max_temp_file_size", "1024m", "The most of a response that is kept in a file; 0 keeps none there.", setter!(PROXY, max_temp_file_size, bytes)),
    one("proxy_temp_file_write_size", "", "Checked, and not needed: files are written as much at a time as there is.", |_, args| args.size(0).map(drop)),
    some("proxy_temp_path", Arity::range(1, 4), "proxy_temp", "The folder of temporary files. They have no names there, so its levels are not needed.", set_temp_path),
    one("proxy_connect_timeout", "60s", "How long connecting may take.", setter!(PROXY, connect_timeout, msec)),
    one("proxy_send_timeout", "60s", "The time between two writes to a server.", setter!(PROXY, send_timeout, msec)),
    one("proxy_read_timeout", "60s", "The time between two reads from a server.", setter!(PROXY, read_timeout, msec)),
    some("proxy_next_upstream", Arity::at_least(1), "error timeout", "When the next server is asked.", set_next_upstream),
    one("proxy_next_upstream_tries", "0", "How many servers are asked at most; 0 is no limit.", setter!(PROXY, next_upstream_tries, number)),
    one("proxy_next_upstream_timeout", "0", "For how long the next one is asked; 0 is no limit.", setter!(PROXY, next_upstream_timeout, msec)),
    one("proxy_intercept_errors", "off", "Let error_page answer for errors of servers.", setter!(PROXY, intercept_errors, flag)),
    one("proxy_ignore_client_abort", "off", "Go on with the server when the client leaves.", setter!(PROXY, ignore_client_abort, flag)),
    one("proxy_force_ranges", "off", "Answer range requests whatever the server says.", setter!(PROXY, force_ranges, flag)),
    one("proxy_headers_hash_max_size", "512", "Checked, and not needed: hash tables here size themselves.", |_, args| args.number(0).map(drop)),
    one("proxy_headers_hash_bucket_size", "64", "Checked, and not needed: hash tables here size themselves.", |_, args| args.number(0).map(drop)),
];

/// `proxy_pass URL`
fn set_pass(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let pass = Pass::compile(cx, args)?;
    ngx_core::http::set_handler(cx, args, Arc::new(super::proxy::handle))?;
    cx.conf(&PROXY).pass = Some(pass);
    Ok(())
}

/// Lets the default folder start from the prefix of the configuration.
pub(super) fn place_defaults(cx: &mut Cx<'_>) -> Result<(), Problem> {
    let prefix = cx.prefix().to_owned();
    let path = &mut cx.conf(&PROXY).temp_path;
    if !path.is_set() {
        let full = prefix.join(&**path);
        path.adjust(full);
    }
    Ok(())
}

fn template(cx: &mut Cx<'_>, args: &Args<'_>, i: usize) -> Result<Template, Problem> {
    Template::compile(args.arg(i).as_bytes(), cx.part::<Variables<Request>>())
        .map_err(|error| args.problem_at(i, error.to_string()))
}

/// `proxy_redirect off|default`, `proxy_redirect from to`
fn set_redirect(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let first = args.arg(0).as_str();
    if args.values().len() == 1 {
        let rules = &mut cx.conf(&PROXY).redirects;
        return match first {
            "off" => rules.set(Vec::new(), args.span()),
            "default" => {
                push_rule(rules, args, Rule::Default(args.span()));
                Ok(())
            }
            _ => Err(args.problem_at(0, format!("invalid parameter \"{first}\""))),
        };
    }
    let from = match first.strip_prefix('~') {
        Some(pattern) => {
            let (pattern, caseless) = match pattern.strip_prefix('*') {
                Some(pattern) => (pattern, true),
                None => (pattern, false),
            };
            let pattern = Pattern::compile(pattern, caseless, cx.part::<Variables<Request>>());
            From::Regex(pattern.map_err(|error| args.problem_at(0, error.to_string()))?)
        }
        None => From::Prefix(template(cx, args, 0)?),
    };
    let to = template(cx, args, 1)?;
    push_rule(
        &mut cx.conf(&PROXY).redirects,
        args,
        Rule::Own(Redirect { from, to }),
    );
    Ok(())
}

/// The first rule takes the place of the default.
fn push_rule(rules: &mut ngx_core::conf::Setting<Vec<Rule>>, args: &Args<'_>, rule: Rule) {
    let first = !rules.is_set();
    let rules = rules.set_mut(args.span());
    if first {
        rules.clear();
    }
    rules.push(rule);
}

/// `proxy_set_header name value`
fn set_header(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let value = template(cx, args, 1)?;
    let name = Bytes::copy_from_slice(args.arg(0).as_bytes());
    cx.conf(&PROXY)
        .set_header
        .set_mut(args.span())
        .push((name, value));
    Ok(())
}

/// `proxy_method name`
fn set_method(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let method = template(cx, args, 0)?;
    cx.conf(&PROXY).method.set(Some(method), args.span())
}

/// `proxy_http_version 1.0|1.1`
fn set_http_version(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let version = args.choice(0, &[("1.0", Version::HTTP_10), ("1.1", Version::HTTP_11)])?;
    cx.conf(&PROXY).http_version.set(version, args.span())
}

fn push_name(
    names: &mut ngx_core::conf::Setting<Vec<Bytes>>,
    args: &Args<'_>,
) -> Result<(), Problem> {
    names
        .set_mut(args.span())
        .push(Bytes::copy_from_slice(args.arg(0).as_bytes()));
    Ok(())
}

/// `proxy_ignore_headers name …`
fn set_ignore_headers(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    const FIELDS: [(&str, Ignored); 9] = [
        ("X-Accel-Redirect", Ignored::AccelRedirect),
        ("X-Accel-Buffering", Ignored::AccelBuffering),
        ("X-Accel-Charset", Ignored::AccelCharset),
        ("X-Accel-Limit-Rate", Ignored::AccelLimitRate),
        ("X-Accel-Expires", Ignored::ForCaches),
        ("Expires", Ignored::ForCaches),
        ("Cache-Control", Ignored::ForCaches),
        ("Set-Cookie", Ignored::ForCaches),
        ("Vary", Ignored::ForCaches),
    ];
    let mut fields = Vec::new();
    for i in 0..args.values().len() {
        fields.push(args.choice(i, &FIELDS)?);
    }
    cx.conf(&PROXY).ignore_headers.set(fields, args.span())
}

/// `proxy_buffer_size size`
fn set_buffer_size(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let size = not_empty(args, 0)?;
    cx.conf(&PROXY).buffer_size.set(size, args.span())
}

/// `proxy_buffers number size`
fn set_buffers(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let number = args.number_in(0, 2..=u64::from(u32::MAX))?;
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    let size = not_empty(args, 1)?;
    cx.conf(&PROXY).buffers.set((number, size), args.span())
}

/// `proxy_busy_buffers_size size`
fn set_busy(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let size = not_empty(args, 0)?;
    cx.conf(&PROXY).busy_buffers_size.set(size, args.span())
}

fn not_empty(args: &Args<'_>, i: usize) -> Result<usize, Problem> {
    match args.size(i)? {
        0 => Err(args.problem_at(i, format!("\"{}\" cannot be empty", args.name()))),
        size => Ok(size),
    }
}

/// `proxy_temp_path folder [levels]`
fn set_temp_path(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    for i in 1..args.values().len() {
        args.number_in(i, 1..=3)?;
    }
    let path = cx.full_path(args.arg(0));
    cx.conf(&PROXY).temp_path.set(path, args.span())
}

/// `proxy_next_upstream condition …`
fn set_next_upstream(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let set = conditions(
        args,
        &[
            "error",
            "timeout",
            "invalid_header",
            "non_idempotent",
            "http_500",
            "http_502",
            "http_503",
            "http_504",
            "http_403",
            "http_404",
            "http_429",
            "off",
        ],
    )?;
    cx.conf(&PROXY).next_upstream.set(set, args.span())
}
