//! How long criterion measures: all benches together take less than ten minutes.

use std::time::Duration;

use criterion::Criterion;

/// So many milliseconds to warm up, and so many seconds of samples.
///
/// The interval of confidence is drawn from a tenth of the resamples that criterion takes by
/// default, which with as many benches as there are took a third of the time, and says no more.
pub(crate) fn short(warm_up: u64, samples: u64) -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(warm_up))
        .measurement_time(Duration::from_secs(samples))
        .nresamples(10_000)
}
