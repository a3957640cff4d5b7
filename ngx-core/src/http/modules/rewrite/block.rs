//! `if` while it is read.

use super::condition::Condition;
use super::{If, Instruction, PROGRAM, push};
use crate::conf::{Args, Problem};
use crate::http::core::push_if;
use crate::http::request::Request;
use crate::module::{Contexts, Cx, Level, Scope};
use crate::script::Variables;

/// `if (condition) { }`
pub(super) fn set_if(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let place = args.span();
    cx.part::<Variables<Request>>().set_place(Some(place));
    let condition = match Condition::parse(cx, args) {
        Ok(condition) => Some(condition),
        // What is wrong in the block is worth knowing too.
        Err(problem) => {
            cx.report(problem);
            None
        }
    };
    let in_server = cx.context() == Contexts::SERVER;
    let context = if in_server {
        Contexts::IF_SERVER
    } else {
        Contexts::IF_LOCATION
    };
    let at = cx.conf(&PROGRAM).0.len();
    if let Some(condition) = condition {
        let one = If {
            condition,
            block: None,
            end: at + 1,
        };
        push(cx, Instruction::If(Box::new(one)));
    }
    // The program is that of the block around, so that it goes on in the order of the file.
    let program = std::mem::take(cx.conf(&PROGRAM));
    let mut scope = cx.with_scope(Scope::new(Level::Location), |cx| {
        *cx.conf(&PROGRAM) = program;
        cx.evaluate(args.block().unwrap_or_default(), context);
    });
    let mut program = scope.take(&PROGRAM);
    // An empty block counts in a location: what its location does not hand down does not apply.
    let block = (!in_server || !scope.is_empty()).then(|| push_if(cx, scope, place));
    let end = program.0.len();
    if let Some((_, Instruction::If(one))) = program.0.get_mut(at) {
        one.block = block;
        one.end = end;
    }
    *cx.conf(&PROGRAM) = program;
    Ok(())
}
