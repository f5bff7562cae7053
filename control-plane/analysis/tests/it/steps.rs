//! What a step can be asked besides the goal of a shadow or a split: verdicts worked out by hand.

use crate::world::*;
use phoenix_analysis::{
    Arm, Ask, Criteria, Criterion, Died, Latency, Measure, Mode, Outcome, Ruling, Verdict, Window,
    judge,
};

fn asked(ask: Ask, mode: Mode) -> Criteria {
    Criteria {
        ask,
        ..criteria(mode, Measure::Points, 0.2)
    }
}

fn found<'v>(verdict: &'v Verdict, name: &str) -> &'v Criterion {
    let found = verdict.criteria.iter().find(|c| c.name == name);
    found.unwrap_or_else(|| panic!("no criterion {name}"))
}

/// Nodes n0, n1, ...; the first `candidates` keep `kept` of 1000 points with the candidate, the others 800
/// with the baseline.
fn nodes(windows: u64, count: usize, candidates: usize, kept: u64) -> Vec<Window> {
    let mut all = Vec::new();
    for slot in 0..=windows {
        for n in 0..count {
            let name = format!("n{n}");
            all.push(if n < candidates {
                report(&name, slot, arm(0, 0), arm(1000, kept + n as u64))
            } else {
                report(&name, slot, arm(1000, 800 + n as u64), arm(0, 0))
            });
        }
    }
    all
}

#[test]
fn two_shadow_arms_of_one_pipeline_must_be_equal_and_a_difference_stops_at_once() {
    let criteria = asked(Ask::Aa, Mode::Shadow);
    assert_eq!(judge(&criteria, &shadow(6, 1000)).outcome, Outcome::Promote);
    assert_eq!(
        judge(&criteria, &shadow(2, 1000)).outcome,
        Outcome::Inconclusive
    );
    let verdict = judge(&criteria, &shadow(2, 999));
    assert_eq!(verdict.outcome, Outcome::Reject);
    assert!(
        verdict.reason.contains("0.10 % fewer points"),
        "{}",
        verdict.reason
    );
    assert!(!verdict.harm, "it says nothing of the candidate");
}

#[test]
fn a_panic_in_a_a_rejects_and_is_not_the_candidates_harm() {
    let mut windows = shadow(6, 1000);
    candidate(&mut windows[2]).panics = 1;
    let verdict = judge(&asked(Ask::Aa, Mode::Shadow), &windows);
    assert_eq!((verdict.outcome, verdict.harm), (Outcome::Reject, false));
    let verdict = judge(&asked(Ask::Goal, Mode::Shadow), &windows);
    assert_eq!((verdict.outcome, verdict.harm), (Outcome::Reject, true));
}

#[test]
fn nodes_are_the_units_and_three_of_them_are_too_few_for_a_goal() {
    let criteria = asked(Ask::Goal, Mode::Nodes);
    let verdict = judge(&criteria, &nodes(12, 8, 4, 400));
    assert_eq!(verdict.outcome, Outcome::Promote, "{}", verdict.reason);
    let verdict = judge(&criteria, &nodes(24, 3, 1, 400));
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
    assert!(
        verdict.reason.contains("at least four"),
        "{}",
        verdict.reason
    );
    let ramp = asked(Ask::Guardrails, Mode::Nodes);
    let verdict = judge(&ramp, &nodes(6, 3, 1, 400));
    assert_eq!(verdict.outcome, Outcome::Promote, "{}", verdict.reason);
    assert_eq!(found(&verdict, "goal").outcome, Ruling::NotAsked);
}

#[test]
fn one_node_far_from_the_others_widens_the_bound_over_nodes() {
    let mut windows = nodes(12, 8, 4, 400);
    for window in windows.iter_mut().filter(|w| w.agent == "n1") {
        *candidate(window) = arm(1000, 1000);
    }
    let verdict = judge(&asked(Ask::Goal, Mode::Nodes), &windows);
    assert_eq!(verdict.outcome, Outcome::Inconclusive, "{}", verdict.reason);
}

#[test]
fn a_node_that_feeds_the_wrong_arm_voids_a_comparison_by_node() {
    let mut criteria = asked(Ask::Guardrails, Mode::Nodes);
    criteria.candidate_agents = vec!["n0".into(), "n5".into()];
    let verdict = judge(&criteria, &nodes(6, 6, 1, 400));
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
    assert_eq!(
        found(&verdict, "arms").outcome,
        Ruling::Void,
        "{verdict:#?}"
    );
}

#[test]
fn a_window_that_only_one_arm_reported_is_void_by_node() {
    let mut windows = nodes(8, 4, 2, 400);
    let gone = windows[0].start_ms + 5 * WINDOW_MS;
    windows.retain(|w| w.start_ms != gone || w.agent == "n3");
    let verdict = judge(&asked(Ask::Guardrails, Mode::Nodes), &windows);
    assert_eq!(verdict.windows.used, 7);
    assert_eq!(
        verdict.windows.reports.void.get("only one arm reported"),
        Some(&1)
    );
}

#[test]
fn nodes_outside_a_split_of_chosen_nodes_are_not_compared() {
    let mut criteria = asked(Ask::Guardrails, Mode::Split);
    criteria.candidate_agents = vec!["a".into()];
    let mut windows = Vec::new();
    for slot in 0..7 {
        windows.push(report("a", slot, arm(500, 500), arm(500, 300)));
        windows.push(report("b", slot, arm(9000, 9000), arm(0, 0)));
    }
    let verdict = judge(&criteria, &windows);
    assert_eq!(verdict.outcome, Outcome::Promote, "{}", verdict.reason);
    assert_eq!(verdict.savings.points.baseline, Some(3000));
    assert_eq!(verdict.windows.reports.void.get("baseline only"), Some(&7));
}

#[test]
fn a_bake_has_no_baseline_and_still_sees_harm() {
    let criteria = asked(Ask::Bake, Mode::Nodes);
    let mut windows = nodes(6, 2, 2, 400);
    let verdict = judge(&criteria, &windows);
    assert_eq!(verdict.outcome, Outcome::Promote, "{}", verdict.reason);
    assert!(
        verdict
            .criteria
            .iter()
            .all(|c| c.name != "goal" && c.name != "cpu")
    );
    candidate(&mut windows[5]).protected.points_out = 9;
    let verdict = judge(&criteria, &windows);
    assert_eq!((verdict.outcome, verdict.harm), (Outcome::Reject, true));
}

#[test]
fn a_goal_that_what_is_protected_puts_out_of_reach_is_told_so() {
    let mut windows = shadow(6, 950);
    for window in &mut windows {
        for arm in [&mut window.baseline, &mut window.candidate] {
            let protected = &mut arm.as_mut().unwrap().protected;
            (protected.points_in, protected.points_out) = (900, 900);
        }
    }
    let verdict = judge(&asked(Ask::Goal, Mode::Shadow), &windows);
    assert_eq!((verdict.outcome, verdict.harm), (Outcome::Reject, false));
    assert_eq!(
        verdict.reason,
        "No candidate can save 20 % of points: what is protected alone leaves 10 % to save."
    );
}

#[test]
fn series_outside_the_scope_are_outside_the_comparison_of_a_shadow() {
    let mut windows = shadow(6, 500);
    for window in &mut windows {
        let arm = baseline(window);
        arm.ledger.received += 4000;
        arm.ledger.exported += 4000;
        arm.bytes_in += 400_000;
        arm.bytes_out += 400_000;
        arm.series_in.exact = Some(5000);
        arm.series_out.exact = Some(5000);
        let outside = arm.unassigned.as_mut().unwrap();
        (outside.points_in, outside.points_out) = (4000, 4000);
        (outside.bytes_in, outside.bytes_out) = (400_000, 400_000);
        (outside.series_in, outside.series_out) = (4000, 4000);
    }
    let verdict = judge(&asked(Ask::Goal, Mode::Shadow), &windows);
    assert_eq!(verdict.outcome, Outcome::Promote, "{}", verdict.reason);
    for saving in [&verdict.savings.points, &verdict.savings.series] {
        assert!((saving.saving.unwrap() - 0.5).abs() < 1e-12, "{saving:?}");
    }
    // A resource's bytes are shared with what is outside: agents that do not tell what is inside leave it open.
    assert_eq!(verdict.savings.bytes.saving, None);
    let mut bytes = asked(Ask::Goal, Mode::Shadow);
    bytes.goal.saving = Measure::Bytes;
    let verdict = judge(&bytes, &windows);
    assert_eq!(verdict.outcome, Outcome::Inconclusive, "{}", verdict.reason);
    let share = "share their resource's bytes with points outside, which is not counted apart by default/default/a";
    assert!(verdict.reason.contains(share), "{}", verdict.reason);
    for window in &mut windows {
        let inside = |arm: &mut Arm, left| {
            (arm.compared_bytes_in, arm.compared_bytes_out) = (Some(90_000), Some(left));
        };
        inside(baseline(window), 90_000);
        inside(candidate(window), 36_000);
    }
    let verdict = judge(&bytes, &windows);
    assert_eq!(verdict.outcome, Outcome::Promote, "{}", verdict.reason);
    assert!((verdict.savings.bytes.saving.unwrap() - 0.6).abs() < 1e-12);
    // One report that does not tell is enough not to know.
    baseline(&mut windows[3]).compared_bytes_out = None;
    let verdict = judge(&bytes, &windows);
    assert_eq!(verdict.savings.bytes.saving, None);
}

#[test]
fn arms_that_did_not_get_the_same_bytes_of_what_is_compared_are_void() {
    let mut windows = shadow(6, 500);
    for window in &mut windows {
        baseline(window).bytes_in = 500_000;
        candidate(window).bytes_in = 90_100;
        baseline(window).compared_bytes_in = Some(90_000);
        candidate(window).compared_bytes_in = Some(90_000);
    }
    let asked = asked(Ask::Goal, Mode::Shadow);
    let arms = |windows: &[Window]| found(&judge(&asked, windows), "arms").outcome;
    assert_eq!(arms(&windows), Ruling::Pass);
    candidate(&mut windows[2]).compared_bytes_in = Some(90_001);
    assert_eq!(arms(&windows), Ruling::Void);
}

#[test]
fn what_leaves_late_outside_the_scope_is_outside_the_comparison_too() {
    // What came in one window leaves in the next, as an aggregation writes it.
    let mut windows = shadow(6, 500);
    for (n, window) in windows.iter_mut().enumerate() {
        let arm = baseline(window);
        let outside = arm.unassigned.as_mut().unwrap();
        if n % 2 == 0 {
            arm.ledger.received += 4000;
            arm.bytes_in += 400_000;
            (outside.points_in, outside.bytes_in) = (4000, 400_000);
        } else {
            arm.ledger.exported += 4000;
            arm.bytes_out += 400_000;
            (outside.points_out, outside.bytes_out) = (4000, 400_000);
        }
    }
    let verdict = judge(&asked(Ask::Goal, Mode::Shadow), &windows);
    let saving = &verdict.savings.points;
    assert!((saving.saving.unwrap() - 0.5).abs() < 1e-12, "{saving:?}");
}

/// The verdict on `count` nodes, the first `candidates` with the candidate, where the exports of some fail in some
/// windows of 20.
fn failing(count: usize, candidates: usize, failed: impl Fn(usize, u64) -> bool) -> Verdict {
    let mut windows = nodes(20, count, candidates, 300);
    for window in &mut windows {
        let node = window.agent.strip_prefix('n').unwrap().parse().unwrap();
        let slot = (window.start_ms - 1_000_000) / WINDOW_MS;
        // Tries are no measure: pauses between them are random.
        window.export_errors = u64::from(failed(node, slot)) * (1 + 9 * (node as u64 % 2));
    }
    let mut criteria = asked(Ask::Guardrails, Mode::Nodes);
    criteria.min_windows = 3;
    criteria.candidate_agents = (0..candidates).map(|n| format!("n{n}")).collect();
    judge(&criteria, &windows)
}

fn exports(verdict: &Verdict) -> Ruling {
    found(verdict, "export errors").outcome
}

#[test]
fn an_outage_of_both_arms_is_nobodys_fault_however_their_tries_fall() {
    let verdict = failing(4, 1, |node, slot| match node {
        0 => (3..9).contains(&slot),
        n => slot == 2 + n as u64,
    });
    assert_eq!(exports(&verdict), Ruling::Pass);
    assert_eq!(verdict.outcome, Outcome::Promote, "{}", verdict.reason);
}

#[test]
fn a_candidate_whose_exports_fail_where_the_baselines_do_not_is_harm() {
    let verdict = failing(4, 2, |node, slot| node < 2 && slot > 12);
    assert_eq!(exports(&verdict), Ruling::Harm);
    assert!(verdict.outcome == Outcome::Reject && verdict.harm);
    // A node of the baseline that fails all the time excuses nothing.
    let verdict = failing(8, 2, |node, slot| node == 7 || (node < 2 && slot > 12));
    assert_eq!(exports(&verdict), Ruling::Harm);
}

#[test]
fn a_moment_without_the_next_hop_is_a_question_until_there_were_windows_without() {
    let until = |last: u64| {
        let verdict = failing(4, 2, |node, slot| {
            node < 2 && (last - 1..=last).contains(&slot)
        });
        (exports(&verdict), verdict.outcome)
    };
    assert_eq!(until(15), (Ruling::Unknown, Outcome::Inconclusive));
    assert_eq!(until(14), (Ruling::Pass, Outcome::Promote));
}

#[test]
fn one_bad_node_of_the_candidates_is_named_and_does_not_bar_it() {
    let verdict = failing(6, 3, |node, _| node == 1);
    let found = found(&verdict, "export errors");
    assert_eq!(found.outcome, Ruling::Unknown);
    assert!(found.reason.contains("(only n1)"), "{}", found.reason);
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
}

/// As `failing`, where not every report has come; `n0` has the candidate.
fn reported(failed: impl Fn(usize, u64) -> bool, came: impl Fn(usize, u64) -> bool) -> Ruling {
    let number = |w: &Window| w.agent.strip_prefix('n').unwrap().parse::<usize>().unwrap();
    let slot = |w: &Window| (w.start_ms - 1_000_000) / WINDOW_MS;
    let mut windows = nodes(20, 4, 1, 300);
    windows.retain(|w| came(number(w), slot(w)));
    for window in &mut windows {
        window.export_errors = u64::from(failed(number(window), slot(window)));
    }
    let mut criteria = asked(Ask::Guardrails, Mode::Nodes);
    criteria.min_windows = 3;
    criteria.candidate_agents = vec!["n0".into()];
    exports(&judge(&criteria, &windows))
}

#[test]
fn what_the_baseline_has_not_told_yet_is_no_evidence() {
    // The next hop is away for all; the candidate's node was the first to be heard of again.
    let away = |_, slot| slot > 12;
    assert_eq!(
        reported(away, |node, slot| node == 0 || slot < 14),
        Ruling::Unknown
    );
    assert_eq!(reported(away, |_, _| true), Ruling::Pass);
    let alone = |node, slot| node == 0 && slot > 12;
    assert_eq!(reported(alone, |_, _| true), Ruling::Harm);
}

#[test]
fn reports_that_are_kept_back_are_no_windows_without_failures() {
    // Retried for a minute: nothing is heard of it, and the others go on.
    let late = |node, slot| node > 0 || slot < 15;
    assert_eq!(reported(|_, _| false, late), Ruling::Unknown);
    assert_eq!(
        reported(|node, slot| node == 0 && slot == 10, late),
        Ruling::Unknown
    );
    assert_eq!(
        reported(|node, slot| node == 0 && slot == 10, |_, _| true),
        Ruling::Pass
    );
}

#[test]
fn an_agent_that_failed_and_left_stays_a_question() {
    let mut windows = shadow(12, 500);
    let left = report("b", 0, arm(1000, 1000), arm(1000, 500));
    windows.push(Window {
        export_errors: 3,
        ..left
    });
    let mut criteria = asked(Ask::Bake, Mode::Nodes);
    criteria.left_ms = [("b".into(), windows[1].start_ms)].into();
    assert_eq!(exports(&judge(&criteria, &windows)), Ruling::Unknown);
}

#[test]
fn without_a_baseline_failed_exports_are_asked_about_and_never_harm() {
    let with = |ask: Ask, mode: Mode, last: u64| {
        let mut windows = shadow(12, 500);
        for window in &mut windows[..=last as usize] {
            window.export_errors = 5;
        }
        judge(&asked(ask, mode), &windows)
    };
    for (ask, mode) in [(Ask::Bake, Mode::Nodes), (Ask::Goal, Mode::Split)] {
        assert_eq!(exports(&with(ask, mode, 12)), Ruling::Unknown);
        assert_eq!(exports(&with(ask, mode, 7)), Ruling::Unknown);
        assert_eq!(exports(&with(ask, mode, 6)), Ruling::Pass);
    }
    // In shadow the candidate exports nothing, or to where nothing of the baseline goes.
    let verdict = with(Ask::Goal, Mode::Shadow, 12);
    assert_eq!(verdict.outcome, Outcome::Promote, "{}", verdict.reason);
    let mut windows = shadow(12, 500);
    for (n, window) in windows.iter_mut().enumerate() {
        candidate(window).export_errors = Some(u64::from(n == 12));
    }
    let verdict = judge(&asked(Ask::Goal, Mode::Shadow), &windows);
    assert_eq!(exports(&verdict), Ruling::Unknown);
}

#[test]
fn where_some_nodes_divide_their_entities_they_are_held_against_those_that_do_not() {
    let with = |failed: fn(&str) -> bool| {
        let mut criteria = asked(Ask::Guardrails, Mode::Split);
        criteria.candidate_agents = vec!["a".into()];
        let windows: Vec<Window> = (0..=20)
            .flat_map(|slot| {
                ["a", "b"].map(|agent| Window {
                    export_errors: u64::from(failed(agent)),
                    ..report(agent, slot, arm(500, 500), arm(500, 300))
                })
            })
            .collect();
        exports(&judge(&criteria, &windows))
    };
    assert_eq!(with(|_| true), Ruling::Pass);
    assert_eq!(with(|agent| agent == "a"), Ruling::Harm);
}

#[test]
fn latency_is_the_difference_of_means_and_must_clear_its_limit() {
    let with = |candidate_ms: u64| {
        let mut windows = shadow(12, 500);
        for (n, window) in windows.iter_mut().enumerate() {
            let spent = |ms: u64| Latency {
                count: 10,
                sum_ns: (ms * 10 + n as u64 % 2) * 1_000_000,
                ..Latency::default()
            };
            baseline(window).added_latency = Some(spent(2));
            candidate(window).added_latency = Some(spent(candidate_ms));
        }
        let mut criteria = asked(Ask::Goal, Mode::Shadow);
        criteria.guardrails.max_added_latency_ms = Some(5.0);
        judge(&criteria, &windows)
    };
    assert_eq!(with(4).outcome, Outcome::Promote, "{}", with(4).reason);
    let verdict = with(9);
    assert_eq!(verdict.outcome, Outcome::Reject);
    assert_eq!(
        found(&verdict, "added latency").threshold,
        "at most 5.000 ms, sure to 95 %"
    );
}

#[test]
fn nothing_is_expected_of_an_agent_that_left() {
    let mut criteria = asked(Ask::Goal, Mode::Shadow);
    let mut windows = shadow(12, 500);
    let left = windows[3].start_ms;
    windows.extend((0..3).map(|slot| report("b", slot, arm(1000, 1000), arm(1000, 500))));
    criteria.agents = vec!["default/default/a".into(), "b".into(), "c".into()];
    assert_eq!(judge(&criteria, &windows).windows.reports.missing, 10 + 13);
    criteria.left_ms = [("b".into(), left), ("c".into(), left)].into();
    let verdict = judge(&criteria, &windows);
    assert_eq!(verdict.outcome, Outcome::Promote, "{}", verdict.reason);
}

#[test]
fn a_death_with_the_candidate_is_asked_about_and_the_third_of_one_agent_is_harm() {
    let windows = shadow(12, 500);
    let agent = "default/default/a".to_string();
    let with = |died: Option<Died>, change: fn(&mut Criteria)| {
        let mut criteria = asked(Ask::Goal, Mode::Shadow);
        criteria.died = Some(died.map(|d| (agent.clone(), d)).into_iter().collect());
        change(&mut criteria);
        let verdict = judge(&criteria, &windows);
        let reason = found(&verdict, "agents").reason.clone();
        (verdict.outcome, verdict.harm, reason)
    };
    let died = |times, last_ms, away| {
        Some(Died {
            times,
            last_ms,
            away,
        })
    };
    assert_eq!(with(None, |_| {}).0, Outcome::Promote);
    let (early, late) = (windows[2].start_ms, windows[9].start_ms);
    // It has run the candidate long enough since.
    let (outcome, _, reason) = with(died(2, early, false), |_| {});
    assert_eq!(outcome, Outcome::Promote, "{reason}");
    let (outcome, _, reason) = with(died(1, late, false), |_| {});
    assert_eq!(outcome, Outcome::Inconclusive, "{reason}");
    assert!(reason.contains("4 comparable windows since"), "{reason}");
    // How it ended is not known: no death, and asked about all the same.
    let (outcome, harm, reason) = with(died(0, late, false), |_| {});
    assert_eq!((outcome, harm), (Outcome::Inconclusive, false), "{reason}");
    assert!(reason.contains("ended unseen"), "{reason}");
    let (outcome, _, reason) = with(died(0, early, false), |_| {});
    assert_eq!(outcome, Outcome::Promote, "{reason}");
    let (outcome, harm, reason) = with(died(3, early, false), |_| {});
    assert_eq!((outcome, harm), (Outcome::Reject, true), "{reason}");
    let (outcome, harm, reason) = with(died(0, late, true), |_| {});
    assert_eq!((outcome, harm), (Outcome::Inconclusive, false), "{reason}");
    assert!(reason.contains("fell silent"), "{reason}");
    let (outcome, _, reason) = with(died(0, late, true), |c| c.guardrails.max_silent = 1);
    assert_eq!(outcome, Outcome::Promote, "{reason}");
}
