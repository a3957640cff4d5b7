#![doc = include_str!("../README.md")]
//!
//! # Rooms
//!
//! What every part of the server stands on: logs, clocks, addresses, listening sockets,
//! connections and names; the configuration language; the HTTP core.
//!
//! Without features the crate has the rooms which a program that is no HTTP server needs too:
//!
//! * [`time`]: coarse clocks, and times as text in the forms that nginx writes;
//! * [`log`]: the error log, with `tracing` as its façade;
//! * [`net`]: addresses, listening sockets, connections and their event loop, deadlines;
//! * [`zone`]: memory that threads and generations share, such as the dictionaries of Lua;
//! * [`resolver`]: names at run time, from the name servers of the `resolver` directive.

#![deny(unsafe_code)]

#[cfg(feature = "conf")]
pub mod conf;
#[cfg(feature = "conf")]
pub mod cycle;
pub mod error;
#[cfg(feature = "http")]
pub mod http;
#[cfg(all(feature = "http-parse", not(feature = "http")))]
pub mod http {
    //! The parsers of the HTTP core, without the core.

    pub mod parse;
}
pub mod log;
#[cfg(feature = "conf")]
pub mod main_module;
#[cfg(feature = "conf")]
pub mod module;
pub mod net;
#[cfg(feature = "conf")]
pub mod process;
#[cfg(feature = "conf")]
pub mod resolver;
#[cfg(feature = "conf")]
pub mod script;
pub mod time;
pub mod zone;
