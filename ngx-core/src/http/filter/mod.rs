//! Header and body filters, one file each.

pub(crate) mod chunked;
pub(crate) mod copy;
pub(crate) mod header;
pub(crate) mod headers;
pub(crate) mod not_modified;
mod plan;
pub(crate) mod range;

pub(crate) use self::plan::{BodyStage, FilterPlan, FilterSet, Filters};

#[cfg(test)]
mod tests;
