//! `$proxy_*` and `$upstream_*`.

use std::io::Write as _;
use std::time::Duration;

use ngx_core::http::Request;
use ngx_core::http::parse::Known;
use ngx_core::script::{Variable, VariableFlags, Variables};

use super::state::STATE;
use crate::driver::Try;

/// Registers them all.
pub(super) fn register(variables: &mut Variables<Request>) {
    let list = [
        Variable::new("proxy_host", |r: &Request, out: &mut Vec<u8>| {
            r.ctx(&STATE).is_some_and(|state| {
                state.with_site(|site| out.extend_from_slice(&site.host));
                true
            })
        }),
        Variable::new("proxy_port", |r: &Request, out: &mut Vec<u8>| {
            r.ctx(&STATE).is_some_and(|state| {
                state.with_site(|site| out.extend_from_slice(&site.port));
                true
            })
        }),
        Variable::new("proxy_add_x_forwarded_for", forwarded_for),
        of_tries("upstream_addr", |one, out| {
            out.extend_from_slice(one.peer.as_bytes());
        }),
        of_tries("upstream_status", |one, out| match one.status {
            0 => out.push(b'-'),
            status => number(u64::from(status), out),
        }),
        of_tries("upstream_connect_time", |one, out| {
            seconds(one.connect_time, out);
        }),
        of_tries("upstream_header_time", |one, out| {
            seconds(one.header_time, out);
        }),
        of_tries("upstream_response_time", |one, out| {
            seconds(one.response_time, out);
        }),
        of_tries("upstream_response_length", |one, out| number(one.body, out)),
        of_tries("upstream_bytes_received", |one, out| {
            number(one.received, out);
        }),
        of_tries("upstream_bytes_sent", |one, out| number(one.sent, out)),
    ];
    for variable in list {
        // Only names within this list could clash, and none is there twice.
        let _ = variables.register(variable.with_flags(VariableFlags::NOCACHEABLE));
    }
    variables.register_prefix("upstream_http_", |name| {
        let name = name.replace('_', "-").into_bytes();
        let variable = Variable::new("upstream_http_", move |r: &Request, out: &mut Vec<u8>| {
            header(r, &name, out)
        });
        variable.with_flags(VariableFlags::NOCACHEABLE)
    });
    variables.register_prefix("upstream_cookie_", |name| {
        let name = name.to_owned().into_bytes();
        let variable = Variable::new("upstream_cookie_", move |r: &Request, out: &mut Vec<u8>| {
            cookie(r, &name, out)
        });
        variable.with_flags(VariableFlags::NOCACHEABLE)
    });
}

fn of_tries(
    name: &'static str,
    word: impl Fn(&Try, &mut Vec<u8>) + Send + Sync + 'static,
) -> Variable<Request> {
    Variable::new(name, move |r: &Request, out: &mut Vec<u8>| {
        r.ctx(&STATE)
            .is_some_and(|state| state.write_tries(out, &word))
    })
}

fn number(value: u64, out: &mut Vec<u8>) {
    let _ = write!(out, "{value}");
}

fn seconds(time: Option<Duration>, out: &mut Vec<u8>) {
    let _ = match time {
        Some(time) => write!(out, "{}.{:03}", time.as_secs(), time.subsec_millis()),
        None => write!(out, "-"),
    };
}

/// What the client sent as `X-Forwarded-For`, and the client.
fn forwarded_for(r: &Request, out: &mut Vec<u8>) -> bool {
    let head = r.head();
    for (known, _, value) in head.fields() {
        if known == Known::XForwardedFor {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
        }
    }
    let _ = match r.peer().addr.ip() {
        Some(ip) => write!(out, "{ip}"),
        None => write!(out, "unix:"),
    };
    true
}

/// All fields of this name in the last response, lower case.
fn header(r: &Request, name: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(state) = r.ctx(&STATE) else {
        return false;
    };
    let found = state.with_head(|head| {
        let mut found = false;
        for field in head.fields().filter(|field| is_named(field.name, name)) {
            if found {
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(field.value);
            found = true;
        }
        found
    });
    found.unwrap_or(false)
}

/// Whether a field has the name that a variable has, where dashes became underscores.
fn is_named(field: &[u8], variable: &[u8]) -> bool {
    field.len() == variable.len()
        && field.iter().zip(variable).all(|(&own, &wanted)| {
            let own = if own == b'_' {
                b'-'
            } else {
                own.to_ascii_lowercase()
            };
            own == wanted
        })
}

/// The cookie of this name that the last response sets.
fn cookie(r: &Request, name: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(state) = r.ctx(&STATE) else {
        return false;
    };
    let found = state.with_head(|head| {
        let mut cookies = head
            .fields()
            .filter(|field| field.known == Known::SetCookie);
        let value = cookies.find_map(|field| {
            let (own, rest) = field.value.split_at_checked(name.len())?;
            let value = without_spaces(rest)
                .strip_prefix(b"=")
                .filter(|_| own.eq_ignore_ascii_case(name))?;
            without_spaces(value).split(|&byte| byte == b';').next()
        });
        value.map(|value| out.extend_from_slice(value)).is_some()
    });
    found.unwrap_or(false)
}

/// Spaces around the `=` of a cookie do not count.
fn without_spaces(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take_while(|&&byte| byte == b' ').count();
    text.get(spaces..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds() {
        let mut out = Vec::new();
        seconds(Some(Duration::from_micros(12_045_999)), &mut out);
        seconds(None, &mut out);
        assert_eq!(out, b"12.045-");
    }

    #[test]
    fn names_of_fields_are_compared_as_variables_write_them() {
        assert!(is_named(b"X-Own_Name", b"x-own-name"));
        assert!(!is_named(b"X-Own", b"x-own-name"));
    }
}
