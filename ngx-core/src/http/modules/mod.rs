//! The content and log modules that need no backend, one file each.

mod log;
mod pending;

use super::module::HttpModule;

/// All HTTP modules of this crate. Their order means nothing.
pub static ALL: &[&HttpModule] = &[
    &super::core::MODULE,
    &super::filter::chunked::MODULE,
    &log::MODULE,
    &pending::MODULE,
];
