//! `ngx_http_headers_more_filter_module`: sets and clears fields of the response header and of the
//! request header.
//!
//! Commands of outer blocks run before those of inner ones, and all of them in their order:
//! nothing is overridden by having commands of one's own.

mod command;
mod input;
mod output;

use std::sync::Arc;

use self::command::{Command, Opcode, Options};
use crate::conf::{Args, Problem};
use crate::http::module::{HttpModule, Ordered, Phase};
use crate::module::{Arity, Conf, Contexts, Cx, Directive, Level, Module, Setter, Slot};

/// The filter, and the handler at the end of the rewrite phase.
pub(in crate::http) static MODULE: HttpModule = HttpModule {
    phases: &[(
        Phase::Rewrite,
        Ordered {
            name: "headers_more",
            before: &["lua"],
            after: &["rewrite", "lua_early"],
            run: input::handler,
        },
    )],
    handles_at: Some(|location, _, _| !CONF.of(&location.slots).input.is_empty()),
    header_filters: &[Ordered {
        name: "headers_more",
        before: &["headers", "range", "chunked", "lua", "echo"],
        after: &["not_modified"],
        run: output::filter,
    }],
    filters_at: Some(|slots| !CONF.of(slots).output.is_empty()),
    ..HttpModule::new(&DESCRIPTOR)
};

static DESCRIPTOR: Module = Module {
    name: "ngx_http_headers_more_filter_module",
    directives: &[
        row(
            "more_set_headers",
            "Sets fields of the response header, for all statuses and types or for those named.",
            |cx, args| push(cx, args, Opcode::Set, &Options::OUTPUT, output_list),
        ),
        row(
            "more_clear_headers",
            "Removes fields of the response header; a name may end in an asterisk.",
            |cx, args| push(cx, args, Opcode::Clear, &Options::OUTPUT, output_list),
        ),
        row(
            "more_set_input_headers",
            "Sets fields of the request header; with -r only those that are there.",
            |cx, args| push(cx, args, Opcode::Set, &Options::INPUT, input_list),
        ),
        row(
            "more_clear_input_headers",
            "Removes fields of the request header; a name may end in an asterisk.",
            |cx, args| push(cx, args, Opcode::Clear, &Options::INPUT, input_list),
        ),
    ],
};

const CONTEXTS: Contexts = Contexts::HTTP
    .or(Contexts::SERVER)
    .or(Contexts::LOCATION)
    .or(Contexts::IF_LOCATION);

const fn row(name: &'static str, doc: &'static str, set: Setter) -> Directive {
    Directive {
        name,
        contexts: CONTEXTS,
        arity: Arity::at_least(1),
        set,
        default: "",
        doc,
    }
}

static CONF: Slot<MoreConf> = Slot::new(Level::Location);

/// The commands that a location runs.
#[derive(Default)]
struct MoreConf {
    output: Vec<Arc<Command>>,
    input: Vec<Arc<Command>>,
}

impl Conf for MoreConf {
    /// Those of the outer blocks come first.
    fn merge(&mut self, parent: &Self) -> Result<(), Problem> {
        self.output.splice(..0, parent.output.iter().cloned());
        self.input.splice(..0, parent.input.iter().cloned());
        Ok(())
    }
}

fn output_list(conf: &mut MoreConf) -> &mut Vec<Arc<Command>> {
    &mut conf.output
}

fn input_list(conf: &mut MoreConf) -> &mut Vec<Arc<Command>> {
    &mut conf.input
}

fn push(
    cx: &mut Cx<'_>,
    args: &Args<'_>,
    opcode: Opcode,
    options: &Options,
    list: fn(&mut MoreConf) -> &mut Vec<Arc<Command>>,
) -> Result<(), Problem> {
    let command = Command::parse(cx, args, opcode, options)?;
    list(cx.conf(&CONF)).push(Arc::new(command));
    Ok(())
}
