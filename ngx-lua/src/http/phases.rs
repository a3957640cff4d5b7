//! Running Lua for a request, phase by phase.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ngx_core::error;
use ngx_core::http::{
    Location, Ordered, Phase as HttpPhase, PhaseHandler, PhaseStep, Request, Step, Verdict, Waits,
    status,
};

use super::Guest;
use super::abort::Client;
use super::code::Code;
use super::conf::{LUA, LuaConf};
use super::state::State;
use super::vm::{self, LoadError};
use crate::phase::Phase;
use crate::sched::{Begun, Ended, Failure, RunKind, Waiting};

/// An entry of a phase: its name there, what it stands before and behind, and its handler.
const fn at(
    phase: HttpPhase,
    name: &'static str,
    (before, after): (&'static [&'static str], &'static [&'static str]),
    run: PhaseHandler,
) -> (HttpPhase, Ordered<PhaseHandler>) {
    let place = Ordered {
        name,
        before,
        after,
        run,
    };
    (phase, place)
}

/// Checks that stand before or behind `access_by_lua`.
const ACCESS: &[&str] = &["access", "auth_basic", "auth_request"];

pub(super) static HANDLERS: &[(HttpPhase, Ordered<PhaseHandler>)] = &[
    at(HttpPhase::ServerRewrite, "lua", (&[], &["rewrite"]), |r| {
        let conf = r.conf(&LUA);
        match &*conf.server_rewrite {
            Some(code) => run(r, Phase::ServerRewrite, code, conf),
            None => PhaseStep::DECLINED,
        }
    }),
    at(HttpPhase::Rewrite, "lua_early", (&["rewrite"], &[]), |r| {
        rewrite(r, true)
    }),
    at(HttpPhase::Rewrite, "lua", (&[], &["rewrite"]), |r| {
        rewrite(r, false)
    }),
    at(HttpPhase::Access, "lua_early", (ACCESS, &[]), |r| {
        access(r, true)
    }),
    at(HttpPhase::Access, "lua", (&[], ACCESS), |r| {
        access(r, false)
    }),
    at(HttpPhase::Log, "lua", (&["log"], &[]), log),
];

/// Whether a handler has code to run at a location.
pub(super) fn has_code(location: &Location, phase: HttpPhase, name: &str) -> bool {
    let conf = LUA.of(&location.slots);
    let early = name == "lua_early";
    match phase {
        HttpPhase::ServerRewrite => conf.server_rewrite.is_some(),
        HttpPhase::Rewrite => conf.rewrite.is_some() && *conf.rewrite_first == early,
        HttpPhase::Access => conf.access.is_some() && *conf.access_first == early,
        HttpPhase::Log => conf.log.is_some(),
        _ => true,
    }
}

/// `rewrite_by_lua`, at the beginning of the phase or at its end.
fn rewrite(r: &Request, early: bool) -> PhaseStep {
    let conf = r.conf(&LUA);
    match &*conf.rewrite {
        Some(code) if *conf.rewrite_first == early => with_body(r, Phase::Rewrite, code, conf),
        _ => PhaseStep::DECLINED,
    }
}

/// `access_by_lua`, likewise.
fn access(r: &Request, early: bool) -> PhaseStep {
    let conf = r.conf(&LUA);
    match &*conf.access {
        Some(code) if *conf.access_first == early => with_body(r, Phase::Access, code, conf),
        _ => PhaseStep::DECLINED,
    }
}

/// The handler of a location with `content_by_lua`.
pub(super) fn content(r: &Request, code: &Arc<Code>) -> PhaseStep {
    with_body(r, Phase::Content, code, r.conf(&LUA))
}

/// Runs the code of a phase, behind the request body if `lua_need_request_body` wants it.
#[inline]
fn with_body(r: &Request, phase: Phase, code: &Arc<Code>, conf: &LuaConf) -> PhaseStep {
    if !*conf.need_body || r.body_is_read() || !r.has_body() {
        return run(r, phase, code, conf);
    }
    let (r, code) = (r.clone(), Arc::clone(code));
    Step::wait(async move {
        if let Err(status) = r.read_body().await {
            return Step::Finish(status);
        }
        match run(&r, phase, &code, r.conf(&LUA)) {
            Step::Wait(future) => future.await,
            step => step,
        }
    })
}

/// Runs the code of a phase that may wait.
#[inline(never)]
fn run(r: &Request, phase: Phase, code: &Code, conf: &LuaConf) -> PhaseStep {
    let guest = Guest::of(r);
    match begin_with(r, guest.clone(), (phase, code), conf) {
        Err(status) => Step::Finish(status),
        Ok(Begun::Over(outcome)) => conclude(&guest, phase, outcome),
        Ok(Begun::Waiting(waiting)) => {
            let state = Rc::clone(&guest.state);
            let going = Going {
                waiting,
                client: Client::of(conf),
                phase,
                guest,
            };
            *state.going.borrow_mut() = Some(going);
            Step::stay(state)
        }
    }
}

/// The code of a phase while it waits.
pub(super) struct Going {
    /// Dropped before the request is: what it waits for may be the request's.
    waiting: Waiting,
    client: Client,
    phase: Phase,
    guest: Guest,
}

/// It waits in what Lua keeps for the request.
impl Waits<Verdict> for State {
    fn poll_step(&self, cx: &mut Context<'_>) -> Poll<PhaseStep> {
        let mut place = self.going.borrow_mut();
        let Some(going) = &mut *place else {
            // It has ended, and whoever polls it has been told.
            return Poll::Pending;
        };
        let outcome = ready!(
            going
                .client
                .poll(&going.guest.request, &mut going.waiting, cx)
        );
        let ended = place.take();
        drop(place);
        let Some(Going {
            waiting,
            phase,
            guest,
            ..
        }) = ended
        else {
            return Poll::Pending;
        };
        // What belongs to the run ends before its outcome counts.
        drop(waiting);
        Poll::Ready(match outcome {
            Some(outcome) => conclude(&guest, phase, outcome),
            None => Step::Finish(status::CLIENT_CLOSED),
        })
    }

    fn leave(&self) {
        let left = self.going.borrow_mut().take();
        drop(left);
    }
}

/// `log_by_lua`: the response is over, whatever happens.
fn log(r: &Request) -> PhaseStep {
    let Some(code) = &*r.conf(&LUA).log else {
        return PhaseStep::DECLINED;
    };
    match begin(r, Guest::of(r), Phase::Log, code) {
        Err(_logged) => {}
        Ok(Begun::Over(outcome)) => logged(outcome),
        Ok(Begun::Waiting(waiting)) => {
            return Step::wait(async move {
                logged(waiting.finish().await);
                PhaseStep::DECLINED
            });
        }
    }
    PhaseStep::DECLINED
}

fn logged(outcome: Result<Ended, Failure>) {
    if let Err(failure) = outcome {
        let text = failure.text();
        error!(multiline = true, "failed to run log_by_lua*: {text}");
    }
}

/// Runs code as far as it goes without waiting. The error is a status to end the request with.
pub(super) fn begin(r: &Request, guest: Guest, phase: Phase, code: &Code) -> Result<Begun, u16> {
    begin_with(r, guest, (phase, code), r.conf(&LUA))
}

#[inline(always)]
fn begin_with(
    r: &Request,
    guest: Guest,
    (phase, code): (Phase, &Code),
    conf: &LuaConf,
) -> Result<Begun, u16> {
    let vm = vm::of_request(&guest, conf).map_err(|message| no_vm(&message))?;
    let function = vm.function(code, Some(r)).map_err(not_loaded)?;
    let entry = vm
        .entry(guest, RunKind::Waiting, phase, &function)
        .map_err(|_| no_vm("not enough memory"))?;
    Ok(entry.begin())
}

/// The status of a request for which no code can run.
#[cold]
fn no_vm(why: &str) -> u16 {
    error!("{why}");
    500
}

/// The status of a request whose code cannot be loaded.
#[cold]
fn not_loaded(error: LoadError) -> u16 {
    let status = match error {
        LoadError::NoFile(_) => 404,
        LoadError::Other(_) => 500,
    };
    error!("{}", error.into_message());
    status
}

#[cold]
fn aborted(failure: &Failure) -> PhaseStep {
    error!(
        multiline = true,
        "lua entry thread aborted: runtime error: {}",
        failure.text()
    );
    Step::Finish(500)
}

/// What becomes of the request when the code of a phase has ended.
#[inline]
fn conclude(guest: &Guest, phase: Phase, outcome: Result<Ended, Failure>) -> PhaseStep {
    match outcome {
        Err(failure) => aborted(&failure),
        Ok(Ended::Returned) if phase == Phase::Content || guest.has_answered() => complete(guest),
        Ok(Ended::Returned) => PhaseStep::DECLINED,
        Ok(Ended::Exited) => exited(guest, phase),
    }
}

/// `ngx.exit`, `ngx.exec` and `ngx.redirect`.
#[inline(never)]
fn exited(guest: &Guest, phase: Phase) -> PhaseStep {
    let r = &guest.request;
    if let Some(exec) = guest.state.exec.take() {
        if exec.uri.starts_with(b"@") {
            return r.named_location(&exec.uri);
        }
        return r.internal_redirect(&exec.uri, &exec.args);
    }
    let code = guest.state.exit.take().unwrap_or(0);
    let Ok(status) = u16::try_from(code) else {
        return negative(guest, phase, code);
    };
    match status {
        0 if phase == Phase::Content || guest.has_answered() => complete(guest),
        0 if phase == Phase::Access => PhaseStep::ACCEPTED,
        0 => PhaseStep::DECLINED,
        // These end the connection, whatever was sent.
        408 | status::CLOSE | status::CLIENT_CLOSED => Step::Finish(status),
        _ if guest.has_answered() => complete(guest),
        204 | 300.. => Step::Finish(status),
        200.. => {
            if r.response().status() == 0 {
                r.response().set_status(status);
            }
            complete(guest)
        }
        _ => Step::Done,
    }
}

/// `ngx.exit` with a code of nginx's own.
fn negative(guest: &Guest, phase: Phase, code: i32) -> PhaseStep {
    if code != DECLINED {
        return Step::Finish(status::CLOSE);
    }
    match phase {
        _ if guest.has_answered() => complete(guest),
        // There is no other handler to ask: the client gets nothing.
        Phase::Content => Step::Done,
        _ => PhaseStep::DECLINED,
    }
}

/// `ngx.DECLINED`
const DECLINED: i32 = -5;

/// The response ends with what was sent.
fn complete(guest: &Guest) -> PhaseStep {
    // What is wrong with it is logged where it was found.
    let _ = guest.end();
    Step::Done
}
