//! The content and log modules that need no backend, one file each.

mod autoindex;
mod echo;
mod headers_more;
mod index;
mod log;
mod pending;
pub(super) mod rewrite;
mod static_files;
pub(super) mod try_files;

pub use self::rewrite::{Instructed, push_instruction};
use super::module::HttpModule;

/// All HTTP modules of this crate. Their order means nothing.
#[rustfmt::skip]
pub static ALL: &[&HttpModule] = &[
    &super::core::MODULE,
    &super::filter::chunked::MODULE,
    &autoindex::MODULE,
    &echo::MODULE,
    &headers_more::MODULE,
    &index::MODULE,
    &static_files::MODULE,
    &try_files::MODULE,
    &log::MODULE,
    &pending::MODULE,
    &super::filter::headers::MODULE,
    &super::filter::not_modified::MODULE,
    &super::filter::range::MODULE,
    &rewrite::MODULE,
];
