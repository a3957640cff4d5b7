//! `$echo_*`

use ngx_buf::Buf;

use super::run::State;
use crate::http::request::Request;
use crate::script::{Variable, VariableFlags, Variables};

/// Registers them all.
pub(super) fn register(variables: &mut Variables<Request>) {
    for (name, append) in LIST {
        let variable = Variable::new(name, append).with_flags(VariableFlags::NOCACHEABLE);
        // Nobody else has names that begin so.
        let _ = variables.register(variable);
    }
    let _ = variables.register(Variable::new("echo_cacheable_request_uri", path));
}

type Append = fn(&Request, &mut Vec<u8>) -> bool;

const LIST: [(&str, Append); 9] = [
    ("echo_timer_elapsed", |r, out| {
        let millis = State::of(r).elapsed_ms(r);
        let text = format!("{}.{:03}", millis / 1000, millis % 1000);
        put(out, text.as_bytes())
    }),
    ("echo_request_method", method),
    ("echo_client_request_method", method),
    ("echo_request_uri", path),
    ("echo_client_request_headers", |r, out| {
        let head = r.head();
        put(out, head.sent()) && !head.sent().is_empty()
    }),
    ("echo_request_body", |r, out| {
        let body = r.body_bufs();
        if body.is_empty() || body.iter().any(Buf::is_file) {
            return false;
        }
        let parts = body.iter().filter_map(Buf::as_slice);
        parts.for_each(|bytes| out.extend_from_slice(bytes));
        true
    }),
    ("echo_it", |r, out| {
        State::of(r).item().is_some_and(|item| put(out, &item))
    }),
    ("echo_incr", |r, out| {
        put(out, State::of(r).count().to_string().as_bytes())
    }),
    ("echo_response_status", |r, out| {
        let status = r.status();
        status != 0 && put(out, status.to_string().as_bytes())
    }),
];

fn method(r: &Request, out: &mut Vec<u8>) -> bool {
    let head = r.head();
    put(out, head.method_name()) && !head.method_name().is_empty()
}

fn path(r: &Request, out: &mut Vec<u8>) -> bool {
    put(out, &r.path()) && !r.path().is_empty()
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    out.extend_from_slice(bytes);
    true
}
