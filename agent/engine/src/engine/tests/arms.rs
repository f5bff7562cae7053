//! Shadow and split, protection, conflicts, and what a panic does.

use super::*;

fn keys(count: u64, time: u64) -> Bytes {
    let points: Vec<P> = (0..count).map(|n| c(&format!("e{n}"), time, 5)).collect();
    request(&points)
}

#[test]
fn a_shadow_sees_everything_and_only_the_baseline_leaves() {
    let drop = stages("[{id: f, filter: {drop: [{attributes: {k: e1*}}]}}]");
    let mut engine = engine(arms(stages("[]"), drop, Division::Shadow));
    let sent = keys(12, 10);
    let fed = engine.feed(&sent, 10 * S).unwrap();
    assert_eq!((fed.emitted.points, fed.emitted.shadow_points), (12, 9));
    assert!(fed.emitted.out == sent);
    assert_eq!(read(&fed.emitted.shadow).len(), 9);
    let report = engine.cut();
    let candidate = report.candidate.unwrap();
    balanced(&candidate);
    assert_eq!(
        (report.baseline.ledger.received, candidate.ledger.received),
        (12, 12)
    );
    assert_eq!(candidate.ledger.filtered, 3);
    assert_eq!(
        (candidate.series_in.exact, candidate.series_out.exact),
        (Some(12), Some(9))
    );
    assert_eq!(candidate.bytes_in, sent.len() as u64);
    assert_eq!(candidate.bytes_out, fed.emitted.shadow.len() as u64);
    assert_eq!(candidate.stages[0].counts["drop[0]"], 3);
    assert_eq!(report.baseline.samples, Some((12, 12)));
    assert_eq!(candidate.samples, Some((12, 9)));
}

#[test]
fn a_split_gives_each_entity_to_one_arm_and_the_keyless_to_the_baseline() {
    let division = Division::Split {
        entity: vec!["k".into()],
        percent: 50.0,
    };
    let drop = stages("[{id: f, filter: {drop: [{metric: c}]}}]");
    let mut engine = engine(arms(stages("[]"), drop, division));
    let mut points: Vec<P> = (0..200).map(|n| c(&format!("e{n}"), 10, 5)).collect();
    points.push(P {
        keys: vec![],
        ..c("", 10, 5)
    });
    let sent = request(&points);
    let fed = engine.feed(&sent, 10 * S).unwrap();
    let seed = entity_seed("x1");
    let mut canonical = Vec::new();
    let candidate_has = |key: &str, canonical: &mut Vec<u8>| {
        canonical.clear();
        crate::identity::put_text(canonical, b"k");
        crate::identity::put_value(canonical, crate::wire::AnyValue::String(key));
        let hash = xxhash_rust::xxh3::xxh3_64_with_seed(canonical, seed);
        crate::identity::share(hash) < 0.5
    };
    let rows = read(&fed.emitted.out);
    assert!(
        rows.iter()
            .all(|row| row.1.is_empty() || !candidate_has(&row.1, &mut canonical))
    );
    let theirs = (0..200)
        .filter(|n| candidate_has(&format!("e{n}"), &mut canonical))
        .count() as u64;
    assert!((70..130).contains(&theirs));
    assert_eq!(rows.len() as u64, 201 - theirs);
    let report = engine.cut();
    let candidate = report.candidate.unwrap();
    balanced(&report.baseline);
    balanced(&candidate);
    assert_eq!(
        (candidate.ledger.received, candidate.ledger.filtered),
        (theirs, theirs)
    );
    assert_eq!(report.baseline.ledger.received, 201 - theirs);
    assert_eq!(candidate.entities.unwrap().exact, Some(theirs));
    assert_eq!(report.baseline.entities.unwrap().exact, Some(200 - theirs));
    let unassigned = report.baseline.unassigned.unwrap();
    assert_eq!(
        (
            unassigned.points_in,
            unassigned.points_out,
            unassigned.series_in
        ),
        (1, 1, 1)
    );
    assert!(report.baseline.bytes_in.max(candidate.bytes_in) < sent.len() as u64);
    assert_eq!(report.bytes_in, sent.len() as u64);
    // the second time the routes are known
    assert_eq!(
        engine.feed(&sent, 11 * S).unwrap().emitted.out,
        fed.emitted.out
    );
}

#[test]
fn of_a_split_it_is_told_what_of_the_output_is_the_candidates() {
    let division = Division::Split {
        entity: vec!["k".into()],
        percent: 50.0,
    };
    let mut engine = engine(arms(stages("[]"), stages(WINDOW), division));
    let mut written = [0, 0];
    for time in [10, 11] {
        let fed = engine.feed(&keys(100, time), time * S).unwrap();
        // The candidate's are in its window.
        assert_eq!(fed.emitted.candidate, (0, 0));
        written[0] += fed.emitted.points;
    }
    let emitted = engine.tick(100 * S);
    let (bytes, points) = emitted.candidate;
    let theirs = emitted.out.slice(emitted.out.len() - bytes..);
    assert_eq!(
        (read(&theirs).len() as u64, emitted.points),
        (points, points)
    );
    written[1] += points;
    let report = engine.cut();
    let exported = |ledger: &crate::ledger::Ledger| ledger.exported;
    assert!(written[1] > 20);
    assert_eq!(
        written,
        [
            exported(&report.baseline.ledger),
            exported(&report.candidate.unwrap().ledger)
        ]
    );
}

const WINDOW: &str = "[{id: a, aggregate: {match: {}, without: [other], interval: 10s}}]";

#[test]
fn protected_series_pass_every_stage_and_are_measured_in_both_arms() {
    let baseline = pipeline(
        "b",
        "{protect: [{attributes: {k: e1}}], stages: [{id: f, filter: {drop: [{metric: c}]}}]}",
    );
    let candidate = stages("[{id: f, filter: {drop: [{metric: c}]}}]");
    let mut engine = engine(arms(baseline, candidate, Division::Shadow));
    for time in [10, 11] {
        let fed = engine.feed(&keys(3, time), time * S).unwrap();
        assert_eq!((fed.emitted.points, fed.emitted.shadow_points), (1, 0));
        assert_eq!(read(&fed.emitted.out)[0].1, "e1");
    }
    let report = engine.cut();
    let ours = report.baseline.protected;
    let theirs = report.candidate.unwrap().protected;
    assert_eq!(
        (
            ours.points_in,
            ours.points_out,
            ours.series_in,
            ours.series_out
        ),
        (2, 2, 1, 1)
    );
    assert_eq!(
        (
            theirs.points_in,
            theirs.points_out,
            theirs.series_in,
            theirs.series_out
        ),
        (2, 0, 1, 0)
    );
}

#[test]
fn a_panic_ends_the_candidate_alone_and_in_a_split_the_baseline_takes_over() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    for division in [
        Division::Shadow,
        Division::Split {
            entity: vec!["k".into()],
            percent: 50.0,
        },
    ] {
        let split = division != Division::Shadow;
        let held = stages("[{id: e, sample: {match: {}, every: 60s}}]");
        let mut engine = engine(arms(stages("[]"), held, division));
        engine.feed(&keys(100, 10), 10 * S).unwrap();
        engine.candidate.as_mut().unwrap().panics_at = Some(20 * S);
        engine.feed(&keys(100, 20), 20 * S).unwrap();
        let after = engine.feed(&keys(100, 30), 30 * S).unwrap();
        assert_eq!(after.emitted.points, 100, "the baseline has all");
        let report = engine.cut();
        balanced(&report.baseline);
        let candidate = report.candidate.unwrap();
        balanced(&candidate);
        assert_eq!(candidate.panics, 1);
        assert_eq!(
            (candidate.ledger.held, candidate.ledger.dropped["panic"] > 0),
            (0, true)
        );
        if split {
            // the point at which it happened is the candidate's loss; all others are accounted for
            let all = report.baseline.ledger.received + candidate.ledger.received;
            assert!((299..=300).contains(&all), "{all}");
        }
        assert_eq!(engine.finish(90 * S).points, 0);
    }
    std::panic::set_hook(hook);
}

#[test]
fn a_panic_where_a_swap_ends_the_candidate_ends_it_alone() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let chain = "[{id: a, aggregate: {match: {metric: c}, without: [k], rename: x}}, {id: b, aggregate: {match: {metric: x}, by: []}}]";
    let held = stages("[{id: h, aggregate: {match: {}, without: [k]}}]");
    let mut engine = engine(arms(held, stages(chain), Division::Shadow));
    engine.feed(&keys(100, 10), 10 * S).unwrap();
    engine.candidate.as_mut().unwrap().panics_at = Some(23 * S);
    let swapped = engine.swap(Plan::pass_through(), 23 * S);
    std::panic::set_hook(hook);
    assert_eq!((swapped.points, swapped.shadow_points), (1, 0));
    let report = engine.cut();
    balanced(&report.baseline);
    let [candidate] = &report.ended[..] else {
        panic!("{report:?}");
    };
    balanced(candidate);
    assert_eq!((candidate.panics, candidate.ledger.held), (1, 0));
    // A hundred were merged into the one that was under way.
    assert_eq!(
        (candidate.ledger.merged, candidate.ledger.dropped["panic"]),
        (99, 1)
    );
}

#[test]
fn an_output_that_meets_a_passing_series_of_its_identity_is_counted() {
    let fold = "[{id: a, aggregate: {match: {metric: c, attributes: {k: '*'}}, without: [k], interval: 10s}}]";
    let mut engine = engine(alone(stages(fold)));
    let keyless = P {
        keys: vec![],
        ..c("", 5, 1)
    };
    engine
        .feed(&request(&[c("a", 5, 5), keyless.clone()]), 5 * S)
        .unwrap();
    engine.feed(&request(&[c("a", 15, 7)]), 16 * S).unwrap();
    assert_eq!(engine.cut().baseline.identity_conflicts, 1);
}

#[test]
fn explanations_tell_the_fate_and_the_rule() {
    let spec = "{protect: [{attributes: {k: p}}], stages: [{id: f, filter: {drop: [{metric: x}, {attributes: {k: d}}]}}, \
        {id: a, aggregate: {match: {attributes: {k: m}}, without: [k], interval: 10s}}]}";
    let mut engine = engine(alone(pipeline("p", spec)));
    engine
        .feed(&request(&["p", "d", "m", "z"].map(|k| c(k, 5, 5))), 5 * S)
        .unwrap();
    let ask = |k: &str| {
        let answers = engine.explain(Some("c"), &[("k".into(), k.into())], 10);
        assert_eq!(answers.len(), 1);
        (
            answers[0].fate.clone(),
            answers[0].stage.clone(),
            answers[0].rule.clone(),
        )
    };
    assert_eq!(ask("p"), ("protected".into(), None, None));
    assert_eq!(
        ask("d"),
        ("filtered".into(), Some("f".into()), Some("drop[1]".into()))
    );
    assert_eq!(ask("m"), ("aggregated".into(), Some("a".into()), None));
    assert_eq!(ask("z"), ("exported".into(), None, None));
    assert_eq!(
        engine
            .explain(None, &[("host.name".into(), "h".into())], 3)
            .len(),
        3
    );
}

use crate::identity::entity_seed;
