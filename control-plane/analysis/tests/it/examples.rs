//! Verdicts worked out by hand.

use crate::world::*;
use phoenix_analysis::{
    Ask, Criteria, Guardrails, Measure, Mode, Outcome, Ruling, Verdict, Window, judge,
};

fn points(target: f64) -> Criteria {
    criteria(Mode::Shadow, Measure::Points, target)
}

fn ruling(verdict: &Verdict, name: &str) -> Ruling {
    let found = verdict.criteria.iter().find(|c| c.name == name);
    found
        .unwrap_or_else(|| panic!("no criterion {name}"))
        .outcome
}

fn outcome(criteria: &Criteria, windows: &[Window]) -> Outcome {
    judge(criteria, windows).outcome
}

#[test]
fn a_shadow_saving_is_counted_and_promoted_at_exactly_the_target() {
    let verdict = judge(&points(0.2), &shadow(6, 800));
    assert_eq!(verdict.outcome, Outcome::Promote, "{}", verdict.reason);
    let saving = &verdict.savings.points;
    assert_eq!(
        (saving.baseline, saving.candidate),
        (Some(6000), Some(4800))
    );
    assert!((saving.saving.unwrap() - 0.2).abs() < 1e-12);
    assert!(saving.exact);
    assert_eq!(saving.lower, saving.upper);
    assert_eq!((verdict.windows.used, verdict.windows.void), (6, 1));
    assert_eq!(verdict.windows.reports.void.get("warm-up"), Some(&1));
    assert!(verdict.criteria.iter().all(|c| !c.reason.is_empty()));
}

#[test]
fn a_saving_below_the_target_is_rejected_and_no_windows_are_no_data() {
    assert_eq!(outcome(&points(0.2), &shadow(6, 801)), Outcome::Reject);
    assert_eq!(outcome(&points(0.2), &[]), Outcome::NoData);
    assert_eq!(outcome(&points(0.2), &shadow(0, 100)), Outcome::NoData);
    let idle: Vec<Window> = (0..9)
        .map(|s| report("a", s, arm(0, 0), arm(0, 0)))
        .collect();
    assert_eq!(outcome(&points(0.2), &idle), Outcome::NoData);
}

#[test]
fn too_few_windows_are_inconclusive_whatever_the_saving() {
    let verdict = judge(&points(0.2), &shadow(5, 100));
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
    assert_eq!(verdict.reason, "5 comparable windows, 6 are asked for.");
    assert_eq!(
        outcome(&points(0.2), &shadow(5, 999)),
        Outcome::Inconclusive
    );
}

#[test]
fn a_lost_protected_point_rejects_with_one_window() {
    let mut windows = shadow(1, 100);
    candidate(&mut windows[1]).protected.points_out = 9;
    let verdict = judge(&points(0.2), &windows);
    assert_eq!(verdict.outcome, Outcome::Reject);
    assert_eq!(
        verdict.reason,
        "1 of 10 protected points were lost (90 % kept, 100 % demanded)."
    );
    let mut windows = shadow(6, 100);
    candidate(&mut windows[3]).protected.series_out = 4;
    assert_eq!(outcome(&points(0.2), &windows), Outcome::Reject);
    let mut lenient = points(0.2);
    lenient.guardrails.protected_retention = 0.9;
    assert_eq!(outcome(&lenient, &windows), Outcome::Promote);
}

#[test]
fn what_only_the_baseline_saw_of_the_protected_set_the_candidate_lost() {
    let mut windows = shadow(6, 100);
    let arm = candidate(&mut windows[2]);
    (arm.protected.points_in, arm.protected.points_out) = (0, 0);
    assert_eq!(outcome(&points(0.2), &windows), Outcome::Reject);
}

#[test]
fn a_protected_set_that_matched_nothing_is_not_kept() {
    let mut windows = shadow(6, 100);
    for window in &mut windows {
        baseline(window).protected = Default::default();
        candidate(window).protected = Default::default();
    }
    let verdict = judge(&points(0.2), &windows);
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
    assert_eq!(ruling(&verdict, "protected points"), Ruling::Unknown);
    let mut none = points(0.2);
    none.guardrails.protects = false;
    assert_eq!(outcome(&none, &windows), Outcome::Promote);
}

#[test]
fn a_ledger_that_does_not_balance_and_a_panic_reject_even_in_a_void_window() {
    let mut windows = shadow(2, 100);
    baseline(&mut windows[0]).ledger.received += 1;
    let verdict = judge(&points(0.2), &windows);
    assert_eq!(verdict.outcome, Outcome::Reject);
    assert_eq!(ruling(&verdict, "ledger"), Ruling::Harm);
    let mut windows = shadow(0, 100);
    candidate(&mut windows[0]).panics = 1;
    assert_eq!(outcome(&points(0.2), &windows), Outcome::Reject);
}

#[test]
fn arms_that_did_not_receive_the_same_void_a_shadow() {
    let mut windows = shadow(8, 100);
    *candidate(&mut windows[4]) = arm(999, 100);
    let verdict = judge(&points(0.2), &windows);
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
    assert_eq!(ruling(&verdict, "arms"), Ruling::Void);
}

#[test]
fn windows_with_a_swap_a_lost_report_or_another_pipeline_are_left_out_of_both_arms() {
    let mut windows = shadow(12, 500);
    windows[3].void_reason = "swap".into();
    candidate(&mut windows[3]).ledger.exported = 1;
    candidate(&mut windows[3]).ledger.filtered = 999;
    candidate(&mut windows[5]).hash = "other".into();
    windows.remove(8);
    let mut asked = points(0.2);
    asked.candidate_hash = Some(String::new());
    let verdict = judge(&asked, &windows);
    assert_eq!(verdict.outcome, Outcome::Promote, "{}", verdict.reason);
    assert_eq!(verdict.windows.used, 9);
    assert_eq!(verdict.windows.void, 3);
    assert_eq!(verdict.windows.expected, 13);
    assert_eq!(verdict.windows.reports.missing, 1);
    assert_eq!(verdict.windows.reports.void.get("swap"), Some(&1));
    assert_eq!(
        verdict.windows.reports.void.get("another pipeline"),
        Some(&1)
    );
    assert!((verdict.savings.points.saving.unwrap() - 0.5).abs() < 1e-12);
}

#[test]
fn a_restarted_agent_warms_up_again_and_the_shared_window_is_void() {
    let mut windows = shadow(12, 500);
    for window in &mut windows[6..] {
        window.incarnation = "i2".into();
    }
    let mut cut = windows[6].clone();
    cut.incarnation = "i1".into();
    windows.push(cut);
    let verdict = judge(&points(0.2), &windows);
    assert_eq!(verdict.outcome, Outcome::Promote, "{}", verdict.reason);
    assert_eq!(verdict.windows.used, 11);
    assert_eq!(verdict.windows.reports.void.get("restart"), Some(&1));
}

#[test]
fn an_agent_that_never_reported_and_too_many_missing_windows_void_the_comparison() {
    let mut asked = points(0.2);
    asked.agents = vec!["default/default/a".into(), "default/default/b".into()];
    let verdict = judge(&asked, &shadow(8, 100));
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
    assert_eq!(
        verdict.reason,
        "default/default/b took the plan and never reported."
    );
    asked.agents.pop();
    asked.until_ms = Some(1_000_000 + 30 * WINDOW_MS);
    let verdict = judge(&asked, &shadow(8, 100));
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
    assert_eq!(ruling(&verdict, "windows"), Ruling::Void);
}

#[test]
fn a_gap_is_missing_also_where_later_windows_came_sooner_than_they_were_expected() {
    let mut asked = points(0.2);
    let mut windows = shadow(12, 100);
    windows.drain(3..6);
    for until in [4, 9, 13] {
        asked.until_ms = Some(1_000_000 + until * WINDOW_MS);
        let verdict = judge(&asked, &windows);
        assert_eq!(verdict.windows.reports.missing, 3, "until {until}");
        assert_eq!(verdict.windows.expected, 13, "until {until}");
    }
    asked.until_ms = Some(1_000_000 + 15 * WINDOW_MS);
    assert_eq!(judge(&asked, &windows).windows.reports.missing, 5);
}

#[test]
fn an_unknown_figure_under_a_guardrail_is_not_a_pass() {
    let mut asked = points(0.2);
    asked.guardrails.max_cpu_ratio = Some(1.5);
    let mut windows = shadow(12, 100);
    let verdict = judge(&asked, &windows);
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
    assert_eq!(ruling(&verdict, "cpu"), Ruling::Unknown);
    for window in &mut windows {
        baseline(window).cpu_seconds = Some(1.0);
        candidate(window).cpu_seconds = Some(1.4);
    }
    assert_eq!(outcome(&asked, &windows), Outcome::Promote);
    assert_eq!(outcome(&asked, &windows[..12]), Outcome::Inconclusive);
    candidate(&mut windows[4]).cpu_seconds = Some(4.0);
    assert_eq!(outcome(&asked, &windows), Outcome::Inconclusive);
    for window in &mut windows {
        candidate(window).cpu_seconds = Some(1.6);
    }
    assert_eq!(outcome(&asked, &windows), Outcome::Reject);
    asked.guardrails.max_cpu_ratio = None;
    asked.guardrails.max_rss_ratio = Some(1.2);
    assert_eq!(outcome(&asked, &windows), Outcome::Inconclusive);
    for window in &mut windows {
        window.rss_bytes = Some(110);
    }
    asked
        .rss_before_bytes
        .insert("default/default/a".into(), 100);
    assert_eq!(outcome(&asked, &windows), Outcome::Promote);
    asked.guardrails.max_rss_bytes = Some(109);
    assert_eq!(outcome(&asked, &windows), Outcome::Reject);
    asked.guardrails.max_rss_bytes = Some(110);
    assert_eq!(outcome(&asked, &windows), Outcome::Promote);
}

#[test]
fn export_errors_past_a_limit_reject_where_there_is_nothing_to_compare_with() {
    let mut windows = shadow(6, 100);
    windows[2].export_errors = 2;
    let bake = |limit| Criteria {
        ask: Ask::Bake,
        guardrails: Guardrails {
            max_export_errors: limit,
            ..points(0.2).guardrails
        },
        ..points(0.2)
    };
    assert_eq!(outcome(&bake(Some(1)), &windows), Outcome::Reject);
    assert_eq!(
        outcome(&bake(Some(1)), &windows[..4]),
        Outcome::Inconclusive
    );
    assert_eq!(outcome(&bake(Some(2)), &windows), Outcome::Promote);
}

#[test]
fn an_identity_conflict_voids() {
    let mut windows = shadow(6, 100);
    candidate(&mut windows[2]).identity_conflicts = 1;
    assert_eq!(outcome(&points(0.2), &windows), Outcome::Inconclusive);
}

#[test]
fn points_that_are_still_held_are_not_saved_yet() {
    // The candidate takes 900 of 1000 points a window and has written none of them.
    let mut windows = shadow(6, 100);
    for window in &mut windows {
        let ledger = &mut candidate(window).ledger;
        (ledger.filtered, ledger.held) = (0, 900);
    }
    let verdict = judge(&points(0.2), &windows);
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
    assert!((verdict.savings.points.saving.unwrap() - 0.9).abs() < 1e-12);
    assert!(verdict.savings.points.lower.unwrap().abs() < 1e-12);
    let series = criteria(Mode::Shadow, Measure::Series, 0.2);
    assert_eq!(outcome(&series, &windows), Outcome::Inconclusive);
    // In the last window all of it comes out as 50 points.
    let last = &mut candidate(&mut windows[6]).ledger;
    (last.exported, last.held, last.merged) = (150, 900 - 5400, 5350);
    let verdict = judge(&points(0.2), &windows);
    assert_eq!(verdict.outcome, Outcome::Promote, "{}", verdict.reason);
    assert!((verdict.savings.points.lower.unwrap() - (1.0 - 650.0 / 6000.0)).abs() < 1e-12);
}

fn split(n: u64, kept: impl Fn(u64) -> u64) -> Vec<Window> {
    (0..=n)
        .map(|slot| report("a", slot, arm(500, 500), arm(480, kept(slot))))
        .collect()
}

#[test]
fn a_steady_split_is_promoted_and_a_noisy_one_is_not_clear() {
    let asked = criteria(Mode::Split, Measure::Points, 0.2);
    let verdict = judge(&asked, &split(12, |s| 240 + s % 3));
    assert_eq!(verdict.outcome, Outcome::Promote, "{}", verdict.reason);
    let few = judge(&asked, &split(11, |s| 240 + s % 3));
    assert_eq!(few.outcome, Outcome::Inconclusive);
    assert_eq!(
        few.reason,
        "49.77 % of points so far; a bound needs 12 windows and there are 11."
    );
    let noisy = judge(&asked, &split(12, |s| if s % 2 == 0 { 180 } else { 480 }));
    assert_eq!(noisy.outcome, Outcome::Inconclusive, "{}", noisy.reason);
    let small = judge(&asked, &split(12, |s| 460 + s % 3));
    assert_eq!(small.outcome, Outcome::Reject, "{}", small.reason);
}

#[test]
fn series_without_the_key_are_outside_the_comparison_of_a_split() {
    // Both arms halve what has the key; 1000 series without it pass the baseline untouched.
    let mut windows = split(12, |_| 240);
    for window in &mut windows {
        let arm = baseline(window);
        arm.ledger.received += 500;
        arm.ledger.filtered += 250;
        arm.ledger.exported += 250;
        let part = arm.unassigned.as_mut().unwrap();
        (part.points_in, part.points_out) = (500, 500);
    }
    let verdict = judge(&criteria(Mode::Split, Measure::Points, 0.2), &windows);
    assert!(verdict.savings.points.saving.unwrap().abs() < 1e-9);
    assert_eq!(verdict.outcome, Outcome::Reject, "{}", verdict.reason);
}

#[test]
fn a_split_that_the_hash_would_not_make_is_void_and_one_that_is_not_counted_is_unknown() {
    let asked = criteria(Mode::Split, Measure::Points, 0.2);
    let mut windows = split(6, |_| 240);
    for window in &mut windows {
        baseline(window).entities = Some(count(100));
        candidate(window).entities = Some(count(50));
    }
    let verdict = judge(&asked, &windows);
    assert_eq!(ruling(&verdict, "sample ratio"), Ruling::Void);
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
    candidate(&mut windows[3]).entities = None;
    let verdict = judge(&asked, &windows);
    assert_eq!(ruling(&verdict, "sample ratio"), Ruling::Unknown);
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
}

#[test]
fn an_arm_that_received_nothing_voids_a_split() {
    let windows: Vec<Window> = (0..9)
        .map(|s| report("a", s, arm(500, 500), arm(0, 0)))
        .collect();
    let verdict = judge(&criteria(Mode::Split, Measure::Points, 0.2), &windows);
    assert_eq!(ruling(&verdict, "arms"), Ruling::Void);
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
}

#[test]
fn windows_and_verdicts_survive_json() {
    let mut windows = shadow(6, 500);
    candidate(&mut windows[1]).series_out.sketch = vec![0, 1, 254, 255];
    let text = serde_json::to_string(&windows).unwrap();
    let read: Vec<Window> = serde_json::from_str(&text).unwrap();
    assert_eq!(read, windows);
    let verdict = judge(&points(0.2), &windows);
    let text = serde_json::to_string(&verdict).unwrap();
    let read: Verdict = serde_json::from_str(&text).unwrap();
    assert_eq!(read, verdict);
    assert_eq!(
        judge(&read.asked, &windows),
        verdict,
        "it can be judged again"
    );
}
