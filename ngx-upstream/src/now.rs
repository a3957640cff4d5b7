//! The time, as exact as timeouts and logs need it.

use std::time::Duration;

/// Milliseconds on a clock that never goes back, up to some milliseconds ago: reading the exact
/// clock costs more than all else that an exchange does with it.
#[cfg(not(test))]
pub(crate) fn now_ms() -> u64 {
    ngx_core::time::now_ms()
}

/// Tests stop tokio's clock, which no other knows of.
#[cfg(test)]
pub(crate) fn now_ms() -> u64 {
    use tokio::time::Instant;

    thread_local! {
        static BASE: Instant = Instant::now();
    }
    millis(BASE.with(Instant::elapsed)) + 1_000_000
}

/// The time since `begun`, which [`now_ms`] has said.
pub(crate) fn since(begun: u64) -> Duration {
    Duration::from_millis(now_ms().saturating_sub(begun))
}

/// Whole milliseconds, at most a few years: an `Instant` must be able to hold them.
pub(crate) fn millis(duration: Duration) -> u64 {
    const LONG: u64 = 1 << 38;
    let seconds = duration.as_secs().saturating_mul(1000);
    seconds
        .saturating_add(u64::from(duration.subsec_millis()))
        .min(LONG)
}
