//! Medians and spreads of a few samples.

/// The middle one, or the mean of the two in the middle; nothing without samples.
pub(crate) fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(middle.checked_sub(1)?)?;
    Some(f64::midpoint(lower, upper))
}

/// Half the distance between the least and the greatest, as a share of the median: what the
/// table's ± says. Zero for one sample.
pub(crate) fn spread(samples: &[f64]) -> f64 {
    let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match median(samples) {
        Some(median) if median != 0.0 => (greatest - least) / 2.0 / median.abs(),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_counts() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn one_outlier_moves_the_spread_and_not_the_median() {
        let samples = [100.0, 101.0, 99.0, 100.0, 60.0];
        assert_eq!(median(&samples), Some(100.0));
        assert!((spread(&samples) - 0.205).abs() < 1e-9);
    }

    #[test]
    fn one_sample_has_no_spread() {
        assert_eq!(spread(&[5.0]), 0.0);
        assert_eq!(spread(&[]), 0.0);
        assert_eq!(spread(&[0.0, 0.0]), 0.0);
    }
}
