//! Stages that make other series of some: when two become one, when there is no room, when one returns.

use super::*;

const DELTAS: &str =
    "{id: t, temporality: {match: {metric: c, temporality: cumulative}, to: delta}}";
const TOTALS: &str = "{id: t, temporality: {match: {}, to: cumulative}}";

fn delta(key: &str, start: u64, time: u64, value: i64) -> P {
    P {
        start,
        delta: true,
        ..c(key, time, value)
    }
}

#[test]
fn a_series_that_becomes_one_that_there_is_already_is_a_conflict_whichever_comes_first() {
    let filter = "{id: f, filter: {drop: [{metric: x}]}}";
    let round = "{id: q, quantise: {match: {}}}";
    for behind in [filter, round] {
        let all = format!("[{DELTAS}, {behind}]");
        for first in [c("1", 2, 3), delta("1", 1, 2, 3)] {
            let second = P {
                delta: !first.delta,
                time: 3,
                ..first.clone()
            };
            let mut engine = engine(alone(stages(&all)));
            engine
                .feed(&request(&[first, c("2", 2, 3)]), 2 * S)
                .unwrap();
            assert_eq!(engine.figures().baseline.identity_conflicts, 0);
            engine.feed(&request(&[second]), 3 * S).unwrap();
            let figures = engine.figures().baseline;
            balanced(&figures);
            assert_eq!(figures.identity_conflicts, 1, "{behind}");
        }
    }
}

#[test]
fn what_is_dropped_behind_the_stage_is_no_conflict() {
    let all = format!("[{DELTAS}, {{id: f, filter: {{drop: [{{temporality: delta}}]}}}}]");
    let mut engine = engine(alone(stages(&all)));
    let points = [c("1", 2, 3), delta("1", 1, 2, 3)];
    engine.feed(&request(&points), 2 * S).unwrap();
    let figures = engine.figures().baseline;
    balanced(&figures);
    assert_eq!(
        (figures.ledger.filtered, figures.identity_conflicts),
        (2, 0)
    );
}

#[test]
fn a_series_without_room_passes_as_it_came_and_is_counted() {
    let mut settings = Settings::default();
    settings.limits.series = 2;
    let mut engine = Engine::new(settings, alone(stages(&format!("[{TOTALS}]"))), 0);
    let feed = |engine: &mut Engine, time: u64| {
        let points: Vec<P> = ["1", "2", "3"]
            .map(|key| delta(key, time - 1, time, 5))
            .to_vec();
        let mut rows = read(
            &engine
                .feed(&request(&points), time * S)
                .unwrap()
                .emitted
                .out,
        );
        rows.sort();
        rows.into_iter()
            .map(|(_, key, start, _, value)| (key, start, value))
            .collect::<Vec<_>>()
    };
    feed(&mut engine, 2);
    let rows = feed(&mut engine, 3);
    let of = |key: &str, start, value| (key.to_string(), start, value);
    assert_eq!(rows, [of("1", 1, 10), of("2", 1, 10), of("3", 2, 5)]);
    let figures = engine.figures().baseline;
    balanced(&figures);
    assert_eq!(figures.stages[0].counts.get("table_full"), Some(&2));
}

#[test]
fn a_total_that_was_silent_for_long_begins_anew_and_counts_in_full_behind() {
    let behind =
        "{id: a, aggregate: {match: {metric: c}, without: [k], interval: 10s, expiry: 100s}}";
    let mut engine = engine(alone(stages(&format!("[{TOTALS}, {behind}]"))));
    for (start, time) in [(1, 2), (2, 12), (300, 312), (312, 322)] {
        let points = [delta("1", start, time, 5)];
        engine.feed(&request(&points), time * S).unwrap();
    }
    // Its silence was longer than 100 s: the output began anew, too.
    let rows = read(&engine.finish(340 * S).out);
    let (_, _, start, time, value) = rows.last().unwrap().clone();
    assert_eq!((start, time, value), (300, 330, 10));
    balanced(&engine.figures().baseline);
}

#[test]
fn explanations_tell_what_the_stage_does() {
    let mut engine = engine(alone(stages(&format!("[{DELTAS}]"))));
    engine.feed(&request(&[c("1", 2, 3)]), 2 * S).unwrap();
    let answers = engine.explain(Some("c"), &[], 10);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].fate, "rewritten");
    assert_eq!(
        answers[0].why,
        "temporality `t` writes each of its points anew; it leaves at once"
    );
}

#[test]
fn places_of_silent_series_are_freed_and_take_few_bytes() {
    let keys: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
    let bytes = |stage: &str, delta: bool| {
        let mut engine = engine(alone(stages(&format!("[{stage}]"))));
        let of = |key: &String| P {
            delta,
            ..c(key, 2, 3)
        };
        let points: Vec<P> = keys.iter().map(of).collect();
        // Of one metric: what a request needs on its way is not the matter here.
        let mut data = pb::MetricsData::decode(&request(&points)[..]).unwrap();
        let metrics = &mut data.resource_metrics[0].scope_metrics[0].metrics;
        let mut others = metrics.split_off(1);
        if let Some(pb::metric::Data::Sum(all)) = &mut metrics[0].data {
            for other in &mut others {
                if let Some(pb::metric::Data::Sum(sum)) = &mut other.data {
                    all.data_points.append(&mut sum.data_points);
                }
            }
        }
        engine.feed(&data.encode_to_vec().into(), 2 * S).unwrap();
        let full = engine.state_size().1;
        for time in [100, 200, 300, 400, 500] {
            let one = P {
                delta,
                ..c("0", time, 5)
            };
            engine.feed(&request(&[one]), time * S).unwrap();
        }
        (full / keys.len(), engine.state_size())
    };
    for (name, stage, delta) in [("delta", DELTAS, false), ("total", TOTALS, true)] {
        let none = bytes("{id: t, filter: {drop: [{metric: x}]}}", delta).0;
        let (full, (series, _)) = bytes(stage, delta);
        println!("{name}: {} bytes a series", full - none);
        assert!(full - none < 350, "{name}: {} bytes a series", full - none);
        assert_eq!(series, 1);
    }
}
