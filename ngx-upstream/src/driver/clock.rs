//! The timers of a driver on one lazy sleep.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::now::now;
use crate::timeouts::{Timer, TimerTable};

/// A table of timers and the one sleep under it. Moving a deadline on does not touch the sleep: it
/// wakes too early, looks at the table, and sleeps again.
#[derive(Debug)]
pub(super) struct Clock {
    base: Instant,
    table: TimerTable,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            base: now(),
            table: TimerTable::default(),
            sleep: None,
        }
    }

    /// Sets or moves a deadline.
    pub(super) fn set(&mut self, timer: Timer, after: Duration) {
        self.table
            .set(timer, self.now().saturating_add(millis(after)));
    }

    /// Sets a deadline unless it is set.
    pub(super) fn start(&mut self, timer: Timer, after: Duration) {
        if !self.table.is_set(timer) {
            self.set(timer, after);
        }
    }

    /// Forgets all deadlines.
    pub(super) fn clear(&mut self) {
        self.table = TimerTable::default();
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        self.table.stop(timer);
    }

    /// Waits for the first timer to expire; forever if none is set.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Timer> {
        loop {
            let Some(next) = self.table.next_timeout() else {
                return Poll::Pending;
            };
            let at = self.base + Duration::from_millis(next);
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if at < sleep.deadline() {
                sleep.as_mut().reset(at);
            }
            ready!(sleep.as_mut().poll(cx));
            // The sleep's own clock is ahead of the coarse one.
            let woken = sleep.deadline();
            if let Some(timer) = self.table.expired(self.now().max(self.at(woken))) {
                return Poll::Ready(timer);
            }
            if let Some(sleep) = &mut self.sleep {
                sleep.as_mut().reset(at);
            }
        }
    }

    /// Takes the sleep that a connection has kept, so that none has to be made.
    pub(super) fn take_sleep(&mut self, kept: &mut Option<Pin<Box<Sleep>>>) {
        if self.sleep.is_none() {
            self.sleep = kept.take();
        }
    }

    /// Leaves the sleep to the next exchange on the connection. It goes on meanwhile: at worst it
    /// wakes somebody who goes on waiting.
    pub(super) fn leave_sleep(&mut self, kept: &mut Option<Pin<Box<Sleep>>>) {
        *kept = self.sleep.take();
    }

    fn at(&self, time: Instant) -> u64 {
        millis(time.saturating_duration_since(self.base))
    }

    fn now(&self) -> u64 {
        self.at(now())
    }
}

/// Whole milliseconds, at most a few years: an `Instant` must be able to hold them.
fn millis(duration: Duration) -> u64 {
    const LONG: u64 = 1 << 38;
    u64::try_from(duration.as_millis())
        .unwrap_or(LONG)
        .min(LONG)
}
