//! ngx-core

#[cfg(feature = "http")]
pub mod http;
