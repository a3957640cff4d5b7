//! The variables of the HTTP core.

use super::request::Request;
use crate::script::{Variable, Variables};

/// Registers them all.
pub(super) fn register(variables: &mut Variables<Request>) {
    let list = [Variable::new("uri", |r: &Request, out: &mut Vec<u8>| {
        out.extend_from_slice(&r.path());
        true
    })];
    for variable in list {
        // Only names within this list could clash, and a test registers them all.
        let _ = variables.register(variable);
    }
}
