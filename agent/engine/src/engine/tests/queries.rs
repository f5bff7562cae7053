//! Protected queries on what the arms write: increments, levels, buckets, limits; and that partials add
//! up over agents, workers and cuts.

use super::*;
use crate::query::partial::{Labels, Partial, Partials};
use crate::query::{Function, Grouping, Inner, LabelMatch, Op, Queries};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn inner(name: &str, function: Function, by: &[&str]) -> Inner {
    Inner {
        matchers: vec![LabelMatch {
            label: "__name__".into(),
            op: Op::Equal,
            value: name.into(),
        }],
        function,
        grouping: Grouping::By(by.iter().map(|k| (*k).into()).collect()),
    }
}

fn asked(plan: Arc<Plan>, inner: Vec<Inner>) -> Arc<Plan> {
    plan.asked(Queries {
        step_ms: 10_000,
        inner,
        ..Queries::default()
    })
    .unwrap()
}

/// One arm alone, on which these are evaluated.
fn watched(inner: Vec<Inner>) -> Engine {
    engine(asked(alone(stages("[]")), inner))
}

/// By innermost aggregation, end of step in seconds, and labels.
type All = BTreeMap<(u32, u64, Labels), Partial>;

fn add(all: &mut All, partials: &Partials) {
    for step in &partials.steps {
        for group in &step.groups {
            let key = (step.inner, step.end_ms / 1000, group.labels.clone());
            all.entry(key).or_default().merge(&group.value);
        }
    }
}

/// Sums of the first aggregation by end of step, of groups without labels.
fn sums(partials: &Partials) -> Vec<(u64, f64)> {
    let mut all = All::new();
    add(&mut all, partials);
    all.into_iter()
        .map(|((_, end, _), p)| (end, p.sum))
        .collect()
}

#[test]
fn a_counter_adds_its_increments_and_a_restart_counts_from_zero() {
    let mut engine = watched(vec![inner("c_total", Function::Increase, &[])]);
    let values = [(5, 100), (15, 103), (25, 110), (35, 4), (45, 6), (55, 6)];
    for (time, value) in values {
        engine
            .feed(&request(&[c("a", time, value)]), time * S)
            .unwrap();
    }
    engine.tick(70 * S);
    let found = engine.cut().baseline.queries.unwrap();
    assert_eq!(
        sums(&found),
        [(20, 3.0), (30, 7.0), (40, 4.0), (50, 2.0), (60, 0.0)]
    );
    // Steps that began less than the warm-up after the plan are not told of.
    assert_eq!((found.from_ms, found.until_ms), (10_000, 60_000));
    assert_eq!(found.late, 0);
}

#[test]
fn a_series_that_began_under_the_plan_counts_from_its_start_and_an_older_one_does_not() {
    let mut engine = watched(vec![inner("c_total", Function::Increase, &["k"])]);
    engine.feed(&request(&[c("a", 9, 1)]), 9 * S).unwrap();
    let mut late = engine;
    // The plan begins at 9 s: what started at 1 s is a baseline.
    late.swap(
        asked(
            alone(stages("[]")),
            vec![inner("c_total", Function::Increase, &["k"])],
        ),
        9 * S,
    );
    let born = P {
        start: 21,
        ..c("new", 25, 7)
    };
    let unknown = P {
        start: 25,
        ..c("unknown", 25, 9)
    };
    late.feed(&request(&[c("old", 25, 50), born, unknown]), 25 * S)
        .unwrap();
    late.tick(40 * S);
    assert_eq!(sums(&late.cut().baseline.queries.unwrap()), [(30, 7.0)]);
}

#[test]
fn a_level_is_held_for_five_minutes_and_others_than_sums_are_over_series() {
    let gauge = |key: &str, time, value| P {
        metric: "g",
        ..c(key, time, value)
    };
    let mut engine = watched(vec![inner("g", Function::Last, &[])]);
    engine
        .feed(&request(&[gauge("a", 15, 4), gauge("b", 15, 6)]), 15 * S)
        .unwrap();
    engine.feed(&request(&[gauge("a", 18, 8)]), 18 * S).unwrap();
    engine
        .feed(&request(&[gauge("a", 200, 1)]), 200 * S)
        .unwrap();
    engine.tick(600 * S);
    let mut all = All::new();
    add(&mut all, &engine.cut().baseline.queries.unwrap());
    let at = |end| {
        all.get(&(0, end, Labels::new()))
            .map(|p| (p.sum, p.count, p.min, p.max))
    };
    assert_eq!(at(20), Some((14.0, 2, 6.0, 8.0)));
    assert_eq!(at(190), Some((14.0, 2, 6.0, 8.0)));
    assert_eq!(at(200), Some((7.0, 2, 1.0, 6.0)));
    assert_eq!(at(320), Some((1.0, 1, 1.0, 1.0)), "b was last seen at 15 s");
    assert_eq!(at(490), Some((1.0, 1, 1.0, 1.0)));
    assert_eq!(at(500), None);
}

#[test]
fn a_range_over_steps_is_added_up_for_each_series_before_the_largest_is_taken() {
    let mut engine = watched(vec![inner("c_total", Function::IncreaseOver(2), &[])]);
    for (time, a, b) in [(5, 0, 0), (15, 9, 1), (25, 9, 9), (35, 9, 20)] {
        engine
            .feed(&request(&[c("a", time, a), c("b", time, b)]), time * S)
            .unwrap();
    }
    engine.tick(50 * S);
    let mut all = All::new();
    add(&mut all, &engine.cut().baseline.queries.unwrap());
    let largest: Vec<_> = all
        .iter()
        .map(|((_, end, _), p)| (*end, p.max, p.count))
        .collect();
    assert_eq!(largest, [(30, 9.0, 2), (40, 19.0, 2)]);
}

#[test]
fn more_groups_than_the_limit_are_not_checked_and_say_so() {
    let most = crate::query::groups_each(1) as u64;
    let mut engine = watched(vec![inner("c_total", Function::Increase, &["k"])]);
    for time in [5, 15] {
        let points: Vec<P> = (0..=most).map(|n| c(&format!("k{n}"), time, 1)).collect();
        engine.feed(&request(&points), time * S).unwrap();
    }
    engine.tick(40 * S);
    let found = engine.cut().baseline.queries.unwrap();
    assert_eq!(
        found.unchecked[&0],
        format!("more than {most} groups on an agent")
    );
    assert_eq!(found.steps, []);
}

#[test]
fn both_arms_of_a_shadow_are_evaluated_and_a_fold_keeps_the_sum_of_rates() {
    let plan = arms(stages("[]"), stages(FOLD), Division::Shadow);
    let mut engine = engine(asked(plan, vec![inner("c_total", Function::Increase, &[])]));
    for time in (2..200).step_by(2) {
        let points = [
            c("a", time, time as i64 * 3),
            c("b", time, time as i64 % 50),
        ];
        engine.feed(&request(&points), time * S).unwrap();
    }
    engine.tick(230 * S);
    let report = engine.cut();
    let (ours, theirs) = (
        report.baseline.queries.unwrap(),
        report.candidate.unwrap().queries.unwrap(),
    );
    assert_eq!(
        (ours.from_ms, ours.until_ms),
        (theirs.from_ms, theirs.until_ms)
    );
    let full = |found: &Partials| -> Vec<(u64, f64)> {
        sums(found)
            .into_iter()
            .filter(|(end, _)| *end < 200)
            .collect()
    };
    assert!(full(&ours).len() > 10);
    assert_eq!(full(&ours), full(&theirs));
}

#[test]
fn what_an_arm_writes_is_counted_by_step_as_prometheus_would() {
    let plan = arms(
        stages("[]"),
        stages("[{id: f, filter: {drop: [{attributes: {k: a}}]}}]"),
        Division::Shadow,
    );
    let queries = Queries {
        step_ms: 10_000,
        volume: true,
        ..Queries::default()
    };
    let mut engine = engine(plan.asked(queries).unwrap());
    let delta = |time| P {
        delta: true,
        ..c("d", time, 1)
    };
    for (time, keys) in [(12, "ab"), (15, "ab"), (20, "b"), (21, "ab"), (35, "b")] {
        let points = keys.chars().map(|k| c(&k.to_string(), time, 1));
        let points: Vec<P> = points.chain([delta(time)]).collect();
        engine.feed(&request(&points), time * S).unwrap();
    }
    // What comes twice is stored once.
    engine.feed(&request(&[c("b", 35, 1)]), 36 * S).unwrap();
    engine.tick(50 * S);
    let report = engine.cut();
    let of = |found: Option<Partials>| -> Vec<(u64, u64, u64)> {
        let volume = found.unwrap().volume;
        volume
            .iter()
            .map(|v| (v.end_ms / 1000, v.series, v.samples))
            .collect()
    };
    assert_eq!(
        of(report.baseline.queries),
        [(20, 2, 5), (30, 2, 2), (40, 1, 1)]
    );
    assert_eq!(
        of(report.candidate.unwrap().queries),
        [(20, 1, 3), (30, 1, 1), (40, 1, 1)]
    );
}

#[test]
fn nothing_is_watched_without_queries() {
    let mut engine = engine(arms(stages("[]"), stages(FOLD), Division::Shadow));
    engine.feed(&request(&[c("a", 5, 1)]), 5 * S).unwrap();
    let report = engine.cut();
    assert!(report.baseline.queries.is_none());
    assert!(report.candidate.unwrap().queries.is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Series dealt to agents in any way, cut at any time: merged they are what one agent finds.
    #[test]
    fn partials_of_any_agents_and_any_cuts_add_up_to_the_whole(
        values in prop::collection::vec((0..12u8, 0..40i64, any::<bool>()), 1..120),
        agents in 1..4usize,
        cuts in prop::collection::vec(any::<bool>(), 120),
    ) {
        let queries = || vec![
            inner("c_total", Function::Increase, &["k"]),
            inner("c_total", Function::Increase, &[]),
            inner("c_total", Function::IncreaseOver(3), &[]),
            inner("g", Function::Last, &[]),
        ];
        let mut whole = watched(queries());
        let mut parts: Vec<Engine> = (0..agents).map(|_| watched(queries())).collect();
        let (mut one, mut many) = (All::new(), All::new());
        let mut time = 0;
        for (number, (key, value, gauge)) in values.iter().enumerate() {
            time += 1 + u64::from(*key % 5);
            let mut point = c(&format!("k{}", key % 3), time, *value);
            point.metric = if *gauge { "g" } else { "c" };
            point.keys.push(("n", key.to_string()));
            let bytes = request(&[point]);
            whole.feed(&bytes, time * S).unwrap();
            parts[usize::from(*key) % agents].feed(&bytes, time * S).unwrap();
            if cuts[number] {
                let at = number % agents;
                parts[at].tick(time * S);
                add(&mut many, &parts[at].cut().baseline.queries.unwrap());
            }
        }
        for engine in std::iter::once(&mut whole).chain(&mut parts) {
            engine.tick((time + 100) * S);
        }
        add(&mut one, &whole.cut().baseline.queries.unwrap());
        for part in &mut parts {
            add(&mut many, &part.cut().baseline.queries.unwrap());
        }
        prop_assert_eq!(one, many);
    }
}
