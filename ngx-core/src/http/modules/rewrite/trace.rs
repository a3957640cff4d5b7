//! Running a program and telling what each instruction does, for `--explain`.

use super::respond::Return;
use super::{Flow, Instruction, PROGRAM, Rewrite, Then, set};
use crate::conf::Span;
use crate::http::request::Request;
use crate::script::VarId;

/// Runs the program of the current location, but for what would answer: that is only told.
///
/// Returns whether the request ends here.
pub(in crate::http) fn trace(r: &Request, tell: &mut dyn FnMut(Span, String)) -> bool {
    let Some(program) = r.own_conf(&PROGRAM) else {
        return false;
    };
    let mut escape = true;
    let location = r.location();
    let mut at = 0;
    while let Some((place, instruction)) = program.0.get(at) {
        at += 1;
        match instruction {
            Instruction::Set { variable, value } => {
                set(r, *variable, value, escape);
                tell(*place, format!("sets {}", valued(r, *variable)));
            }
            Instruction::Return(answer) => {
                tell(*place, answer.describe(r));
                return true;
            }
            Instruction::If(one) => {
                let holds = one.enter(r, location, escape);
                let is = match (holds, one.block) {
                    (false, _) => "is not true",
                    (true, None) => "is true",
                    (true, Some(_)) => "is true: the settings of its block apply",
                };
                tell(*place, is.to_owned());
                if !holds {
                    at = one.end;
                }
            }
            Instruction::Other(_) => tell(*place, "runs here; its effect is not known".to_owned()),
            Instruction::Break => {
                r.keep_location();
                tell(*place, "ends the rewriting".to_owned());
                break;
            }
            Instruction::Rewrite(rewrite) => {
                let (flow, text) = follow(r, rewrite, &mut escape);
                tell(*place, text);
                match flow {
                    Flow::Next => {}
                    Flow::Stop => break,
                    Flow::Finish(_) => return true,
                }
            }
        }
    }
    false
}

fn valued(r: &Request, variable: VarId) -> String {
    let value = r.variable_bytes(variable).unwrap_or_default();
    let name = r.http().variables().name(variable);
    format!("${name} to {:?}", String::from_utf8_lossy(&value))
}

fn follow(r: &Request, rewrite: &Rewrite, escape: &mut bool) -> (Flow, String) {
    let path = r.path().to_vec();
    let matches = rewrite.pattern.matches(r, &path);
    let flow = rewrite.run(r, escape);
    if !matches {
        return (flow, "does not match".to_owned());
    }
    let text = match (&flow, rewrite.then) {
        (Flow::Finish(_), Then::Redirect(status)) => {
            let target = r.response().location().unwrap_or_default();
            format!(
                "matches: answers {status} to {}",
                String::from_utf8_lossy(&target)
            )
        }
        (Flow::Finish(status), _) => format!("matches: answers {status}"),
        (_, then) => {
            let path = String::from_utf8_lossy(&r.path()).into_owned();
            let args = String::from_utf8_lossy(&r.args()).into_owned();
            let mark = if args.is_empty() { "" } else { "?" };
            let then = match then {
                Then::Last => ", and the location is looked up",
                Then::Break => ", and the location stays",
                Then::Continue | Then::Redirect(_) => "",
            };
            format!("matches: the URI is now {path}{mark}{args}{then}")
        }
    };
    (flow, text)
}

impl Return {
    /// What it would answer.
    fn describe(&self, r: &Request) -> String {
        match self {
            Self::Status(status) => format!("answers {status}"),
            Self::Text { status, text } => {
                let text = text.eval_bytes(r);
                let shown: String = String::from_utf8_lossy(&text)
                    .chars()
                    .take(MAX_SHOWN)
                    .collect();
                format!("answers {status} with {shown:?}")
            }
            Self::Redirect { status, target } => {
                let target = target.eval_bytes(r);
                format!("answers {status} to {}", String::from_utf8_lossy(&target))
            }
        }
    }
}

/// Characters of a text.
const MAX_SHOWN: usize = 60;
