//! `proxy_pass`, `memcached_pass` and `upstream` for the HTTP core.
//!
//! ```text
//! upstream_block  `upstream { }`: servers, keepalive         target     what `proxy_pass` names
//! peers           positions and idle connections per thread  directives `proxy_*`
//! exchange        request -> driver -> response              headers    what is sent and passed on
//! proxy           HTTP/1 backends                            redirect   `proxy_redirect`
//! memcached       memcached backends                         variables  `$upstream_*`, `$proxy_*`
//! ```

mod directives;
mod exchange;
mod headers;
mod memcached;
mod peers;
mod proxy;
mod redirect;
mod request;
mod settings;
mod state;
mod target;
mod upstream_block;
mod variables;

use ngx_core::http::HttpModule;

/// The modules of this crate, for a program's list.
pub static MODULES: &[&HttpModule] = &[&upstream_block::MODULE, &proxy::MODULE, &memcached::MODULE];
