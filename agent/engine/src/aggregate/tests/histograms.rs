//! Histograms of both kinds and temporalities.

use super::super::*;
use super::bench::*;
use crate::view::Temporality::{Cumulative, Delta};
use opentelemetry_proto::tonic::metrics::v1 as pb;
use prost::Message;

const MERGE: &str = "{ match: { metric: m }, without: [pod], interval: 60s }";

struct H<'a> {
    start: u64,
    time: u64,
    bounds: &'a [f64],
    counts: &'a [u64],
    sum: Option<f64>,
    range: Option<(f64, f64)>,
}

fn body(s: &Series, h: &H<'_>) -> Vec<u8> {
    pb::HistogramDataPoint {
        attributes: s.attributes.clone(),
        start_time_unix_nano: h.start * S,
        time_unix_nano: h.time * S,
        count: h.counts.iter().sum(),
        sum: h.sum,
        bucket_counts: h.counts.to_vec(),
        explicit_bounds: h.bounds.to_vec(),
        min: h.range.map(|r| r.0),
        max: h.range.map(|r| r.1),
        ..Default::default()
    }
    .encode_to_vec()
}

fn h<'a>(start: u64, time: u64, bounds: &'a [f64], counts: &'a [u64], sum: f64) -> H<'a> {
    H {
        start,
        time,
        bounds,
        counts,
        sum: Some(sum),
        range: None,
    }
}

#[test]
fn cumulative_histograms_add_their_increments_per_bucket() {
    let mut b = Bench::new(MERGE);
    let (x, y) = (
        histogram(Cumulative, "pod=1"),
        histogram(Cumulative, "pod=2"),
    );
    let bounds = [1.0, 2.0];
    b.add(&x, &body(&x, &h(1, 10, &bounds, &[1, 2, 3], 10.0)), 10);
    b.add(&y, &body(&y, &h(0, 10, &bounds, &[9, 9, 9], 99.0)), 10);
    b.add(&y, &body(&y, &h(0, 20, &bounds, &[9, 10, 9], 100.5)), 20);
    // x whole (started under our eyes), y from its baseline: [1,2,3] + [0,1,0]
    assert_eq!(
        b.tick(65),
        ["m{} 0..60 = 7 sum Some(11.5) [1, 3, 3] at [1.0, 2.0]"]
    );
    b.add(&x, &body(&x, &h(1, 70, &bounds, &[2, 2, 3], 11.0)), 70);
    assert_eq!(
        b.tick(125),
        ["m{} 0..120 = 8 sum Some(12.5) [2, 3, 3] at [1.0, 2.0]"]
    );
}

#[test]
fn a_baseline_writes_empty_buckets() {
    let mut b = Bench::new(MERGE);
    let x = histogram(Cumulative, "pod=1");
    b.add(&x, &body(&x, &h(0, 10, &[1.0], &[4, 5], 9.0)), 10);
    assert_eq!(b.tick(65), ["m{} 0..60 = 0 sum Some(0.0) [0, 0] at [1.0]"]);
}

#[test]
fn other_bounds_reduce_the_output_to_the_common_ones_in_a_new_epoch() {
    let mut b = Bench::new(MERGE);
    let (x, y) = (
        histogram(Cumulative, "pod=1"),
        histogram(Cumulative, "pod=2"),
    );
    b.add(
        &x,
        &body(&x, &h(1, 10, &[1.0, 2.0, 4.0], &[1, 1, 1, 1], 8.0)),
        10,
    );
    assert_eq!(
        b.tick(65),
        ["m{} 0..60 = 4 sum Some(8.0) [1, 1, 1, 1] at [1.0, 2.0, 4.0]"]
    );
    b.add(
        &x,
        &body(&x, &h(1, 70, &[1.0, 2.0, 4.0], &[1, 2, 1, 1], 9.5)),
        70,
    );
    b.add(&y, &body(&y, &h(61, 80, &[2.0, 3.0], &[5, 6, 7], 50.0)), 80);
    // common: 2. x adds [0,1 | 0,0] -> [1, 0]; y [5 | 6, 7] -> [5, 13]; from 60 on
    assert_eq!(
        b.tick(125),
        ["m{} 60..120 = 19 sum Some(51.5) [6, 13] at [2.0]"]
    );
    assert_eq!(b.count("bounds_changed"), 1);
    // it stays so
    b.add(
        &x,
        &body(&x, &h(1, 130, &[1.0, 2.0, 4.0], &[2, 2, 1, 1], 10.0)),
        130,
    );
    assert_eq!(
        b.tick(185),
        ["m{} 60..180 = 20 sum Some(52.0) [7, 13] at [2.0]"]
    );
}

#[test]
fn without_a_common_bound_the_input_passes() {
    let mut b = Bench::new(MERGE);
    let (x, y) = (
        histogram(Cumulative, "pod=1"),
        histogram(Cumulative, "pod=2"),
    );
    b.add(&x, &body(&x, &h(1, 10, &[1.0], &[1, 1], 2.0)), 10);
    let passed = b.add(&y, &body(&y, &h(1, 10, &[5.0], &[1, 1], 2.0)), 10);
    assert_eq!(passed, Added::Passes(NOT_AGGREGATED));
    assert_eq!(b.count("not_aggregated"), 1);
    assert_eq!(b.tick(65), ["m{} 0..60 = 2 sum Some(2.0) [1, 1] at [1.0]"]);
}

#[test]
fn the_sum_goes_when_an_input_lacks_it() {
    let mut b = Bench::new(MERGE);
    let (x, y) = (
        histogram(Cumulative, "pod=1"),
        histogram(Cumulative, "pod=2"),
    );
    b.add(&x, &body(&x, &h(1, 10, &[1.0], &[1, 1], 2.0)), 10);
    let without = H {
        sum: None,
        ..h(1, 10, &[1.0], &[1, 0], 0.0)
    };
    b.add(&y, &body(&y, &without), 10);
    assert_eq!(b.tick(65), ["m{} 0..60 = 3 sum None [2, 1] at [1.0]"]);
    b.add(&x, &body(&x, &h(1, 70, &[1.0], &[2, 1], 2.5)), 70);
    assert_eq!(b.tick(125), ["m{} 0..120 = 4 sum None [3, 1] at [1.0]"]);
}

#[test]
fn delta_histograms_add_up_by_window_with_their_extremes() {
    let mut b = Bench::new(MERGE);
    let (x, y) = (histogram(Delta, "pod=1"), histogram(Delta, "pod=2"));
    let with = |range, h: H<'static>| H {
        range: Some(range),
        ..h
    };
    b.add(
        &x,
        &body(&x, &with((0.5, 3.0), h(0, 10, &[1.0], &[1, 1], 3.5))),
        10,
    );
    b.add(
        &y,
        &body(&y, &with((0.25, 2.0), h(0, 20, &[1.0], &[2, 1], 3.0))),
        20,
    );
    assert_eq!(
        b.tick(65),
        ["m{} 0..60 = 5 sum Some(6.5) [3, 2] at [1.0] Some(0.25)..Some(3.0)"]
    );
    // one without extremes: none are written
    b.add(
        &x,
        &body(&x, &with((0.5, 3.0), h(60, 70, &[1.0], &[1, 1], 3.5))),
        70,
    );
    b.add(&y, &body(&y, &h(60, 80, &[1.0], &[2, 1], 3.0)), 80);
    assert_eq!(
        b.tick(125),
        ["m{} 60..120 = 5 sum Some(6.5) [3, 2] at [1.0]"]
    );
}

#[test]
fn a_histogram_whose_sum_is_nan_is_dropped() {
    let mut b = Bench::new(MERGE);
    for x in [histogram(Cumulative, "pod=1"), histogram(Delta, "pod=2")] {
        let point = body(&x, &h(1, 10, &[1.0], &[1, 1], f64::NAN));
        assert_eq!(b.add(&x, &point, 10), Added::Dropped("nan"));
    }
}

#[test]
fn buckets_that_do_not_fit_their_bounds_pass() {
    let mut b = Bench::new(MERGE);
    let x = histogram(Delta, "pod=1");
    let point = body(&x, &h(1, 10, &[1.0, 2.0], &[1, 1], 2.0));
    assert_eq!(b.add(&x, &point, 10), Added::Passes(NOT_AGGREGATED));
}

fn buckets(
    s: &Series,
    time: u64,
    scale: i32,
    zero: (f64, u64),
    offset: i32,
    counts: &[u64],
) -> Vec<u8> {
    pb::ExponentialHistogramDataPoint {
        attributes: s.attributes.clone(),
        start_time_unix_nano: S,
        time_unix_nano: time * S,
        count: zero.1 + counts.iter().sum::<u64>(),
        sum: Some(2.0),
        scale,
        zero_count: zero.1,
        zero_threshold: zero.0,
        positive: Some(pb::exponential_histogram_data_point::Buckets {
            offset,
            bucket_counts: counts.to_vec(),
        }),
        ..Default::default()
    }
    .encode_to_vec()
}

#[test]
fn exponential_histograms_meet_at_the_lowest_scale_and_the_widest_zero() {
    let mut b = Bench::new(MERGE);
    let (x, y) = (
        exponential(Cumulative, "pod=1"),
        exponential(Cumulative, "pod=2"),
    );
    // scale 1, buckets 2,3,4 = scale 0, buckets 1,1,2
    b.add(&x, &buckets(&x, 10, 1, (0.0, 0), 2, &[5, 7, 9]), 10);
    b.add(&y, &buckets(&y, 10, 0, (0.0, 1), 2, &[100]), 10);
    assert_eq!(
        b.tick(65),
        ["m{} 0..60 = 122 sum Some(4.0) scale 0 zero 1<=0 +1:[12, 109] -"]
    );
    // y widens its zero to 3, which cuts bucket 1 = (2,4]: raised to 4, its 12 move
    b.add(&y, &buckets(&y, 70, 0, (3.0, 1), 2, &[101]), 70);
    assert_eq!(
        b.tick(125),
        ["m{} 0..120 = 123 sum Some(4.0) scale 0 zero 13<=4 +2:[110] -"]
    );
}

#[test]
fn delta_exponential_histograms_stand_for_their_window() {
    let mut b = Bench::new(MERGE);
    let x = exponential(Delta, "pod=1");
    b.add(&x, &buckets(&x, 10, 0, (0.0, 0), 1, &[5]), 10);
    b.add(&x, &buckets(&x, 20, 0, (0.0, 0), 1, &[6]), 20);
    b.add(&x, &buckets(&x, 70, 0, (0.0, 0), 1, &[7]), 70);
    assert_eq!(
        b.tick(125),
        [
            "m{} 0..60 = 11 sum Some(4.0) scale 0 zero 0<=0 +1:[11] -",
            "m{} 60..120 = 7 sum Some(2.0) scale 0 zero 0<=0 +1:[7] -"
        ]
    );
}
