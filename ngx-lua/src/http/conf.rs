//! The directives.

use std::path::PathBuf;
use std::sync::Arc;

use ngx_core::conf::{Args, Problem, Setting};
use ngx_core::cycle::{Cycle, Preparations};
use ngx_core::http::set_handler;
use ngx_core::module::{Arity, Contexts, Cx, Directive, Level, Module, Setter, Slot};
use ngx_core::process::worker_index;
use ngx_core::{setter, settings};

use super::code::{self, Code};
use super::set::set_by;
use super::shdict::{self, set_shared_dict};
use super::vm::Prepared;
use super::{phases, sockets, vm};
use crate::Settings;

settings! {
    /// What a location says about Lua.
    pub(super) struct LuaConf {
        code_cache: bool = true,
        use_default_type: bool = true,
        http10_buffering: bool = true,
        transform_underscores: bool = true,
        check_client_abort: bool = false,
        need_body: bool = false,
        rewrite_first: bool = false,
        access_first: bool = false,
        server_rewrite: Option<Arc<Code>> = None,
        rewrite: Option<Arc<Code>> = None,
        access: Option<Arc<Code>> = None,
        header_filter: Option<Arc<Code>> = None,
        body_filter: Option<Arc<Code>> = None,
        log: Option<Arc<Code>> = None,
    }
}

pub(super) static LUA: Slot<LuaConf> = Slot::new(Level::Location);

/// What the whole `http` block says about Lua: a part of the configuration.
#[derive(Debug, Default)]
pub(super) struct MainConf {
    /// There is Lua to run: threads need VMs.
    wanted: bool,
    /// `lua_package_path` and `lua_package_cpath`
    pub(super) path: Option<String>,
    pub(super) cpath: Option<String>,
    max_pending_timers: Option<usize>,
    max_running_timers: Option<usize>,
    regex_cache_size: Option<usize>,
    regex_match_limit: Option<usize>,
    thread_cache_size: Option<usize>,
    prefix: PathBuf,
    pub(super) init: Option<Arc<Code>>,
    pub(super) init_worker: Option<Arc<Code>>,
    pub(super) exit_worker: Option<Arc<Code>>,
}

impl MainConf {
    /// There is Lua to run.
    pub(super) fn want(cx: &mut Cx<'_>) {
        let prefix = cx.prefix().to_owned();
        let main = cx.part::<Self>();
        main.prefix = prefix;
        if !std::mem::replace(&mut main.wanted, true) {
            let _ = cx.part::<Prepared>();
            cx.part::<Preparations>().0.push(vm::prepare);
        }
    }

    /// What a VM of this configuration is told.
    pub(super) fn settings(&self, cycle: &Cycle) -> Settings {
        let prefix = format!(
            "{}/",
            self.prefix.display().to_string().trim_end_matches('/')
        );
        let path = |path: &Option<String>| {
            let path = path.as_ref()?.replace("${prefix}", &prefix);
            Some(path.replace("$prefix", &prefix))
        };
        let mut settings = Settings {
            trusted: true,
            package_path: path(&self.path),
            package_cpath: path(&self.cpath),
            worker_count: cycle.core().workers(),
            worker_id: worker_index,
            prefix,
            environment: Some(environment(cycle)),
            shared_dicts: shdict::of(cycle),
            ..sockets::settings(cycle)
        };
        for (wanted, field) in [
            (self.max_pending_timers, &mut settings.max_pending_timers),
            (self.max_running_timers, &mut settings.max_running_timers),
            (self.regex_cache_size, &mut settings.regex_cache_size),
            (self.thread_cache_size, &mut settings.thread_cache_size),
        ] {
            if let Some(wanted) = wanted {
                *field = wanted;
            }
        }
        if let Some(limit) = self.regex_match_limit {
            settings.regex_match_limit = u32::try_from(limit).unwrap_or(u32::MAX);
        }
        settings
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }
}

/// What `env` directives let scripts see.
fn environment(cycle: &Cycle) -> Vec<(String, String)> {
    let shown = cycle.core().environment();
    shown
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

pub(super) static DESCRIPTOR: Module = Module {
    name: "ngx_http_lua_module",
    directives: DIRECTIVES,
};

const MAIN: Contexts = Contexts::HTTP;
const ALL: Contexts = Contexts::HTTP.or(Contexts::SERVER).or(Contexts::LOCATION);
const CODE: Contexts = ALL.or(Contexts::IF_LOCATION);
const CONTENT: Contexts = Contexts::LOCATION.or(Contexts::IF_LOCATION);
const SET: Contexts = Contexts::SERVER
    .or(Contexts::LOCATION)
    .or(Contexts::IF_SERVER)
    .or(Contexts::IF_LOCATION);
const SERVER: Contexts = Contexts::HTTP.or(Contexts::SERVER);

const fn row(
    name: &'static str,
    place: (Contexts, Arity),
    default: &'static str,
    doc: &'static str,
    set: Setter,
) -> Directive {
    Directive {
        name,
        contexts: place.0,
        arity: place.1,
        set,
        default,
        doc,
    }
}

/// The code of a phase, as an argument, block or file.
const fn text(name: &'static str, contexts: Contexts, doc: &'static str, set: Setter) -> Directive {
    row(name, (contexts, Arity::ONE), "", doc, set)
}
const fn block(
    name: &'static str,
    contexts: Contexts,
    doc: &'static str,
    set: Setter,
) -> Directive {
    row(name, (contexts, Arity::RAW_BLOCK), "", doc, set)
}

#[rustfmt::skip]
static DIRECTIVES: &[Directive] = &[
    row("lua_use_default_type", (CODE, Arity::FLAG), "on", "Whether a response of Lua's gets the type of its URI, or of default_type.", setter!(LUA, use_default_type, flag)),
    row("lua_http10_buffering", (CODE, Arity::FLAG), "on", "Whether a body for an HTTP/1.0 client is kept until its length is known.", setter!(LUA, http10_buffering, flag)),
    row("lua_transform_underscores_in_response_headers", (CODE, Arity::FLAG), "on", "Whether names of ngx.header mean dashes by underscores.", setter!(LUA, transform_underscores, flag)),
    row("lua_check_client_abort", (CODE, Arity::FLAG), "off", "Whether a client that leaves ends the Lua that works for it, or runs what ngx.on_abort has named.", setter!(LUA, check_client_abort, flag)),
    row("lua_need_request_body", (CODE, Arity::FLAG), "off", "Whether the request body is read before Lua runs in the phases rewrite, access and content.", setter!(LUA, need_body, flag)),
    row("rewrite_by_lua_no_postpone", (MAIN, Arity::FLAG), "off", "Whether rewrite_by_lua runs before the rewrite directives, not behind them.", setter!(LUA, rewrite_first, flag)),
    row("access_by_lua_no_postpone", (MAIN, Arity::FLAG), "off", "Whether access_by_lua runs before other access checks, not behind them.", setter!(LUA, access_first, flag)),
    row("lua_thread_cache_max_entries", (MAIN, Arity::ONE), "1024", "Finished Lua threads that a VM keeps to use them again.", set_thread_cache),
    row("lua_load_resty_core", (MAIN, Arity::FLAG), "on", "Accepted with a warning: lua-resty-core's part is built in.", set_load_resty_core),
    row("lua_malloc_trim", (MAIN, Arity::ONE), "1000", "Accepted with a warning: the allocator gives memory back by itself.", set_malloc_trim),
    row("lua_sa_restart", (MAIN, Arity::FLAG), "on", "Accepted: system calls are always taken up again behind a signal.", set_sa_restart),
    row("lua_code_cache", (ALL, Arity::FLAG), "on", "Whether compiled Lua is kept; without, each request has a VM of its own.", set_code_cache),
    row("lua_max_pending_timers", (MAIN, Arity::ONE), "1024", "Timers of ngx.timer that may wait at once.", set_pending_timers),
    row("lua_max_running_timers", (MAIN, Arity::ONE), "256", "Timers of ngx.timer that may run at once.", set_running_timers),
    row("lua_regex_cache_max_entries", (MAIN, Arity::ONE), "1024", "Compiled patterns of ngx.re that are kept.", set_regex_cache),
    row("lua_regex_match_limit", (MAIN, Arity::ONE), "0", "Steps after which a match of ngx.re is given up; 0 is the library's own limit.", set_match_limit),
    row("lua_package_path", (MAIN, Arity::ONE), "", "Where `require` looks for Lua modules; `;;` stands for the usual places.", set_package_path),
    row("lua_package_cpath", (MAIN, Arity::ONE), "", "Where `require` looks for C modules; `;;` stands for the usual places.", set_package_cpath),
    row("lua_shared_dict", (MAIN, Arity::TWO), "", "A dictionary that all worker threads share, as ngx.shared.NAME.", set_shared_dict),
    row("set_by_lua", (SET, Arity::at_least(2)), "", "Sets a variable to what Lua returns.", set_by),
    row("set_by_lua_block", (SET, Arity::ONE.raw_block()), "", "Sets a variable to what Lua returns.", set_by),
    row("set_by_lua_file", (SET, Arity::at_least(2)), "", "Sets a variable to what Lua returns.", set_by),
    text("init_by_lua", MAIN, "Lua that runs when the configuration is read.", set_init),
    block("init_by_lua_block", MAIN, "Lua that runs when the configuration is read.", set_init),
    text("init_by_lua_file", MAIN, "Lua that runs when the configuration is read.", set_init),
    text("init_worker_by_lua", MAIN, "Lua that runs when a worker thread begins.", set_init_worker),
    block("init_worker_by_lua_block", MAIN, "Lua that runs when a worker thread begins.", set_init_worker),
    text("init_worker_by_lua_file", MAIN, "Lua that runs when a worker thread begins.", set_init_worker),
    text("exit_worker_by_lua", MAIN, "Lua that runs when a worker thread ends.", set_exit_worker),
    block("exit_worker_by_lua_block", MAIN, "Lua that runs when a worker thread ends.", set_exit_worker),
    text("exit_worker_by_lua_file", MAIN, "Lua that runs when a worker thread ends.", set_exit_worker),
    block("server_rewrite_by_lua_block", SERVER, "Lua of the server-rewrite phase.", set_server_rewrite),
    text("server_rewrite_by_lua_file", SERVER, "Lua of the server-rewrite phase.", set_server_rewrite),
    text("rewrite_by_lua", CODE, "Lua of the rewrite phase, behind rewrite directives.", set_rewrite),
    block("rewrite_by_lua_block", CODE, "Lua of the rewrite phase, behind rewrite directives.", set_rewrite),
    text("rewrite_by_lua_file", CODE, "Lua of the rewrite phase, behind rewrite directives.", set_rewrite),
    text("access_by_lua", CODE, "Lua of the access phase, behind other access checks.", set_access),
    block("access_by_lua_block", CODE, "Lua of the access phase, behind other access checks.", set_access),
    text("access_by_lua_file", CODE, "Lua of the access phase, behind other access checks.", set_access),
    text("content_by_lua", CONTENT, "Lua that makes the response.", set_content),
    block("content_by_lua_block", CONTENT, "Lua that makes the response.", set_content),
    text("content_by_lua_file", CONTENT, "Lua that makes the response.", set_content),
    text("header_filter_by_lua", CODE, "Lua that changes the response header.", set_header_filter),
    block("header_filter_by_lua_block", CODE, "Lua that changes the response header.", set_header_filter),
    text("header_filter_by_lua_file", CODE, "Lua that changes the response header.", set_header_filter),
    text("body_filter_by_lua", CODE, "Lua that changes the response body, piece by piece.", set_body_filter),
    block("body_filter_by_lua_block", CODE, "Lua that changes the response body, piece by piece.", set_body_filter),
    text("body_filter_by_lua_file", CODE, "Lua that changes the response body, piece by piece.", set_body_filter),
    text("log_by_lua", CODE, "Lua that runs when the response is over.", set_log),
    block("log_by_lua_block", CODE, "Lua that runs when the response is over.", set_log),
    text("log_by_lua_file", CODE, "Lua that runs when the response is over.", set_log),
];

/// `lua_code_cache`
fn set_code_cache(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let cached = args.flag(0)?;
    if !cached {
        let message = "lua_code_cache is off; this will hurt performance";
        cx.report(Problem::alert(args.span(), message));
    }
    cx.conf(&LUA).code_cache.set(cached, args.span())
}

/// `lua_package_path`
fn set_package_path(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    set_once(cx, args, |conf| &mut conf.path)
}

/// `lua_package_cpath`
fn set_package_cpath(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    set_once(cx, args, |conf| &mut conf.cpath)
}

fn set_once(
    cx: &mut Cx<'_>,
    args: &Args<'_>,
    field: impl FnOnce(&mut MainConf) -> &mut Option<String>,
) -> Result<(), Problem> {
    let text = args.arg(0).as_str().to_owned();
    match field(cx.part::<MainConf>()).replace(text) {
        None => Ok(()),
        Some(_) => Err(Problem::of_directive(args.span(), "is duplicate")),
    }
}

fn set_pending_timers(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    set_number(cx, args, |conf| &mut conf.max_pending_timers)
}

fn set_running_timers(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    set_number(cx, args, |conf| &mut conf.max_running_timers)
}

fn set_regex_cache(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    set_number(cx, args, |conf| &mut conf.regex_cache_size)
}

fn set_match_limit(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    set_number(cx, args, |conf| &mut conf.regex_match_limit)
}

fn set_thread_cache(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    set_number(cx, args, |conf| &mut conf.thread_cache_size)
}

/// `lua_load_resty_core`: OpenResty has stopped to look at it, too.
fn set_load_resty_core(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let reason = "what lua-resty-core does is built in";
    unless(cx, args, args.flag(0)?, reason);
    Ok(())
}

/// `lua_malloc_trim`: for the heap of a process that grows with its workers' bursts.
fn set_malloc_trim(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let reason = "memory goes back to the system when the allocator sees fit";
    unless(cx, args, args.number(0)? == 0, reason);
    Ok(())
}

/// `lua_sa_restart`: signal handlers are installed so, and interrupted calls are repeated.
fn set_sa_restart(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let reason = "system calls are always taken up again behind a signal";
    unless(cx, args, args.flag(0)?, reason);
    Ok(())
}

/// Says why a directive changes nothing, unless it asks for what is so anyway.
fn unless(cx: &mut Cx<'_>, args: &Args<'_>, is_so: bool, reason: &str) {
    if !is_so {
        let name = args.name();
        cx.report(args.warning(format!("\"{name}\" directive has no effect: {reason}")));
    }
}

fn set_number(
    cx: &mut Cx<'_>,
    args: &Args<'_>,
    field: impl FnOnce(&mut MainConf) -> &mut Option<usize>,
) -> Result<(), Problem> {
    let number = usize::try_from(args.number(0)?).unwrap_or(usize::MAX);
    match field(cx.part::<MainConf>()).replace(number) {
        None => Ok(()),
        Some(_) => Err(Problem::of_directive(args.span(), "is duplicate")),
    }
}

fn set_server_rewrite(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    set_phase(cx, args, |conf| &mut conf.server_rewrite)
}

fn set_rewrite(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    set_phase(cx, args, |conf| &mut conf.rewrite)
}

fn set_access(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    set_phase(cx, args, |conf| &mut conf.access)
}

fn set_header_filter(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    set_phase(cx, args, |conf| &mut conf.header_filter)
}

fn set_body_filter(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    set_phase(cx, args, |conf| &mut conf.body_filter)
}

fn set_log(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    set_phase(cx, args, |conf| &mut conf.log)
}

/// `x_by_lua` of a phase that locations inherit.
fn set_phase(
    cx: &mut Cx<'_>,
    args: &Args<'_>,
    field: impl FnOnce(&mut LuaConf) -> &mut Setting<Option<Arc<Code>>>,
) -> Result<(), Problem> {
    MainConf::want(cx);
    let code = code::of_directive(cx, args, 0)?;
    field(cx.conf(&LUA)).set(Some(code), args.span())
}

/// `content_by_lua`
fn set_content(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    MainConf::want(cx);
    let code = code::of_directive(cx, args, 0)?;
    set_handler(cx, args, Arc::new(move |r| phases::content(r, &code)))
}

/// `init_by_lua`
fn set_init(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    set_main(cx, args, |conf| &mut conf.init)
}

/// `init_worker_by_lua`
fn set_init_worker(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    set_main(cx, args, |conf| &mut conf.init_worker)
}

/// `exit_worker_by_lua`
fn set_exit_worker(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    set_main(cx, args, |conf| &mut conf.exit_worker)
}

fn set_main(
    cx: &mut Cx<'_>,
    args: &Args<'_>,
    field: impl FnOnce(&mut MainConf) -> &mut Option<Arc<Code>>,
) -> Result<(), Problem> {
    let code = code::of_directive(cx, args, 0)?;
    MainConf::want(cx);
    match field(cx.part::<MainConf>()).replace(code) {
        None => Ok(()),
        Some(_) => Err(Problem::of_directive(args.span(), "is duplicate")),
    }
}
