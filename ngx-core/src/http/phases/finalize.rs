//! The end of a request that no handler has answered: `error_page`, then the built-in pages.

use bytes::Bytes;

use crate::http::core::{ErrorPage, ErrorTarget};
use crate::http::parse::Method;
use crate::http::request::Request;
use crate::http::special;
use crate::http::step::{PhaseStep, Step};
use crate::{error, info};

/// Statuses of nginx's own that are never sent.
pub mod status {
    /// Close the connection without an answer (`return 444`).
    pub const CLOSE: u16 = 444;
    /// A header that is too large; sent as 400.
    pub const HEADER_TOO_LARGE: u16 = 494;
    /// The client has left before it was answered.
    pub const CLIENT_CLOSED: u16 = 499;
}

/// Makes the response of `status`, or moves the request to where one is made.
pub(super) fn special(r: &Request, status: u16) -> PhaseStep {
    if !r.is_unanswered() {
        // Half a response cannot be taken back, nor one that has failed be followed by another.
        r.parts().engine.broken.set(true);
        return Step::Done;
    }
    if ends_silently(status) {
        return close(r, status);
    }
    if spoils_connection(status)
        && let Some(downstream) = r.downstream()
    {
        downstream.forbid_keepalive();
    }
    r.response().set_content_type(None);
    if let Some(step) = error_page(r, status) {
        return step;
    }
    // The request has failed already, or is sent elsewhere: a bad body changes nothing.
    let _ = r.discard_body();
    respond(r, status)
}

fn ends_silently(status: u16) -> bool {
    matches!(status, status::CLOSE | status::CLIENT_CLOSED | 408)
}

/// After these the rest of the connection cannot be trusted to be a request.
fn spoils_connection(status: u16) -> bool {
    matches!(
        status,
        400 | 413 | 414 | status::HEADER_TOO_LARGE | 500 | 501
    )
}

fn close(r: &Request, status: u16) -> PhaseStep {
    r.response().set_status(status);
    r.parts().engine.broken.set(true);
    if let Some(downstream) = r.downstream() {
        downstream.abort();
    }
    Step::Done
}

/// The redirect that the location's `error_page` has for this status.
fn error_page(r: &Request, status: u16) -> Option<PhaseStep> {
    let engine = &r.parts().engine;
    let conf = r.core();
    // A request that was redirected too often is not redirected to a page that says so.
    if engine.in_error_page.get() || !engine.may_change_uri() {
        return None;
    }
    let page = conf.error_pages.iter().find(|page| page.status == status)?;
    engine.in_error_page.set(!*conf.recursive_error_pages);
    engine
        .error_status
        .set(page.answer.unwrap_or_else(|| sent_as(status)));
    Some(go_to(r, page, status))
}

fn go_to(r: &Request, page: &ErrorPage, status: u16) -> PhaseStep {
    match &page.target {
        ErrorTarget::Named(name) => r.named_location(name),
        ErrorTarget::Uri(template) => {
            let mut target = Vec::new();
            template.eval(r, &mut target);
            if !target.starts_with(b"/") {
                return redirect_elsewhere(r, page, target);
            }
            if r.method() != Method::Head {
                r.set_method(Method::Get);
            }
            let question = target.iter().position(|&byte| byte == b'?');
            let (path, args) = match question {
                Some(at) => (&target[..at], &target[at + 1..]),
                None => (&target[..], &b""[..]),
            };
            info!(
                "error page for {status} is \"{}\"",
                String::from_utf8_lossy(path)
            );
            r.internal_redirect(path, args)
        }
    }
}

/// A target that is not a path of ours: the client is sent there.
fn redirect_elsewhere(r: &Request, page: &ErrorPage, target: Vec<u8>) -> PhaseStep {
    let status = page
        .answer
        .filter(|status| matches!(status, 301 | 302 | 303 | 307 | 308))
        .unwrap_or(302);
    r.parts().engine.error_status.set(status);
    r.response().clear_header();
    r.response().set_location(Some(Bytes::from(target)));
    // The request has failed already, or is sent elsewhere: a bad body changes nothing.
    let _ = r.discard_body();
    respond(r, status)
}

/// The built-in page of `status`.
fn respond(r: &Request, status: u16) -> PhaseStep {
    let response = r.response();
    let sent = sent_as(status);
    response.set_status(sent);
    r.parts().engine.error_status.set(sent);
    response.set_content_length(None);
    response.allow_ranges(false);
    response.set_last_modified(None);
    if response.has_last_modified() {
        response.remove_field(b"Last-Modified");
    }
    response.set_etag(None);
    let body = special::body(r, status);
    if let Some(body) = &body {
        response.set_content_length(Some(body.size()));
        response.set_content_type(Some(Bytes::from_static(b"text/html")));
    } else {
        response.set_content_length(Some(0));
    }
    match r.respond(body.unwrap_or_default()) {
        Ok(_) => Step::Done,
        Err(error) => {
            error!("{error} while sending the page of status {sent}");
            Step::Done
        }
    }
}

fn sent_as(status: u16) -> u16 {
    match status {
        status::HEADER_TOO_LARGE..=497 => 400,
        _ => status,
    }
}
