//! Protected queries: what is read of PromQL (the table of docs/queries.md), the server's part, and how
//! both arms are compared.

use crate::world::{arm, criteria, report};
use phoenix_analysis::query::fleet::Fleet;
use phoenix_analysis::query::{Fault, ask};
use phoenix_analysis::{
    Arm, Criteria, Criterion, Guardrails, Measure, Mode, Outcome, ProtectedQuery, Ruling, Window,
    judge,
};
use phoenix_engine::query::partial::{Group, Labels, Partial, Partials, Step, Volume};
use phoenix_engine::query::{Function, Grouping};
use proptest::prelude::*;
use std::fmt::Write;
use std::path::Path;

/// One of each kind of expression, with a window of 10 s.
const EXPRESSIONS: [&str; 44] = [
    "sum by (job) (rate(http_requests_total[5m]))",
    "sum(increase(http_requests_total{code=~\"5..\"}[1m]))",
    "avg without (instance) (process_memory_usage_bytes)",
    "max by (host_name) (rate(process_cpu_time_seconds_total[1m]))",
    "min(up)",
    "count by (job) (process_threads)",
    "rate(http_requests_total{job=\"api\"}[1m])",
    "process_memory_usage_bytes{host_name!=\"a\"}",
    "{\"process.cpu.time\", state!~\"idle\"}",
    "histogram_quantile(0.99, sum by (le, job) (rate(http_request_duration_seconds_bucket[5m])))",
    "sum(rate(errors_total[5m])) / sum(rate(requests_total[5m]))",
    "sum by (job) (rate(a_total[1m])) / on (job) sum by (job, x) (rate(b_total[1m]))",
    "100 * (1 - avg by (host) (rate(idle_total[1m])))",
    "sum by (job) (rate(a_total[1m])) > 0.5",
    "sum(a) > bool 3",
    "sum by (x) (a) and on (x) sum by (x) (b) > 2",
    "sum by (x) (a) or sum by (x) (b) unless sum by (x) (c)",
    "max(sum by (host) (rate(a_total[1m])))",
    "sum(a * 2)",
    "clamp_max(abs(-sum(a)), 1e3)",
    "-2 ^ 2 + sum(a) # a comment",
    "avg(rate(a_total[3h]))",
    "rate(a_total[15s])",
    "irate(a_total[1m])",
    "sum_over_time(a[5m])",
    "max_over_time(rate(a_total[1m])[10m:1m])",
    "sum(rate(a_total[1m] offset 5m))",
    "sum(a @ 1609746000)",
    "topk(3, a)",
    "quantile(0.9, a)",
    "sum by (x) (a) * on (x) group_left sum by (x) (b)",
    "absent(a)",
    "label_replace(a, \"x\", \"$1\", \"y\", \"(.*)\")",
    "histogram_quantile(scalar(q), sum by (le) (rate(b_bucket[1m])))",
    "1 + 1",
    "time() - max(a)",
    "sum(rate(a_total))",
    "a[5m]",
    "sum by job (a)",
    "sum(a",
    "{}",
    "{job=~\".*(\"}",
    "a = b",
    "\"text\"",
];

fn guardrails(expr: &str) -> Guardrails {
    Guardrails {
        queries: vec![ProtectedQuery {
            name: "q".into(),
            expr: expr.into(),
            tolerance: 0.01,
        }],
        ..Guardrails::default()
    }
}

#[test]
fn the_table_of_the_docs_says_what_is_read_of_promql() {
    let mut table = String::from("| query | |\n| --- | --- |\n");
    for expr in EXPRESSIONS {
        let asked = ask(&guardrails(expr), 10_000);
        let said = match &asked.queries[0].1 {
            Ok(_) => "checked".to_string(),
            Err(fault @ Fault::Unsupported(_)) => fault.to_string(),
            Err(fault @ Fault::Syntax(_)) => {
                assert_eq!(asked.problems.len(), 1, "{expr}");
                format!("refused: {fault}")
            }
        };
        let _ = writeln!(table, "| `{}` | {said} |", expr.replace('|', "\\|"));
    }
    let (from, to) = ("<!-- made by a test: expressions -->\n", "<!-- end -->");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/queries.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(from).expect("a mark");
    let (kept, after) = rest.split_once(to).expect("a mark");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{from}{table}{to}{after}")).unwrap();
    } else {
        assert_eq!(
            kept, table,
            "docs/queries.md has drifted: run `UPDATE=1 cargo test -p phoenix-analysis --test it queries`"
        );
    }
}

#[test]
fn queries_share_their_innermost_aggregations_and_only_sums_are_added_up_over_steps() {
    let mut rails =
        guardrails("sum(rate(a_total[1m])) / sum(rate(a_total[5m])) + max(rate(a_total[1m]))");
    rails.queries.push(ProtectedQuery {
        name: "r".into(),
        expr: "sum(increase(a_total[1m])) + topk(1, b)".into(),
        tolerance: 0.01,
    });
    let asked = ask(&rails, 10_000);
    let functions: Vec<Function> = asked.inner.inner.iter().map(|i| i.function).collect();
    // What is not evaluated asks nothing of agents.
    assert_eq!(functions, [Function::Increase, Function::IncreaseOver(6)]);
    assert_eq!(asked.inner.inner[0].grouping, Grouping::By(Vec::new()));
    let read = phoenix_engine::query::Queries::parse(&asked.for_agents()).unwrap();
    assert_eq!(read, asked.inner);
    assert_eq!(asked.unchecked().len(), 1);
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(k, v)| ((*k).into(), (*v).into()))
        .collect()
}

/// What one arm found in the step that is the report's own window.
fn found(slot: u64, groups: &[(u32, Labels, f64)]) -> Partials {
    let end_ms = 1_000_000 + (slot + 1) * crate::world::WINDOW_MS;
    let steps = groups.iter().map(|(inner, labels, value)| Step {
        inner: *inner,
        end_ms,
        groups: vec![Group {
            labels: labels.clone(),
            value: Partial::of(*value),
        }],
    });
    Partials {
        from_ms: end_ms - crate::world::WINDOW_MS,
        until_ms: end_ms,
        steps: steps.collect(),
        ..Partials::default()
    }
}

type Groups = Vec<(u32, Labels, f64)>;

/// A warm-up window and `n` more; what each arm found, by window.
fn windows(n: u64, groups: impl Fn(u64) -> (Groups, Groups)) -> Vec<Window> {
    let of = |slot, groups: &Groups, kept| Arm {
        queries: Some(found(slot, groups)),
        ..arm(1000, kept)
    };
    (0..=n)
        .map(|slot| {
            let (baseline, candidate) = groups(slot);
            report(
                "default/default/a",
                slot,
                of(slot, &baseline, 1000),
                of(slot, &candidate, 400),
            )
        })
        .collect()
}

fn asking(rails: Guardrails) -> Criteria {
    let mut criteria = criteria(Mode::Shadow, Measure::Points, 0.2);
    criteria.guardrails = Guardrails {
        protects: true,
        ..rails
    };
    criteria
}

fn judged(rails: Guardrails, windows: &[Window], name: &str) -> (Outcome, Criterion) {
    let verdict = judge(&asking(rails), windows);
    let found = verdict.criteria.into_iter().find(|c| c.name == name);
    (
        verdict.outcome,
        found.unwrap_or_else(|| panic!("no {name}")),
    )
}

fn one(value: f64) -> Groups {
    vec![(0, labels(&[("job", "a")]), value)]
}

#[test]
fn answers_are_found_by_what_was_asked_and_not_by_its_place_in_a_list() {
    let rails = |exprs: &[&str]| Guardrails {
        queries: exprs
            .iter()
            .map(|expr| guardrails(expr).queries.remove(0))
            .collect(),
        ..Guardrails::default()
    };
    let (a, b, c) = ("sum(a)", "sum(b)", "sum(c)");
    let keys = ask(&rails(&[a, b]), 10_000).inner.keys();
    // Both arms agree on `a`; on `b` the candidate is wrong.
    let mut all = windows(12, |_| {
        let of = |second| vec![(0, labels(&[]), 5.0), (1, labels(&[]), second)];
        (of(7.0), of(9.0))
    });
    for window in &mut all {
        for arm in [&mut window.baseline, &mut window.candidate] {
            arm.as_mut().unwrap().query_keys.clone_from(&keys);
        }
    }
    for (exprs, outcomes) in [
        ([a, b], [Ruling::Pass, Ruling::Harm]),
        ([b, a], [Ruling::Harm, Ruling::Pass]),
        ([c, a], [Ruling::Unknown, Ruling::Pass]),
    ] {
        let verdict = judge(&asking(rails(&exprs)), &all);
        let found = verdict.criteria.iter();
        let found: Vec<Ruling> = found
            .filter(|c| c.name.starts_with("query"))
            .map(|c| c.outcome)
            .collect();
        assert_eq!(found, outcomes, "{exprs:?}");
    }
}

#[test]
fn values_within_the_tolerance_pass_and_one_beyond_it_is_harm_with_its_group_and_time() {
    let rails = || guardrails("sum by (job) (increase(a_total[10s]))");
    let close = windows(8, |_| (one(100.0), one(100.9)));
    let (outcome, found) = judged(rails(), &close, "query q");
    assert_eq!(
        (outcome, found.outcome),
        (Outcome::Promote, Ruling::Pass),
        "{found:#?}"
    );
    let far = windows(8, |slot| {
        (one(100.0), one(if slot == 5 { 80.0 } else { 100.0 }))
    });
    let (outcome, found) = judged(rails(), &far, "query q");
    assert_eq!(
        (outcome, found.outcome),
        (Outcome::Reject, Ruling::Harm),
        "{found:#?}"
    );
    let worst = &found.figures["worst"];
    assert_eq!(worst["labels"]["job"], "a");
    assert_eq!(worst["atMs"], 1_060_000);
    assert!((worst["error"].as_f64().unwrap() - 0.2).abs() < 1e-12);
    assert!(found.reason.contains("job=\"a\""), "{}", found.reason);
    // Before there are windows enough nothing is said.
    let (outcome, found) = judged(rails(), &far[..7], "query q");
    assert_eq!(found.outcome, Ruling::Harm, "{outcome:?}");
    let (_, found) = judged(rails(), &far[..6], "query q");
    assert_eq!(found.outcome, Ruling::Unknown);
}

#[test]
fn no_data_on_the_candidate_is_harm_and_none_on_the_baseline_is_not_checked() {
    let rails = || guardrails("sum by (job) (increase(a_total[10s]))");
    let lost = windows(8, |_| (one(100.0), Vec::new()));
    let (outcome, found) = judged(rails(), &lost, "query q");
    assert_eq!((outcome, found.outcome), (Outcome::Reject, Ruling::Harm));
    assert_eq!(found.figures["missing"], 8);
    let nothing = windows(8, |_| (Vec::new(), one(1.0)));
    let (outcome, found) = judged(rails(), &nothing, "query q");
    assert_eq!(
        (outcome, found.outcome),
        (Outcome::Inconclusive, Ruling::Unknown)
    );
    assert!(found.reason.contains("matched nothing"), "{}", found.reason);
}

#[test]
fn what_is_not_evaluated_or_was_cut_short_is_unknown_and_never_met() {
    let same = windows(8, |_| (one(1.0), one(1.0)));
    for expr in ["topk(1, a)", "sum(a", "rate(a_total[7s])"] {
        let verdict = judge(&asking(guardrails(expr)), &same);
        assert_eq!(verdict.outcome, Outcome::Inconclusive, "{expr}");
    }
    let mut cut = same.clone();
    let arm = cut[4].candidate.as_mut().unwrap();
    let queries = arm.queries.as_mut().unwrap();
    queries
        .unchecked
        .insert(0, "more than 500 groups on an agent".into());
    let (outcome, found) = judged(guardrails("sum by (job) (a)"), &cut, "query q");
    assert_eq!(
        (outcome, found.outcome),
        (Outcome::Inconclusive, Ruling::Unknown)
    );
    assert!(
        found.reason.contains("more than 500 groups"),
        "{}",
        found.reason
    );
}

#[test]
fn a_range_is_added_up_over_steps_that_are_all_known_and_operators_are_the_servers() {
    let rails = || guardrails("sum(rate(a_total[30s])) / sum(b) * 100");
    let all = |slot: u64| {
        let a = (0, Labels::new(), slot as f64);
        let b = (1, Labels::new(), 2.0);
        (vec![a.clone(), b.clone()], vec![a, b])
    };
    let mut reports = windows(13, all);
    reports[5].void_reason = "stalled".into();
    let (_, found) = judged(rails(), &reports, "query q");
    assert_eq!(found.outcome, Ruling::Pass, "{found:#?}");
    // Windows 1 to 13 without 5: the ranges that end in 3, 4, and from 8 on are whole.
    assert_eq!(found.figures["steps"], 8);
    let (_, found) = judged(rails(), &reports[..10], "query q");
    assert_eq!(found.outcome, Ruling::Unknown, "too few steps: {found:#?}");
    let worse = windows(9, |slot| {
        let (baseline, mut candidate) = all(slot);
        candidate[1].2 = 2.5;
        (baseline, candidate)
    });
    let (_, found) = judged(rails(), &worse, "query q");
    // (7 + 8 + 9) / 30 s / 2 * 100 against the same / 2.5: 20 % less at every step.
    assert!((found.figures["worst"]["error"].as_f64().unwrap() - 0.2).abs() < 1e-9);
    assert_eq!(found.figures["beyond"], 7);
}

#[test]
fn quantiles_are_taken_of_merged_buckets() {
    let rails = guardrails("histogram_quantile(0.5, sum by (le) (increase(b_bucket[10s])))");
    let buckets = |low: f64| -> Groups {
        [("0.1", low), ("0.5", 8.0), ("+Inf", 10.0)]
            .map(|(le, n)| (0, labels(&[("le", le)]), n))
            .to_vec()
    };
    let moved = windows(8, |_| (buckets(2.0), buckets(5.0)));
    let (_, found) = judged(rails, &moved, "query q");
    // 0.1 + 0.4 * (5 - 2) / 6 = 0.3 on the baseline, 0.1 on the candidate.
    let worst = &found.figures["worst"];
    assert!(
        (worst["baseline"].as_f64().unwrap() - 0.3).abs() < 1e-9,
        "{worst}"
    );
    assert!(
        (worst["candidate"].as_f64().unwrap() - 0.1).abs() < 1e-9,
        "{worst}"
    );
}

fn rules(pending: &str) -> Guardrails {
    Guardrails {
        rules: format!(
            "groups:\n- name: g\n  rules:\n  - record: r\n    expr: sum(x)\n  - alert: High\n    expr: sum by (job) (a) > 10\n    for: {pending}\n"
        ),
        ..Guardrails::default()
    }
}

/// The alert's value is `high` in these windows, else 1.
fn course(high: &[u64], slot: u64) -> Groups {
    one(if high.contains(&slot) { 20.0 } else { 1.0 })
}

#[test]
fn alerts_are_decided_with_their_for_and_missed_extra_and_late_ones_are_told() {
    let judge_of = |baseline: &[u64], candidate: &[u64]| {
        let all = windows(12, |slot| (course(baseline, slot), course(candidate, slot)));
        judged(rules("20s"), &all, "alert High").1
    };
    let alike = judge_of(&[4, 5, 6, 7], &[4, 5, 6, 7]);
    assert_eq!(
        (alike.outcome, &alike.figures["baseline"]),
        (Ruling::Pass, &1.into())
    );
    let short = judge_of(&[4, 5], &[]);
    assert_eq!(
        (short.outcome, &short.figures["baseline"]),
        (Ruling::Pass, &0.into()),
        "never long enough"
    );
    let missed = judge_of(&[4, 5, 6, 7], &[4, 5]);
    assert_eq!(missed.outcome, Ruling::Harm);
    assert_eq!(
        missed.figures["missed"][0]["fromMs"], 1_070_000,
        "{missed:#?}"
    );
    let extra = judge_of(&[], &[4, 5, 6, 7]);
    assert_eq!(
        (
            extra.outcome,
            extra.figures["extra"].as_array().unwrap().len()
        ),
        (Ruling::Harm, 1)
    );
    let late = judge_of(&[4, 5, 6, 7, 8, 9, 10], &[7, 8, 9, 10]);
    assert_eq!(late.outcome, Ruling::Harm);
    assert_eq!(late.figures["delayed"][0]["byMs"], 30_000);
    let step = judge_of(&[4, 5, 6, 7, 8], &[5, 6, 7, 8]);
    assert_eq!(
        step.outcome,
        Ruling::Pass,
        "one evaluation later is no delay: {step:#?}"
    );
    let open = judge_of(&[10, 11, 12], &[]);
    assert_eq!(
        open.outcome,
        Ruling::Unknown,
        "the candidate may follow: {open:#?}"
    );
}

#[test]
fn an_alert_whose_data_the_candidate_lost_is_missed() {
    let high = [4, 5, 6, 7];
    let lost = windows(12, |slot| {
        let candidate = if slot < 4 {
            course(&high, slot)
        } else {
            Vec::new()
        };
        (course(&high, slot), candidate)
    });
    let (outcome, found) = judged(rules("10s"), &lost, "alert High");
    assert_eq!((outcome, found.outcome), (Outcome::Reject, Ruling::Harm));
    assert!(found.reason.contains("misses 1"), "{}", found.reason);
}

#[test]
fn rules_that_cannot_be_read_are_problems_with_paths() {
    let rails = |rules: &str| Guardrails {
        rules: rules.into(),
        ..Guardrails::default()
    };
    let path = |rules: &str| ask(&rails(rules), 10_000).problems[0].path.clone();
    assert_eq!(
        path("groups: [ { rules: [ { alert: A, expr: 'sum(', for: 1m } ] } ]"),
        "rules.groups[0].rules[0].expr"
    );
    assert_eq!(
        path("groups: [ { rules: [ { alert: A, expr: a, for: soon } ] } ]"),
        "rules.groups[0].rules[0].for"
    );
    assert_eq!(
        path("groups: [ { rules: [ { alert: A } ] } ]"),
        "rules.groups[0].rules[0].expr"
    );
    let asked = ask(
        &rails("groups: [ { rules: [ { alert: A, expr: a > 1, keep_firing_for: 5m } ] } ]"),
        10_000,
    );
    assert_eq!(
        asked.unchecked()[0].1,
        "not checked: `keep_firing_for` is not evaluated"
    );
}

#[test]
fn the_order_of_reports_changes_nothing_and_a_split_does_not_ask() {
    let far = windows(8, |slot| (one(100.0), one(100.0 - slot as f64)));
    let criteria = asking(guardrails("sum by (job) (increase(a_total[10s]))"));
    let mut turned = far.clone();
    turned.reverse();
    assert_eq!(judge(&criteria, &far), judge(&criteria, &turned));
    let split = Criteria {
        mode: Mode::Split,
        ..criteria
    };
    let verdict = judge(&split, &far);
    let found = verdict
        .criteria
        .iter()
        .find(|c| c.name == "queries")
        .unwrap();
    assert_eq!(found.outcome, Ruling::NotAsked);
}

proptest! {
    /// Partials dealt to any number of agents, in the report of their own window or a later one, are
    /// judged as those of one agent.
    #[test]
    fn partials_of_many_agents_and_late_reports_are_one_fleets(
        values in prop::collection::vec((0..200u32, 0..200u32), 9),
        agents in 1..5usize,
        late in prop::collection::vec(any::<bool>(), 9),
    ) {
        let whole = windows(8, |slot| {
            let (a, b) = values[slot as usize];
            (one(f64::from(a)), one(f64::from(b)))
        });
        let mut parts = Vec::new();
        for n in 0..agents {
            let mut own: Vec<Window> = whole.clone();
            for window in &mut own {
                window.agent = format!("default/default/{n}");
                for arm in [&mut window.baseline, &mut window.candidate] {
                    let found = arm.as_mut().unwrap().queries.as_mut().unwrap();
                    for group in found.steps.iter_mut().flat_map(|s| &mut s.groups) {
                        // Shares of a power of two add up exactly.
                        let share = 0.5_f64.powi((n + 1).min(agents - 1) as i32);
                        group.value.sum *= share;
                    }
                }
            }
            for slot in 1..8 {
                if !late[slot] { continue }
                for side in 0..2 {
                    let arm = |w: &mut Window| -> Partials {
                        let arm = if side == 0 { &mut w.baseline } else { &mut w.candidate };
                        std::mem::take(arm.as_mut().unwrap().queries.as_mut().unwrap())
                    };
                    let mut moved = arm(&mut own[slot]);
                    let next = arm(&mut own[slot + 1]);
                    moved.steps.extend(next.steps);
                    let until = next.until_ms.max(moved.until_ms);
                    let into = if side == 0 { &mut own[slot + 1].baseline } else { &mut own[slot + 1].candidate };
                    into.as_mut().unwrap().queries = Some(Partials { from_ms: moved.from_ms, until_ms: until, ..moved });
                }
            }
            parts.extend(own);
        }
        let criteria = asking(guardrails("sum by (job) (increase(a_total[20s]))"));
        let of = |windows: &[Window]| {
            let verdict = judge(&criteria, windows);
            verdict.criteria.into_iter().find(|c| c.name == "query q").unwrap()
        };
        prop_assert_eq!(of(&whole), of(&parts));
    }
}

/// A window of an agent, with what both arms told of the steps in (from, until].
fn told(agent: &str, start_ms: u64, from_ms: u64, until_ms: u64, series: u64) -> Window {
    let ends = (from_ms..until_ms).step_by(10).map(|start| start + 10);
    let partials = Partials {
        from_ms,
        until_ms,
        volume: ends
            .map(|end_ms| Volume {
                end_ms,
                series,
                samples: 2 * series,
            })
            .collect(),
        ..Partials::default()
    };
    Window {
        agent: agent.into(),
        start_ms,
        baseline: Some(Arm {
            queries: Some(partials),
            ..Arm::default()
        }),
        ..Window::default()
    }
}

#[test]
fn an_account_of_a_fleet_is_whole_where_every_agent_that_writes_has_told() {
    let windows = [
        told("a", 0, 10, 30, 3),
        told("a", 30, 30, 60, 3),
        // It came at 25, and tells from 40 on.
        told("b", 25, 40, 60, 5),
    ];
    let known = |expected: &[&str]| -> Vec<(u64, Option<u64>)> {
        let expected = expected.iter().map(|a| (*a).to_string()).collect();
        let fleet = Fleet::whole(10, 0, &windows, &expected);
        let series = |end| fleet.volume.get(end).map(|v: &Volume| v.series);
        fleet.known.iter().map(|end| (*end, series(end))).collect()
    };
    let whole = [(20, Some(3)), (50, Some(8)), (60, Some(8))];
    assert_eq!(known(&[]), whole);
    assert_eq!(known(&["a"]), whole);
    assert_eq!(known(&["a", "b"]), whole[1..]);
    assert_eq!(known(&["a", "silent"]), []);
    // One that has too many series tells no volume.
    let mut uncounted = told("b", 25, 40, 60, 5);
    let arm = uncounted.baseline.as_mut().unwrap();
    arm.queries.as_mut().unwrap().volume.clear();
    let windows = [windows[0].clone(), windows[1].clone(), uncounted];
    let fleet = Fleet::whole(10, 0, &windows, &Default::default());
    assert_eq!(fleet.known.len(), 3);
    assert_eq!(fleet.volume.keys().collect::<Vec<_>>(), [&20]);
    // What an arm does not write is nothing, not unknown.
    let fleet = Fleet::whole(10, 1, &windows[..2], &Default::default());
    assert_eq!(
        fleet.volume[&50],
        Volume {
            end_ms: 0,
            series: 0,
            samples: 0
        }
    );
}

#[test]
fn a_report_vouches_for_so_many_steps_however_long_its_range_is() {
    let whole = |from_ms: u64, until_ms: u64| {
        let mut window = told("a", 0, 10, 10, 0);
        let queries = &mut window.baseline.as_mut().unwrap().queries;
        let partials = queries.as_mut().unwrap();
        (partials.from_ms, partials.until_ms) = (from_ms, until_ms);
        Fleet::whole(10, 0, &[window], &Default::default())
    };
    assert_eq!(whole(0, 1_000_000).known.len(), 100_000);
    assert_eq!(whole(0, 2_000_000).known.len(), 100_000);
    // Past the end of time.
    assert_eq!(whole(u64::MAX - 5, u64::MAX).known.len(), 1);
}
