//! The HTTP core: requests from the socket through phases and filters and back.
//!
//! A request is a cheap handle, [`Request`]; a module is a table, [`HttpModule`], of directives,
//! phase handlers, filters and variables. Handlers and filters answer at once with a [`Step`];
//! what has to wait hands the engine a future.

mod body;
mod conf;
mod connection;
mod core;
mod ctx;
mod downstream;
mod edit;
mod explain;
mod filter;
mod generation;
mod head;
mod location;
mod module;
pub mod modules;
mod output;
pub mod parse;
mod phases;
mod reference;
mod regex;
mod request;
mod response;
mod server;
mod special;
mod step;
#[cfg(test)]
mod testing;
mod variables;
mod worker;

pub use body::BuildError;
pub use conf::{Handler, HttpConf, Location, Server};
pub use core::{
    Amount, ErrorPage, ErrorTarget, IfModifiedSince, InFileOnly, KeepaliveDisable, LOCATION,
    LingeringClose, LocationConf, LocationKind, Root, SERVER, ServerConf, Types, current_location,
    set_handler,
};
pub use ctx::{CtxSlot, Reused};
pub use downstream::{BodyError, BodyPiece, Downstream, Peer};
pub use edit::InvalidField;
pub use explain::{UrlError, explain};
pub use generation::Generation;
pub use head::Head;
pub use module::{
    BodyFilter, Finish, HandlesAt, HeaderFilter, HttpModule, HttpModules, OrderError, Ordered,
    Phase, PhaseHandler, WorkerHooks, fuzz_config, http_registry,
};
pub use output::{SendError, TakeError};
pub use phases::status;
pub use reference::reference_of_variables;
pub use regex::{Pattern, PatternError};
pub use request::Request;
pub use response::{Field, Response};
pub use special::{NGINX_VERSION, SERVER as SERVER_HEADER, SERVER_SHORT};
pub use step::{PhaseStep, Step, Verdict, Waiting, Waits};
pub use worker::HttpWorker;
