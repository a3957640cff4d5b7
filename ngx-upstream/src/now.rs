//! The time, as exact as timeouts and logs need it.

use tokio::time::Instant;

/// The present, up to some milliseconds ago: reading the exact clock costs more than all else that
/// an exchange does with it.
#[cfg(not(test))]
pub(crate) fn now() -> Instant {
    use std::cell::Cell;
    use std::time::Duration;

    use ngx_core::time::now_ms;

    thread_local! {
        /// One moment on both clocks.
        static BASE: Cell<Option<(Instant, u64)>> = const { Cell::new(None) };
    }
    let ms = now_ms();
    let (base, base_ms) = BASE.get().unwrap_or_else(|| {
        let base = (Instant::now(), ms);
        BASE.set(Some(base));
        base
    });
    base + Duration::from_millis(ms.saturating_sub(base_ms))
}

/// Tests stop tokio's clock, which no other knows of.
#[cfg(test)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
