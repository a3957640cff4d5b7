//! Whether a body goes out in chunks (RFC 9112 §7.1). The connection cuts them.

use crate::http::module::{HttpModule, Ordered};
use crate::http::parse::{Method, Version};
use crate::http::request::Request;
use crate::http::step::Step;
use crate::module::Module;

/// The filter that decides how bodies are framed.
pub(in crate::http) static MODULE: HttpModule = HttpModule {
    header_filters: &[Ordered {
        name: "chunked",
        before: &[],
        after: &["range"],
        run: header,
    }],
    ..HttpModule::new(&DESCRIPTOR)
};

static DESCRIPTOR: Module = Module {
    name: "ngx_http_chunked_filter_module",
    directives: &[],
};

/// Whether the filter has anything to do.
#[inline(always)]
pub(super) fn acts(r: &Request) -> bool {
    let response = r.response();
    response.content_length().is_none() || matches!(response.status(), 0..200 | 204 | 304)
}

fn header(r: &Request) -> Step<()> {
    let response = r.response();
    let status = response.status();
    if matches!(status, 204 | 304) || status < 200 {
        response.set_header_only(true);
        if status == 204 {
            // RFC 9110 §8.6: no length, and nothing that it could be the length of.
            response.set_content_length(None);
            response.set_content_type(None);
            response.set_last_modified(None);
        }
    }
    if response.is_header_only() || r.method() == Method::Head || status == 101 {
        return Step::Next(());
    }
    if response.content_length().is_none() {
        let allowed = *r.core().chunked_transfer_encoding;
        if allowed && r.head().version() >= Version::HTTP_11 {
            response.set_chunked(true);
        } else if let Some(downstream) = r.downstream() {
            // The end of the connection is the end of the body.
            downstream.forbid_keepalive();
        }
    }
    Step::Next(())
}
