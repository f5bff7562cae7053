//! Cumulative sums of both kinds.

use super::super::*;
use super::bench::*;

const BY_ROUTE: &str = "{ match: { metric: m }, without: [pod], interval: 60s }";

#[test]
fn increments_of_several_inputs_go_into_one_output_with_its_own_start() {
    let mut b = Bench::new(BY_ROUTE);
    let (x, y) = (counter("route=/a,pod=1"), counter("route=/a,pod=2"));
    b.tick(200);
    // 200 - 5 s: the windows up to 180 are closed; both first points are baselines of running counters
    b.settings.began = 190 * S;
    b.number(&x, (100, 200), 1000, 200);
    b.number(&y, (100, 201), 500, 201);
    b.number(&x, (100, 230), 1010, 230);
    b.number(&y, (100, 231), 503, 231);
    assert_eq!(b.tick(245), ["m{route=/a} 180..240 = 13"]);
    b.number(&x, (100, 290), 1011, 290);
    assert_eq!(b.tick(305), ["m{route=/a} 180..300 = 14"]);
    assert_eq!(b.count("baselined"), 2);
}

#[test]
fn a_process_that_starts_under_our_eyes_counts_from_zero() {
    let mut b = Bench::new(BY_ROUTE);
    b.number(&counter("pod=1"), (10, 20), 7, 20);
    b.number(&counter("pod=2"), (0, 20), 7, 20);
    assert_eq!(b.tick(65), ["m{} 0..60 = 7"]);
}

#[test]
fn a_reset_never_makes_the_output_fall() {
    let mut b = Bench::new(BY_ROUTE);
    let x = counter("pod=1");
    b.number(&x, (1, 10), 100, 10);
    assert_eq!(b.tick(65), ["m{} 0..60 = 100"]);
    // a new process: 30 since its start at 70
    b.number(&x, (70, 90), 30, 90);
    assert_eq!(b.tick(125), ["m{} 0..120 = 130"]);
    // fell with an unchanged start
    b.number(&x, (70, 150), 5, 150);
    assert_eq!(b.tick(185), ["m{} 0..180 = 135"]);
    assert_eq!((b.count("reset"), b.count("reset_anomaly")), (0, 1));
}

#[test]
fn duplicates_and_older_points_add_nothing_and_are_counted() {
    let mut b = Bench::new(BY_ROUTE);
    let x = counter("pod=1");
    b.number(&x, (1, 10), 5, 10);
    b.number(&x, (1, 20), 8, 20);
    b.number(&x, (1, 20), 8, 21);
    b.number(&x, (1, 10), 5, 22);
    assert_eq!(b.stage.held(), 4);
    assert_eq!(b.tick(65), ["m{} 0..60 = 8"]);
    assert_eq!((b.count("duplicate"), b.count("out_of_order")), (1, 1));
    assert_eq!(b.stage.held(), 0);
}

#[test]
fn an_output_writes_only_in_windows_in_which_an_input_spoke() {
    let mut b = Bench::new(BY_ROUTE);
    let x = counter("pod=1");
    b.number(&x, (1, 10), 5, 10);
    assert_eq!(b.tick(65), ["m{} 0..60 = 5"]);
    assert!(b.tick(185).is_empty());
    b.number(&x, (1, 200), 5, 200);
    assert_eq!(b.tick(245), ["m{} 0..240 = 5"]);
}

#[test]
fn the_first_double_turns_the_output_to_double() {
    let mut b = Bench::new(BY_ROUTE);
    let (x, y) = (counter("pod=1"), counter("pod=2"));
    b.number(&x, (1, 10), 5, 10);
    assert_eq!(b.tick(65), ["m{} 0..60 = 5"]);
    b.number(&y, (61, 70), 0.5, 70);
    assert_eq!(b.tick(125), ["m{} 0..120 = 5.5"]);
    b.number(&x, (1, 130), 6, 130);
    assert_eq!(b.tick(185), ["m{} 0..180 = 6.5"]);
}

#[test]
fn a_baseline_in_doubles_makes_a_double_of_zero() {
    let mut b = Bench::new(BY_ROUTE);
    b.number(&counter("pod=1"), (0, 10), 5.5, 10);
    assert_eq!(b.tick(65), ["m{} 0..60 = 0.0"]);
}

#[test]
fn a_total_that_does_not_fit_64_bits_begins_a_new_epoch() {
    let mut b = Bench::new(BY_ROUTE);
    let x = counter("pod=1");
    let y = counter("pod=2");
    b.number(&x, (1, 10), i64::MAX - 1, 10);
    assert_eq!(b.tick(65), ["m{} 0..60 = 9223372036854775806"]);
    b.number(&y, (61, 70), 5, 70);
    // the new epoch begins where the last point was written, with the increment
    assert_eq!(b.tick(125), ["m{} 60..120 = 5"]);
    assert_eq!(b.count("saturated"), 1);
}

#[test]
fn nan_is_dropped_and_the_next_point_goes_on() {
    let mut b = Bench::new(BY_ROUTE);
    let x = counter("pod=1");
    b.number(&x, (1, 10), 1.5, 10);
    for bad in [f64::NAN, f64::INFINITY] {
        let body = number(&x, 1, 20, bad);
        assert_eq!(b.add(&x, &body, 20), Added::Dropped("nan"));
    }
    b.number(&x, (1, 30), 4.0, 30);
    assert_eq!(b.tick(65), ["m{} 0..60 = 4.0"]);
}

#[test]
fn a_sum_that_may_fall_is_the_sum_of_the_latest_values_of_live_inputs() {
    let mut b = Bench::new(BY_ROUTE);
    let (x, y, z) = (level("pod=1"), level("pod=2"), level("pod=3"));
    b.number(&x, (1, 10), 10, 10);
    b.number(&x, (1, 40), 12, 40);
    b.number(&y, (1, 20), 100, 20);
    b.number(&y, (1, 50), 90, 50);
    // one point only: live in its own window only
    b.number(&z, (1, 30), 1000, 30);
    assert_eq!(b.tick(65), ["m{} 0..60 = 1102"]);
    // y is silent: 120 - 50 = 70 > 2 * 30: not live any more
    b.number(&x, (1, 100), 15, 100);
    assert_eq!(b.tick(125), ["m{} 0..120 = 15"]);
    // x spoke at 40 and 100: gap 60; at 180 and 240 it would be live, if another speaks: 180-100 <= 120
    b.number(&y, (1, 170), 7, 170);
    assert_eq!(b.tick(185), ["m{} 0..180 = 22"]);
    b.number(&y, (1, 230), 8, 230);
    // 240 - 100 = 140 > 120
    assert_eq!(b.tick(245), ["m{} 0..240 = 8"]);
}

#[test]
fn an_older_value_of_a_sum_that_may_fall_changes_nothing() {
    let mut b = Bench::new(BY_ROUTE);
    let x = level("pod=1");
    b.number(&x, (1, 40), 12, 40);
    b.number(&x, (1, 30), 99, 41);
    b.number(&x, (1, 40), 77, 42);
    assert_eq!(b.tick(65), ["m{} 0..60 = 12"]);
    assert_eq!((b.count("duplicate"), b.count("out_of_order")), (1, 1));
}

#[test]
fn when_all_inputs_have_ended_the_output_says_so() {
    let mut b = Bench::new(BY_ROUTE);
    let (x, y) = (counter("pod=1"), counter("pod=2"));
    b.number(&x, (1, 10), 5, 10);
    b.number(&y, (1, 10), 6, 10);
    assert_eq!(b.add(&x, &ended(&x, 1, 20), 20), Added::Absorbed);
    // one has ended: its contribution stays
    assert_eq!(b.tick(65), ["m{} 0..60 = 11"]);
    assert_eq!(b.add(&y, &ended(&y, 1, 70), 70), Added::Absorbed);
    assert_eq!(b.tick(125), ["m{} 0..120 = ended"]);
    // it comes back and goes on
    b.number(&y, (1, 130), 8, 130);
    assert_eq!(b.tick(185), ["m{} 0..180 = 13"]);
}
