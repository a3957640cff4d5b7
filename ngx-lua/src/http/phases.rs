//! Running Lua for a request, phase by phase.

use std::sync::Arc;

use ngx_core::error;
use ngx_core::http::{Ordered, Phase as HttpPhase, PhaseHandler, PhaseStep, Request, Step, status};

use super::code::Code;
use super::conf::LUA;
use super::vm::{self, LoadError};
use super::{Guest, abort};
use crate::phase::Phase;
use crate::sched::{Begun, Ended, Failure, RunKind};

const fn at(
    phase: HttpPhase,
    before: &'static [&'static str],
    after: &'static [&'static str],
    run: PhaseHandler,
) -> (HttpPhase, Ordered<PhaseHandler>) {
    let place = Ordered {
        name: "lua",
        before,
        after,
        run,
    };
    (phase, place)
}

pub(super) static HANDLERS: &[(HttpPhase, Ordered<PhaseHandler>)] = &[
    at(HttpPhase::ServerRewrite, &[], &["rewrite"], |r| {
        match &*r.conf(&LUA).server_rewrite {
            Some(code) => run(r, Phase::ServerRewrite, code),
            None => PhaseStep::DECLINED,
        }
    }),
    at(HttpPhase::Rewrite, &[], &["rewrite"], |r| {
        match &*r.conf(&LUA).rewrite {
            Some(code) => run(r, Phase::Rewrite, code),
            None => PhaseStep::DECLINED,
        }
    }),
    at(
        HttpPhase::Access,
        &[],
        &["access", "auth_basic", "auth_request"],
        |r| match &*r.conf(&LUA).access {
            Some(code) => run(r, Phase::Access, code),
            None => PhaseStep::DECLINED,
        },
    ),
    at(HttpPhase::Log, &["log"], &[], log),
];

/// The handler of a location with `content_by_lua`.
pub(super) fn content(r: &Request, code: &Arc<Code>) -> PhaseStep {
    run(r, Phase::Content, code)
}

/// Runs the code of a phase that may wait.
fn run(r: &Request, phase: Phase, code: &Code) -> PhaseStep {
    let guest = Guest::of(r);
    match begin(r, guest.clone(), phase, code) {
        Err(status) => Step::Finish(status),
        Ok(Begun::Over(outcome)) => conclude(&guest, phase, outcome),
        Ok(Begun::Waiting(waiting)) => Step::wait(async move {
            match abort::finish(&guest, waiting).await {
                Some(outcome) => conclude(&guest, phase, outcome),
                None => Step::Finish(status::CLIENT_CLOSED),
            }
        }),
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
    let vm = vm::of_request(&guest).map_err(|message| {
        error!("{message}");
        500u16
    })?;
    let function = vm.function(code, Some(r)).map_err(|error| {
        let status = match error {
            LoadError::NoFile(_) => 404u16,
            LoadError::Other(_) => 500,
        };
        error!("{}", error.into_message());
        status
    })?;
    let entry = vm
        .entry(guest, RunKind::Waiting, phase, &function)
        .map_err(|_| {
            error!("not enough memory");
            500u16
        })?;
    Ok(entry.begin())
}

/// What becomes of the request when the code of a phase has ended.
fn conclude(guest: &Guest, phase: Phase, outcome: Result<Ended, Failure>) -> PhaseStep {
    match outcome {
        Err(failure) => {
            error!(
                multiline = true,
                "lua entry thread aborted: runtime error: {}",
                failure.text()
            );
            Step::Finish(500)
        }
        Ok(Ended::Returned) if phase == Phase::Content || guest.has_answered() => complete(guest),
        Ok(Ended::Returned) => PhaseStep::DECLINED,
        Ok(Ended::Exited) => exited(guest, phase),
    }
}

/// `ngx.exit`, `ngx.exec` and `ngx.redirect`.
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
