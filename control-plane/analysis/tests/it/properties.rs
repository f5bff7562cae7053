//! What holds for every experiment.

use crate::world::*;
use phoenix_analysis::{Measure, Mode, Outcome, Ruling, Window, judge};
use proptest::prelude::*;

fn measure() -> impl Strategy<Value = Measure> {
    prop_oneof![
        Just(Measure::Points),
        Just(Measure::Series),
        Just(Measure::Bytes)
    ]
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Shadow), Just(Mode::Split)]
}

/// Windows of one or two agents, some void, some missing.
fn windows(mode: Mode) -> impl Strategy<Value = Vec<Window>> {
    let one = (0..2usize, 0..14u64, 1..60u64, 0..100u64, 0..8u8);
    prop::collection::vec(one, 0..40).prop_map(move |rows| {
        let rows = rows.into_iter();
        rows.map(|(agent, slot, received, share, odd)| {
            let received = received * 10;
            let other = match mode {
                Mode::Shadow => received,
                Mode::Split | Mode::Nodes => received + 10,
            };
            let kept = other * share / 100;
            let name = ["default/default/a", "default/default/b"][agent];
            let mut window = report(name, slot, arm(received, received), arm(other, kept));
            if odd == 0 {
                window.void_reason = "swap".into();
            }
            if odd == 1 {
                window.candidate = None;
            }
            window
        })
        .collect()
    })
}

fn experiment() -> impl Strategy<Value = (Mode, Measure, f64, Vec<Window>)> {
    mode().prop_flat_map(|mode| (Just(mode), measure(), 0.0..1.0f64, windows(mode)))
}

/// How good a verdict is for the candidate.
fn rank(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Reject => 0,
        Outcome::NoData | Outcome::Inconclusive => 1,
        Outcome::Promote => 2,
    }
}

/// Harm done to a window, one kind at a time.
fn harm(window: &mut Window, kind: u8) {
    window.export_errors += u64::from(kind == 0);
    let Some(arm) = window.candidate.as_mut() else {
        return;
    };
    match kind {
        1 => arm.panics += 1,
        2 => arm.ledger.filtered += 1,
        3 => arm.protected.points_out = arm.protected.points_out.saturating_sub(3),
        4 => arm.protected.series_out = arm.protected.series_out.saturating_sub(3),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_windows_is_irrelevant(
        (mode, measure, target, windows) in experiment(),
        seed in any::<u64>(),
    ) {
        let criteria = criteria(mode, measure, target);
        let mut shuffled = windows.clone();
        let mut state = seed | 1;
        for i in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(i, (state >> 33) as usize % (i + 1));
        }
        prop_assert_eq!(judge(&criteria, &windows), judge(&criteria, &shuffled));
    }

    #[test]
    fn harm_never_helps(
        (mode, measure, target, windows) in experiment(),
        which in any::<prop::sample::Index>(),
        kind in 0..5u8,
    ) {
        prop_assume!(!windows.is_empty());
        let criteria = criteria(mode, measure, target);
        let mut harmed = windows.clone();
        let index = which.index(harmed.len());
        // A report that is there twice must be harmed twice to be the same harm.
        let (start, agent) = (harmed[index].start_ms, harmed[index].agent.clone());
        for window in harmed.iter_mut().filter(|w| w.start_ms == start && w.agent == agent) {
            harm(window, kind);
        }
        let (before, after) = (judge(&criteria, &windows), judge(&criteria, &harmed));
        prop_assert!(
            rank(after.outcome) <= rank(before.outcome),
            "{:?} became {:?}: {}", before.outcome, after.outcome, after.reason
        );
    }

    #[test]
    fn what_voids_a_comparison_is_never_promoted(
        (mode, measure, target, mut windows) in experiment(),
        which in any::<prop::sample::Index>(),
    ) {
        let criteria = criteria(mode, measure, target);
        let used = judge(&criteria, &windows).windows.used;
        prop_assume!(used > 0);
        let index = which.index(windows.len());
        let start = windows[index].start_ms;
        for arm in windows.iter_mut().filter(|w| w.start_ms == start).filter_map(|w| w.candidate.as_mut()) {
            arm.identity_conflicts += 1;
        }
        let verdict = judge(&criteria, &windows);
        let seen = verdict.criteria.iter().any(|c| c.outcome == Ruling::Void);
        prop_assert!(!(seen && verdict.outcome == Outcome::Promote));
    }

    #[test]
    fn nothing_is_promoted_unless_every_criterion_is_met((mode, measure, target, windows) in experiment()) {
        let criteria = criteria(mode, measure, target);
        let verdict = judge(&criteria, &windows);
        let met = verdict.criteria.iter().all(|c| matches!(c.outcome, Ruling::Pass | Ruling::NotAsked));
        prop_assert_eq!(verdict.outcome == Outcome::Promote, met && verdict.windows.used >= 6);
        if verdict.outcome == Outcome::Promote {
            let saving = verdict.savings.of(measure).unwrap();
            prop_assert!(saving.lower.unwrap() + 1e-9 >= target);
            prop_assert!(saving.saving.unwrap() + 1e-9 >= target);
        }
    }

    #[test]
    fn a_higher_target_is_never_easier((mode, measure, target, windows) in experiment(), more in 0.0..1.0f64) {
        let low = judge(&criteria(mode, measure, target), &windows);
        let high = judge(&criteria(mode, measure, target + more), &windows);
        prop_assert!(rank(high.outcome) <= rank(low.outcome));
    }

    #[test]
    fn a_report_that_comes_twice_counts_once((mode, measure, target, windows) in experiment()) {
        let criteria = criteria(mode, measure, target);
        let twice: Vec<Window> = windows.iter().chain(&windows).cloned().collect();
        prop_assert_eq!(judge(&criteria, &windows), judge(&criteria, &twice));
    }

    #[test]
    fn reports_are_used_or_void_with_a_reason((mode, measure, target, windows) in experiment()) {
        let verdict = judge(&criteria(mode, measure, target), &windows);
        let reports = &verdict.windows.reports;
        let mut keys: Vec<(u64, &str)> = windows.iter().map(|w| (w.start_ms, w.agent.as_str())).collect();
        keys.sort_unstable();
        keys.dedup();
        prop_assert_eq!(reports.used + reports.void.values().sum::<u64>(), keys.len() as u64);
        prop_assert!(reports.void.keys().all(|r| !r.is_empty()));
    }
}
