//! `add_header` and `expires`: what the configuration adds to response headers.

mod expires;

use std::sync::Arc;

use bytes::Bytes;

use self::expires::Expires;
use super::not_modified::seconds_of;
use crate::conf::{Args, Problem, Word, dropped_lines};
use crate::http::module::{HttpModule, Ordered};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::step::Step;
use crate::module::{Arity, Contexts, Cx, Directive, Level, Module, Slot};
use crate::script::{Template, Variables};
use crate::settings;

/// The filter that adds configured header lines.
pub(in crate::http) static MODULE: HttpModule = HttpModule {
    header_filters: &[Ordered {
        name: "headers",
        before: &["range", "chunked"],
        after: &["not_modified"],
        run: header,
    }],
    filters_at: Some(|slots| {
        let conf = CONF.of(slots);
        conf.lines.is_set() || conf.expires.is_set()
    }),
    ..HttpModule::new(&DESCRIPTOR)
};

static DESCRIPTOR: Module = Module {
    name: "ngx_http_headers_filter_module",
    directives: &[
        Directive {
            name: "add_header",
            contexts: CONTEXTS,
            arity: Arity::range(2, 3),
            set: set_add_header,
            default: "",
            doc: "Adds a line to the header of responses. Inherited unless the block has lines of its own.",
        },
        Directive {
            name: "expires",
            contexts: CONTEXTS,
            arity: Arity::range(1, 2),
            set: set_expires,
            default: "off",
            doc: "Sets Expires and Cache-Control by a time, epoch, max or off.",
        },
    ],
};

const CONTEXTS: Contexts = Contexts::HTTP
    .or(Contexts::SERVER)
    .or(Contexts::LOCATION)
    .or(Contexts::IF_LOCATION);

settings! {
    /// What a location adds to response headers.
    struct HeadersConf {
        /// The lines of `add_header`, in order.
        lines: Arc<Vec<Line>> = Arc::default(),
        expires: ExpiresConf = ExpiresConf::Fixed(Expires::Off),
    }
    warn = warn_of_dropped
}

/// A block with `add_header` has none of those around it: seldom what is meant.
fn warn_of_dropped(own: &HeadersConf, outer: &HeadersConf, report: &mut dyn FnMut(Problem)) {
    let names = |conf: &HeadersConf| -> Vec<Bytes> {
        conf.lines.iter().map(|line| line.name.clone()).collect()
    };
    if let (Some(own_at), Some(outer_at)) = (own.lines.set_at(), outer.lines.set_at())
        && let Some(problem) = dropped_lines(
            "add_header",
            (&names(own), own_at),
            (&names(outer), outer_at),
        )
    {
        report(problem);
    }
}

static CONF: Slot<HeadersConf> = Slot::new(Level::Location);

/// One `add_header`.
#[derive(Clone)]
struct Line {
    name: Bytes,
    kind: Kind,
    value: Template,
    always: bool,
}

/// What is special about a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Nothing: a line is added.
    Plain,
    LastModified,
    ETag,
}

/// `expires`, read while configuring where it can be.
#[derive(Clone)]
enum ExpiresConf {
    Fixed(Expires),
    /// Its value has variables.
    Template {
        modified: bool,
        template: Arc<Template>,
    },
}

fn header(r: &Request) -> Step<()> {
    let conf = r.conf(&CONF);
    let response = r.response();
    let safe = is_safe(response.status());
    if safe {
        let expires = match &*conf.expires {
            ExpiresConf::Fixed(expires) => *expires,
            ExpiresConf::Template { modified, template } => {
                // A value that makes no sense is no value, as in nginx.
                Expires::parse(&template.eval_bytes(r), *modified).unwrap_or(Expires::Off)
            }
        };
        set_cache_lines(response, expires);
    }
    for line in conf.lines.iter().filter(|line| safe || line.always) {
        line.add(response, without_breaks(line.value.eval_bytes(r)));
    }
    Step::Next(())
}

/// The statuses that lines are added to without `always`.
fn is_safe(status: u16) -> bool {
    matches!(status, 200 | 201 | 204 | 206 | 301..=304 | 307 | 308)
}

fn set_cache_lines(response: &Response, expires: Expires) {
    let now = crate::time::unix_seconds();
    let Some(lines) = expires.lines(now, last_modified(response)) else {
        return;
    };
    response.remove_field(b"Expires");
    response.remove_field(b"Cache-Control");
    response.push_field("Expires", Bytes::copy_from_slice(lines.expires.as_bytes()));
    response.push_field("Cache-Control", lines.cache_control);
}

/// When the content last changed, for `expires modified`: as handlers know it, or as a backend says.
fn last_modified(response: &Response) -> Option<i64> {
    response
        .last_modified()
        .or_else(|| seconds_of(&response.field(b"Last-Modified")?))
}

impl Line {
    fn add(&self, response: &Response, value: Bytes) {
        match self.kind {
            Kind::Plain if value.is_empty() => {}
            Kind::Plain => {
                // The page of 416 is made of a header that went through here before.
                let again = response.status() == 416
                    && response
                        .fields()
                        .iter()
                        .any(|field| field.name == self.name && field.value == value);
                if !again {
                    response.push_field(self.name.clone(), value);
                }
            }
            Kind::ETag => {
                response.remove_field(b"ETag");
                response.set_etag((!value.is_empty()).then_some(value));
            }
            Kind::LastModified => {
                let seconds = seconds_of(&value);
                response.remove_field(b"Last-Modified");
                response.set_last_modified(seconds);
                if seconds.is_none() && !value.is_empty() {
                    response.push_field(self.name.clone(), value);
                }
            }
        }
    }
}

impl Kind {
    fn of(name: &[u8]) -> Self {
        if name.eq_ignore_ascii_case(b"Last-Modified") {
            Self::LastModified
        } else if name.eq_ignore_ascii_case(b"ETag") {
            Self::ETag
        } else {
            Self::Plain
        }
    }
}

/// The value with line breaks and zero bytes made spaces (RFC 9110 §5.5): variables may hold what
/// a client has sent.
pub(in crate::http) fn without_breaks(value: Bytes) -> Bytes {
    let breaks = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
    if !value.iter().any(breaks) {
        return value;
    }
    value
        .iter()
        .map(|byte| if breaks(byte) { b' ' } else { *byte })
        .collect()
}

/// `add_header name value [always]`
fn set_add_header(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let always = match args.values().get(2) {
        None => false,
        Some(word) if word.as_bytes() == b"always" => true,
        Some(word) => {
            return Err(args
                .problem_at(2, format!("invalid parameter \"{word}\""))
                .with_help("the only parameter is \"always\""));
        }
    };
    let value = compile(cx, args, 1)?;
    let name = Bytes::copy_from_slice(args.arg(0).as_bytes());
    let line = Line {
        kind: Kind::of(&name),
        name,
        value,
        always,
    };
    let lines = Arc::make_mut(cx.conf(&CONF).lines.set_mut(args.span()));
    // Most blocks have one or two, and there may be many blocks.
    lines.reserve_exact(1);
    lines.push(line);
    Ok(())
}

/// `expires [modified] time`
fn set_expires(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let modified = args.values().len() == 2;
    if modified && args.arg(0).as_bytes() != b"modified" {
        return Err(invalid(args, 0, "invalid value"));
    }
    let at = usize::from(modified);
    let template = compile(cx, args, at)?;
    let value = match template.literal() {
        Some(text) => {
            let expires = Expires::parse(text, modified);
            ExpiresConf::Fixed(expires.map_err(|message| invalid(args, at, message))?)
        }
        None => ExpiresConf::Template {
            modified,
            template: Arc::new(template),
        },
    };
    cx.conf(&CONF).expires.set(value, args.span())
}

fn invalid(args: &Args<'_>, at: usize, message: &str) -> Problem {
    let span = args
        .values()
        .get(at)
        .map_or_else(|| args.span(), Word::span);
    Problem::of_directive(span, message)
        .with_help("write \"expires 30d\", \"expires -1\", \"expires @15h30m\", \"expires modified +24h\", \"expires epoch\", \"expires max\" or \"expires off\"")
}

fn compile(cx: &mut Cx<'_>, args: &Args<'_>, at: usize) -> Result<Template, Problem> {
    Template::compile(args.arg(at).as_bytes(), cx.part::<Variables<Request>>())
        .map_err(|error| args.problem_at(at, error.to_string()))
}

#[cfg(test)]
mod tests;
