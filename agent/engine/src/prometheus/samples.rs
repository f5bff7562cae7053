//! How many Prometheus samples a point is: what backends that bill by samples count.

use crate::view::{MetricType, PointView};
use crate::wire::fields;
use crate::wire::otlp::{exponential_point, histogram_point, summary_point};

/// Prometheus' coarsest scale of a native histogram. What is finer than its finest can be made
/// coarser; the other way round it cannot.
pub const COARSEST: i64 = -4;

/// Samples of a point, as [`samples`] counts them, by its message alone. A number counts as 1.
pub fn samples_of(kind: MetricType, body: &[u8]) -> u64 {
    match kind {
        MetricType::Gauge | MetricType::Sum => 1,
        MetricType::ExponentialHistogram => u64::from(scale(body) >= COARSEST),
        MetricType::Histogram => histogram(body),
        MetricType::Summary => {
            let quantiles = fields(body)
                .filter(|field| field.number == summary_point::QUANTILE_VALUES)
                .count();
            quantiles as u64 + 2
        }
    }
}

/// Samples of a point: 1 for a number and for a native histogram; for a histogram its buckets,
/// `+Inf`, `_count` and, where it has one, `_sum`; for a summary its quantiles, `_sum` and `_count`.
/// A delta is as many as its total would be; 0 for what has no form in Prometheus however it is
/// counted (no value, too coarse).
pub fn samples(point: &PointView<'_>) -> u64 {
    match point.kind {
        MetricType::Gauge | MetricType::Sum => {
            u64::from(point.number.is_some() || point.no_recorded_value())
        }
        kind => samples_of(kind, point.body),
    }
}

fn histogram(body: &[u8]) -> u64 {
    let (mut bounds, mut sum) = (0, 0);
    for field in fields(body) {
        match field.number {
            histogram_point::EXPLICIT_BOUNDS => {
                // Packed doubles, or one at a time.
                bounds += field.value.bytes().map_or(1, |packed| packed.len() / 8);
            }
            histogram_point::SUM => sum = 1,
            _ => {}
        }
    }
    bounds as u64 + 2 + sum
}

fn scale(body: &[u8]) -> i64 {
    let raw = fields(body)
        .filter(|field| field.number == exponential_point::SCALE)
        .last()
        .map_or(0, |field| field.value.bits());
    (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed()
}
