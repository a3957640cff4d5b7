//! The timers of an exchange: a table of deadlines, without a clock.

use std::time::Duration;

/// The waits that have a limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Timer {
    /// Until a connection is made (`proxy_connect_timeout`).
    Connect = 0,
    /// Between two writes to the peer (`proxy_send_timeout`).
    Send = 1,
    /// Between two reads from the peer (`proxy_read_timeout`); in a tunnel, between two bytes of any
    /// direction.
    Read = 2,
}

impl Timer {
    const ALL: [Self; 3] = [Self::Connect, Self::Send, Self::Read];
}

/// How long each wait may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timeouts {
    /// For [`Timer::Connect`].
    pub connect: Duration,
    /// For [`Timer::Send`].
    pub send: Duration,
    /// For [`Timer::Read`].
    pub read: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self {
            connect: minute,
            send: minute,
            read: minute,
        }
    }
}

impl Timeouts {
    /// The limit of one wait.
    pub fn of(&self, timer: Timer) -> Duration {
        match timer {
            Timer::Connect => self.connect,
            Timer::Send => self.send,
            Timer::Read => self.read,
        }
    }
}

/// The deadlines that are set, in milliseconds of the owner's clock.
#[derive(Clone, Debug)]
pub struct TimerTable {
    /// `NEVER` is not set.
    deadlines: [u64; 3],
}

const NEVER: u64 = u64::MAX;

impl Default for TimerTable {
    fn default() -> Self {
        Self {
            deadlines: [NEVER; 3],
        }
    }
}

impl TimerTable {
    /// Sets or moves a deadline. One at the end of all time is none.
    pub fn set(&mut self, timer: Timer, deadline: u64) {
        self.deadlines[timer as usize] = deadline;
    }

    /// Forgets a deadline.
    pub fn stop(&mut self, timer: Timer) {
        self.deadlines[timer as usize] = NEVER;
    }

    /// Whether a deadline is set.
    pub fn is_set(&self, timer: Timer) -> bool {
        self.deadlines[timer as usize] != NEVER
    }

    /// The next deadline, if any is set.
    pub fn next_timeout(&self) -> Option<u64> {
        let [connect, send, read] = self.deadlines;
        Some(connect.min(send).min(read)).filter(|&next| next != NEVER)
    }

    /// A timer whose deadline is not after `now`.
    pub fn expired(&self, now: u64) -> Option<Timer> {
        Timer::ALL.into_iter().find(|&timer| {
            let deadline = self.deadlines[timer as usize];
            deadline != NEVER && deadline <= now
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_counts() {
        let mut table = TimerTable::default();
        assert_eq!(table.next_timeout(), None);
        table.set(Timer::Read, 60);
        table.set(Timer::Send, 40);
        assert_eq!(table.next_timeout(), Some(40));
        assert_eq!(table.expired(39), None);
        assert_eq!(table.expired(40), Some(Timer::Send));
        table.stop(Timer::Send);
        assert!(table.is_set(Timer::Read) && !table.is_set(Timer::Send));
        table.set(Timer::Read, 90);
        assert_eq!((table.next_timeout(), table.expired(89)), (Some(90), None));
    }
}
