//! The variables of the HTTP core.

mod connection;
mod fields;
mod request;
mod response;

#[cfg(test)]
mod tests;

use super::filter::header::decimal;
use super::request::Request;
use crate::script::{Variable, VariableFlags, Variables};

/// Registers them all.
pub(super) fn register(variables: &mut Variables<Request>) {
    fields::register(variables);
    for list in [request::list(), connection::list(), response::list()] {
        for variable in list {
            // Only names within these lists could clash, and a test registers them all.
            let _ = variables.register(variable);
        }
    }
}

/// A row of the lists: appends the value, or says that there is none.
type Append = fn(&Request, &mut Vec<u8>) -> bool;

/// The value stays, and costs less than a copy of it.
fn cheap(name: &'static str, append: Append) -> Variable<Request> {
    Variable::new(name, append).with_flags(VariableFlags::CHEAP)
}

/// The value changes while the request runs.
fn volatile(name: &'static str, append: Append) -> Variable<Request> {
    Variable::new(name, append).with_flags(VariableFlags::NOCACHEABLE)
}

/// Appends a value that is there, though it may be empty.
fn put(out: &mut Vec<u8>, value: &[u8]) -> bool {
    out.extend_from_slice(value);
    true
}

/// Appends a value unless it is empty.
fn put_some(out: &mut Vec<u8>, value: &[u8]) -> bool {
    out.extend_from_slice(value);
    !value.is_empty()
}

fn put_number(out: &mut Vec<u8>, number: u64) -> bool {
    let mut digits = [0; 20];
    put(out, decimal(number, &mut digits))
}

/// Milliseconds as seconds with three decimals: `0.005`.
fn put_seconds(out: &mut Vec<u8>, millis: u64) -> bool {
    put_number(out, millis / 1000);
    out.push(b'.');
    put_padded(out, millis % 1000)
}

/// Three digits.
fn put_padded(out: &mut Vec<u8>, number: u64) -> bool {
    let digit = |place: u64| b'0' + (number / place % 10) as u8;
    put(out, &[digit(100), digit(10), digit(1)])
}
