//! Material that benches share: messages as they come, and a configuration of any size.

#![forbid(unsafe_code)]

pub mod conf;
pub mod http;
