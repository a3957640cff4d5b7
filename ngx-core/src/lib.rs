//! ngx-core

#[cfg(feature = "conf")]
pub mod conf;
#[cfg(feature = "conf")]
pub mod module;
