//! Protocols, without sockets and without HTTP server types.

pub mod http1;
pub mod memcached;
