//! Protocols, without sockets and without HTTP server types.

pub mod memcached;
