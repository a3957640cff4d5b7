//! Header and body filters, one file each.

pub(crate) mod chunked;
pub(crate) mod copy;
pub(crate) mod header;
pub(crate) mod headers;
pub(crate) mod not_modified;
pub(crate) mod range;

#[cfg(test)]
mod tests;
