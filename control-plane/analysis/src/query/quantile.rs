//! `histogram_quantile` over classic buckets, as Prometheus interpolates.

use super::vector::Vector;
use phoenix_engine::query::partial::Labels;
use phoenix_engine::query::select::LE;
use std::collections::BTreeMap;

/// The quantile of each group of buckets. A group without `+Inf` has none.
pub fn quantile(at: f64, of: &Vector) -> Vector {
    let mut groups: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    for (labels, value) in of {
        let mut labels = labels.clone();
        let bound = labels.remove(LE).and_then(|le| match le.as_str() {
            "+Inf" => Some(f64::INFINITY),
            text => text.parse().ok(),
        });
        if let Some(bound) = bound {
            groups.entry(labels).or_default().push((bound, *value));
        }
    }
    groups
        .into_iter()
        .map(|(labels, buckets)| (labels, of_buckets(at, buckets)))
        .filter(|(_, value)| !value.is_nan() || !at.is_nan())
        .collect()
}

fn of_buckets(at: f64, mut buckets: Vec<(f64, f64)>) -> f64 {
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    if buckets
        .last()
        .is_none_or(|(bound, _)| *bound != f64::INFINITY)
        || buckets.len() < 2
    {
        return f64::NAN;
    }
    // Counts that fall are floating point's doing.
    let mut most = 0.0_f64;
    for (_, count) in &mut buckets {
        most = most.max(*count);
        *count = most;
    }
    match at {
        _ if at.is_nan() || most == 0.0 => return f64::NAN,
        _ if at < 0.0 => return f64::NEG_INFINITY,
        _ if at > 1.0 => return f64::INFINITY,
        _ => {}
    }
    let rank = at * most;
    let last = buckets.len() - 1;
    let found = buckets
        .iter()
        .take(last)
        .position(|(_, count)| *count >= rank);
    let bound = |n: usize| buckets.get(n).map_or(f64::NAN, |b| b.0);
    let Some(number) = found else {
        // Beyond the last bound nothing is known but that.
        return bound(last - 1);
    };
    let end = bound(number);
    if number == 0 && end <= 0.0 {
        return end;
    }
    let (start, below) = match number.checked_sub(1).and_then(|n| buckets.get(n)) {
        Some(before) => *before,
        None => (0.0, 0.0),
    };
    let here = buckets.get(number).map_or(0.0, |b| b.1) - below;
    start + (end - start) * ((rank - below) / here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated_as_prometheus_does() {
        let buckets = vec![(0.1, 10.0), (0.5, 30.0), (1.0, 40.0), (f64::INFINITY, 40.0)];
        let at = |q| of_buckets(q, buckets.clone());
        assert_eq!(at(0.25), 0.1);
        assert!((at(0.5) - 0.3).abs() < 1e-12);
        assert!((at(0.875) - 0.75).abs() < 1e-12);
        assert_eq!(at(1.0), 1.0);
        assert_eq!(at(1.5), f64::INFINITY);
        let beyond = vec![(0.1, 1.0), (0.5, 1.0), (f64::INFINITY, 10.0)];
        assert_eq!(of_buckets(0.9, beyond), 0.5);
        let open = vec![(0.1, 1.0), (0.5, 2.0)];
        assert!(of_buckets(0.5, open).is_nan());
        let none = vec![(0.1, 0.0), (f64::INFINITY, 0.0)];
        assert!(of_buckets(0.5, none).is_nan());
    }
}
