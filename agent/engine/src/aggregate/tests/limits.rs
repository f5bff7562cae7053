//! Full tables: an overflow series keeps the total, nothing is dropped silently.

use super::super::*;
use super::bench::*;
use crate::engine::Limits;

fn small(aggregate: &str, series: usize) -> Bench {
    let limits = Limits {
        series,
        ..Limits::default()
    };
    Bench::with(
        aggregate,
        Settings {
            limits,
            ..Settings::default()
        },
    )
}

#[test]
fn outputs_past_the_limit_fold_into_one_overflow_series_that_keeps_the_total() {
    // two outputs, and twice as many inputs
    let mut b = small("{ match: { metric: m }, by: [route], interval: 60s }", 2);
    for i in 0..4 {
        b.number(&counter(&format!("route={i}")), (1, 10), 10 + i, 10);
    }
    assert_eq!(b.count("overflow"), 2);
    let x = counter("route=9");
    assert_eq!(
        b.add(&x, &number(&x, 1, 10, 1), 10),
        Added::Passes(TABLE_FULL)
    );
    assert_eq!(
        b.tick(65),
        [
            "m{route=0} 0..60 = 10",
            "m{route=1} 0..60 = 11",
            "m{otel.metric.overflow=true} 0..60 = 25"
        ]
    );
    // what has its output keeps it
    b.number(&counter("route=1"), (1, 70), 12, 70);
    assert_eq!(b.tick(125), ["m{route=1} 0..120 = 12"]);
}

#[test]
fn the_same_series_never_sits_twice() {
    let mut b = Bench::new("{ match: { metric: m, type: gauge }, without: [pod], function: sum }");
    let x = gauge("pod=1");
    b.number(&x, (0, 10), 4, 10);
    b.forget_routes();
    b.number(&x, (0, 20), 6, 20);
    assert_eq!(b.stage.size().0, 1);
    assert_eq!(b.tick(65), ["m{} 0..60 = 6"]);
}

#[test]
fn nothing_is_allocated_by_what_is_freed() {
    let mut b = Bench::new("{ match: { metric: m }, without: [pod], interval: 60s }");
    for round in 0..50u64 {
        let now = 1_000 * round;
        for i in 0..20 {
            let s = counter(&format!("route={round}-{i},pod=1"));
            b.number(&s, (now, now + 10), 1, now + 10);
        }
        b.tick(now + 65);
    }
    b.tick(60_000);
    let (members, groups, _) = b.stage.size();
    assert_eq!((members, groups), (0, 0));
}

#[test]
fn inputs_that_are_gone_are_freed_also_where_somebody_always_speaks() {
    let aggregate = "{ match: { metric: m }, without: [pod], interval: 60s, expiry: 60s }";
    let mut b = small(aggregate, 5);
    for round in 0..100u64 {
        // One pod a minute, and one that stays; a point behind the window's end is there when it closes.
        let now = 60 * round + 10;
        for (pod, at) in [(round + 1, 0), (0, 0), (0, 52)] {
            let s = delta(&format!("pod={pod}"));
            b.number(&s, (now + at - 5, now + at), 1, now + at);
        }
        let told = b.tick(60 * (round + 1) + 5);
        assert_eq!(told.len(), 1, "round {round}");
        assert!(b.stage.size().0 <= 4, "{} members", b.stage.size().0);
    }
}
