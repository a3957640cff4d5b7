//! `ngx_http_echo_module`: responses written in the configuration, command by command.
//!
//! The commands of a location run in their order and wait without blocking. What needs
//! subrequests is refused while configuring.

mod command;
mod filter;
mod run;
mod variables;

use std::sync::Arc;

use self::command::Command;
use crate::conf::{Args, Problem};
use crate::http::core::set_handler;
use crate::http::module::{HttpModule, Ordered};
use crate::http::request::Request;
use crate::module::{Arity, Contexts, Cx, Directive, Level, Module, Setter, Slot};
use crate::script::{Template, Variables};
use crate::settings;

/// Commands that make a response, and text around the bodies of other modules.
pub(in crate::http) static MODULE: HttpModule = HttpModule {
    header_filters: &[Ordered {
        name: "echo",
        before: &["headers", "range", "chunked"],
        after: &["not_modified", "lua"],
        run: filter::header,
    }],
    body_filters: &[Ordered {
        name: "echo",
        before: &["chunked"],
        after: &["copy", "lua"],
        run: filter::body,
    }],
    filters_at: Some(|slots| filter::is_wanted(CONF.of(slots))),
    variables: Some(variables::register),
    ..HttpModule::new(&DESCRIPTOR)
};

static DESCRIPTOR: Module = Module {
    name: "ngx_http_echo_module",
    directives: DIRECTIVES,
};

#[rustfmt::skip]
static DIRECTIVES: &[Directive] = &[
    row("echo", Arity::ANY, "Sends its words and a line break; without the line break after -n.", set_echo),
    row("echo_duplicate", Arity::at_least(2), "Sends a text as often as is said.", set_duplicate),
    row("echo_flush", Arity::NONE, "Sends what there is to the client at once.", set_flush),
    row("echo_sleep", Arity::ONE, "Waits for so many seconds; other requests go on.", set_sleep),
    row("echo_blocking_sleep", Arity::ONE, "Waits as echo_sleep does: nothing here may block a thread.", set_sleep),
    row("echo_reset_timer", Arity::NONE, "Lets $echo_timer_elapsed count from now on.", set_reset_timer),
    row("echo_read_request_body", Arity::NONE, "Reads the request body.", set_read_body),
    row("echo_request_body", Arity::NONE, "Sends the request body that was read.", set_request_body),
    row("echo_foreach_split", Arity::at_least(2), "Runs what follows, up to echo_end, for each part of a text: $echo_it.", set_split),
    row("echo_end", Arity::NONE, "Ends the commands of echo_foreach_split.", set_end),
    row("echo_exec", Arity::range(1, 2), "Goes to another location of the server.", set_exec),
    row("echo_before_body", Arity::ANY, "Puts its words in front of a response body.", set_before_body),
    row("echo_after_body", Arity::ANY, "Puts its words behind a response body.", set_after_body),
    row("echo_location", Arity::range(1, 2), "Needs subrequests, and is refused.", refuse),
    row("echo_location_async", Arity::range(1, 2), "Needs subrequests, and is refused.", refuse),
    row("echo_subrequest", Arity::at_least(2), "Needs subrequests, and is refused.", refuse),
    row("echo_subrequest_async", Arity::at_least(2), "Needs subrequests, and is refused.", refuse),
    row("echo_abort_parent", Arity::NONE, "Needs subrequests, and is refused.", refuse),
    Directive {
        name: "echo_status",
        contexts: CONTEXTS,
        arity: Arity::ONE,
        set: set_status,
        default: "200",
        doc: "The status of a response of echo and its like.",
    },
];

const CONTEXTS: Contexts = Contexts::LOCATION.or(Contexts::IF_LOCATION);

const fn row(name: &'static str, arity: Arity, doc: &'static str, set: Setter) -> Directive {
    Directive {
        name,
        contexts: CONTEXTS,
        arity,
        set,
        default: "",
        doc,
    }
}

settings! {
    /// What a location says.
    struct EchoConf {
        commands: Arc<Vec<Command>> = Arc::default(),
        before: Arc<Vec<Template>> = Arc::default(),
        after: Arc<Vec<Template>> = Arc::default(),
        status: u16 = 200,
    }
}

static CONF: Slot<EchoConf> = Slot::new(Level::Location);

/// Adds a command; the first of a location makes the module its handler.
fn push(cx: &mut Cx<'_>, args: &Args<'_>, command: Command) -> Result<(), Problem> {
    let commands = &mut cx.conf(&CONF).commands;
    let first = !commands.is_set();
    Arc::make_mut(commands.set_mut(args.span())).push(command);
    if first {
        set_handler(cx, args, Arc::new(run::handler))?;
    }
    Ok(())
}

/// `echo [-n] [--] word...`
fn set_echo(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let text = command::line(cx, args)?;
    push(cx, args, Command::Text(text))
}

/// `echo_before_body [-n] [--] word...`
fn set_before_body(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let text = command::line(cx, args)?;
    Arc::make_mut(cx.conf(&CONF).before.set_mut(args.span())).push(text);
    Ok(())
}

/// `echo_after_body [-n] [--] word...`
fn set_after_body(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let text = command::line(cx, args)?;
    Arc::make_mut(cx.conf(&CONF).after.set_mut(args.span())).push(text);
    Ok(())
}

/// `echo_duplicate count text`
fn set_duplicate(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let (count, text) = command::pair(cx, args)?;
    push(cx, args, Command::Duplicate { count, text })
}

/// `echo_foreach_split delimiter text`
fn set_split(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let (delimiter, text) = command::pair(cx, args)?;
    push(cx, args, Command::Split { delimiter, text })
}

/// `echo_sleep seconds`
fn set_sleep(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let seconds = compile(cx, args, 0)?;
    if let Some(text) = seconds.literal()
        && command::millis(text).is_none()
    {
        return Err(args
            .problem_at(0, format!("invalid sleep duration \"{}\"", args.arg(0)))
            .with_help("write seconds, such as 0.5"));
    }
    push(cx, args, Command::Sleep(seconds))
}

/// `echo_exec uri [args]`, `echo_exec @name`
fn set_exec(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let uri = compile(cx, args, 0)?;
    let args_of_uri = match args.values().len() {
        2 => Some(compile(cx, args, 1)?),
        _ => None,
    };
    push(
        cx,
        args,
        Command::Exec {
            uri,
            args: args_of_uri,
        },
    )
}

fn set_flush(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    push(cx, args, Command::Flush)
}

fn set_reset_timer(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    push(cx, args, Command::ResetTimer)
}

fn set_read_body(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    push(cx, args, Command::ReadBody)
}

fn set_request_body(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    push(cx, args, Command::RequestBody)
}

fn set_end(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    push(cx, args, Command::End)
}

/// `echo_status status`
fn set_status(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let status = args.number_in(0, 200..=999)?;
    let status = u16::try_from(status).unwrap_or(200);
    cx.conf(&CONF).status.set(status, args.span())
}

/// What there is no way to do yet is said, not ignored.
fn refuse(_: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    Err(Problem::of_directive(
        args.span(),
        "needs subrequests, which ngx does not have yet",
    )
    .with_help("echo_exec goes to a location for good, without coming back"))
}

fn compile(cx: &mut Cx<'_>, args: &Args<'_>, at: usize) -> Result<Template, Problem> {
    Template::compile(args.arg(at).as_bytes(), cx.part::<Variables<Request>>())
        .map_err(|error| args.problem_at(at, error.to_string()))
}
