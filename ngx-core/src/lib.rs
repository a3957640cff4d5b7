//! ngx-core

#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "conf")]
pub mod script;
