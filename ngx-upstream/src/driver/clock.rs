//! The timers of a driver on one lazy sleep.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::now::now_ms;
use crate::timeouts::{Timer, TimerTable};

/// A table of timers and the one sleep under it. Moving a deadline on does not touch the sleep: it
/// wakes too early, looks at the table, and sleeps again.
#[derive(Debug, Default)]
pub(super) struct Clock {
    table: TimerTable,
    alarm: Option<Alarm>,
}

/// A sleep that is on. Pooled connections keep theirs: most exchanges need not make one.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// When it goes off, in coarse milliseconds, or earlier.
    at: u64,
    sleep: Pin<Box<Sleep>>,
}

impl Clock {
    /// Sets or moves a deadline: so many milliseconds from now.
    pub(super) fn set(&mut self, timer: Timer, after: u64) {
        self.table.set(timer, now_ms().saturating_add(after));
    }

    /// Sets a deadline unless it is set.
    pub(super) fn start(&mut self, timer: Timer, after: u64) {
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

    /// Takes the alarm that a connection has kept.
    pub(super) fn take_alarm(&mut self, kept: &mut Option<Alarm>) {
        if self.alarm.is_none() {
            self.alarm = kept.take();
        }
    }

    /// Leaves the alarm to the next exchange on the connection. It stays on meanwhile: at worst it
    /// wakes somebody who goes on waiting.
    pub(super) fn leave_alarm(&mut self, kept: &mut Option<Alarm>) {
        *kept = self.alarm.take();
    }

    /// Waits for the first timer to expire; forever if none is set.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Timer> {
        // What the sleep says counts, too: its clock is a little ahead of the coarse one.
        let mut rung = 0;
        loop {
            let Some(next) = self.table.next_timeout() else {
                return Poll::Pending;
            };
            let now = now_ms().max(rung);
            if rung > 0
                && let Some(timer) = self.table.expired(now)
            {
                return Poll::Ready(timer);
            }
            let alarm = match &mut self.alarm {
                Some(alarm) => {
                    if next < alarm.at || rung > 0 {
                        alarm.at = next;
                        alarm.sleep.as_mut().reset(instant(next, now));
                    }
                    alarm
                }
                none => none.insert(Alarm {
                    at: next,
                    sleep: Box::pin(sleep_until(instant(next, now))),
                }),
            };
            ready!(alarm.sleep.as_mut().poll(cx));
            rung = alarm.at;
        }
    }
}

/// The moment `at` on the clock of tokio, when it is `now`.
fn instant(at: u64, now: u64) -> Instant {
    Instant::now() + Duration::from_millis(at.saturating_sub(now))
}
