//! `set_by_lua`: Lua whose result is the value of a variable.

use std::sync::Arc;

use mlua::Value;
use ngx_core::conf::{Args, Problem};
use ngx_core::error;
use ngx_core::http::Request;
use ngx_core::http::modules::push_instruction;
use ngx_core::module::Cx;
use ngx_core::script::{Template, VarId, Variables};

use super::Guest;
use super::code::{self, Code};
use super::conf::{LUA, MainConf};
use super::state::Arg;
use super::vm;
use crate::ffi::number_text;
use crate::phase::Phase;
use crate::sched::RunKind;

/// One `set_by_lua`.
struct SetBy {
    variable: VarId,
    code: Arc<Code>,
    arguments: Vec<Template>,
}

/// `set_by_lua $variable code [argument ...]`
pub(super) fn set_by(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let word = args.arg(0);
    let name = word
        .as_str()
        .strip_prefix('$')
        .filter(|name| !name.is_empty());
    let Some(name) = name else {
        let problem = args.problem_at(0, format!("invalid variable name \"{word}\""));
        return Err(problem.with_help("names of variables begin with $"));
    };
    let variable = cx
        .part::<Variables<Request>>()
        .define(name)
        .map_err(|error| args.problem_at(0, error.to_string()))?;
    MainConf::want(cx);
    let code = code::of_directive(cx, args, 1)?;
    let mut arguments = Vec::new();
    for (at, word) in args.values().iter().enumerate().skip(2) {
        let argument = Template::compile(word.as_bytes(), cx.part::<Variables<Request>>())
            .map_err(|error| args.problem_at(at, error.to_string()))?;
        arguments.push(argument);
    }
    let set = SetBy {
        variable,
        code,
        arguments,
    };
    push_instruction(cx, Arc::new(move |r| set.run(r)));
    Ok(())
}

impl SetBy {
    fn run(&self, r: &Request) -> Result<(), u16> {
        let guest = Guest::of(r);
        let arguments = self.arguments.iter().map(|one| one.eval_bytes(r)).collect();
        let outer = guest.state.arg.replace(Arg::Set(arguments));
        let value = self.value(r, &guest);
        guest.state.arg.replace(outer);
        r.set_variable(
            self.variable,
            &value.map_err(|message| {
                error!(multiline = true, "failed to run set_by_lua*: {message}");
                500u16
            })?,
        );
        Ok(())
    }

    fn value(&self, r: &Request, guest: &Guest) -> Result<Vec<u8>, String> {
        let vm = vm::of_request(guest, r.conf(&LUA))?;
        let function = vm
            .function(&self.code, Some(r))
            .map_err(vm::LoadError::into_message)?;
        let entry = vm
            .entry(guest.clone(), RunKind::Blocking, Phase::Set, &function)
            .map_err(|_| "not enough memory")?;
        let results = entry.block().map_err(|failure| failure.text())?;
        Ok(match results.front() {
            Some(Value::String(text)) => text.as_bytes().to_vec(),
            #[expect(clippy::cast_precision_loss, reason = "Lua has no other numbers")]
            Some(Value::Integer(number)) => number_text(*number as f64).into_bytes(),
            Some(Value::Number(number)) => number_text(*number).into_bytes(),
            _ => Vec::new(),
        })
    }
}
