//! The core module of HTTP: blocks, limits, timeouts, and what every location has.

mod block;
mod build;
mod error_page;
mod listen;
mod path;
mod settings;
mod types;

pub use error_page::{ErrorPage, ErrorTarget};
pub(crate) use listen::WantedAddr;
pub use settings::{
    IfModifiedSince, LingeringClose, LocationConf, MainConf, ServerConf,
};
pub use types::Types;

use super::module::HttpModule;
use crate::module::{Level, Module, Slot};

/// Settings of the `http` block.
pub static MAIN: Slot<MainConf> = Slot::new(Level::Main);
/// Settings of a server.
pub static SERVER: Slot<ServerConf> = Slot::new(Level::Server);
/// Settings of a location.
pub static LOCATION: Slot<LocationConf> = Slot::new(Level::Location);

/// The core module: `http`, `server`, `location` and what they all understand.
pub static MODULE: HttpModule = HttpModule {
    variables: Some(super::variables::register),
    ..HttpModule::new(&CORE)
};

static CORE: Module = Module { name: "ngx_http_core_module", directives: settings::DIRECTIVES };
