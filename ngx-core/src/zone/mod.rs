//! Zones: what worker threads share, and what outlives a reload.
//!
//! nginx puts such things into shared memory, for its workers are processes. Here they are threads,
//! so a zone is an ordinary value in an [`Arc`](std::sync::Arc), locked for a moment. What stays of
//! nginx's zones is their name, their size, which is a promise about memory, and that a reload
//! keeps what is in them.
//!
//! * [`Dict`]: a dictionary with times to live that forgets what was used least recently;
//! * `Zones`: the zones of a configuration, and how the next one takes them over (feature
//!   `conf`).

mod budget;
mod dict;
#[cfg(feature = "conf")]
mod registry;

pub use dict::{
    Dict, End, Found, Init, Item, Only, Refusal, Store, Stored, TimeToLive, TooSmall, Value,
};
#[cfg(feature = "conf")]
pub use registry::{Zone, ZoneConflict, ZoneSpec, Zones};
