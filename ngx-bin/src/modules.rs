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

/// What threads do with connections: nothing can be served yet, so they are closed.
pub(crate) struct Worker;

impl ngx_core::process::Service for Worker {
    fn new(_: Arc<ngx_core::cycle::Cycle>, _: usize) -> std::rc::Rc<Self> {
        std::rc::Rc::new(Self)
    }
    fn swap(&self, _: Arc<ngx_core::cycle::Cycle>, _: usize) {}
    fn serve(
        self: &std::rc::Rc<Self>,
        _: ngx_core::net::Transport,
        _: ngx_core::net::Addr,
        _: &ngx_core::net::Addr,
    ) {
    }
    fn close_gracefully(&self) {}
    fn connections(&self) -> usize {
        0
    }
}
