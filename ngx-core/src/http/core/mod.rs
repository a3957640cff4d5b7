//! The core module of HTTP: blocks, limits, timeouts, and what every location has.

mod amount;
mod block;
mod build;
mod error_page;
pub(in crate::http) mod file_io;
mod keepalive;
mod listen;
mod path;
mod resolving;
mod settings;
mod types;

pub use amount::Amount;
pub use block::{LocationKind, current_location, set_handler};
pub use error_page::{ErrorPage, ErrorTarget};
pub use keepalive::KeepaliveDisable;
pub use path::Root;
pub(crate) use path::{Alias, with_name_buffer};
pub use settings::{IfModifiedSince, InFileOnly, LingeringClose, LocationConf, ServerConf};
pub use types::Types;

pub(super) use block::{any_server, push_if};

use super::module::HttpModule;
use crate::module::{Level, Module, Slot};

/// Settings of a server.
pub static SERVER: Slot<ServerConf> = Slot::new(Level::Server);
/// Settings of a location.
pub static LOCATION: Slot<LocationConf> = Slot::new(Level::Location);

/// The core module: `http`, `server`, `location` and what they all understand.
pub(super) static MODULE: HttpModule = HttpModule {
    variables: Some(super::variables::register),
    finish: Some(path::place_defaults),
    ..HttpModule::new(&CORE)
};

static CORE: Module = Module {
    name: "ngx_http_core_module",
    directives: settings::DIRECTIVES,
};
