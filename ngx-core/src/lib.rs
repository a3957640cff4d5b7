//! What every part of the server stands on: logs, clocks, addresses, listening sockets,
//! connections and names.
//!
//! Without features the crate has the rooms which a program that is no HTTP server needs too:
//!
//! * [`time`]: coarse clocks, and times as text in the forms that nginx writes;
//! * [`log`]: the error log, with `tracing` as its façade;
//! * [`net`]: addresses, listening sockets, connections, deadlines;
//! * [`resolver`]: names at run time, from the name servers of the `resolver` directive.

#![forbid(unsafe_code)]

pub mod error;
pub mod log;
pub mod net;
pub mod resolver;
pub mod time;
