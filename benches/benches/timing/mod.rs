//! How long criterion measures: all benches together take less than ten minutes.

use std::time::Duration;

use criterion::Criterion;

/// So many milliseconds to warm up, and so many seconds of samples.
pub(crate) fn short(warm_up: u64, samples: u64) -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(warm_up))
        .measurement_time(Duration::from_secs(samples))
}
