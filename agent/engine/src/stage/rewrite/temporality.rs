//! `temporality`: a cumulative point becomes what it adds to the one before, a delta becomes a running
//! total.

use super::histogram::{UNFIT, put_others};
use super::running::Running;
use super::{Fate, OTHER_TYPE, Said, Scratch};
use crate::Nanos;
use crate::aggregate::encode::{put_explicit, put_exponential};
use crate::aggregate::number::Total;
use crate::input::{Increment, Observation};
use crate::view::{MetricType, MetricView, Number, PointView, Temporality};
use crate::wire::otlp::{exponential_point, histogram_point, number_point, point as common};
use crate::wire::write;

/// Reason of a series that says a level, not what was counted.
pub const NOT_MONOTONIC: &str = "not_monotonic";
/// Reason of a series of which nobody says what its points relate to.
pub const UNSPECIFIED: &str = "unspecified_temporality";

/// Reason of a delta below 0 of a sum that is said to be monotonic: its total would fall.
pub const NEGATIVE: &str = "negative";

/// Whether a metric's points are converted; else the reason why they pass, where one is counted.
pub fn treats(metric: &MetricView<'_>, to: Temporality) -> Result<(), Option<&'static str>> {
    let counts = matches!(
        metric.kind,
        MetricType::Sum | MetricType::Histogram | MetricType::ExponentialHistogram
    );
    match metric.temporality {
        _ if !counts => Err(Some(OTHER_TYPE)),
        now if now == to => Err(None),
        Temporality::Unspecified => Err(Some(UNSPECIFIED)),
        _ if metric.kind == MetricType::Sum && !metric.monotonic => Err(Some(NOT_MONOTONIC)),
        _ => Ok(()),
    }
}

/// What becomes of a cumulative point.
pub fn to_delta(point: &PointView<'_>, seen: &Observation<'_>) -> Fate {
    if point.no_recorded_value() {
        return Fate::Write(Said::default());
    }
    let said = Said {
        notes: seen.notes,
        reason: None,
    };
    match seen.increment {
        Increment::NotANumber => Fate::Drop(NAN),
        Increment::Unfit => Fate::Pass(UNFIT),
        Increment::None => Fate::Withhold(said),
        Increment::Number(_)
        | Increment::Summary(..)
        | Increment::Explicit(_)
        | Increment::Exponential(_) => Fate::Write(said),
    }
}

/// Reason of a point whose value cannot be added.
pub const NAN: &str = "nan";

/// Appends the body of what a cumulative point adds.
pub fn put_delta(point: &PointView<'_>, seen: &Observation<'_>, out: &mut Vec<u8>) {
    put_rest(point, out);
    if point.no_recorded_value() {
        return put_start(point.start, out);
    }
    // Since the point before; since its own start where there is none, or where that is later.
    let before = match seen.gap {
        0 => 0,
        gap => point.time.saturating_sub(gap),
    };
    let own = if point.start < point.time {
        point.start
    } else {
        0
    };
    put_start(before.max(own), out);
    match seen.increment {
        Increment::Number(total) => put_number(total, out),
        Increment::Explicit(h) => put_explicit(out, h, false),
        Increment::Exponential(h) => put_exponential(out, h, false),
        Increment::None | Increment::Summary(..) | Increment::NotANumber | Increment::Unfit => {}
    }
}

/// What becomes of a delta point. `floor`: where its total begins, if the point does not say.
pub fn to_cumulative(
    point: &PointView<'_>,
    running: &mut Running,
    floor: Nanos,
    scratch: &mut Scratch,
) -> Fate {
    if point.no_recorded_value() {
        running.end(point);
        return Fate::Write(Said::default());
    }
    if let Some(fault) = scratch.read_delta(point) {
        return fault;
    }
    running.take(point, floor, scratch)
}

/// Appends the body of a total that has just taken the point in.
pub fn put_cumulative(point: &PointView<'_>, running: &Running, out: &mut Vec<u8>) {
    put_rest(point, out);
    if point.no_recorded_value() {
        running.put_start(out);
    } else {
        running.put(out);
    }
}

/// Everything but start and value, as it came.
fn put_rest(point: &PointView<'_>, out: &mut Vec<u8>) {
    let value: &[u32] = match point.kind {
        MetricType::Histogram => &[
            common::START,
            histogram_point::COUNT,
            histogram_point::SUM,
            histogram_point::BUCKET_COUNTS,
            histogram_point::EXPLICIT_BOUNDS,
            histogram_point::MIN,
            histogram_point::MAX,
        ],
        MetricType::ExponentialHistogram => &[
            common::START,
            exponential_point::COUNT,
            exponential_point::SUM,
            exponential_point::SCALE,
            exponential_point::ZERO_COUNT,
            exponential_point::POSITIVE,
            exponential_point::NEGATIVE,
            exponential_point::MIN,
            exponential_point::MAX,
            exponential_point::ZERO_THRESHOLD,
        ],
        _ => &[common::START, number_point::AS_INT, number_point::AS_DOUBLE],
    };
    put_others(point.body, value, out);
}

pub(super) fn put_start(start: Nanos, out: &mut Vec<u8>) {
    if start != 0 {
        write::put_fixed64(out, common::START, start);
    }
}

/// An int that does not fit 64 bits is written as a double.
pub(super) fn put_number(total: Total, out: &mut Vec<u8>) {
    match total.fits() {
        Some(Number::Int(n)) => write::put_fixed64(out, number_point::AS_INT, n.cast_unsigned()),
        Some(Number::Double(n)) => write::put_double(out, number_point::AS_DOUBLE, n),
        None => write::put_double(out, number_point::AS_DOUBLE, total.as_f64()),
    }
}
