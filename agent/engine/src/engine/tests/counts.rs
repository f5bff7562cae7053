//! Distinct series of a window that is longer than the expiry, as a replay's is.

use super::*;

/// Two counters and a gauge; an hour later, when all of it was freed, one counter and the gauge again.
fn with_a_gap(stages_of: &str) -> ArmFigures {
    let mut engine = engine(alone(stages(stages_of)));
    let g = |time: u64, value: i64| P {
        metric: "g",
        ..c("a", time, value)
    };
    let first = [c("a", 5, 5), c("b", 5, 7), g(5, 1)];
    engine.feed(&request(&first), 5 * S).unwrap();
    engine
        .feed(&request(&[c("a", 65, 15), g(65, 2)]), 65 * S)
        .unwrap();
    engine.tick(3_000 * S);
    assert_eq!(engine.state_size().0, 0, "{stages_of}: all was freed");
    for time in [3_605, 3_665, 7_265] {
        let again = [c("a", time, time as i64), g(time, 3)];
        engine.feed(&request(&again), time * S).unwrap();
    }
    engine.finish(7_300 * S);
    engine.cut().baseline
}

#[test]
fn a_series_that_returns_after_its_expiry_is_counted_once() {
    let cases = [
        ("[]", 3),
        ("[{id: f, filter: {drop: [{metric: g}]}}]", 2),
        (
            "[{id: v, filter: {drop: [{metric: '*', value: {gt: 100000}}]}}]",
            3,
        ),
        ("[{id: e, sample: {match: {metric: '*'}, every: 30s}}]", 3),
        ("[{id: q, quantise: {match: {type: gauge}, digits: 2}}]", 3),
        (
            "[{id: t, transform: {match: {metric: c}, ops: [{set: {attribute: x, value: y, level: point}}]}}]",
            3,
        ),
        ("[{id: d, temporality: {match: {metric: c}, to: delta}}]", 3),
        (
            "[{id: a, aggregate: {match: {metric: c}, without: [k], interval: 10s}}]",
            2,
        ),
        ("[{id: l, limit: {series: 10, interval: 10s}}]", 3),
    ];
    for (stages_of, out) in cases {
        let figures = with_a_gap(stages_of);
        balanced(&figures);
        let exact = (figures.series_in.exact, figures.series_out.exact);
        assert_eq!(exact, (Some(3), Some(out)), "{stages_of}");
        let metrics: u64 = figures.metrics.iter().map(|m| m.series_in).sum();
        assert_eq!(metrics, 3, "{stages_of}");
    }
}
