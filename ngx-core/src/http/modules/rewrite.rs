//! `set`, `rewrite`, `return`, `break` and `if`: a small program for every server and location.
//!
//! Directives run in the order they stand in: those of the server block before the location is
//! looked up, those of a location after that. A program is not inherited.
//!
//! Those in an `if` are part of the program around it. What else stands in an `if` of a location
//! makes a location without a name, inside of that one: if the condition is true, it takes the
//! place of the location, and of that of an `if` before.

mod block;
mod condition;
mod replacement;
mod respond;
mod trace;

use std::sync::Arc;

use bytes::Bytes;

use self::condition::Condition;
use self::replacement::Replacement;
use self::respond::Return;
pub(in crate::http) use self::trace::trace;
use crate::conf::{Args, Problem, Span};
use crate::http::conf::Location;
use crate::http::module::{HttpModule, Ordered, Phase};
use crate::http::regex::Pattern;
use crate::http::request::Request;
use crate::http::step::{PhaseStep, Step};
use crate::module::{Arity, Conf, Contexts, Cx, Directive, Level, Module, Slot};
use crate::script::{Template, VarId, Variables};
use crate::{error, notice, setter, settings};

/// The module of the rewrite phases.
pub(in crate::http) static MODULE: HttpModule = HttpModule {
    phases: &[
        (
            Phase::ServerRewrite,
            Ordered {
                name: "rewrite",
                before: &[],
                after: &[],
                run,
            },
        ),
        (
            Phase::Rewrite,
            Ordered {
                name: "rewrite",
                before: &[],
                after: &[],
                run: run_location,
            },
        ),
    ],
    handles_at: Some(|location, _, _| PROGRAM.own(&location.slots).is_some()),
    ..HttpModule::new(&DESCRIPTOR)
};

static DESCRIPTOR: Module = Module {
    name: "ngx_http_rewrite_module",
    directives: &[
        Directive {
            name: "rewrite",
            contexts: CONTEXTS,
            arity: Arity::range(2, 3),
            set: set_rewrite,
            default: "",
            doc: "Changes the URI if the regular expression matches it.",
        },
        Directive {
            name: "return",
            contexts: CONTEXTS,
            arity: Arity::range(1, 2),
            set: set_return,
            default: "",
            doc: "Answers with a status, and a text or the target of a redirect.",
        },
        Directive {
            name: "break",
            contexts: CONTEXTS,
            arity: Arity::NONE,
            set: set_break,
            default: "",
            doc: "Ends the directives of rewriting, and stays in the location.",
        },
        Directive {
            name: "if",
            contexts: Contexts::SERVER.or(Contexts::LOCATION),
            arity: Arity::at_least(1).block(),
            set: block::set_if,
            default: "",
            doc: "What applies to requests of which a condition is true.",
        },
        Directive {
            name: "set",
            contexts: CONTEXTS,
            arity: Arity::TWO,
            set: set_set,
            default: "",
            doc: "Gives a variable a value.",
        },
        Directive {
            name: "rewrite_log",
            contexts: CONTEXTS.or(Contexts::HTTP),
            arity: Arity::FLAG,
            set: setter!(SETTINGS, log, flag),
            default: "off",
            doc: "Logs what rewrite directives do, at the level notice.",
        },
    ],
};

const CONTEXTS: Contexts = Contexts::SERVER
    .or(Contexts::LOCATION)
    .or(Contexts::IF_SERVER)
    .or(Contexts::IF_LOCATION);

settings! {
    /// What is inherited of this module.
    struct RewriteConf {
        log: bool = false,
    }
}

static SETTINGS: Slot<RewriteConf> = Slot::new(Level::Location);
static PROGRAM: Slot<Program> = Slot::new(Level::Location);

/// The directives of one block, in order.
#[derive(Default)]
struct Program(Vec<(Span, Instruction)>);

impl Conf for Program {
    /// Inherits nothing: the phases run what stands in the block itself.
    fn merge(&mut self, _: &Self) -> Result<(), Problem> {
        Ok(())
    }
}

enum Instruction {
    Set { variable: VarId, value: Template },
    Rewrite(Box<Rewrite>),
    Return(Return),
    Break,
    If(Box<If>),
    Other(Instructed),
}

/// `if (condition) { }`
struct If {
    condition: Condition,
    /// Which of the blocks with settings it is, if it has any.
    block: Option<usize>,
    /// The instruction that follows if the condition is not true.
    end: usize,
}

/// An instruction of another module, such as `set_by_lua`: it runs in its place among `set` and
/// `rewrite`. Its error is the status that ends the request.
pub type Instructed = Arc<dyn Fn(&Request) -> Result<(), u16> + Send + Sync>;

/// Adds an instruction of another module behind those that the block has so far.
pub fn push_instruction(cx: &mut Cx<'_>, run: Instructed) {
    push(cx, Instruction::Other(run));
}

/// `rewrite regex replacement [flag]`
struct Rewrite {
    pattern: Pattern,
    /// The expression, for the log.
    text: Box<str>,
    replacement: Replacement,
    then: Then,
}

/// What follows a match.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Then {
    /// The next directive.
    Continue,
    /// The location is looked up anew.
    Last,
    /// The location stays.
    Break,
    /// The client is sent there with this status.
    Redirect(u16),
}

/// What follows an instruction.
enum Flow {
    Next,
    Stop,
    Finish(u16),
}

// === running ===

/// The rewrite phase of locations: not for what the server block has done already.
fn run_location(r: &Request) -> PhaseStep {
    if r.is_outside() {
        PhaseStep::DECLINED
    } else {
        run(r)
    }
}

#[inline(always)]
fn run(r: &Request) -> PhaseStep {
    let Some(program) = r.own_conf(&PROGRAM) else {
        return PhaseStep::DECLINED;
    };
    // As in nginx, what was captured of an escaped path is escaped in `set`, up to the first
    // rewrite that matches.
    let mut escape = true;
    let place = r.location();
    let mut at = 0;
    while let Some((_, instruction)) = program.0.get(at) {
        at += 1;
        match instruction {
            Instruction::Set { variable, value } => {
                set(r, *variable, value, escape);
            }
            Instruction::Return(answer) => return answer.run(r),
            Instruction::If(one) => {
                if !one.enter(r, place, escape) {
                    at = one.end;
                }
            }
            Instruction::Other(run) => {
                if let Err(status) = run(r) {
                    return Step::Finish(status);
                }
            }
            Instruction::Break => {
                r.keep_location();
                break;
            }
            Instruction::Rewrite(rewrite) => match rewrite.run(r, &mut escape) {
                Flow::Next => {}
                Flow::Stop => break,
                Flow::Finish(status) => return Step::Finish(status),
            },
        }
    }
    PhaseStep::DECLINED
}

fn set(r: &Request, variable: VarId, value: &Template, escape: bool) {
    if let Some(literal) = value.literal() {
        r.set_variable(variable, literal);
        return;
    }
    r.set_variable(variable, &value_of(r, value, escape));
}

/// The value of a template; `escape` if captures may have to be.
fn value_of(r: &Request, value: &Template, escape: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let escape = escape && value.uses_captures() && is_escaped(r);
    replacement::eval(value, r, escape, &mut out);
    out
}

/// Whether the path came with characters that mean something else when they are put into a URI
/// as they are.
fn is_escaped(r: &Request) -> bool {
    let head = r.head();
    let target = head.target();
    let path = target
        .split(|&byte| byte == b'?')
        .next()
        .unwrap_or_default();
    path.iter().any(|byte| matches!(byte, b'%' | b'+'))
}

/// Whether an expression matches a text; what it captures stays, until one does not match.
fn matches(r: &Request, (pattern, shown): (&Pattern, &str), text: &[u8], log: bool) -> bool {
    let matches = pattern.matches(r, text);
    if !matches {
        r.captures().borrow_mut().clear();
    }
    if log {
        let verb = if matches { "matches" } else { "does not match" };
        notice!("\"{shown}\" {verb} \"{}\"", String::from_utf8_lossy(text));
    }
    matches
}

impl If {
    /// Whether the condition is true; then the settings of the block are those of the request.
    /// `place` is the location that the `if` stands in.
    fn enter(&self, r: &Request, place: &Location, escape: bool) -> bool {
        let log = *r.conf(&SETTINGS).log;
        let holds = self.condition.holds(r, escape, log);
        if holds && let Some(&id) = self.block.and_then(|block| place.ifs.get(block)) {
            r.enter_if(id);
        }
        holds
    }
}

impl Rewrite {
    fn run(&self, r: &Request, escape: &mut bool) -> Flow {
        let log = *r.conf(&SETTINGS).log;
        // A copy, because matching writes captures and variables of the same request.
        let path = r.path().to_vec();
        if !matches(r, (&self.pattern, &self.text), &path, log) {
            return Flow::Next;
        }
        *escape = false;
        match self.then {
            Then::Redirect(status) => self.redirect(r, status, log),
            _ => self.change(r, log),
        }
    }

    fn redirect(&self, r: &Request, status: u16, log: bool) -> Flow {
        let args = r.args().to_vec();
        let target = self.replacement.target(r, &args, is_escaped(r));
        if log {
            notice!(
                "rewritten redirect: \"{}\"",
                String::from_utf8_lossy(&target)
            );
        }
        r.response().set_location(Some(Bytes::from(target)));
        Flow::Finish(status)
    }

    fn change(&self, r: &Request, log: bool) -> Flow {
        let old = r.args().to_vec();
        let (path, args) = self.replacement.uri(r, &old, is_escaped(r));
        if log {
            notice!(
                "rewritten data: \"{}\", args: \"{}\"",
                String::from_utf8_lossy(&path),
                String::from_utf8_lossy(&args)
            );
        }
        if path.is_empty() {
            error!("the rewritten URI has a zero length");
            return Flow::Finish(500);
        }
        r.change_uri(&path, &args);
        match self.then {
            Then::Last => Flow::Stop,
            Then::Break => {
                r.keep_location();
                Flow::Stop
            }
            Then::Continue | Then::Redirect(_) => Flow::Next,
        }
    }
}

// === configuring ===

/// `set $variable value`
fn set_set(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let word = args.arg(0);
    let name = word
        .as_str()
        .strip_prefix('$')
        .filter(|name| !name.is_empty());
    let Some(name) = name else {
        return Err(args
            .problem_at(0, format!("invalid variable name \"{word}\""))
            .with_help("names of variables begin with $"));
    };
    let variables = cx.part::<Variables<Request>>();
    let variable = variables
        .define(name)
        .map_err(|error| args.problem_at(0, error.to_string()))?;
    let value = compile(cx, args, 1, args.arg(1).as_bytes())?;
    push(cx, Instruction::Set { variable, value });
    Ok(())
}

/// `break`
fn set_break(cx: &mut Cx<'_>, _: &Args<'_>) -> Result<(), Problem> {
    push(cx, Instruction::Break);
    Ok(())
}

/// `return code [text]`, `return code url`, `return url`
fn set_return(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let answer = Return::parse(cx, args)?;
    push(cx, Instruction::Return(answer));
    Ok(())
}

/// `rewrite regex replacement [flag]`
fn set_rewrite(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let text = args.arg(0).as_str();
    let pattern = Pattern::compile(text, false, cx.part::<Variables<Request>>())
        .map_err(|error| args.problem_at(0, error.to_string()))?;
    let target = args.arg(1).as_bytes();
    if target.is_empty() {
        return Err(args.problem_at(1, "empty replacement"));
    }
    let mut then = if is_elsewhere(target) {
        Then::Redirect(302)
    } else {
        Then::Continue
    };
    if let Some(flag) = args.values().get(2) {
        then = match (flag.as_bytes(), then) {
            (b"redirect", _) => Then::Redirect(302),
            (b"permanent", _) => Then::Redirect(301),
            // To another server, whatever the location.
            (b"last" | b"break", redirect @ Then::Redirect(_)) => redirect,
            (b"last", _) => Then::Last,
            (b"break", _) => Then::Break,
            _ => {
                return Err(args
                    .problem_at(2, format!("invalid parameter \"{flag}\""))
                    .with_help("the flags are last, break, redirect and permanent"));
            }
        };
    }
    let whole = matches!(then, Then::Redirect(_));
    let replacement = Replacement::parse(target, whole, cx.part::<Variables<Request>>())
        .map_err(|error| args.problem_at(1, error.to_string()))?;
    let rewrite = Rewrite {
        pattern,
        text: text.into(),
        replacement,
        then,
    };
    push(cx, Instruction::Rewrite(Box::new(rewrite)));
    Ok(())
}

/// Whether a target names another server rather than a path of this one.
fn is_elsewhere(target: &[u8]) -> bool {
    ["http://", "https://", "$scheme"]
        .iter()
        .any(|scheme| target.starts_with(scheme.as_bytes()))
}

fn compile(cx: &mut Cx<'_>, args: &Args<'_>, at: usize, text: &[u8]) -> Result<Template, Problem> {
    Template::compile(text, cx.part::<Variables<Request>>())
        .map_err(|error| args.problem_at(at, error.to_string()))
}

fn push(cx: &mut Cx<'_>, instruction: Instruction) {
    let place = cx.place();
    cx.conf(&PROGRAM).0.push((place, instruction));
}

#[cfg(test)]
mod tests;
