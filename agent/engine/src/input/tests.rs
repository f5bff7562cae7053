//! Rows "cumulative", "unknown start", "counter reset", "first sight" and histograms of the rules.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use opentelemetry_proto::tonic::metrics::v1 as pb;
use prost::Message;

const S: Nanos = 1_000_000_000;

/// Feeds (start, time, value) in seconds to a monotonic sum; the increments and notes.
fn sums(began: Nanos, points: &[(u64, u64, i64)]) -> Vec<(i128, Notes)> {
    let mut input = Input::new(true, false);
    let mut scratch = Scratch::default();
    points
        .iter()
        .map(|(s, t, v)| {
            let body = number(s * S, t * S, pb::number_data_point::Value::AsInt(*v));
            let point = PointView::of(MetricType::Sum, &body);
            let seen = input.observe(&point, began * S, t * S, &mut scratch);
            match seen.increment {
                Increment::Number(Total::Int(n)) => (n, seen.notes),
                Increment::None => (0, seen.notes),
                other => panic!("{other:?}"),
            }
        })
        .collect()
}

fn number(start: Nanos, time: Nanos, value: pb::number_data_point::Value) -> Vec<u8> {
    pb::NumberDataPoint {
        start_time_unix_nano: start,
        time_unix_nano: time,
        value: Some(value),
        ..Default::default()
    }
    .encode_to_vec()
}

#[test]
fn an_input_is_compact() {
    assert!(size_of::<Input>() <= 56, "{}", size_of::<Input>());
}

#[test]
fn a_first_point_adds_its_whole_value_only_if_it_started_under_our_eyes() {
    assert_eq!(sums(100, &[(100, 110, 7)]), [(7, Notes::NONE)]);
    assert_eq!(sums(101, &[(100, 110, 7)]), [(0, Notes::BASELINED)]);
    assert_eq!(sums(0, &[(0, 110, 7)]), [(0, Notes::BASELINED)]);
    assert_eq!(sums(0, &[(110, 110, 7)]), [(0, Notes::BASELINED)]);
}

#[test]
fn growth_is_added_once_whatever_the_order_of_points() {
    assert_eq!(
        sums(
            0,
            &[
                (1, 10, 5),
                (1, 20, 9),
                (1, 20, 9),
                (1, 15, 7),
                (1, 30, 9),
                (1, 40, 12)
            ]
        ),
        [
            (5, Notes::NONE),
            (4, Notes::NONE),
            (0, Notes::DUPLICATE),
            (0, Notes::OUT_OF_ORDER),
            (0, Notes::NONE),
            (3, Notes::NONE)
        ]
    );
}

#[test]
fn a_new_start_at_or_after_the_point_before_is_a_new_epoch() {
    // known start: whole value; start = time: unknown, nothing, then its growth
    assert_eq!(
        sums(0, &[(1, 10, 100), (10, 20, 30), (30, 30, 50), (30, 40, 53)]),
        [
            (100, Notes::NONE),
            (30, Notes::NONE),
            (0, Notes::BASELINED),
            (3, Notes::NONE)
        ]
    );
}

#[test]
fn a_value_that_falls_is_a_reset_and_an_anomaly_where_the_start_did_not_move() {
    assert_eq!(
        sums(0, &[(1, 10, 100), (1, 20, 30)]),
        [(100, Notes::NONE), (30, Notes::RESET_ANOMALY)]
    );
    // the start moved, but lies before the point before: not a new epoch by its start
    assert_eq!(
        sums(0, &[(1, 10, 100), (5, 20, 30)]),
        [(100, Notes::NONE), (30, Notes::RESET)]
    );
    // no start at all
    assert_eq!(
        sums(0, &[(0, 10, 100), (0, 20, 130), (0, 30, 20)]),
        [(0, Notes::BASELINED), (30, Notes::NONE), (20, Notes::RESET)]
    );
}

#[test]
fn a_start_that_drifts_without_a_fall_stays_in_its_epoch() {
    assert_eq!(
        sums(0, &[(1, 10, 100), (2, 20, 130), (2, 30, 131)]),
        [
            (100, Notes::NONE),
            (30, Notes::START_DRIFT),
            (1, Notes::NONE)
        ]
    );
}

#[test]
fn a_returning_input_is_a_baseline() {
    let mut input = Input::new(true, true);
    let mut scratch = Scratch::default();
    let body = number(50 * S, 60 * S, pb::number_data_point::Value::AsInt(7));
    let seen = input.observe(
        &PointView::of(MetricType::Sum, &body),
        0,
        60 * S,
        &mut scratch,
    );
    assert_eq!(
        (seen.increment, seen.notes),
        (Increment::None, Notes::BASELINED)
    );
    assert!(!input.expired(360 * S, 300 * S) && input.expired(361 * S, 300 * S));
}

#[test]
fn nan_and_infinity_leave_the_state_as_it_was() {
    use pb::number_data_point::Value::AsDouble;
    let mut input = Input::new(true, false);
    let mut scratch = Scratch::default();
    let mut see = |t: u64, v: f64| {
        let body = number(S, t * S, AsDouble(v));
        let point = PointView::of(MetricType::Sum, &body);
        match input.observe(&point, 0, t * S, &mut scratch).increment {
            Increment::Number(n) => Some(n),
            Increment::NotANumber => None,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(see(10, 1.5), Some(Total::Double(1.5)));
    assert_eq!(see(20, f64::NAN), None);
    assert_eq!(see(30, f64::INFINITY), None);
    assert_eq!(see(40, 4.0), Some(Total::Double(2.5)));
}

#[test]
fn an_int_that_becomes_a_double_goes_on_from_its_value() {
    use pb::number_data_point::Value::{AsDouble, AsInt};
    let mut input = Input::new(true, false);
    let mut scratch = Scratch::default();
    for (t, v, expected) in [
        (10, AsInt(3), Total::Int(3)),
        (20, AsDouble(4.5), Total::Double(1.5)),
    ] {
        let body = number(S, t * S, v);
        let seen = input.observe(
            &PointView::of(MetricType::Sum, &body),
            0,
            t * S,
            &mut scratch,
        );
        assert_eq!(seen.increment, Increment::Number(expected));
    }
}

#[test]
fn the_no_recorded_value_flag_ends_an_input_and_a_later_value_goes_on() {
    let mut input = Input::new(true, false);
    let mut scratch = Scratch::default();
    let value = |t: u64, v| number(S, t * S, pb::number_data_point::Value::AsInt(v));
    let flag = |t: u64| {
        pb::NumberDataPoint {
            start_time_unix_nano: S,
            time_unix_nano: t * S,
            flags: 1,
            ..Default::default()
        }
        .encode_to_vec()
    };
    let mut see = |body: &[u8]| {
        let seen = input.observe(&PointView::of(MetricType::Sum, body), 0, S, &mut scratch);
        let adds = match seen.increment {
            Increment::Number(n) => n.as_f64(),
            _ => 0.0,
        };
        (adds, seen.advanced, input.ended())
    };
    assert_eq!(see(&value(10, 5)), (5.0, true, false));
    assert_eq!(
        see(&flag(9)),
        (0.0, false, false),
        "an old flag ends nothing"
    );
    assert_eq!(see(&flag(20)), (0.0, true, true));
    assert_eq!(see(&value(30, 8)), (3.0, true, false));
}

#[test]
fn a_value_that_may_fall_adds_nothing_and_tells_the_gap() {
    let mut input = Input::new(false, false);
    let mut scratch = Scratch::default();
    for (t, v, gap) in [(10, 5, 0), (25, 3, 15), (25, 9, 15), (45, 4, 20)] {
        let body = number(S, t * S, pb::number_data_point::Value::AsInt(v));
        let seen = input.observe(
            &PointView::of(MetricType::Sum, &body),
            0,
            t * S,
            &mut scratch,
        );
        assert_eq!((seen.increment, seen.gap), (Increment::None, gap * S));
        assert_eq!(seen.advanced, v != 9);
        assert!(!seen.new_epoch);
    }
}

fn histogram(start: u64, time: u64, bounds: &[f64], counts: &[u64], sum: Option<f64>) -> Vec<u8> {
    pb::HistogramDataPoint {
        start_time_unix_nano: start * S,
        time_unix_nano: time * S,
        count: counts.iter().sum(),
        sum,
        bucket_counts: counts.to_vec(),
        explicit_bounds: bounds.to_vec(),
        ..Default::default()
    }
    .encode_to_vec()
}

#[test]
fn a_histogram_adds_its_growth_per_bucket_and_starts_anew_when_a_bucket_falls() {
    let mut input = Input::new(true, false);
    let mut scratch = Scratch::default();
    let mut see = |body: &[u8]| {
        let seen = input.observe(
            &PointView::of(MetricType::Histogram, body),
            0,
            S,
            &mut scratch,
        );
        match seen.increment {
            Increment::Explicit(h) => (
                h.count,
                h.sum,
                h.bounds.clone(),
                h.counts.clone(),
                seen.notes,
            ),
            other => panic!("{other:?}"),
        }
    };
    let b = [1.0, 2.0];
    assert_eq!(
        see(&histogram(1, 10, &b, &[1, 2, 3], Some(10.0))),
        (6, Some(10.0), b.to_vec(), vec![1, 2, 3], Notes::NONE)
    );
    assert_eq!(
        see(&histogram(1, 20, &b, &[1, 5, 4], Some(19.0))),
        (4, Some(9.0), b.to_vec(), vec![0, 3, 1], Notes::NONE)
    );
    // the bounds change to [2]: common bound 2: (..2] 7-6, (2..) 6-4; no reset
    assert_eq!(
        see(&histogram(1, 30, &[2.0], &[7, 6], Some(30.0))),
        (3, Some(11.0), vec![2.0], vec![1, 2], Notes::NONE)
    );
    // the count grows, a bucket falls
    assert_eq!(
        see(&histogram(1, 40, &[2.0], &[6, 90], Some(1.0))),
        (96, Some(1.0), vec![2.0], vec![6, 90], Notes::RESET_ANOMALY)
    );
    // without a sum there is no increment of the sum
    assert_eq!(
        see(&histogram(1, 50, &[2.0], &[7, 90], None)),
        (1, None, vec![2.0], vec![1, 0], Notes::NONE)
    );
}

#[test]
fn a_series_that_was_only_followed_is_no_baseline_when_it_is_looked_at() {
    let mut input = Input::new(true, false);
    let mut scratch = Scratch::default();
    let first = histogram(1, 10, &[1.0], &[10, 20], Some(5.0));
    input.follow(&PointView::of(MetricType::Histogram, &first), S);
    let stale = histogram(1, 5, &[1.0], &[1, 2], Some(1.0));
    input.follow(&PointView::of(MetricType::Histogram, &stale), S);
    let next = histogram(1, 20, &[1.0], &[11, 20], Some(5.5));
    let seen = input.observe(
        &PointView::of(MetricType::Histogram, &next),
        0,
        S,
        &mut scratch,
    );
    match seen.increment {
        Increment::Explicit(h) => {
            assert_eq!((h.count, h.sum, &h.counts[..]), (1, Some(0.5), &[1, 0][..]))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_exponential_histogram_adds_its_growth_at_the_lower_scale() {
    use pb::exponential_histogram_data_point::Buckets;
    let point = |t: u64, scale, offset, counts: &[u64]| {
        pb::ExponentialHistogramDataPoint {
            start_time_unix_nano: S,
            time_unix_nano: t * S,
            count: counts.iter().sum(),
            sum: Some(1.0),
            scale,
            positive: Some(Buckets {
                offset,
                bucket_counts: counts.to_vec(),
            }),
            ..Default::default()
        }
        .encode_to_vec()
    };
    let mut input = Input::new(true, false);
    let mut scratch = Scratch::default();
    // scale 1: buckets 2: 5, 3: 6; then scale 0: bucket 1: 12 (11 before), 2: 9
    let earlier = point(10, 1, 2, &[5, 6]);
    input.observe(
        &PointView::of(MetricType::ExponentialHistogram, &earlier),
        0,
        S,
        &mut scratch,
    );
    let later = point(20, 0, 1, &[12, 9]);
    let kind = MetricType::ExponentialHistogram;
    let seen = input.observe(&PointView::of(kind, &later), 0, S, &mut scratch);
    match seen.increment {
        Increment::Exponential(h) => {
            assert_eq!((h.count, h.scale, h.positive.offset), (10, 0, 1));
            assert_eq!(h.positive.counts, [1, 9]);
        }
        other => panic!("{other:?}"),
    }
}
