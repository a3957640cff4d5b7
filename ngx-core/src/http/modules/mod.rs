//! The content and log modules that need no backend, one file each.

mod rewrite;

use super::module::HttpModule;

/// All HTTP modules of this crate. Their order means nothing.
pub static ALL: &[&HttpModule] = &[
    &super::core::MODULE,
    &super::filter::chunked::MODULE,
    &super::filter::headers::MODULE,
    &super::filter::not_modified::MODULE,
    &super::filter::range::MODULE,
    &rewrite::MODULE,
];
