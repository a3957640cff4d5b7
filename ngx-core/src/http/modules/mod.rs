//! The content and log modules that need no backend, one file each.

use super::module::HttpModule;

/// All HTTP modules of this crate. Their order means nothing.
pub static ALL: &[&HttpModule] = &[&super::core::MODULE, &super::filter::chunked::MODULE];
