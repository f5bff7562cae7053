//! Swaps lose nothing and count nothing twice.

use super::*;

/// What a backend that adds increments of cumulative series would have counted, by metric: each
/// series starts at 0 at its start time.
#[derive(Default)]
struct Backend {
    last: std::collections::HashMap<(String, String), (u64, u64, i64)>,
    total: i64,
}

impl Backend {
    fn take(&mut self, bytes: &Bytes) {
        for (metric, key, start, time, value) in rows(bytes, |all| all.join(",")) {
            let last = self.last.entry((metric, key)).or_insert((0, 0, 0));
            if start >= last.1 || last.1 == 0 {
                self.total += value;
            } else {
                assert!(
                    start == last.0 && time > last.1 && value >= last.2,
                    "{last:?} {start} {time} {value}"
                );
                self.total += value - last.2;
            }
            *last = (start, time, value);
        }
    }
}

#[test]
fn two_hundred_swaps_among_aggregations_of_the_same_counters_lose_nothing() {
    let plans = [
        "[{id: a, aggregate: {match: {metric: c}, without: [k], interval: 10s}}]",
        "[{id: a, aggregate: {match: {metric: c}, without: [j], interval: 10s}}]",
        "[{id: b, aggregate: {match: {metric: c}, by: [host.name], interval: 7s}}]",
        "[{id: d, aggregate: {match: {metric: c}, without: [j, k], rename: other, interval: 10s}}]",
    ]
    .map(stages);
    let mut engine = engine(alone(plans[0].clone()));
    let mut backend = Backend::default();
    let mut truth = 0;
    let mut values = [0i64; 6];
    let mut report = crate::ledger::Ledger::default();
    for round in 0..200u64 {
        let time = 10 + 3 * round;
        let mut points = Vec::new();
        for (n, value) in values.iter_mut().enumerate() {
            *value += n as i64 + 1;
            truth += n as i64 + 1;
            let keys = vec![
                ("k", format!("k{}", n % 3)),
                ("j", format!("j{}", n % 2)),
                ("n", format!("{n}")),
            ];
            points.push(P {
                keys,
                ..c("", time, *value)
            });
        }
        backend.take(
            &engine
                .feed(&request(&points), time * S)
                .unwrap()
                .emitted
                .out,
        );
        let next = plans[(round as usize * 7 + 1) % plans.len()].clone();
        backend.take(&engine.swap(alone(next), (time + 1) * S).out);
        let ledger = engine.cut().baseline.ledger;
        assert_eq!(ledger.imbalance(), 0, "round {round}: {ledger:?}");
        report.received += ledger.received;
        report.held += ledger.held;
    }
    backend.take(&engine.finish(10_000 * S).out);
    report.held += engine.cut().baseline.ledger.held;
    assert_eq!((report.received, report.held), (1_200, 0));
    assert_eq!(backend.total, truth);
}

#[test]
fn an_unchanged_stage_keeps_its_state_and_its_start() {
    let mut engine = engine(alone(stages(FOLD)));
    engine.feed(&request(&[c("a", 5, 5)]), 5 * S).unwrap();
    // the same stage, in another pipeline, behind a filter
    let both = "[{id: f, filter: {drop: [{metric: x}]}}, {id: a, aggregate: {match: {metric: c}, without: [k], interval: 10s}}]";
    assert_eq!(engine.swap(alone(stages(both)), 6 * S).points, 0);
    engine.feed(&request(&[c("a", 8, 7)]), 8 * S).unwrap();
    let out = engine.tick(15 * S);
    assert_eq!(read(&out.out), [("c".into(), String::new(), 0, 10, 7)]);
    balanced(&engine.cut().baseline);
}

#[test]
fn to_pass_through_a_last_point_is_stamped_with_the_swap() {
    let mut engine = engine(alone(stages(FOLD)));
    engine
        .feed(&request(&[c("a", 5, 5), c("b", 5, 1)]), 5 * S)
        .unwrap();
    let out = engine.swap(Plan::pass_through(), 7 * S);
    assert_eq!(read(&out.out), [("c".into(), String::new(), 0, 7, 6)]);
    let sent = request(&[c("a", 8, 7)]);
    assert!(engine.feed(&sent, 8 * S).unwrap().emitted.out == sent);
    // and back: what was counted while nothing aggregated is not added again
    engine.swap(alone(stages(FOLD)), 9 * S);
    engine.feed(&request(&[c("a", 12, 10)]), 12 * S).unwrap();
    let out = engine.finish(12 * S);
    assert_eq!(read(&out.out), [("c".into(), String::new(), 9, 20, 3)]);
    let figures = engine.cut().baseline;
    balanced(&figures);
    assert_eq!(figures.ledger.held, 0);
}

#[test]
fn a_promoted_split_goes_on_with_the_candidates_state() {
    let fold = stages("[{id: a, aggregate: {match: {metric: c}, without: [j], interval: 10s}}]");
    let division = Division::Split {
        entity: vec!["k".into()],
        percent: 99.9,
    };
    let mut engine = engine(arms(stages("[]"), fold.clone(), division));
    let keys = |v| P {
        keys: vec![("k", "a".into()), ("j", "1".into())],
        ..c("", 5, v)
    };
    assert_eq!(
        engine
            .feed(&request(&[keys(5)]), 5 * S)
            .unwrap()
            .emitted
            .points,
        0
    );
    assert_eq!(engine.swap(alone(fold), 6 * S).points, 0, "nothing is cut");
    let ended = engine.cut().ended.pop().unwrap();
    assert_eq!((ended.ledger.received, ended.ledger.held), (1, 1));
    engine
        .feed(&request(&[P { time: 8, ..keys(7) }]), 8 * S)
        .unwrap();
    assert_eq!(
        read(&engine.tick(15 * S).out),
        [("c".into(), "a".into(), 0, 10, 7)]
    );
    let figures = engine.cut().baseline;
    balanced(&figures);
    assert_eq!((figures.ledger.received, figures.ledger.held), (1, -1));
}

#[test]
fn an_ended_split_writes_what_its_candidate_held() {
    let fold = stages("[{id: a, aggregate: {match: {metric: c}, without: [j], interval: 10s}}]");
    let division = Division::Split {
        entity: vec!["k".into()],
        percent: 99.9,
    };
    let mut engine = engine(arms(stages("[]"), fold, division));
    let keys = |v| P {
        keys: vec![("k", "a".into()), ("j", "1".into())],
        ..c("", 5, v)
    };
    engine.feed(&request(&[keys(5)]), 5 * S).unwrap();
    let out = engine.swap(Plan::pass_through(), 6 * S);
    assert_eq!(read(&out.out), [("c".into(), "a".into(), 0, 6, 5)]);
    let ended = engine.cut().ended.pop().unwrap();
    balanced(&ended);
    assert_eq!(
        (ended.ledger.exported, ended.ledger.held, ended.bytes_out),
        (1, 0, out.out.len() as u64)
    );
}

#[test]
fn a_split_that_begins_or_ends_lets_no_two_arms_write_one_output() {
    let fold = stages("[{id: a, aggregate: {match: {metric: c}, without: [j], interval: 10s}}]");
    let both = "[{id: a, aggregate: {match: {metric: c}, without: [j], interval: 10s}}, {id: f, filter: {drop: [{metric: x}]}}]";
    let split = || {
        let division = Division::Split {
            entity: vec!["k".into()],
            percent: 50.0,
        };
        arms(fold.clone(), stages(both), division)
    };
    let mut engine = engine(alone(fold.clone()));
    let mut backend = Backend::default();
    let mut truth = 0;
    for round in 0..40u64 {
        let time = 11 + 4 * round;
        let value = (round * round) as i64;
        let points: Vec<P> = (0..8).map(|n| c(&format!("k{n}"), time, value)).collect();
        truth = 8 * value;
        backend.take(
            &engine
                .feed(&request(&points), time * S)
                .unwrap()
                .emitted
                .out,
        );
        let plan = match round {
            7 | 15 | 29 => split(),
            12 | 25 => alone(fold.clone()),
            20 | 33 => alone(stages(both)),
            _ => continue,
        };
        backend.take(&engine.swap(plan, (time + 1) * S).out);
    }
    backend.take(&engine.finish(500 * S).out);
    assert_eq!(backend.total, truth);
}
