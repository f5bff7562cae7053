//! Swaps, start times, expiry.

use super::bench::*;

const FIVE: &str = "{ match: { metric: m }, without: [pod], interval: 60s }";
const BY_POD: &str = "{ match: { metric: m }, by: [pod], interval: 60s }";

#[test]
fn a_swap_loses_no_increment_and_its_successor_starts_where_it_ended() {
    let mut b = Bench::new(FIVE);
    let (x, y) = (counter("pod=1"), counter("pod=2"));
    b.number(&x, (1, 10), 5, 10);
    b.number(&y, (1, 10), 7, 10);
    assert_eq!(b.tick(65), ["m{} 0..60 = 12"]);
    b.number(&x, (1, 70), 6, 70);
    assert_eq!(b.swap(BY_POD, 80), ["m{} 0..80 = 13"]);
    // the increment that spans the swap goes into the new epoch
    b.number(&x, (1, 90), 8, 90);
    b.number(&y, (1, 95), 10, 95);
    assert_eq!(
        b.tick(125),
        ["m{pod=1} 80..120 = 2", "m{pod=2} 80..120 = 3"]
    );
}

#[test]
fn a_swap_writes_ended_windows_with_their_end_and_the_rest_as_one_point() {
    let mut b = Bench::new("{ match: { metric: m }, without: [pod], interval: 10s }");
    let x = delta("pod=1");
    b.number(&x, (0, 9), 1, 12);
    b.number(&x, (0, 11), 2, 12);
    b.number(&x, (0, 17), 4, 12);
    b.number(&x, (0, 16), 8, 12);
    assert_eq!(b.swap(FIVE, 12), ["m{} 0..10 = 1", "m{} 10..12 = 14"]);
    // a delta of the successor begins at the swap
    b.number(&x, (0, 20), 16, 20);
    assert_eq!(b.tick(65), ["m{} 12..60 = 16"]);
}

#[test]
fn what_is_older_than_the_swap_counts_after_it() {
    let mut b = Bench::new(FIVE);
    let x = delta("pod=1");
    b.swap(BY_POD, 61);
    b.number(&x, (0, 59), 3, 62);
    assert_eq!(b.count("late"), 1);
    assert_eq!(b.tick(125), ["m{pod=1} 61..120 = 3"]);
}

#[test]
fn two_swaps_at_once_never_write_two_points_of_one_time() {
    let mut b = Bench::new(FIVE);
    let x = counter("pod=1");
    b.number(&x, (1, 10), 5, 10);
    assert_eq!(b.swap(FIVE, 20), ["m{} 0..20 = 5"]);
    b.number(&x, (1, 20), 6, 20);
    // one nanosecond later, so that the increment is no duplicate
    assert_eq!(b.swap(FIVE, 20), ["m{} 20..20.000000001 = 1"]);
}

#[test]
fn an_output_begins_when_the_window_before_its_first_input_closed_and_never_before_we_began() {
    let mut b = Bench::new(FIVE);
    b.tick(130);
    b.number(&counter("pod=1"), (125, 131), 5, 131);
    assert_eq!(b.tick(185), ["m{} 120..180 = 5"]);
    let mut b = Bench::new(FIVE);
    b.settings.began = 130 * S;
    b = Bench::with(FIVE, b.settings);
    b.tick(131);
    b.number(&counter("pod=1"), (130, 131), 5, 131);
    assert_eq!(b.tick(185), ["m{} 130..180 = 5"]);
}

#[test]
fn an_input_that_vanishes_keeps_its_contribution_and_returns_as_a_baseline() {
    let mut b = Bench::new(FIVE);
    let (x, y) = (counter("pod=1"), counter("pod=2"));
    b.number(&x, (1, 10), 5, 10);
    for minute in 0..6 {
        b.number(
            &y,
            (1, 20 + 60 * minute),
            7 + minute as i64,
            20 + 60 * minute,
        );
        let expected = format!("m{{}} 0..{} = {}", 60 * (minute + 1), 12 + minute);
        assert_eq!(b.tick(65 + 60 * minute), [expected]);
    }
    // x was silent for 310 s
    assert_eq!(b.stage.size().0, 1);
    b.number(&x, (1, 380), 9, 380);
    b.number(&x, (1, 390), 11, 390);
    assert_eq!(b.tick(425), ["m{} 0..420 = 19"]);
    assert_eq!(b.count("baselined"), 1);
}

#[test]
fn an_output_whose_inputs_have_all_expired_begins_anew() {
    let mut b = Bench::new(FIVE);
    let x = counter("pod=1");
    b.number(&x, (1, 10), 5, 10);
    assert_eq!(b.tick(65), ["m{} 0..60 = 5"]);
    b.tick(400);
    assert_eq!((b.stage.size().0, b.stage.size().1), (0, 0));
    b.number(&counter("pod=2"), (401, 410), 3, 410);
    assert_eq!(b.tick(425), ["m{} 360..420 = 3"]);
}

#[test]
fn an_input_that_waits_in_a_long_window_does_not_expire() {
    let mut b = Bench::new(
        "{ match: { metric: m, type: gauge }, without: [pod], interval: 20m, function: sum }",
    );
    let (x, y) = (gauge("pod=1"), gauge("pod=2"));
    b.number(&x, (0, 10), 5, 10);
    b.tick(400);
    b.number(&y, (0, 800), 6, 800);
    b.tick(1100);
    b.number(&x, (0, 1150), 7, 1150);
    assert_eq!(b.tick(1205), ["m{} 0..1200 = 13"]);
}
