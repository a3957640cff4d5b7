//! `proxy_pass`: HTTP/1 backends.

use ngx_buf::Chain;
use ngx_core::conf::values;
use ngx_core::http::parse::{BodyFraming, Known, Version};
use ngx_core::http::{HttpModule, LOCATION, PhaseStep, Request, Step};
use ngx_core::module::Module;

use super::directives::{DIRECTIVES, Ignored, PROXY, ProxyConf, place_defaults};
use super::exchange::{Answer, Front, Run, prepare};
use super::headers::pass_redirected;
use super::request::Asking;
use super::settings::Drive;
use super::state::State;
use super::target::{self, Lookup, Pass, Place};
use super::variables;
use crate::driver::Settings;
use crate::pipe::Mode;
use crate::proto::http1::{Body, Framing, Head, Http1, Request as Http1Request};

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
    let r = r.clone();
    Step::wait(async move {
        match pass(&r).await {
            Ok(step) => step,
            Err(status) => Step::Finish(status),
        }
    })
}

/// One function for all that waits: what is large is made where it stays.
async fn pass(r: &Request) -> Result<PhaseStep, u16> {
    let conf = r.conf(&PROXY);
    let body = match r.body_framing() {
        BodyFraming::None => Body::None,
        framing => body(r, conf, framing).await?,
    };
    // What tells locations apart for connections that are `local`.
    let location = std::ptr::from_ref(conf) as usize;
    let computed;
    let (place, replaced, found) = match conf.pass.as_ref() {
        Some(Pass::Fixed(fixed)) => {
            let found = fixed.find(r, location).ok_or(500_u16)?;
            (&fixed.place, Some(&*fixed.location), found)
        }
        Some(Pass::Computed(template)) => {
            let (place, lookup) = target::evaluate(r, template, location)?;
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
    let state = State::begin(r, "http://", place.site.clone());
    let Some((settings, request)) = ask(r, conf, (place, replaced), body, &state) else {
        ngx_core::error!("zero length URI to proxy");
        return Err(500);
    };
    let run = Run {
        found,
        settings,
        ignore_client_abort: *conf.ignore_client_abort,
    };
    let mut exchanging = prepare(r, state, run, Http1::new(request), Responses { conf });
    let report = exchanging.run().await;
    Ok(exchanging.end(report))
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

/// What is asked for and how; `None` if that is nothing.
fn ask(
    r: &Request,
    conf: &ProxyConf,
    (place, location): (&Place, Option<&[u8]>),
    body: Body,
    state: &State,
) -> Option<(Settings, Http1Request)> {
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
    let built = conf.sending.build(r, &asking);
    if built.uri.is_empty() {
        return None;
    }
    state.set_uri(built.uri);
    let settings = Settings {
        stream_request: matches!(body, Body::Stream(_)),
        idempotent: r.method().is_idempotent(),
        ..conf.drive.as_ref().map(Drive::settings).unwrap_or_default()
    };
    let request = Http1Request {
        head: Chain::from(ngx_buf::Buf::from(built.head)),
        body,
        is_head: built.is_head,
        upgrade: built.upgrade,
    };
    Some((settings, request))
}

/// Responses of HTTP backends, as the location wants them.
struct Responses<'a> {
    conf: &'a ProxyConf,
}

impl Front<Head> for Responses<'_> {
    fn status(&self, head: &Head) -> u16 {
        head.code()
    }

    fn head(&mut self, r: &Request, state: &State, head: Head) -> Answer {
        state.set_head(&head);
        self.limit_rate(r, &head);
        if let Some(answer) = self.elsewhere(r, &head) {
            return answer;
        }
        self.conf.passing.pass(r, &head, false);
        self.charset(r, &head);
        Answer::Send(self.mode(&head))
    }

    fn upgrade(&mut self, r: &Request, state: &State, head: Head) {
        state.set_head(&head);
        self.conf.passing.pass(r, &head, true);
    }
}

impl Responses<'_> {
    /// `proxy_intercept_errors` and `X-Accel-Redirect`.
    fn elsewhere(&self, r: &Request, head: &Head) -> Option<Answer> {
        let code = head.code();
        if code >= 300 && *self.conf.intercept_errors && has_error_page(r, code) {
            return Some(Answer::Finish(code));
        }
        if self.conf.ignores(Ignored::AccelRedirect) {
            return None;
        }
        let field = head.field(Known::XAccelRedirect)?;
        let uri = head.value_of(&field);
        pass_redirected(r.response(), head);
        Some(Answer::Redirect(uri))
    }

    fn charset(&self, r: &Request, head: &Head) {
        if !self.conf.ignores(Ignored::AccelCharset)
            && let Some(field) = head.field(Known::XAccelCharset)
        {
            r.response().set_charset(Some(head.value_of(&field)));
        }
    }

    /// How fast the client may be answered, if the backend says so.
    fn limit_rate(&self, r: &Request, head: &Head) {
        if self.conf.ignores(Ignored::AccelLimitRate) {
            return;
        }
        let rate = head
            .field(Known::XAccelLimitRate)
            .and_then(|field| values::number(field.value).ok());
        if let Some(rate) = rate {
            r.set_limit_rate(rate);
        }
    }

    /// What the backend says about buffering.
    fn mode(&self, head: &Head) -> Option<Mode> {
        if self.conf.ignores(Ignored::AccelBuffering) {
            return None;
        }
        let field = head.field(Known::XAccelBuffering)?;
        if field.value.eq_ignore_ascii_case(b"no") {
            Some(Mode::Unbuffered)
        } else if field.value.eq_ignore_ascii_case(b"yes") {
            Some(Mode::Buffered)
        } else {
            None
        }
    }
}

fn has_error_page(r: &Request, status: u16) -> bool {
    r.conf(&LOCATION)
        .error_pages
        .iter()
        .any(|page| page.status == status)
}
