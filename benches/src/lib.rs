//! Material that benches share: messages as they come, configurations of any size, a worker.

#![forbid(unsafe_code)]

pub mod conf;
pub mod http;
pub mod worker;
