//! How fast to send.

use std::time::{Duration, Instant};

/// A limit on the speed of a response, as arithmetic on a time that is passed in.
///
/// nginx: `limit_rate`, `limit_rate_after`. The first `after` bytes are free. From the start on,
/// every second allows `rate` bytes more, and the first of these seconds is there at once, so that
/// small responses do not wait.
///
/// ```text
///   bytes
///     |                            .-'   rate * (elapsed + 1 s) + after
///     |                        .-'
///     |                    .-'  _______  sent: below the line go on, at the line wait
///     |  after + rate  .-' ____|
///     |______________________________ time
/// ```
///
/// ```
/// use std::time::{Duration, Instant};
/// use ngx_buf::{Allowance, Limit};
///
/// let start = Instant::now();
/// let limit = Limit::new(1000, 500, start);
/// assert_eq!(limit.allowance(start, 0), Allowance::Bytes(1500));
/// let later = start + Duration::from_secs(2);
/// assert_eq!(limit.allowance(later, 1500), Allowance::Bytes(2000));
/// // Waits until a piece worth sending may go, here a quarter of a second's bytes.
/// assert_eq!(
///     limit.allowance(later, 3500),
///     Allowance::Wait(later + Duration::from_millis(250)),
/// );
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    rate: u64,
    after: u64,
    start: Instant,
}

/// What a [`Limit`] says at a given time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    /// So many bytes may go now, at least one.
    Bytes(u64),
    /// Nothing may go before this time.
    Wait(Instant),
}

impl Limit {
    /// `rate` in bytes per second; 0 is no limit at all. `after` bytes are free. Time counts
    /// from `start`.
    #[must_use]
    pub fn new(rate: u64, after: u64, start: Instant) -> Self {
        Self { rate, after, start }
    }

    /// What may be sent at `now`, when `sent` bytes have been sent since the start.
    #[must_use]
    pub fn allowance(&self, now: Instant, sent: u64) -> Allowance {
        if self.rate == 0 {
            return Allowance::Bytes(u64::MAX);
        }
        let elapsed = now.saturating_duration_since(self.start);
        let earned = u128::from(self.rate) * (elapsed + FIRST).as_nanos() / NANOS;
        let allowed = earned + u128::from(self.after);
        match allowed.checked_sub(u128::from(sent)) {
            Some(bytes) if bytes > 0 => Allowance::Bytes(u64::try_from(bytes).unwrap_or(u64::MAX)),
            _ => Allowance::Wait(self.start + self.until(sent)),
        }
    }

    /// How long after the start a worthwhile piece may follow `sent` bytes.
    fn until(&self, sent: u64) -> Duration {
        let piece = (self.rate / 4).clamp(1, MAX_PIECE);
        let due = u128::from(sent) + u128::from(piece) - u128::from(self.after.min(sent));
        let nanos = (due * NANOS).div_ceil(u128::from(self.rate));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX).min(FAR))
            .saturating_sub(FIRST)
    }
}

const FIRST: Duration = Duration::from_secs(1);
const NANOS: u128 = 1_000_000_000;
/// With a high rate there is no need to wait for a quarter of a second's bytes.
const MAX_PIECE: u64 = 64 * 1024;
/// A hundred years: every clock can add it.
const FAR: u64 = 100 * 365 * 86_400 * 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(limit: Limit, now: Instant, sent: u64) -> u64 {
        match limit.allowance(now, sent) {
            Allowance::Bytes(n) => n,
            Allowance::Wait(_) => 0,
        }
    }

    #[test]
    fn no_rate_is_no_limit() {
        let start = Instant::now();
        assert_eq!(
            bytes(Limit::new(0, 0, start), start, u64::MAX - 1),
            u64::MAX
        );
    }

    #[test]
    fn grows_with_time() {
        let start = Instant::now();
        let limit = Limit::new(100, 0, start);
        assert_eq!(bytes(limit, start, 0), 100);
        assert_eq!(bytes(limit, start, 99), 1);
        assert_eq!(bytes(limit, start, 100), 0);
        assert_eq!(bytes(limit, start + Duration::from_millis(500), 100), 50);
        assert_eq!(bytes(limit, start + Duration::from_secs(9), 0), 1000);
        // A time before the start is the start.
        assert_eq!(
            bytes(limit, start.checked_sub(Duration::from_secs(1)).unwrap(), 0),
            100
        );
    }

    #[test]
    fn the_first_bytes_are_free() {
        let start = Instant::now();
        let limit = Limit::new(100, 1000, start);
        assert_eq!(bytes(limit, start, 0), 1100);
        assert_eq!(bytes(limit, start, 1100), 0);
        assert_eq!(
            limit.allowance(start, 1100),
            Allowance::Wait(start + Duration::from_millis(250))
        );
    }

    #[test]
    fn a_huge_after_or_sent_does_not_overflow() {
        let start = Instant::now();
        assert_eq!(
            bytes(Limit::new(u64::MAX, u64::MAX, start), start, 0),
            u64::MAX
        );
        let wait = Limit::new(1, 0, start).allowance(start, u64::MAX);
        assert!(matches!(wait, Allowance::Wait(at) if at > start));
    }

    proptest! {
        #![proptest_config(crate::cases(256))]

        #[test]
        fn a_wait_ends_with_a_piece(
            rate in 1..10_000_000_000u64,
            after in 0..1_000_000u64,
            ms in 0..100_000u64,
            over in 0..1_000_000u64,
        ) {
            let start = Instant::now();
            let limit = Limit::new(rate, after, start);
            let now = start + Duration::from_millis(ms);
            let sent = bytes(limit, now, 0) + over;
            let Allowance::Wait(at) = limit.allowance(now, sent) else {
                return Err(TestCaseError::fail("nothing is left"));
            };
            prop_assert!(at > now);
            prop_assert!(bytes(limit, at, sent) >= (rate / 4).clamp(1, MAX_PIECE));
            let just_before = at.checked_sub(Duration::from_micros(2)).unwrap();
            prop_assert!(bytes(limit, just_before, sent) <= (rate / 4).clamp(1, MAX_PIECE));
        }
    }
}
