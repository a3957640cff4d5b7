#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod connect;
pub mod driver;
pub mod error;
pub mod exchange;
#[cfg(feature = "http")]
pub mod http;
mod now;
pub mod peer;
pub mod pipe;
pub mod pool;
pub mod proto;
pub mod protocol;
pub mod retry;
mod state;
pub mod testing;
pub mod timeouts;

pub use error::ProtocolError;
pub use protocol::{
    BodySink, BodyStep, HeadSink, Input, Literal, Outcome, Protocol, Reuse, Step, Trailers,
};
