//! `sample`: a share of entities, and the last point of every window.

use super::*;

const EVERY: &str = "[{id: e, sample: {match: {}, every: 10s}}]";

fn g(key: &str, time: u64, value: i64) -> P {
    P {
        metric: "g",
        start: 0,
        ..c(key, time, value)
    }
}

#[test]
fn the_last_point_of_a_window_passes_when_it_closes_byte_for_byte() {
    let mut engine = engine(alone(stages(EVERY)));
    for (time, value) in [(11, 1), (14, 2), (13, 3), (14, 4)] {
        let fed = engine
            .feed(&request(&[g("a", time, value)]), 14 * S)
            .unwrap();
        assert_eq!(fed.emitted.points, 0);
    }
    assert_eq!(engine.figures().baseline.ledger.held, 1);
    assert_eq!(
        engine.tick(24 * S).points,
        0,
        "not before the lateness has passed"
    );
    let out = engine.tick(25 * S);
    assert!(out.out == request(&[g("a", 14, 4)]));
    let late = engine.feed(&request(&[g("a", 15, 5)]), 26 * S).unwrap();
    assert_eq!(late.emitted.points, 0);
    let figures = engine.cut().baseline;
    balanced(&figures);
    assert_eq!(
        (
            figures.ledger.sampled_out,
            figures.ledger.exported,
            figures.ledger.held
        ),
        (4, 1, 0)
    );
    assert_eq!(figures.stages[0].counts["late"], 1);
    assert_eq!(
        (figures.stages[0].points_in, figures.stages[0].points_out),
        (5, 1)
    );
}

#[test]
fn the_point_before_a_reset_passes_and_deltas_are_added_together() {
    let mut engine = engine(alone(stages(EVERY)));
    engine.feed(&request(&[c("a", 11, 50)]), 11 * S).unwrap();
    let fed = engine.feed(&request(&[c("a", 12, 3)]), 12 * S).unwrap();
    assert_eq!(
        read(&fed.emitted.out),
        [("c".into(), "a".into(), 1, 11, 50)]
    );
    let delta = request(&[P {
        delta: true,
        metric: "d",
        ..c("a", 12, 3)
    }]);
    for _ in 0..2 {
        assert_eq!(engine.feed(&delta, 12 * S).unwrap().emitted.points, 0);
    }
    assert_eq!(
        read(&engine.finish(12 * S).out),
        [
            ("c".into(), "a".into(), 1, 12, 3),
            ("d".into(), "a".into(), 1, 12, 6)
        ]
    );
    let figures = engine.cut().baseline;
    balanced(&figures);
    assert_eq!((figures.ledger.sampled_out, figures.ledger.merged), (0, 1));
}

#[test]
fn a_point_ahead_of_now_waits_in_the_window_of_now() {
    let mut engine = engine(alone(stages(EVERY)));
    engine.feed(&request(&[g("a", 500, 1)]), 11 * S).unwrap();
    assert_eq!(engine.figures().baseline.stages[0].counts["future"], 1);
    assert_eq!(
        read(&engine.tick(25 * S).out),
        [("g".into(), "a".into(), 0, 500, 1)]
    );
}

#[test]
fn a_swap_lets_what_waits_pass() {
    let mut engine = engine(alone(stages(EVERY)));
    engine
        .feed(
            &request(&[g("a", 9, 1), g("a", 11, 2), g("a", 12, 3)]),
            12 * S,
        )
        .unwrap();
    let out = engine.swap(Plan::pass_through(), 13 * S);
    let times: Vec<u64> = read(&out.out).iter().map(|row| row.3).collect();
    assert_eq!(times, [9, 12]);
    balanced(&engine.cut().baseline);
}

#[test]
fn a_share_of_entities_is_kept_whole_and_the_keyless_always() {
    let mut engine = engine(alone(stages(
        "[{id: s, sample: {match: {}, fraction: 0.25, entity: [k]}}]",
    )));
    let points: Vec<P> = (0..1000)
        .flat_map(|n| [c(&format!("e{n}"), 5, 1), g(&format!("e{n}"), 5, 1)])
        .chain([P {
            keys: vec![],
            ..c("", 5, 1)
        }])
        .collect();
    let rows = read(&engine.feed(&request(&points), 5 * S).unwrap().emitted.out);
    let of = |metric: &str| -> Vec<String> {
        rows.iter()
            .filter(|row| row.0 == metric)
            .map(|row| row.1.clone())
            .collect()
    };
    let gauges = of("g");
    assert!((200..300).contains(&gauges.len()), "{}", gauges.len());
    let mut counters = of("c");
    assert_eq!(counters.pop(), Some(String::new()));
    assert_eq!(counters, gauges);
    balanced(&engine.cut().baseline);
}

#[test]
fn what_a_sample_lets_pass_adds_to_a_later_aggregation_also_across_swaps() {
    let spec = "[{id: e, sample: {match: {}, every: 25s}}, {id: a, aggregate: {match: {}, without: [k], interval: 30s}}]";
    let at = |time, value| P {
        start: 0,
        ..c("a", time, value)
    };
    let run = |first: Arc<Plan>| {
        let mut engine = engine(first);
        engine.feed(&request(&[at(227, 10)]), 228 * S).unwrap();
        engine.swap(alone(stages(spec)), 229 * S);
        engine.feed(&request(&[at(269, 14)]), 270 * S).unwrap();
        read(&engine.finish(270 * S).out)
    };
    // an unchanged plan: the first point was let go and is the baseline of the second
    assert_eq!(
        run(alone(stages(spec))),
        [("c".into(), String::new(), 210, 270, 4)]
    );
    // a new one: the first point passed before, and is known
    assert_eq!(
        run(Plan::pass_through()),
        [("c".into(), String::new(), 240, 270, 4)]
    );
}

#[test]
fn a_series_that_returns_behind_a_new_sample_is_a_baseline() {
    let spec = "[{id: e, sample: {match: {}, every: 25s}}, {id: a, aggregate: {match: {}, without: [k], interval: 30s}}]";
    // The stage is made while the series is away: before it expires, and after.
    for swap in [100, 420] {
        let mut engine = engine(Plan::pass_through());
        engine.feed(&request(&[c("a", 10, 50)]), 10 * S).unwrap();
        engine.swap(alone(stages(spec)), swap * S);
        engine.tick(425 * S);
        for (time, value) in [(430, 90), (460, 95)] {
            let points = request(&[c("a", time, value)]);
            engine.feed(&points, (time + 1) * S).unwrap();
        }
        let rows = read(&engine.finish(461 * S).out);
        assert_eq!(rows.last().map(|row| row.4), Some(5), "swap at {swap}");
    }
}

#[test]
fn a_kept_entity_counts_for_others_also_through_later_samples_and_swaps() {
    let spec = |share: &str| {
        format!(
            "[{{id: f, sample: {{match: {{}}, fraction: {share}, entity: [k]}}}}, {{id: u, sample: {{match: {{}}, unchanged: true}}}}, \
             {{id: e, sample: {{match: {{}}, every: 25s}}}}, {{id: a, aggregate: {{match: {{}}, without: [k], interval: 30s}}}}]"
        )
    };
    // The first entity that both shares keep.
    let kept = |key: &str| {
        let only = "[{id: f, sample: {match: {}, fraction: 0.25, entity: [k]}}]";
        let mut engine = engine(alone(stages(only)));
        let fed = engine.feed(&request(&[c(key, 5, 1)]), 5 * S).unwrap();
        fed.emitted.points == 1
    };
    let key = (0..)
        .map(|n| format!("e{n}"))
        .find(|key| kept(key))
        .unwrap();
    let mut engine = engine(alone(stages(&spec("0.25"))));
    engine.feed(&request(&[c(&key, 5, 3)]), 6 * S).unwrap();
    engine.tick(35 * S);
    // 3 counted four times; the next 2, of another plan with the same later stages, twice.
    engine.swap(alone(stages(&spec("0.5"))), 36 * S);
    engine.feed(&request(&[c(&key, 40, 5)]), 41 * S).unwrap();
    let rows = read(&engine.finish(41 * S).out);
    assert_eq!(rows.last().map(|row| row.4), Some(3 * 4 + 2 * 2));
}
