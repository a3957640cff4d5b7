//! Running Lua for a request, phase by phase.

use std::sync::Arc;

use ngx_buf::{Buf, Chain, Flags};
use ngx_core::error;
use ngx_core::http::{Ordered, Phase as HttpPhase, PhaseHandler, PhaseStep, Request, Step};

use super::Guest;
use super::code::Code;
use super::conf::LUA;
use super::vm::{self, LoadError};
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
            let outcome = waiting.finish().await;
            conclude(&guest, phase, outcome)
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
    let r = &guest.request;
    match outcome {
        Err(failure) => {
            error!(
                multiline = true,
                "lua entry thread aborted: runtime error: {}",
                failure.text()
            );
            Step::Finish(500)
        }
        Ok(Ended::Returned) if phase == Phase::Content || r.header_sent() => complete(guest),
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
    match guest.state.exit.take().unwrap_or(0) {
        0 if phase == Phase::Access && !r.header_sent() => PhaseStep::ACCEPTED,
        0 if phase != Phase::Content && !r.header_sent() => PhaseStep::DECLINED,
        0 => complete(guest),
        // As after a broken connection: nothing more is said.
        code if code < 0 => Step::Finish(444),
        code => match u16::try_from(code) {
            Ok(status) if status >= 300 && !r.header_sent() => Step::Finish(status),
            _ => complete(guest),
        },
    }
}

/// The response ends with what was sent.
fn complete(guest: &Guest) -> PhaseStep {
    let r = &guest.request;
    if guest.state.eof.replace(true) {
        return Step::Done;
    }
    if !r.header_sent() {
        if r.response().status() == 0 {
            r.response().set_status(200);
        }
        if r.send_header().is_err() {
            return Step::Done;
        }
    }
    // What is wrong with it is logged where it was found.
    let _ = r.output(Chain::from(Buf::special(Flags::LAST_BUF)));
    Step::Done
}
