//! The HTTP core.

pub mod parse;
