//! The engine: it takes a request through the phases, waits for those that wait, and ends it.

mod finalize;
mod find_config;
mod table;

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, ready};

pub use finalize::status;
pub(super) use find_config::{LookUp, Seen};
use table::Entry;
pub(crate) use table::{PhaseTable, Places};

use super::output::SendError;
use super::request::Request;
use super::step::{PhaseStep, Step, Verdict, Waiting};
use crate::error;

/// Internal redirects and changes of the URI that one request may make.
const URI_CHANGES_MAX: u8 = 10;

/// Where a request is.
///
/// ```text
///             ┌────────── internal redirect ─────────┐
///             ▼                                      │
///  Phases(i) ──handler done──▶ Draining ──flushed──▶ Logging ──▶ Over
///     │  ▲                        ▲                    ▲
///     └──┘ Next, Wait             │                    └── done, and all is out already
///                                 └── finalize(status): error page or special response
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// The handler with this index in the phase table runs next, or waits.
    Phases(usize),
    /// The response is complete and on its way.
    Draining,
    /// The log handler with this index in the log list runs next, or waits.
    Logging(usize),
    Over,
}

/// The engine's state within one request.
pub(crate) struct Engine {
    stage: Cell<Stage>,
    waiting: RefCell<Option<Waiting<Verdict>>>,
    /// A handler has sent the request elsewhere; go on from `stage`.
    moved: Cell<bool>,
    uri_changes: Cell<u8>,
    /// The URI was changed by a rewrite: locations are looked up again.
    pub(super) uri_changed: Cell<bool>,
    /// Statuses of `error_page` redirects are not redirected again.
    pub(super) in_error_page: Cell<bool>,
    /// What `error_page` makes of the status of the response.
    pub(super) error_status: Cell<u16>,
    /// The connection cannot go on after this request.
    pub(super) broken: Cell<bool>,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            stage: Cell::new(Stage::Phases(0)),
            waiting: RefCell::default(),
            moved: Cell::new(false),
            uri_changes: Cell::new(URI_CHANGES_MAX + 1),
            uri_changed: Cell::new(false),
            in_error_page: Cell::new(false),
            error_status: Cell::new(0),
            broken: Cell::new(false),
        }
    }
}

impl Engine {
    /// As it is before a request.
    pub(super) fn reset(&mut self) {
        let Self {
            stage,
            waiting,
            moved,
            uri_changes,
            uri_changed,
            in_error_page,
            error_status,
            broken,
        } = self;
        stage.set(Stage::Phases(0));
        *waiting.get_mut() = None;
        uri_changes.set(URI_CHANGES_MAX + 1);
        for mark in [moved, uri_changed, in_error_page, broken] {
            mark.set(false);
        }
        error_status.set(0);
    }

    /// Whether a handler waits.
    fn waits(&self) -> bool {
        self.waiting.borrow().is_some()
    }

    /// The status that `error_page` gives the response; 0 for its own.
    pub(crate) fn error_status(&self) -> u16 {
        self.error_status.get()
    }

    pub(crate) fn forget_error_status(&self) {
        self.error_status.set(0);
    }

    /// Whether the request was not yet refused another URI inside the server.
    pub(super) fn may_change_uri(&self) -> bool {
        self.uri_changes.get() > 0
    }

    /// Whether the client was given the whole response.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.stage.get(), Stage::Logging(_) | Stage::Over) && !self.broken.get()
    }
}

/// How the connection goes on after a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ended {
    /// The response was sent whole: the protocol decides about another request.
    Whole,
    /// The client cannot be told where the response ends, or has left.
    Broken,
}

impl Request {
    /// Moves the request on until its response is sent. Log handlers run afterwards, through
    /// [`poll_log`](Self::poll_log).
    pub(crate) fn poll_response(&self, cx: &mut Context<'_>) -> Poll<Ended> {
        let engine = &self.parts().engine;
        loop {
            match engine.stage.get() {
                Stage::Phases(at) if engine.waits() => {
                    let step = ready!(self.poll_handler(cx));
                    self.apply(at, step);
                }
                Stage::Phases(at) => self.run_phases(at),
                Stage::Draining => {
                    let result = ready!(self.poll_output(cx));
                    self.drained(result);
                }
                Stage::Logging(_) | Stage::Over => {
                    let broken = engine.broken.get();
                    return Poll::Ready(if broken { Ended::Broken } else { Ended::Whole });
                }
            }
        }
    }

    /// Runs the log handlers. The client has its response and the connection may be gone.
    pub(crate) fn poll_log(&self, cx: &mut Context<'_>) -> Poll<()> {
        let engine = &self.parts().engine;
        let phases = &self.http().phases;
        let mut at = match engine.stage.get() {
            Stage::Over => return Poll::Ready(()),
            Stage::Logging(at) => at,
            _ => 0,
        };
        loop {
            let place = self.location().places.from(phases.log + at);
            let Some(Entry::Handler(handler)) = phases.entry(place) else {
                break;
            };
            at = place - phases.log;
            engine.stage.set(Stage::Logging(at));
            let step = match self.poll_waiting(cx) {
                Some(polled) => ready!(polled),
                None => handler(self),
            };
            if let Step::Wait(future) = step {
                engine.waiting.replace(Some(future));
            } else {
                at += 1;
            }
        }
        engine.stage.set(Stage::Over);
        self.release_ctx();
        Poll::Ready(())
    }

    /// Drops whatever the request waits for: the client or the worker does not.
    pub(crate) fn cancel(&self) {
        let engine = &self.parts().engine;
        let waiting = engine.waiting.take();
        drop(waiting);
        self.parts().output.release();
        engine.broken.set(true);
        engine.stage.set(Stage::Logging(0));
    }

    /// Goes to another URI inside the server, as `error_page`, `index` and `try_files` do.
    ///
    /// Return its result from the handler.
    pub fn internal_redirect(&self, path: &[u8], args: &[u8]) -> PhaseStep {
        if !self.count_uri_change() {
            error!(
                "rewrite or internal redirection cycle while internally redirecting to \"{}\"",
                String::from_utf8_lossy(path)
            );
            return Step::Finish(500);
        }
        self.set_path(path);
        self.set_args(args);
        self.set_internal();
        self.clear_ctx();
        self.set_location(self.server().root);
        self.move_to(self.http().phases.server_rewrite);
        Step::Done
    }

    /// Changes path and arguments within the phases of rewriting: when they are over, the location
    /// is looked up anew.
    pub fn change_uri(&self, path: &[u8], args: &[u8]) {
        self.set_path(path);
        self.set_args(args);
        self.set_internal();
        self.parts().engine.uri_changed.set(true);
    }

    /// The location stays what it is, whatever [`change_uri`](Self::change_uri) has done
    /// (`break`).
    pub fn keep_location(&self) {
        self.parts().engine.uri_changed.set(false);
    }

    /// Goes to a named location (`@name`) of the server.
    ///
    /// Return its result from the handler.
    pub fn named_location(&self, name: &[u8]) -> PhaseStep {
        let shown = String::from_utf8_lossy(name);
        if !self.count_uri_change() {
            error!(
                "rewrite or internal redirection cycle while redirect to named location \"{shown}\""
            );
            return Step::Finish(500);
        }
        let Some(location) = self.server().named(name) else {
            error!("could not find named location \"{shown}\"");
            return Step::Finish(500);
        };
        self.set_internal();
        self.clear_ctx();
        self.set_location(location);
        self.tell_location();
        self.move_to(self.http().phases.rewrite);
        Step::Done
    }

    /// Whether one more change of the URI is allowed; counts it.
    fn count_uri_change(&self) -> bool {
        let left = &self.parts().engine.uri_changes;
        left.set(left.get().saturating_sub(1));
        left.get() > 0
    }

    fn move_to(&self, at: usize) {
        let engine = &self.parts().engine;
        engine.stage.set(Stage::Phases(at));
        engine.moved.set(true);
    }

    fn poll_waiting(&self, cx: &mut Context<'_>) -> Option<Poll<PhaseStep>> {
        let engine = &self.parts().engine;
        if !engine.waits() {
            return None;
        }
        // Taken out while it is polled: the handler looks at the request it waits in.
        let mut future = engine.waiting.take()?;
        let polled = future.as_mut().poll(cx);
        if polled.is_pending() {
            engine.waiting.replace(Some(future));
        }
        Some(polled)
    }

    /// The answer of the handler that waits.
    fn poll_handler(&self, cx: &mut Context<'_>) -> Poll<PhaseStep> {
        // Output first: a handler may wait for room that a flush makes.
        self.poll_early_output(cx);
        let polled = self.poll_waiting(cx);
        match polled {
            Some(Poll::Ready(step)) => Poll::Ready(step),
            Some(Poll::Pending) | None => {
                self.poll_early_output(cx);
                Poll::Pending
            }
        }
    }

    /// What a waiting handler has sent so far moves on, whether or not it asks for that.
    fn poll_early_output(&self, cx: &mut Context<'_>) {
        if !self.header_sent() {
            return;
        }
        if let Poll::Ready(Err(error)) = self.poll_output(cx) {
            error.log();
        }
    }

    /// No content handler wanted the request.
    pub(super) fn no_content(&self) -> PhaseStep {
        if self.path().ends_with(b"/") {
            let (name, _) = self.file_name();
            error!("directory index of \"{}\" is forbidden", name.display());
            return Step::Finish(403);
        }
        error!("no handler found");
        Step::Finish(404)
    }

    /// Runs handlers from `at` on, up to one that does not just leave it to the next.
    fn run_phases(&self, mut at: usize) {
        let engine = &self.parts().engine;
        let phases = &self.http().phases;
        loop {
            at = self.location().places.from(at);
            let entry = (at < phases.log).then(|| phases.entry(at)).flatten();
            let step = match entry {
                Some(entry) => entry.run(self),
                None => self.no_content(),
            };
            if !matches!(step, Step::Next(Verdict::Declined)) || engine.moved.get() {
                return self.apply(at, step);
            }
            at += 1;
        }
    }

    /// Takes the answer of the handler at `at` and decides what comes next.
    #[inline(always)]
    fn apply(&self, at: usize, step: PhaseStep) {
        let engine = &self.parts().engine;
        if engine.moved.take() {
            return;
        }
        match step {
            Step::Next(Verdict::Declined) => engine.stage.set(Stage::Phases(at + 1)),
            Step::Next(Verdict::Accepted) => {
                engine
                    .stage
                    .set(Stage::Phases(self.http().phases.next_phase(at)));
            }
            Step::Wait(future) => {
                engine.stage.set(Stage::Phases(at));
                engine.waiting.replace(Some(future));
            }
            // The usual end: there is nothing to wait for.
            Step::Done if self.parts().output.is_out() => engine.stage.set(Stage::Logging(0)),
            Step::Done => match self.take_replacement() {
                Some(status) => self.finalize(status),
                None => engine.stage.set(Stage::Draining),
            },
            Step::Finish(status) => {
                let status = self.take_replacement().unwrap_or(status);
                self.finalize(status);
            }
        }
    }

    /// The output has come to its end, or to an end.
    fn drained(&self, result: Result<(), SendError>) {
        let engine = &self.parts().engine;
        match result {
            Ok(()) => {
                let whole = self.last_sent() || self.response().is_header_only();
                if !self.header_sent() || !whole {
                    engine.broken.set(true);
                }
            }
            Err(SendError::Replaced(_)) => {
                if let Some(status) = self.take_replacement() {
                    self.finalize(status);
                    return;
                }
            }
            Err(error) => {
                error.log();
                engine.broken.set(true);
            }
        }
        engine.stage.set(Stage::Logging(0));
    }

    /// Ends the request with a status: an error page, a built-in page, or just the end.
    pub(crate) fn finalize(&self, status: u16) {
        let step = finalize::special(self, status);
        let engine = &self.parts().engine;
        if engine.moved.take() {
            return;
        }
        match step {
            Step::Finish(status) => self.finalize(status),
            _ => engine.stage.set(Stage::Draining),
        }
    }
}
