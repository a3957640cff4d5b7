//! `memcached_pass`: values out of memcached.

use std::path::Path;
use std::sync::Arc;

use ngx_core::conf::{Args, Problem};
use ngx_core::http::parse::Method;
use ngx_core::http::{HttpModule, PhaseStep, Request, Step, set_handler};
use ngx_core::module::{Arity, Contexts, Cx, Directive, Level, Module, Slot};
use ngx_core::net::addr::Target;
use ngx_core::script::{Template, VarId, Variables};
use ngx_core::{error, info, setter, settings};

use super::directives::some;
use super::exchange::{Answer, Front, HttpDriver, Talk, run};
use super::peers::Peers;
use super::settings::{Drive, buffers, conditions, default_conditions};
use super::state::State;
use super::target::{Found, Lookup, lookup, of_upstream, resolve};
use super::upstream_block::{UPSTREAMS, Upstream};
use crate::error::Error;
use crate::pipe::Mode;
use crate::proto::memcached::{Head, Memcached};
use crate::retry::Conditions;

/// What a location says about memcached.
static MEMCACHED: Slot<MemcachedConf> = Slot::new(Level::Location);

settings! {
    /// Times are milliseconds, sizes are bytes.
    struct MemcachedConf {
        pass: Option<(Pass, VarId)> = None,
        connect_timeout: u64 = 60_000,
        send_timeout: u64 = 60_000,
        read_timeout: u64 = 60_000,
        buffer_size: usize = 4096,
        next_upstream: Conditions = default_conditions(),
        next_upstream_tries: u64 = 0,
        next_upstream_timeout: u64 = 0,
    }
}

/// Whom to ask.
#[derive(Clone)]
enum Pass {
    Fixed(Arc<Upstream>),
    Computed(Template),
}

/// `memcached_pass`.
pub(super) static MODULE: HttpModule = HttpModule::new(&DESCRIPTOR);

static DESCRIPTOR: Module = Module {
    name: "ngx_http_memcached_module",
    directives: DIRECTIVES,
};

#[rustfmt::skip]
static DIRECTIVES: &[Directive] = &[
    Directive { name: "memcached_pass", contexts: Contexts::LOCATION.or(Contexts::IF_LOCATION), arity: Arity::ONE, set: set_pass, default: "", doc: "The server or group that has the values; the key is $memcached_key." },
    some("memcached_connect_timeout", Arity::ONE, "60s", "How long connecting may take.", setter!(MEMCACHED, connect_timeout, msec)),
    some("memcached_send_timeout", Arity::ONE, "60s", "The time between two writes to a server.", setter!(MEMCACHED, send_timeout, msec)),
    some("memcached_read_timeout", Arity::ONE, "60s", "The time between two reads from a server.", setter!(MEMCACHED, read_timeout, msec)),
    some("memcached_buffer_size", Arity::ONE, "4k", "The longest line that a server may answer with.", setter!(MEMCACHED, buffer_size, size)),
    some("memcached_next_upstream", Arity::at_least(1), "error timeout", "When the next server is asked.", set_next_upstream),
    some("memcached_next_upstream_tries", Arity::ONE, "0", "How many servers are asked at most; 0 is no limit.", setter!(MEMCACHED, next_upstream_tries, number)),
    some("memcached_next_upstream_timeout", Arity::ONE, "0", "For how long the next one is asked; 0 is no limit.", setter!(MEMCACHED, next_upstream_timeout, msec)),
];

/// `memcached_pass address`
fn set_pass(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let text = args.arg(0).as_str();
    let pass = if text.contains('$') {
        let template = Template::compile(text, cx.part::<Variables<Request>>());
        Pass::Computed(template.map_err(|error| args.problem_at(0, error.to_string()))?)
    } else {
        let target: Target = text
            .parse()
            .map_err(|error: ngx_core::net::addr::AddrError| {
                args.problem_at(0, format!("{} in upstream \"{text}\"", error.kind()))
            })?;
        Pass::Fixed(cx.conf(&UPSTREAMS).reference(&target, args.span()))
    };
    let key = cx.part::<Variables<Request>>().index("memcached_key");
    set_handler(cx, args, Arc::new(handle))?;
    cx.conf(&MEMCACHED).pass.set(Some((pass, key)), args.span())
}

/// `memcached_next_upstream condition …`
fn set_next_upstream(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let set = conditions(
        args,
        &["error", "timeout", "invalid_response", "not_found", "off"],
    )?;
    cx.conf(&MEMCACHED).next_upstream.set(set, args.span())
}

impl MemcachedConf {
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
            mode: Mode::Unbuffered,
            buffers: buffers(Path::new("")),
        }
    }
}

fn handle(r: &Request) -> PhaseStep {
    if !matches!(r.method(), Method::Get | Method::Head) {
        return Step::Finish(405);
    }
    if let Err(status) = r.discard_body() {
        return Step::Finish(status);
    }
    let r = r.clone();
    Step::wait(async move {
        match pass(&r).await {
            Ok(step) => step,
            Err(status) => Step::Finish(status),
        }
    })
}

async fn pass(r: &Request) -> Result<PhaseStep, u16> {
    let conf = r.conf(&MEMCACHED);
    let Some((pass, key)) = conf.pass.as_ref() else {
        // The handler is that of an `if` before the one that applies.
        ngx_core::alert!("no upstream configuration");
        return Err(500);
    };
    let found = find(r, pass, std::ptr::from_ref(conf) as usize).await?;
    let state = State::begin(r, "memcached://", None);
    let key = r
        .variable_bytes(*key)
        .filter(|key| !key.is_empty())
        .ok_or_else(|| {
            error!("the \"$memcached_key\" variable is not set");
            500_u16
        })?;
    let protocol = Memcached::get(&key).map_err(|failed| {
        error!("{failed}");
        500_u16
    })?;
    let front = Values {
        key: String::from_utf8_lossy(&key).into_owned(),
    };
    let Peers { session, pool } = found.group.peers(found.location);
    let mut driver = Box::new(HttpDriver::new(
        protocol,
        session,
        pool,
        conf.drive().settings(),
    ));
    let mut talk = Talk::new(r, (state, found.group), front, false);
    Ok(run(&mut driver, &mut talk).await)
}

async fn find(r: &Request, pass: &Pass, location: usize) -> Result<Found, u16> {
    let template = match pass {
        Pass::Fixed(upstream) => return of_upstream(r, upstream, location).ok_or(500),
        Pass::Computed(template) => template,
    };
    let text = template.eval_bytes(r);
    let text = String::from_utf8_lossy(&text);
    let target: Target = text
        .parse()
        .map_err(|failed: ngx_core::net::addr::AddrError| {
            error!("{} in upstream \"{text}\"", failed.kind());
            500_u16
        })?;
    match lookup(r, &target, location)? {
        Lookup::Found(found) => Ok(found),
        Lookup::Name { name, port } => resolve(r, &name, port).await,
    }
}

/// Values as responses.
struct Values {
    key: String,
}

impl Front<Head> for Values {
    fn status(&self, head: &Head) -> u16 {
        match head {
            Head::Hit { .. } => 200,
            Head::Miss => 404,
        }
    }

    fn head(&mut self, r: &Request, _: &State, head: Head) -> Answer {
        let Head::Hit { length, .. } = head else {
            info!("key: \"{}\" was not found by memcached", self.key);
            return Answer::Finish(404);
        };
        let response = r.response();
        response.set_status(200);
        response.set_content_length(Some(length));
        response.set_content_type(Some(r.media_type()));
        Answer::Send(None)
    }

    fn upgrade(&mut self, _: &Request, _: &State, _: Head) {}

    fn say(&self, error: &Error) -> String {
        error
            .to_string()
            .replacen("upstream sent", "memcached sent", 1)
    }
}
