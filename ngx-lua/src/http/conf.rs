//! The directives.

use std::sync::Arc;

use ngx_core::conf::{Args, Problem, Setting};
use ngx_core::cycle::Preparations;
use ngx_core::http::set_handler;
use ngx_core::module::{Arity, Contexts, Cx, Directive, Level, Module, Setter, Slot};
use ngx_core::settings;

use super::code::{self, Code};
use super::set::set_by;
use super::vm::Prepared;
use super::{phases, vm};

settings! {
    /// What a location says about Lua.
    pub(super) struct LuaConf {
        code_cache: bool = true,
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
    pub(super) init: Option<Arc<Code>>,
    pub(super) init_worker: Option<Arc<Code>>,
    pub(super) exit_worker: Option<Arc<Code>>,
}

impl MainConf {
    /// There is Lua to run.
    pub(super) fn want(cx: &mut Cx<'_>) {
        let main = cx.part::<Self>();
        if !std::mem::replace(&mut main.wanted, true) {
            let _ = cx.part::<Prepared>();
            cx.part::<Preparations>().0.push(vm::prepare);
        }
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }
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
    contexts: Contexts,
    arity: Arity,
    default: &'static str,
    doc: &'static str,
    set: Setter,
) -> Directive {
    Directive {
        name,
        contexts,
        arity,
        set,
        default,
        doc,
    }
}

/// The code of a phase, as an argument, block or file.
const fn text(name: &'static str, contexts: Contexts, doc: &'static str, set: Setter) -> Directive {
    row(name, contexts, Arity::ONE, "", doc, set)
}
const fn block(
    name: &'static str,
    contexts: Contexts,
    doc: &'static str,
    set: Setter,
) -> Directive {
    row(name, contexts, Arity::RAW_BLOCK, "", doc, set)
}

#[rustfmt::skip]
static DIRECTIVES: &[Directive] = &[
    row("lua_code_cache", ALL, Arity::FLAG, "on", "Whether compiled Lua is kept; without, each request has a VM of its own.", set_code_cache),
    row("lua_package_path", MAIN, Arity::ONE, "", "Where `require` looks for Lua modules; `;;` stands for the usual places.", set_package_path),
    row("lua_package_cpath", MAIN, Arity::ONE, "", "Where `require` looks for C modules; `;;` stands for the usual places.", set_package_cpath),
    row("set_by_lua", SET, Arity::at_least(2), "", "Sets a variable to what Lua returns.", set_by),
    row("set_by_lua_block", SET, Arity::ONE.raw_block(), "", "Sets a variable to what Lua returns.", set_by),
    row("set_by_lua_file", SET, Arity::at_least(2), "", "Sets a variable to what Lua returns.", set_by),
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
        cx.report(args.warning("lua_code_cache is off; this will hurt performance"));
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
