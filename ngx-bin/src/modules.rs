//! What the binary is made of.

use std::sync::Arc;

use ngx_core::log::LogFiles;
use ngx_core::main_module;
use ngx_core::module::{Module, Registry, RegistryError};

/// The modules of the binary.
pub(crate) fn registry(log_files: Arc<LogFiles>) -> Result<Registry, RegistryError> {
    let modules: Vec<&'static Module> = main_module::ALL.to_vec();
    Ok(Registry::new(&modules)?.with_extension(log_files))
}
