//! Header and body filters, one file each.

pub(crate) mod chunked;
pub(crate) mod copy;
pub(crate) mod header;
pub(crate) mod headers;
pub(crate) mod not_modified;
mod plan;
pub(crate) mod range;

pub(crate) use self::plan::{BodyStage, FilterPlan, FilterSet, Filters};

use super::request::Request;

/// Whether the header filters of the protocol, which are part of every plan, have nothing to do with
/// this response: a usual one, of which all is known.
#[inline(always)]
pub(crate) fn is_usual(r: &Request) -> bool {
    !not_modified::acts(r) && !range::acts(r) && !chunked::acts(r)
}

#[cfg(test)]
mod tests;
