//! What the binary is made of. The order of modules means nothing.

use std::sync::Arc;

use ngx_core::http::{HttpWorker, http_registry, modules};
use ngx_core::log::LogFiles;
use ngx_core::module::{Registry, RegistryError};
use ngx_lua::http::MODULES as LUA;
use ngx_upstream::http::MODULES as UPSTREAM;

/// What threads do with connections.
pub(crate) type Worker = HttpWorker;

/// The modules of the binary.
pub(crate) fn registry(log_files: Arc<LogFiles>) -> Result<Registry, RegistryError> {
    let http = modules::ALL.iter().chain(UPSTREAM).chain(LUA).copied();
    Ok(http_registry(http)?.with_extension(log_files))
}
