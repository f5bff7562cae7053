//! What an experiment divides by: scope, node; what its arms cost.

use super::*;
use crate::engine::meter::Reading;
use std::cell::Cell;

fn keys(range: std::ops::Range<u64>, time: u64) -> Vec<P> {
    range
        .map(|n| c(&format!("e{n}"), time, n as i64 + time as i64))
        .collect()
}

fn others(range: std::ops::Range<u64>, time: u64) -> Vec<P> {
    let of = |p: P| P {
        metric: "other",
        ..p
    };
    keys(range, time).into_iter().map(of).collect()
}

fn plan(candidate: Arc<Pipeline>, division: Division, scope: &str) -> Arc<Plan> {
    scoped(stages("[]"), candidate, division, scope)
}

fn scoped(
    baseline: Arc<Pipeline>,
    pipeline: Arc<Pipeline>,
    division: Division,
    scope: &str,
) -> Arc<Plan> {
    let candidate = Candidate {
        pipeline,
        experiment: "x1".into(),
        division,
        protect: crate::document::parse_matchers("[{attributes: {k: e1}}]").unwrap(),
        scope: crate::document::parse_matchers(scope).unwrap(),
    };
    Plan::new(baseline, Some(candidate)).unwrap()
}

fn by_node(percent: f64) -> Division {
    Division::Split {
        entity: Vec::new(),
        percent,
    }
}

fn by_key(percent: f64) -> Division {
    Division::Split {
        entity: vec!["k".into()],
        percent,
    }
}

#[test]
fn a_node_is_the_candidates_or_the_baselines_as_a_whole() {
    let none = || stages("[{id: f, filter: {drop: [{metric: c}]}}]");
    for (percent, points, takes) in [(100.0, 0, [0, 20]), (0.0, 20, [20, 0])] {
        let mut engine = engine(plan(none(), by_node(percent), ""));
        let fed = engine.feed(&request(&keys(0..20, 10)), 10 * S).unwrap();
        assert_eq!((fed.emitted.points, fed.emitted.shadow_points), (points, 0));
        let report = engine.cut();
        let candidate = report.candidate.unwrap();
        balanced(&report.baseline);
        balanced(&candidate);
        let took = [report.baseline.ledger.received, candidate.ledger.received];
        assert_eq!(took, takes);
        assert!(candidate.entities.is_none() && report.baseline.unassigned.is_none());
    }
}

#[test]
fn series_out_of_scope_are_the_baselines_alone_in_shadow_and_split() {
    let points: Vec<P> = keys(0..30, 10)
        .into_iter()
        .chain(others(0..7, 10))
        .collect();
    let sent = request(&points);
    let drops = || stages("[{id: f, filter: {drop: [{attributes: {k: e2*}}, {metric: other}]}}]");
    for division in [Division::Shadow, by_key(50.0), by_node(100.0)] {
        let mut engine = engine(plan(drops(), division.clone(), "[{metric: c}]"));
        for time in [10, 11] {
            let fed = engine.feed(&sent, time * S).unwrap();
            let rows = read(&fed.emitted.out);
            let outside = rows.iter().filter(|row| row.0 == "other").count();
            assert_eq!(outside, 7, "{division:?}: none is dropped by the candidate");
            assert!(read(&fed.emitted.shadow).iter().all(|row| row.0 == "c"));
        }
        let report = engine.cut();
        let (baseline, candidate) = (report.baseline, report.candidate.unwrap());
        balanced(&baseline);
        balanced(&candidate);
        let unassigned = baseline.unassigned.unwrap();
        assert_eq!((unassigned.points_in, unassigned.points_out), (14, 14));
        assert_eq!((unassigned.series_in, unassigned.series_out), (7, 7));
        assert_eq!(unassigned.samples, Some((14, 14)));
        let (came, left) = baseline.compared.unwrap();
        assert_eq!(came.exact, baseline.series_in.exact.map(|all| all - 7));
        assert_eq!(left.exact, baseline.series_out.exact.map(|all| all - 7));
        assert_eq!(left.sketch.estimate().round() as u64, left.exact.unwrap());
        assert!(candidate.compared.is_none());
        let inside = baseline.ledger.received - unassigned.points_in;
        match division {
            Division::Shadow => assert_eq!([inside, candidate.ledger.received], [60, 60]),
            Division::Split { .. } => assert_eq!(inside + candidate.ledger.received, 60),
        }
        let inside = baseline.compared_bytes.unwrap();
        assert_eq!(inside.0, baseline.bytes_in - unassigned.bytes_in);
        assert_eq!(inside.1, baseline.bytes_out - unassigned.bytes_out);
        if division == Division::Shadow {
            // What a request of the points in scope alone takes.
            let alone = 2 * request(&keys(0..30, 10)).len() as u64;
            assert_eq!(baseline.bytes_in, 2 * sent.len() as u64);
            assert_eq!(inside, (alone, alone));
            assert_eq!(candidate.bytes_in, alone);
            let left = candidate.bytes_out;
            assert_eq!(candidate.compared_bytes, Some((alone, left)));
        }
    }
}

#[test]
fn arms_of_a_split_that_do_nothing_write_the_bytes_that_came() {
    let points: Vec<P> = keys(0..30, 10)
        .into_iter()
        .chain(others(0..7, 10))
        .collect();
    for division in [by_key(10.0), by_key(50.0), by_node(0.0), by_node(100.0)] {
        let mut engine = engine(plan(stages("[]"), division, ""));
        let mut written = 0;
        for time in [10, 11] {
            let fed = engine.feed(&request(&points), time * S).unwrap();
            written += fed.emitted.out.len() as u64;
        }
        let report = engine.cut();
        // What surrounds points counts in both arms, and once in what came.
        assert_eq!(report.bytes_in, 2 * request(&points).len() as u64);
        assert_eq!(engine.cut().bytes_in, 0);
        let arms = [report.baseline, report.candidate.unwrap()];
        for arm in &arms {
            assert_eq!(arm.bytes_in, arm.bytes_out);
            assert_eq!(arm.compared_bytes, Some((arm.bytes_in, arm.bytes_out)));
        }
        assert_eq!(arms[0].bytes_out + arms[1].bytes_out, written);
    }
}

/// Bytes of a shadow of the same stages over these requests, of the metric `c`: what the baseline has of it, and the
/// candidate.
fn bytes_of_the_same(same: &str, requests: &[Bytes]) -> [(u64, u64); 2] {
    let mut engine = engine(scoped(
        stages(same),
        stages(same),
        Division::Shadow,
        "[{metric: c}]",
    ));
    for (second, request) in (10..).zip(requests) {
        engine.feed(request, second * S).unwrap();
    }
    engine.tick(200 * S);
    let report = engine.cut();
    let of = |arm: ArmFigures| arm.compared_bytes.unwrap();
    [of(report.baseline), of(report.candidate.unwrap())]
}

#[test]
fn what_outputs_take_is_told_by_scope_wherever_a_stage_divides_what_it_writes() {
    // More outputs than a piece, of one resource, those out of scope between the others.
    let points = |time: u64| -> Vec<P> {
        let both = (0..1500).map(|n| (keys(n..n + 1, time), others(n..n + 1, time)));
        both.flat_map(|(inside, outside)| inside.into_iter().chain(outside))
            .collect()
    };
    let requests = [request(&points(10)), request(&points(11))];
    for same in [
        "[{id: a, aggregate: {match: {}, without: [client], interval: 10s}}]",
        "[{id: e, sample: {match: {}, every: 10s}}]",
        "[{id: t, temporality: {match: {}, to: delta}}]",
        "[{id: t, transform: {match: {}, ops: [{set: {attribute: env, value: x}}]}}]",
        "[{id: d, filter: {drop: [{attributes: {k: e1*}}]}}]",
    ] {
        let [ours, theirs] = bytes_of_the_same(same, &requests);
        assert_eq!(ours, theirs, "{same}");
        assert!(theirs.1 > 1000, "{same}: {theirs:?}");
    }
}

/// A request in which every host comes four times, not next to each other: of each its counters `c`, then what is
/// out of scope.
fn repeated(hosts: &[&str], time: u64) -> Bytes {
    let called = |p: P| P {
        keys: vec![("client", "a".into()), p.keys[0].clone()],
        ..p
    };
    let mut sent = Vec::new();
    for row in 0..4 {
        let numbers = || 3 * row..3 * row + 3;
        let points = keys(numbers(), time)
            .into_iter()
            .chain(others(numbers(), time));
        let points: Vec<P> = points.map(called).collect();
        for host in hosts {
            for part in points.chunks(3) {
                sent.extend_from_slice(&request_of(host, part));
            }
        }
    }
    sent.into()
}

/// What pipelines do that write the points of a scope anew, in as many bytes.
const IN_AS_MANY_BYTES: [&str; 3] = [
    "[{id: t, transform: {match: {}, ops: [{rename_attribute: {from: client, to: person}}]}}]",
    "[{id: t, transform: {match: {}, ops: [{set: {attribute: a, value: x, level: resource}}, \
        {remove: {attribute: a, constant: x, level: resource}}, {rename_attribute: {from: client, to: person}}]}}]",
    "[{id: q, quantise: {match: {type: gauge}, digits: 15}}, \
        {id: t, transform: {match: {}, ops: [{rename_attribute: {from: client, to: person}}]}}]",
];

#[test]
fn what_a_sender_repeats_and_a_candidate_writes_anew_is_not_saved() {
    let candidates = IN_AS_MANY_BYTES.iter().chain(&["[]"]);
    for candidate in candidates {
        for (division, scope) in [
            (Division::Shadow, "[{metric: c}]"),
            (Division::Shadow, "[{attributes: {host.name: h1}}]"),
        ] {
            for [ours, theirs] in [["[]", candidate], [candidate, "[]"], [candidate, candidate]] {
                let plan = scoped(stages(ours), stages(theirs), division.clone(), scope);
                let mut engine = engine(plan);
                let sent = repeated(&["h1", "h2"], 10);
                let fed = engine.feed(&sent, 10 * S).unwrap();
                let report = engine.cut();
                let candidate = report.candidate.unwrap();
                let bytes = candidate.compared_bytes.unwrap();
                assert_eq!(bytes.1, fed.emitted.shadow.len() as u64);
                assert_eq!(bytes.0, bytes.1, "{ours} {theirs} {scope}");
                assert_eq!(report.baseline.compared_bytes, Some(bytes));
            }
        }
    }
}

#[test]
fn a_split_parts_hosts_that_a_sender_repeats_and_nobody_saves_by_it() {
    let hosts: Vec<String> = (0..10).map(|n| format!("h{n}")).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let by_host = Division::Split {
        entity: vec!["host.name".into()],
        percent: 30.0,
    };
    for candidate in IN_AS_MANY_BYTES {
        let mut engine = engine(plan(stages(candidate), by_host.clone(), ""));
        let fed = engine.feed(&repeated(&hosts, 10), 10 * S).unwrap();
        let report = engine.cut();
        let arms = [report.baseline, report.candidate.unwrap()];
        for arm in &arms {
            assert!(arm.bytes_in > 0);
            assert_eq!(arm.compared_bytes, Some((arm.bytes_in, arm.bytes_in)));
        }
        let written = arms[0].bytes_out + arms[1].bytes_out;
        assert_eq!(written, fed.emitted.out.len() as u64);
    }
}

#[test]
fn a_candidate_that_merges_what_a_sender_repeats_takes_what_it_would_alone() {
    let merges = "[{id: a, aggregate: {match: {}, without: [client], interval: 10s}}]";
    let plan = plan(stages(merges), Division::Shadow, "[{metric: c}]");
    let mut both = engine(plan);
    let mut alone = engine(alone(stages(merges)));
    let only_c = |time| {
        let parts = repeated(&["h1", "h2"], time);
        let data = pb::MetricsData::decode(&parts[..]).unwrap();
        let inside = data.resource_metrics.into_iter().filter(|resource| {
            let metrics = &resource.scope_metrics[0].metrics;
            metrics.iter().all(|metric| metric.name == "c")
        });
        let resource_metrics = inside.collect();
        Bytes::from(pb::MetricsData { resource_metrics }.encode_to_vec())
    };
    for time in [10, 15] {
        both.feed(&repeated(&["h1", "h2"], time), time * S).unwrap();
        alone.feed(&only_c(time), time * S).unwrap();
    }
    both.tick(60 * S);
    alone.tick(60 * S);
    let (both, alone) = (both.cut(), alone.cut().baseline);
    let bytes = both.candidate.unwrap().compared_bytes.unwrap();
    assert_eq!(bytes, (alone.bytes_in, alone.bytes_out));
    let baseline = both.baseline.compared_bytes.unwrap();
    assert_eq!(baseline, (alone.bytes_in, alone.bytes_in));
    assert!(bytes.1 > 0 && bytes.1 < baseline.1);
}

#[test]
fn protected_series_out_of_scope_are_no_loss_of_the_candidate() {
    let mut engine = engine(plan(stages("[]"), Division::Shadow, "[{metric: c}]"));
    let points: Vec<P> = keys(0..3, 10).into_iter().chain(others(0..3, 10)).collect();
    engine.feed(&request(&points), 10 * S).unwrap();
    let report = engine.cut();
    let counts = |arm: &ArmFigures| (arm.protected.points_in, arm.protected.points_out);
    assert_eq!(counts(&report.baseline), (1, 1));
    assert_eq!(counts(&report.candidate.unwrap()), (1, 1));
}

#[test]
fn a_pipeline_against_itself_says_the_same_in_both_arms() {
    let same = "[{id: f, filter: {drop: [{attributes: {k: e1*}}]}}, \
        {id: a, aggregate: {match: {}, without: [k], interval: 10s}}]";
    for division in [Division::Shadow, by_node(0.0), by_node(100.0)] {
        let shadow = division == Division::Shadow;
        let mut engine = engine(scoped(stages(same), stages(same), division, ""));
        let mut outs = [Vec::new(), Vec::new()];
        for time in [5, 12, 25, 40] {
            let fed = engine.feed(&request(&keys(0..25, time)), time * S).unwrap();
            outs[0].extend(read(&fed.emitted.out));
            outs[1].extend(read(&fed.emitted.shadow));
        }
        assert_eq!(outs[0] == outs[1], shadow);
        assert!(!outs[0].is_empty());
        let report = engine.cut();
        let (ours, theirs) = (report.baseline, report.candidate.unwrap());
        assert_eq!(ours.hash, theirs.hash);
        balanced(&ours);
        balanced(&theirs);
        assert_eq!(ours.ledger == theirs.ledger, shadow);
    }
}

#[test]
fn a_counter_that_the_baseline_takes_over_in_mid_request_loses_no_increment() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let fold = stages("[{id: a, aggregate: {match: {}, without: [host.name], interval: 10s}}]");
    let mut engine = engine(scoped(fold, stages("[]"), by_key(50.0), ""));
    engine.feed(&request(&keys(0..40, 10)), 10 * S).unwrap();
    // The last of the candidate's entities to be met panics, at its second point.
    engine.candidate.as_mut().unwrap().panics_at = Some(21 * S);
    let points: Vec<P> = [20, 21, 22]
        .into_iter()
        .flat_map(|t| keys(0..40, t))
        .collect();
    engine.feed(&request(&points), 22 * S).unwrap();
    let report = engine.cut();
    std::panic::set_hook(hook);
    let (ours, theirs) = (report.baseline, report.candidate.unwrap());
    balanced(&ours);
    balanced(&theirs);
    assert_eq!(theirs.panics, 1);
    let seen = ours.ledger.received + theirs.ledger.received;
    assert_eq!(
        seen,
        40 + 3 * 40 - 1,
        "the point at which it happened is lost"
    );
    let stage = &ours.stages[0];
    let behind = |reason: &str| stage.counts.get(reason).copied().unwrap_or(0);
    assert_eq!((behind("duplicate"), behind("out_of_order")), (0, 0));
}

thread_local! {
    static LOOKS: Cell<u64> = const { Cell::new(0) };
}

/// Every look costs 10 of CPU and 100 of time.
fn looks() -> Reading {
    let n = LOOKS.with(|looks| looks.replace(looks.get() + 1));
    Reading {
        cpu: n * 10,
        wall: n * 100,
    }
}

fn measured(plan: Arc<Plan>) -> Engine {
    let settings = Settings {
        clock: Some(looks),
        ..Settings::default()
    };
    Engine::new(settings, plan, 0)
}

#[test]
fn arms_are_measured_apart_only_while_there_are_two_and_a_clock() {
    let shadow = || plan(stages("[]"), Division::Shadow, "");
    let sent = request(&keys(0..5, 10));
    let mut without = engine(shadow());
    without.feed(&sent, 10 * S).unwrap();
    let report = without.cut();
    assert_eq!((report.shared_cpu, report.baseline.cpu), (None, None));
    let mut alone = measured(Plan::pass_through());
    let before = LOOKS.with(Cell::get);
    alone.feed(&sent, 10 * S).unwrap();
    alone.tick(11 * S);
    assert_eq!(LOOKS.with(Cell::get), before, "the clock is not looked at");
    assert_eq!(alone.cut().baseline.cpu, None);

    let mut both = measured(shadow());
    for time in [10, 11] {
        both.feed(&request(&keys(0..5, time)), time * S).unwrap();
    }
    let first = both.cut();
    let candidate = first.candidate.unwrap();
    // Of the first request windows, the way and the point of each new series, what stays; of the second
    // windows, all points at once, what stays.
    assert_eq!((first.baseline.cpu, candidate.cpu), (Some(150), Some(150)));
    assert!(first.shared_cpu.unwrap() > 0);
    let latency = candidate.latency.unwrap();
    assert_eq!((latency.count, latency.sum, latency.max), (2, 1500, 1200));
    both.tick(20 * S);
    let second = both.cut();
    assert_eq!(
        second.baseline.cpu,
        Some(10),
        "windows are closed, no request came"
    );
    assert_eq!(second.baseline.latency.unwrap().count, 0);
    let swapped = both.swap(Plan::pass_through(), 21 * S);
    assert_eq!(swapped.points, 0);
    both.cut();
    assert_eq!(both.cut().baseline.cpu, None);
}

#[test]
fn attributes_are_counted_in_the_first_whole_window_alone() {
    let drops = stages("[{id: f, filter: {drop: [{attributes: {k: e2*}}]}}]");
    let mut engine = engine(plan(drops, Division::Shadow, ""));
    let mut feed = |time: u64| {
        engine.feed(&request(&keys(0..30, time)), time * S).unwrap();
        let report = engine.cut();
        let of = |arm: ArmFigures| {
            let rows = arm.attributes?;
            let row = rows.into_iter().find(|row| row.key == "k")?;
            Some((row.series, row.values))
        };
        (of(report.baseline), report.candidate.and_then(of))
    };
    assert_eq!(feed(1), (None, None), "the swap");
    assert_eq!(feed(2), (None, None), "the window it began in");
    assert_eq!(feed(3), (Some((30, Some(30))), Some((19, Some(19)))));
    assert_eq!(feed(4), (None, None));
}
