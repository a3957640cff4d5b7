//! The Lua directives and the request API, for the HTTP core.
//!
//! ```text
//! conf    directives and what they leave        state   what Lua keeps for a request
//! code    a piece of Lua of the configuration   phases  running it for a request, phase by phase
//! vm      the VM of a thread and a generation   answer  the response that Lua makes
//! sockets what locations say about cosockets
//! abort   clients that leave while Lua runs     api/    ngx.say, ngx.req, ngx.var ...
//! ```
//!
//! Each worker thread has one VM per generation of the configuration. A piece of Lua is compiled when
//! it is first needed and then kept. Running it for a request costs no future unless it waits.

mod abort;
mod answer;
mod api;
mod code;
mod conf;
mod filters;
mod globals;
mod phases;
mod set;
mod shdict;
pub(crate) mod sockets;
mod state;
mod vm;

use ngx_core::http::{HttpModule, WorkerHooks};

pub(crate) use self::state::Guest;

/// The modules of this crate, for a program's list.
pub static MODULES: &[&HttpModule] = &[&MODULE, &SOCKET_MODULE];

static SOCKET_MODULE: HttpModule = HttpModule::new(&sockets::DESCRIPTOR);

static MODULE: HttpModule = HttpModule {
    phases: phases::HANDLERS,
    handles_at: Some(phases::has_code),
    header_filters: filters::HEADER_FILTERS,
    body_filters: filters::BODY_FILTERS,
    filters_at: Some(filters::is_at),
    worker: Some(WorkerHooks {
        start: vm::start,
        retire: vm::retire,
    }),
    ..HttpModule::new(&conf::DESCRIPTOR)
};
