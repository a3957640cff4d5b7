//! `proxy_pass`: HTTP/1 backends.

use std::future::{Future, pending};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ngx_core::conf::values;
use ngx_core::http::parse::{BodyFraming, Known, KnownSet, Version};
use ngx_core::http::{HttpModule, PhaseStep, Request, Step};
use ngx_core::module::Module;

use super::directives::{DIRECTIVES, Ignored, PROXY, ProxyConf, place_defaults};
use super::exchange::{Answer, Front, Talk};
use super::headers::pass_redirected;
use super::peers::ProxyDriver;
use super::request::Asking;
use super::state::State;
use super::target::{self, Found, Lookup, Pass, Place};
use super::variables;
use crate::driver::{At, Nature, Usual};
use crate::pipe::Mode;
use crate::proto::http1::{Body, Field, Framing, Head};

/// `proxy_pass` and its variables.
pub(super) static MODULE: HttpModule = HttpModule {
    variables: Some(variables::register),
    finish: Some(place_defaults),
    ..HttpModule::new(&DESCRIPTOR)
};

static DESCRIPTOR: Module = Module {
    name: "ngx_http_proxy_module",
    directives: DIRECTIVES,
};

/// The content handler of locations with a `proxy_pass`.
pub(super) fn handle(r: &Request) -> PhaseStep {
    let conf = r.conf(&PROXY);
    // Most requests have no body and go where the configuration says: nothing waits before the
    // exchange itself.
    if let (BodyFraming::None, Some(Pass::Fixed(fixed))) = (r.body_framing(), &conf.pass) {
        let Some(found) = fixed.find(r, address_of(conf)) else {
            return Step::Finish(500);
        };
        let target = (&fixed.place, Some(&*fixed.location));
        return match prepare(r, (conf, found), target, Body::None) {
            Ok(proxying) => Step::wait(proxying),
            Err(status) => Step::Finish(status),
        };
    }
    let r = r.clone();
    Step::wait(async move {
        match prepare_later(&r).await {
            Ok(proxying) => proxying.await,
            Err(status) => Step::Finish(status),
        }
    })
}

/// An exchange. Its memory is taken for each request, so what seldom happens has other memory.
enum Proxying {
    Usual(Running),
    Seldom(Pin<Box<dyn Future<Output = PhaseStep>>>),
}

/// Both sides of an exchange on its usual way.
struct Running {
    /// None when it is over.
    driver: Option<Box<ProxyDriver>>,
    talk: Talk<Responses>,
}

impl Future for Proxying {
    type Output = PhaseStep;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<PhaseStep> {
        let this = self.get_mut();
        if let Self::Usual(Running { driver, talk }) = this {
            let Some(running) = driver else {
                return Poll::Pending;
            };
            let at = match ready!(running.poll_usual(cx, talk)) {
                Usual::Ended(result) => {
                    let step = talk.end(result, running.tries());
                    if let Some(driver) = driver.take() {
                        talk.group().keep(driver);
                    }
                    return Poll::Ready(step);
                }
                Usual::Left(at) => at,
            };
            let nothing = Self::Seldom(Box::pin(pending()));
            if let Self::Usual(running) = std::mem::replace(this, nothing) {
                *this = Self::Seldom(Box::pin(running.go_on(at)));
            }
        }
        match this {
            Self::Seldom(waiting) => waiting.as_mut().poll(cx),
            Self::Usual(_) => Poll::Pending,
        }
    }
}

impl Running {
    async fn go_on(self, at: At<Head>) -> PhaseStep {
        let Self {
            driver: Some(mut driver),
            mut talk,
        } = self
        else {
            return Step::Done;
        };
        let result = driver.go_on(at, &mut talk).await;
        let step = talk.end(result, driver.tries());
        talk.group().keep(driver);
        step
    }
}

/// What tells locations apart for connections that are `local`.
fn address_of(conf: &ProxyConf) -> usize {
    std::ptr::from_ref(conf) as usize
}

/// As [`prepare`], when the body has come or the target is computed.
async fn prepare_later(r: &Request) -> Result<Proxying, u16> {
    let conf = r.conf(&PROXY);
    let body = match r.body_framing() {
        BodyFraming::None => Body::None,
        framing => body(r, conf, framing).await?,
    };
    let computed;
    let (place, replaced, found) = match conf.pass.as_ref() {
        Some(Pass::Fixed(fixed)) => {
            let found = fixed.find(r, address_of(conf)).ok_or(500_u16)?;
            (&fixed.place, Some(&*fixed.location), found)
        }
        Some(Pass::Computed(template)) => {
            let (place, lookup) = target::evaluate(r, template, address_of(conf))?;
            let found = match lookup {
                Lookup::Found(found) => found,
                Lookup::Name { name, port } => Box::pin(target::resolve(r, &name, port)).await?,
            };
            computed = place;
            // A URI that was computed is all of it.
            let replaced = computed.uri.is_empty().then_some(&b""[..]);
            (&computed, replaced, found)
        }
        None => {
            // The handler is that of an `if` before the one that applies.
            ngx_core::alert!("no upstream configuration");
            return Err(500);
        }
    };
    prepare(r, (conf, found), (place, replaced), body)
}

/// Makes the request, or says with which status the client's ends.
#[inline(always)]
fn prepare(
    r: &Request,
    (conf, found): (&ProxyConf, Found),
    (place, location): (&Place, Option<&[u8]>),
    body: Body,
) -> Result<Proxying, u16> {
    let Some(settings) = &conf.drive else {
        return Err(500);
    };
    let state = State::begin(r, "http://", Some(&place.site));
    let framing = match &body {
        Body::None => None,
        Body::Whole(framing, _) | Body::Stream(framing) => Some(*framing),
    };
    let asking = Asking {
        place,
        location,
        method: conf.method.as_ref(),
        version: *conf.http_version,
        client_fields: *conf.pass_request_headers,
        framing,
    };
    let nature = Nature {
        stream_request: matches!(body, Body::Stream(_)),
        idempotent: r.method().is_idempotent(),
    };
    let Found { group, location } = found;
    let mut driver = group.driver(location, settings);
    let protocol = driver.renew(settings, nature);
    let head = protocol.renew(body);
    let built = conf.sending.build(r, &asking, head);
    let uri = head.get(built.uri).unwrap_or_default();
    if uri.is_empty() {
        ngx_core::error!("zero length URI to proxy");
        return Err(500);
    }
    state.set_uri(uri);
    protocol.announce(built.is_head, built.upgrade);
    let talk = Talk::new(r, (state, group), Responses, *conf.ignore_client_abort);
    Ok(Proxying::Usual(Running {
        driver: Some(driver),
        talk,
    }))
}

/// Reads the body, unless it is passed on as it comes.
async fn body(r: &Request, conf: &ProxyConf, framing: BodyFraming) -> Result<Body, u16> {
    let framing = match framing {
        BodyFraming::None => return Ok(Body::None),
        _ if !*conf.pass_request_body => {
            r.discard_body()?;
            return Ok(Body::None);
        }
        BodyFraming::Length(length) => Framing::Length(length),
        BodyFraming::Chunked => Framing::Chunked,
    };
    let chunked = framing == Framing::Chunked;
    let speaks_chunks = *conf.http_version >= Version::HTTP_11;
    // After a redirect the body may have been read already.
    let fresh = !r.is_internal() && r.has_body();
    let streams = fresh && !*conf.request_buffering && (speaks_chunks || !chunked);
    // A body that has come already can be sent to a second backend too.
    if !streams {
        r.read_body().await?;
    } else if !r.read_body_at_hand().await? {
        return Ok(Body::Stream(framing));
    }
    let bufs = r.body_bufs();
    Ok(Body::Whole(Framing::Length(bufs.size()), bufs))
}

/// Responses of HTTP backends, as the location wants them.
pub(super) struct Responses;

impl Front<Head> for Responses {
    fn status(&self, head: &Head) -> u16 {
        head.code()
    }

    fn head(&mut self, r: &Request, state: &State, head: Head) -> Answer {
        state.set_head(head);
        // It stays where variables look for it.
        state
            .with_head(|head| answer(r, head))
            .unwrap_or(Answer::Finish(502))
    }

    fn upgrade(&mut self, r: &Request, state: &State, head: Head) {
        state.set_head(head);
        state.with_head(|head| r.conf(&PROXY).passing.pass(r, head, true));
    }
}

/// Fills the response to `r` in, unless it comes from elsewhere.
#[inline]
fn answer(r: &Request, head: &Head) -> Answer {
    let conf = r.conf(&PROXY);
    // Most backends tell us nothing.
    let tells = head.has_any(TELLING);
    if tells {
        limit_rate(conf, r, head);
    }
    if (tells || head.code() >= 300)
        && let Some(answer) = elsewhere(conf, r, head)
    {
        return answer;
    }
    conf.passing.pass(r, head, false);
    if !tells {
        return Answer::Send(None);
    }
    charset(conf, r, head);
    Answer::Send(mode(conf, head))
}

/// Fields by which a backend tells us something.
const TELLING: KnownSet = KnownSet::of(&[
    Known::XAccelBuffering,
    Known::XAccelCharset,
    Known::XAccelLimitRate,
    Known::XAccelRedirect,
]);

/// `proxy_intercept_errors` and `X-Accel-Redirect`.
fn elsewhere(conf: &ProxyConf, r: &Request, head: &Head) -> Option<Answer> {
    let code = head.code();
    if code >= 300 && *conf.intercept_errors && has_error_page(r, code) {
        return Some(Answer::Finish(code));
    }
    let field = told(conf, head, Known::XAccelRedirect, Ignored::AccelRedirect)?;
    let uri = head.value_of(&field);
    pass_redirected(r.response(), head);
    Some(Answer::Redirect(uri))
}

/// The field by which the backend tells us something, unless it is ignored.
#[inline]
fn told<'a>(conf: &ProxyConf, head: &'a Head, known: Known, ignored: Ignored) -> Option<Field<'a>> {
    head.field(known).filter(|_| !conf.ignores(ignored))
}

fn charset(conf: &ProxyConf, r: &Request, head: &Head) {
    if let Some(field) = told(conf, head, Known::XAccelCharset, Ignored::AccelCharset) {
        r.response().set_charset(Some(head.value_of(&field)));
    }
}

/// How fast the client may be answered, if the backend says so.
fn limit_rate(conf: &ProxyConf, r: &Request, head: &Head) {
    let field = told(conf, head, Known::XAccelLimitRate, Ignored::AccelLimitRate);
    if let Some(rate) = field.and_then(|field| values::number(field.value).ok()) {
        r.set_limit_rate(rate);
    }
}

/// What the backend says about buffering.
fn mode(conf: &ProxyConf, head: &Head) -> Option<Mode> {
    let field = told(conf, head, Known::XAccelBuffering, Ignored::AccelBuffering)?;
    if field.value.eq_ignore_ascii_case(b"no") {
        Some(Mode::Unbuffered)
    } else if field.value.eq_ignore_ascii_case(b"yes") {
        Some(Mode::Buffered)
    } else {
        None
    }
}

fn has_error_page(r: &Request, status: u16) -> bool {
    r.core()
        .error_pages
        .iter()
        .any(|page| page.status == status)
}
